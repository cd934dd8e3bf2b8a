// SPDX-License-Identifier: GPL-2.0

//! POSIX timers of the current process.
//!
//! The timers belong to the process. At checkpoint its other threads stand still as a rule,
//! at restart they wait in the kernel. Its first thread sees, creates and starts them;
//! each thread queues what waits for it.

use super::pending::no_entry;
use crate::format::pending::TIMER_MAX;
use crate::format::timer::timer_flags;
use crate::format::timer::timers_flags;
use crate::format::timer::Timer;
use crate::format::timer::Timers;
use crate::format::timer::OVERRUN_MAX;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::prelude::*;

type State = bindings::posix_timer_snapshot;

const ABSOLUTE: u32 = bindings::POSIX_TIMER_STATE_ABSOLUTE;
const PENDING: u32 = bindings::POSIX_TIMER_STATE_PENDING;
const IGNORED: u32 = bindings::POSIX_TIMER_STATE_IGNORED;
const REQUEUE: u32 = bindings::POSIX_TIMER_STATE_REQUEUE;

/// Which of the clocks of a process or thread, in the number of a CPU clock.
const CPU_CLOCK: i32 = 7;
/// A CPU clock is that of a thread.
const PER_THREAD: i32 = 4;

/// A timer, as it is in an image, and what an image cannot say.
pub(crate) struct Seen {
    /// The record.
    pub(crate) timer: Timer,
    /// When a timer of CPU time expires, by its clock, in nanoseconds.
    pub(crate) expires: u64,
    /// It uses the CPU clock of another process, or of a thread that has ended.
    pub(crate) foreign: bool,
    /// Its signal waits nowhere, and will not come.
    pub(crate) lost: bool,
}

fn seen(state: &State) -> Seen {
    let mut timer = Timer::zeroed();
    timer.id = state.id as u32;
    timer.clock = state.clock;
    let mut foreign = false;
    if state.clock < 0 {
        // Whose it is stands beside; the number alone means the own one.
        timer.clock = state.clock & CPU_CLOCK | !CPU_CLOCK;
        if state.clock & PER_THREAD != 0 {
            timer.clock_tid = state.clock_pid as u32;
            foreign = state.clock_pid == 0;
        } else {
            foreign = state.clock_pid != super::task::pid_in_ns();
        }
    }
    timer.notify = state.notify as u32;
    timer.signo = state.signo;
    timer.tid = state.tid as u32;
    timer.sigval = state.sigval;
    let time = |ns: i64| u64::try_from(ns).unwrap_or(0).min(TIMER_MAX);
    timer.value = time(state.value);
    timer.interval = time(state.interval);
    timer.overrun = state.overrun.clamp(-1, OVERRUN_MAX);
    timer.overrun_last = state.overrun_last.clamp(-1, OVERRUN_MAX);
    for (kernel, image) in [
        (ABSOLUTE, timer_flags::ABSOLUTE),
        (PENDING, timer_flags::PENDING),
        (IGNORED, timer_flags::IGNORED),
    ] {
        if state.flags & kernel != 0 {
            timer.flags |= image;
        }
    }
    Seen {
        timer,
        expires: state.expires,
        foreign,
        lost: state.flags & REQUEUE != 0 && !timer.waits(),
    }
}

/// Calls `see` with each timer, in no certain order.
///
/// The threads of the process stand still as a rule, but go on when whoever asked for
/// this has gone: each timer is looked up by its id.
pub(crate) fn each<E: From<Error>>(mut see: impl FnMut(Seen) -> Result<(), E>) -> Result<(), E> {
    let mut ids: KVVec<c_int> = KVVec::new();
    loop {
        let room = ids.len() as c_uint;
        // SAFETY: There is room for as many; the call takes the signal lock.
        let nr = unsafe { bindings::posix_timer_list_ids(ids.as_mut_ptr(), room) };
        if nr <= room {
            ids.truncate(nr as usize);
            break;
        }
        ids.resize(nr as usize, 0, GFP_KERNEL)
            .map_err(Error::from)?;
    }
    for id in &ids {
        let mut state = State::default();
        // SAFETY: The structure is ours; the call takes the lock of the timer, if there
        // is one.
        if !unsafe { bindings::posix_timer_get_state(*id, &mut state) } {
            return Err(EBUSY.into());
        }
        see(seen(&state))?;
    }
    Ok(())
}

