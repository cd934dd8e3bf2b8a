// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! POSIX timers: those of timer_create(2).
//!
//! Points in time are kept as the time that is left. A signal that a timer has sent
//! and that waits is a SIGINFO record, at its place in the queue; it and the timer
//! name each other.

use super::ensure;
use super::pending::queue;
use super::pending::Siginfo;
use super::pending::TIMER_MAX;
use super::signal::NR_SIGNALS;
use super::signal::UNBLOCKABLE;
use super::wire;
use super::Record;
use super::Why;

/// Most overruns: more are not told of anyway.
pub const OVERRUN_MAX: i64 = 0x7fff_ffff;
/// Most timers of a process.
pub const TIMERS_MAX: u32 = 1 << 16;

/// Clocks of timers, as timer_create(2) has them: realtime, monotonic, boottime, TAI.
pub const TIMER_CLOCKS: [i32; 4] = [0, 1, 7, 11];

/// Clocks of the time that the process or a thread of it spends on a processor.
pub mod cpu_clock {
    /// The process, in user and in kernel mode.
    pub const PROCESS_PROF: i32 = -8;
    /// The process, in user mode.
    pub const PROCESS_VIRT: i32 = -7;
    /// The process, as the scheduler counts: CLOCK_PROCESS_CPUTIME_ID.
    pub const PROCESS_SCHED: i32 = -6;
    /// A thread, in user and in kernel mode.
    pub const THREAD_PROF: i32 = -4;
    /// A thread, in user mode.
    pub const THREAD_VIRT: i32 = -3;
    /// A thread, as the scheduler counts: CLOCK_THREAD_CPUTIME_ID.
    pub const THREAD_SCHED: i32 = -2;
}

/// How a timer tells that it has expired.
pub mod notify {
    /// By a signal to the process.
    pub const SIGNAL: u32 = 0;
    /// Not at all.
    pub const NONE: u32 = 1;
    /// By a signal to the process, for which a library starts a thread.
    pub const THREAD: u32 = 2;
    /// By a signal to one thread.
    pub const THREAD_ID: u32 = 4;
}

/// Bits of [`Timers::flags`].
pub mod timers_flags {
    /// timer_create(2) takes the id from its caller: PR_TIMER_CREATE_RESTORE_IDS.
    pub const RESTORE_IDS: u32 = 1 << 0;
    /// All bits.
    pub const ALL: u32 = RESTORE_IDS;
}

/// Bits of [`Timer::flags`].
pub mod timer_flags {
    /// Changes of the wall clock change the time that is left.
    pub const ABSOLUTE: u32 = 1 << 0;
    /// Its signal is pending, in a SIGINFO record.
    pub const PENDING: u32 = 1 << 1;
    /// Its signal is ignored: it waits until that changes.
    pub const IGNORED: u32 = 1 << 2;
    /// All bits.
    pub const ALL: u32 = (1 << 3) - 1;
}

wire! {
    /// `struct cr_hdr_timers`: the POSIX timers of a process follow.
    pub struct Timers [32] {
        /// Number of TIMER records that follow.
        nr_timers: u32,
        /// Where timer_create(2) looks for a free id.
        next_id: u32,
        /// See [`timers_flags`].
        flags: u32,
        /// Zero.
        reserved: u32,
        /// Zero.
        reserved2: [u64; 2],
    }
}

impl Record for Timers {
    const TYPE: i16 = super::TIMERS;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.nr_timers <= TIMERS_MAX, "too many POSIX timers")?;
        ensure(
            self.flags & !timers_flags::ALL == 0,
            "POSIX timers have unknown flags",
        )?;
        ensure(
            self.reserved == 0 && self.reserved2 == [0; 2],
            "reserved field is not zero",
        )
    }
}

wire! {
    /// `struct cr_hdr_timer`: one POSIX timer.
    pub struct Timer [96] {
        /// Its id, as timer_create(2) returned it. Ids grow from record to record.
        id: u32,
        /// Clock: 0 realtime, 1 monotonic, 7 boottime, 11 TAI, or see [`cpu_clock`].
        clock: i32,
        /// Clock of a thread: the thread, by the pid of its TASK record. Else 0.
        clock_tid: u32,
        /// See [`notify`].
        notify: u32,
        /// Signal that it sends.
        signo: i32,
        /// Thread that gets the signal, by the pid of its TASK record, or 0.
        tid: u32,
        /// See [`timer_flags`].
        flags: u32,
        /// Zero.
        reserved: u32,
        /// Value that comes with the signal.
        sigval: u64,
        /// Nanoseconds until it expires, or 0. Varies from image to image when the
        /// timer runs.
        value: u64,
        /// Nanoseconds between two expiries, or 0.
        interval: u64,
        /// Expiries behind the signal that waits, or -1. Varies from image to image
        /// when the signal waits.
        overrun: i64,
        /// Expiries behind the last signal that was delivered.
        overrun_last: i64,
        /// Zero.
        reserved2: [u64; 3],
    }
}

impl Timer {
    /// Does its signal wait for something, so that it does not run?
    pub fn waits(&self) -> bool {
        self.flags & (timer_flags::PENDING | timer_flags::IGNORED) != 0
    }

