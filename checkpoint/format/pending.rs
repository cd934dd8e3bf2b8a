// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Signals that wait to be delivered, and the interval timers that send some.

use super::ensure;
use super::signal::NR_SIGNALS;
use super::signal::UNBLOCKABLE;
use super::wire;
use super::Record;
use super::Why;

/// Most signals that may be pending.
pub const PENDING_MAX: u32 = 1 << 20;
/// The code of a signal of a POSIX timer.
pub const SI_TIMER: i32 = -2;
/// Nanoseconds of a second.
pub const NSEC_PER_SEC: u64 = 1_000_000_000;
/// Longest value of a timer, in nanoseconds: about 146 years.
pub const TIMER_MAX: u64 = i64::MAX as u64 / 2;

/// Where a signal waits.
pub mod queue {
    /// For the task.
    pub const TASK: u32 = 0;
    /// For the process, any thread of it.
    pub const PROCESS: u32 = 1;
}

/// Bits of [`Siginfo::flags`].
pub mod siginfo_flags {
    /// Sent by the POSIX timer whose id is the first of `fields`.
    pub const TIMER: u32 = 1 << 0;
    /// All bits.
    pub const ALL: u32 = TIMER;
}

wire! {
    /// `struct cr_hdr_siginfo`: one signal that waits to be delivered.
    pub struct Siginfo [64] {
        /// See [`queue`].
        queue: u32,
        /// See [`siginfo_flags`].
        flags: u32,
        /// si_signo: number of the signal.
        signo: i32,
        /// si_errno.
        errno: i32,
        /// si_code: why it was sent.
        code: i32,
        /// Zero.
        reserved2: u32,
        /// The rest of siginfo_t, as sigaction(2) has it.
        fields: [u64; 4],
        /// Zero.
        reserved3: u64,
    }
}

impl Siginfo {
    /// Id of the timer that sent it, if one did.
    pub fn timer(&self) -> Option<u64> {
        let [id, ..] = self.fields;
        (self.flags & siginfo_flags::TIMER != 0).then_some(id)
    }
}

impl Record for Siginfo {
    const TYPE: i16 = super::SIGINFO;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            matches!(self.queue, queue::TASK | queue::PROCESS),
            "pending signal of an unknown queue",
        )?;
        ensure(
            self.signo >= 1 && self.signo <= NR_SIGNALS as i32,
            "pending signal has no such number",
        )?;
        ensure(
            UNBLOCKABLE >> (self.signo.wrapping_sub(1) & 63) & 1 == 0,
            "SIGKILL or SIGSTOP is pending",
        )?;
        ensure(
            self.flags & !siginfo_flags::ALL == 0,
            "pending signal has unknown flags",
        )?;
        ensure(
            self.flags & siginfo_flags::TIMER == 0 || self.code == SI_TIMER,
            "pending signal of a POSIX timer has another code",
        )?;
        ensure(
            self.reserved2 == 0 && self.reserved3 == 0,
            "reserved field is not zero",
        )
    }
}

wire! {
    /// `struct cr_itimer`: an interval timer.
    pub struct Itimer [16] {
        /// Nanoseconds until it expires, or 0. Varies from image to image when the
        /// timer runs.
        value: u64,
        /// Nanoseconds between two expiries, or 0.
        interval: u64,
    }
}

wire! {
    /// `struct cr_hdr_itimers`: the interval timers of a process.
    pub struct Itimers [56] {
        /// ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF.
        timers: [Itimer; 3],
        /// Zero.
        reserved: u64,
    }
}

impl Record for Itimers {
    const TYPE: i16 = super::ITIMERS;

    fn validate(&self) -> Result<(), Why> {
        for timer in &self.timers {
            ensure(
                timer.value <= TIMER_MAX && timer.interval <= TIMER_MAX,
                "time of a timer is out of range",
            )?;
        }
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}