/// What the process has beside its timers: the record but for their number.
pub(crate) fn common() -> Timers {
    let mut rec = Timers::zeroed();
    let mut restore = false;
    // SAFETY: Only tasks of the process change the two.
    rec.next_id = unsafe { bindings::ckpt_posix_timer_ids(&mut restore) };
    if restore {
        rec.flags = timers_flags::RESTORE_IDS;
    }
    rec
}

/// Sets what [`common`] reads.
pub(crate) fn set_common(rec: &Timers) {
    let restore = rec.flags & timers_flags::RESTORE_IDS != 0;
    // SAFETY: As in common().
    unsafe { bindings::ckpt_set_posix_timer_ids(rec.next_id, restore) };
}

/// Where a new timer is.
#[derive(Clone, Copy, PartialEq)]
enum Stage {
    /// Nobody can see it yet.
    Prepared,
    /// The process has it, but it does not run.
    Published,
    /// It is freed.
    Gone,
}

/// A timer that is created.
///
/// # Invariants
///
/// The stage is that of the timer. A published one is in the list of the process,
/// whose tasks have not gone on since.
pub(crate) struct Created {
    timer: NonNull<bindings::k_itimer>,
    state: State,
    stage: Stage,
}

impl Created {
    /// Creates a timer from a validated record, for the current process. `tid` and
    /// `clock_tid` are what the record's have become.
    ///
    /// # Errors
    ///
    /// EAGAIN above the limit of pending signals; ENOMEM; EINVAL when one of the threads
    /// is not there.
    pub(crate) fn new(rec: &Timer, tid: u32, clock_tid: u32) -> Result<Self> {
        let mut state = State {
            id: rec.id as i32,
            clock: rec.clock,
            tid: tid as i32,
            notify: rec.notify as i32,
            signo: rec.signo,
            sigval: rec.sigval,
            value: rec.value as i64,
            interval: rec.interval as i64,
            overrun: rec.overrun,
            overrun_last: rec.overrun_last,
            ..State::default()
        };
        if clock_tid != 0 {
            // The number of a clock has that of its thread in it.
            state.clock = !(clock_tid as i32) << 3 | rec.clock & CPU_CLOCK;
        }
        for (kernel, on) in [
            (ABSOLUTE, rec.flags & timer_flags::ABSOLUTE != 0),
            (PENDING, rec.flags & timer_flags::PENDING != 0),
            (IGNORED, rec.flags & timer_flags::IGNORED != 0),
            (REQUEUE, rec.waits() && rec.interval != 0),
        ] {
            state.flags |= if on { kernel } else { 0 };
        }
        // SAFETY: The structure is ours; the call checks it as timer_create(2) does.
        let timer = from_err_ptr(unsafe { bindings::posix_timer_prepare(&state) });
        // It is the same errno for both.
        let timer = timer.map_err(|errno| if errno == EAGAIN { no_entry() } else { errno })?;
        Ok(Self {
            timer: NonNull::new(timer).ok_or(ENOMEM)?,
            state,
            stage: Stage::Prepared,
        })
    }

    /// Gives the timer to the process, which has none of its id. It does not run yet.
    pub(crate) fn publish(&mut self) {
        if self.stage == Stage::Prepared {
            // SAFETY: By the invariant. The call frees the timer if it fails.
            let done = unsafe { bindings::posix_timer_publish(self.timer.as_ptr(), &self.state) };
            self.stage = if done { Stage::Published } else { Stage::Gone };
        }
    }

    /// Lets a published timer run, or wait until its signal is no longer ignored.
    pub(crate) fn start(&self) {
        if self.stage != Stage::Published {
            return;
        }
        // SAFETY: By the invariant the timer lives: only threads of the process delete
        // it. The calls take the locks that they need.
        unsafe {
            if self.state.flags & IGNORED != 0 {
                bindings::posix_timer_requeue(self.state.id, true);
            }
            bindings::posix_timer_start(self.timer.as_ptr(), &self.state);
        }
    }
}

/// Puts the signal of a published timer at the end of the queue of its thread or of
/// the process.
pub(crate) fn queue(id: u64) {
    if let Ok(id) = i32::try_from(id) {
        // SAFETY: Looks the timer up itself, and takes the locks that it needs.
        unsafe { bindings::posix_timer_requeue(id, false) };
    }
}

impl Drop for Created {
    fn drop(&mut self) {
        if self.stage == Stage::Prepared {
            // SAFETY: By the invariant.
            unsafe { bindings::posix_timer_discard(self.timer.as_ptr()) };
        }
    }
}