    fn validate_signal(&self) -> Result<(), Why> {
        ensure(
            matches!(
                self.notify,
                notify::SIGNAL | notify::NONE | notify::THREAD | notify::THREAD_ID
            ),
            "POSIX timer notifies in an unknown way",
        )?;
        let silent = self.notify == notify::NONE;
        ensure(
            silent || (self.signo >= 1 && self.signo <= NR_SIGNALS as i32),
            "POSIX timer has no such signal",
        )?;
        ensure(
            (self.notify == notify::THREAD_ID) == (self.tid != 0),
            "POSIX timer and its thread do not fit",
        )?;
        ensure(
            self.flags & !timer_flags::ALL == 0,
            "POSIX timer has unknown flags",
        )?;
        let both = timer_flags::PENDING | timer_flags::IGNORED;
        ensure(
            self.flags & both != both && (!silent || !self.waits()),
            "signal of a POSIX timer cannot wait so",
        )?;
        ensure(
            !self.waits() || UNBLOCKABLE >> (self.signo.wrapping_sub(1) & 63) & 1 == 0,
            "SIGKILL or SIGSTOP is pending",
        )
    }
}

impl Record for Timer {
    const TYPE: i16 = super::TIMER;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.id <= i32::MAX as u32,
            "id of a POSIX timer is out of range",
        )?;
        let of_thread = matches!(
            self.clock,
            cpu_clock::THREAD_PROF | cpu_clock::THREAD_VIRT | cpu_clock::THREAD_SCHED
        );
        let of_process = matches!(
            self.clock,
            cpu_clock::PROCESS_PROF | cpu_clock::PROCESS_VIRT | cpu_clock::PROCESS_SCHED
        );
        ensure(
            of_thread || of_process || TIMER_CLOCKS.contains(&self.clock),
            "POSIX timer has an unknown clock",
        )?;
        ensure(
            of_thread == (self.clock_tid != 0),
            "POSIX timer and the thread of its clock do not fit",
        )?;
        self.validate_signal()?;
        ensure(
            self.flags & timer_flags::ABSOLUTE == 0 || (self.clock == 0 && self.value != 0),
            "POSIX timer follows no wall clock",
        )?;
        ensure(
            self.value <= TIMER_MAX && self.interval <= TIMER_MAX,
            "time of a timer is out of range",
        )?;
        ensure(
            self.interval == 0 || self.value != 0,
            "POSIX timer has an interval and does not run",
        )?;
        // What has expired once and for all has no time left.
        ensure(
            !self.waits() || (self.interval == 0) == (self.value == 0),
            "POSIX timer runs and waits",
        )?;
        ensure(
            self.flags & timer_flags::IGNORED == 0 || self.interval != 0,
            "signal of a POSIX timer cannot wait so",
        )?;
        for overrun in [self.overrun, self.overrun_last] {
            ensure(
                (-1..=OVERRUN_MAX).contains(&overrun),
                "overrun of a POSIX timer is out of range",
            )?;
        }
        ensure(
            self.reserved == 0 && self.reserved2 == [0; 3],
            "reserved field is not zero",
        )
    }
}

/// A signal that says that a timer sent it.
#[derive(Clone, Copy)]
pub struct Sent {
    /// The thread among whose records it is, by the pid of its TASK record.
    pub tid: u32,
    /// The signal.
    pub info: Siginfo,
}

impl Sent {
    /// Id of the timer.
    pub fn timer(&self) -> Option<u64> {
        self.info.timer()
    }
}

/// Is the signal of `timer`?
fn is_of(sent: &Sent, timer: &Timer) -> bool {
    let info = &sent.info;
    let to = if timer.notify == notify::THREAD_ID {
        info.queue == queue::TASK && sent.tid == timer.tid
    } else {
        info.queue == queue::PROCESS
    };
    let [id, value, rest @ ..] = info.fields;
    to && info.signo == timer.signo
        && info.errno == 0
        && id == u64::from(timer.id)
        && value == timer.sigval
        && rest == [0; 2]
}

/// Goes over the timers of a process, in the order of the image, and over the
/// signals that they have sent to it and its threads: each must have its other half.
pub struct Pairs<'a> {
    signals: &'a [Sent],
    next: u64,
}

impl<'a> Pairs<'a> {
    /// Starts with the pending signals that say that a timer sent them, in the order
    /// of [`Sent::timer`].
    pub fn new(signals: &'a [Sent]) -> Self {
        debug_assert!(signals.is_sorted_by_key(Sent::timer));
        debug_assert!(signals.iter().all(|s| s.timer().is_some()));
        Self { signals, next: 0 }
    }

    /// The next timer.
    ///
    /// # Errors
    ///
    /// When its id does not grow, or its pending signal is not there.
    pub fn next(&mut self, timer: &Timer) -> Result<(), Why> {
        let id = u64::from(timer.id);
        ensure(id >= self.next, "ids of POSIX timers do not grow")?;
        self.next = id.saturating_add(1);
        if timer.flags & timer_flags::PENDING == 0 {
            return Ok(());
        }
        let (signal, rest) = self
            .signals
            .split_first()
            .ok_or(Why("signal of a POSIX timer is missing"))?;
        self.signals = rest;
        ensure(
            is_of(signal, timer),
            "POSIX timer and its pending signal do not fit",
        )
    }

    /// The end of the timers.
    ///
    /// # Errors
    ///
    /// When a signal is left.
    pub fn end(self) -> Result<(), Why> {
        ensure(
            self.signals.is_empty(),
            "pending signal is of no POSIX timer",
        )
    }
}
