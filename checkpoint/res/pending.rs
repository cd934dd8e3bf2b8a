// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Pending signals and interval timers, and POSIX timers with them.
//!
//! The entry of a POSIX timer's signal in a queue is part of the timer: its record
//! only holds the place.
//!
//! A restart has everything it needs before it commits: the entries of the
//! queues are made aside, counted against the caller's limit. Signals that the
//! caller has pending itself are delivered to the restarted task, too.

use super::timer;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format::pending::queue;
use crate::format::pending::Itimers;
use crate::format::pending::Siginfo;
use crate::format::pending::PENDING_MAX;
use crate::format::signal::UNBLOCKABLE;
use crate::image::Written;
use crate::kapi;
use crate::kapi::pending;
use crate::kapi::pending::Queued;
use crate::kapi::sched;
use crate::kapi::task;
use crate::res::used::Counted;
use kernel::bindings::SIGSTOP;
use kernel::prelude::*;

/// Pending signals and timers, at one moment.
pub(crate) struct Now {
    /// Signals, in the order of their queues.
    pub(crate) signals: KVVec<Siginfo>,
    timers: Itimers,
    /// When the second and the third expire, by their clocks, in nanoseconds.
    expires: (u64, u64),
    posix: timer::Now,
}

impl Now {
    /// Has timers of CPU time run from the moment at which the record of the task has noted
    /// the clock: that is where it goes on after a restart, and the task has worked since.
    pub(crate) fn since_record(&mut self, counted: &Counted) {
        let (own, all) = counted.spent();
        let [_, virt, prof] = &mut self.timers.timers;
        for (timer, expires, then) in [
            (virt, self.expires.0, all.virt),
            (prof, self.expires.1, all.prof),
        ] {
            if timer.value != 0 {
                timer.value = timer::left(expires, then);
            }
        }
        self.posix.since_record(&own, &all);
    }
}

/// Looks at what can be saved: of a process, if the task is its first thread.
pub(crate) fn look() -> Outcome<Now> {
    let mut signals = pending::list()?;
    let (timers, expires, posix) = loop {
        if !task::is_first_thread() {
            break (Itimers::zeroed(), (0, 0), timer::Now::none());
        }
        let mut timers = Itimers::zeroed();
        for (which, timer) in (0..).zip(&mut timers.timers) {
            *timer = pending::itimer(which);
        }
        let expires = pending::cpu_itimers();
        let posix = timer::look()?;
        // A timer that has expired in between would be in neither.
        let again = pending::list()?;
        if *again == *signals {
            break (timers, expires, posix);
        }
        signals = again;
        sched::breathe()?;
    };
    // One more has no effect on a task that is stopped: whoever continues it drops it.
    if kapi::signal::stop().is_some_and(|stop| stop.signal != 0) {
        signals.retain(|info| info.signo != SIGSTOP as i32);
    }
    for info in &signals {
        let place = Place::Number(info.signo as u64);
        ensure(
            UNBLOCKABLE >> (info.signo.wrapping_sub(1) & 63) & 1 == 0,
            EBUSY,
            "a signal that cannot be blocked is pending",
        )
        .at(place)?;
    }
    ensure(
        signals.len() <= PENDING_MAX as usize,
        EOPNOTSUPP,
        "too many signals are pending",
    )?;
    Ok(Now {
        signals,
        timers,
        expires,
        posix,
    })
}

/// Looks at what can be saved of a thread that is not the first.
pub(crate) fn look_thread(ctx: &SaveCtx) -> Outcome<Now> {
    let mut now = look()?;
    // The process's timers were looked at before. Those that have sent a signal since
    // do so again.
    now.signals
        .retain(|info| info.timer().is_none_or(|id| ctx.sent.has(id)));
    Ok(now)
}

/// Writes a record for each pending signal, and the timers.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32, now: &Now) -> Outcome {
    for info in &now.signals {
        ctx.writer.record(task, info).written()?;
    }
    ctx.writer.record(task, &now.timers).written()?;
    timer::save(ctx, task, &now.posix)
}

/// A pending signal that was read.
enum Waiting {
    /// It has an entry of its own.
    Sent(Queued),
    /// The entry belongs to the timer of this id.
    OfTimer(u64),
}

/// Writes a record for each pending signal of a thread that is not the first.
#[inline(never)]
pub(crate) fn save_thread(ctx: &mut SaveCtx, task: u32, now: &Now) -> Outcome {
    for info in &now.signals {
        ctx.writer.record(task, info).written()?;
    }
    Ok(())
}

/// Signals and interval timers that were read.
pub(crate) struct Ready {
    signals: KVVec<Waiting>,
    timers: Itimers,
}

/// Reads the records of `nr` pending signals, and the interval timers. What POSIX
/// timers have sent is told to `sent`.
#[inline(never)]
pub(crate) fn restore(
    ctx: &mut RestoreCtx,
    task: u32,
    nr: u32,
    sent: impl FnMut(Siginfo) -> Outcome,
) -> Outcome<Ready> {
    let mut ready = read(ctx, task, nr, |_| true, sent)?;
    ready.timers = ctx.reader.record(task)?;
    Ok(ready)
}

/// Reads the records of `nr` pending signals of a thread that is not the first.
#[inline(never)]
pub(crate) fn restore_thread(
    ctx: &mut RestoreCtx,
    task: u32,
    nr: u32,
    sent: impl FnMut(Siginfo) -> Outcome,
) -> Outcome<Ready> {
    read(ctx, task, nr, |rec| rec.queue == queue::TASK, sent)
}

fn read(
    ctx: &mut RestoreCtx,
    task: u32,
    nr: u32,
    fits: impl Fn(&Siginfo) -> bool,
    mut sent: impl FnMut(Siginfo) -> Outcome,
) -> Outcome<Ready> {
    let mut signals = KVVec::new();
    for _ in 0..nr {
        let rec: Siginfo = ctx.reader.record(task)?;
        ensure(
            fits(&rec),
            EINVAL,
            "signal of the process is pending for a thread",
        )?;
        let waiting = if let Some(id) = rec.timer() {
            sent(rec)?;
            Waiting::OfTimer(id)
        } else {
            Waiting::Sent(
                Queued::new(&rec)
                    .blame("the caller may not have so many pending signals (RLIMIT_SIGPENDING)")?,
            )
        };
        signals.push(waiting, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(Ready {
        signals,
        timers: Itimers::zeroed(),
    })
}

impl Ready {
    /// Queues the signals. Cannot fail. When the process has its handlers and POSIX
    /// timers, and before the blocked signals are set.
    pub(crate) fn queue(&mut self) {
        for signal in core::mem::replace(&mut self.signals, KVVec::new()) {
            match signal {
                Waiting::Sent(signal) => signal.send(),
                Waiting::OfTimer(id) => kapi::timer::queue(id),
            }
        }
    }

    /// Starts the interval timers. Cannot fail. When all handlers are in place.
    pub(crate) fn start(&self) {
        for (which, timer) in (0..).zip(&self.timers.timers) {
            pending::set_itimer(which, timer);
        }
    }
}
