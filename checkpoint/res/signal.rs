// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Blocked signals, the alternate stack, and handlers.
//!
//! Pending signals and timers follow, see [`super::pending`].
//!
//! Handlers and POSIX timers belong to a process: at a restart they are there before a
//! thread queues what waits for it.

use super::pending;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::Outcome;
use crate::format::pending::Siginfo;
use crate::format::signal::Signal;
use crate::format::signal::ThreadSignal;
use crate::format::signal::NR_SIGNALS;
use crate::format::signal::SA_KNOWN;
use crate::format::signal::UNBLOCKABLE;
use crate::image::on_heap;
use crate::image::Written;
use crate::kapi::signal;
use kernel::prelude::*;

/// Writes the signal record.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32) -> Outcome {
    let mut boxed = on_heap::<Signal>()?;
    let rec = &mut *boxed;
    rec.nr_actions = NR_SIGNALS as u32;
    rec.blocked = signal::blocked();
    let stack = signal::altstack();
    (rec.ss_sp, rec.ss_size, rec.ss_flags) = (stack.sp, stack.size, stack.flags);
    signal::actions(&mut rec.actions);
    for action in &mut rec.actions {
        action.flags &= SA_KNOWN;
        action.mask &= !UNBLOCKABLE;
    }
    let mut now = pending::look()?;
    now.since_record(&ctx.counted);
    rec.nr_pending = now.signals.len() as u32;
    ctx.writer.record(task, rec).written()?;
    pending::save(ctx, task, &now)
}

/// Writes the signal record of a thread that is not the first.
#[inline(never)]
pub(crate) fn save_thread(ctx: &mut SaveCtx, task: u32) -> Outcome {
    let now = pending::look_thread(ctx)?;
    let stack = signal::altstack();
    let rec = ThreadSignal {
        nr_pending: now.signals.len() as u32,
        reserved: 0,
        blocked: signal::blocked(),
        ss_sp: stack.sp,
        ss_size: stack.size,
        ss_flags: stack.flags,
        reserved2: [0; 2],
    };
    ctx.writer.record(task, &rec).written()?;
    pending::save_thread(ctx, task, &now)
}

/// Signal state of a thread that was read.
pub(crate) struct ThreadReady(ThreadSignal, pending::Ready);

/// Reads the signal record of a thread that is not the first.
#[inline(never)]
pub(crate) fn restore_thread(
    ctx: &mut RestoreCtx,
    task: u32,
    sent: impl FnMut(Siginfo) -> Outcome,
) -> Outcome<ThreadReady> {
    let rec: ThreadSignal = ctx.reader.record(task)?;
    Ok(ThreadReady(
        rec,
        pending::restore_thread(ctx, task, rec.nr_pending, sent)?,
    ))
}

impl ThreadReady {
    /// Sets alternate stack, pending and blocked signals. Cannot fail.
    pub(crate) fn commit(mut self) {
        signal::set_altstack(&signal::Altstack {
            sp: self.0.ss_sp,
            size: self.0.ss_size,
            flags: self.0.ss_flags,
        });
        self.1.queue();
        signal::set_blocked(self.0.blocked);
        signal::recalculate();
    }
}

/// Signal state that was read.
pub(crate) struct Ready(KBox<Signal>, pending::Ready);

/// Reads the signal record. What POSIX timers have sent is told to `sent`.
#[inline(never)]
pub(crate) fn restore(
    ctx: &mut RestoreCtx,
    task: u32,
    sent: impl FnMut(Siginfo) -> Outcome,
) -> Outcome<Ready> {
    let rec: KBox<Signal> = ctx.reader.boxed(task)?;
    let pending = pending::restore(ctx, task, rec.nr_pending, sent)?;
    Ok(Ready(rec, pending))
}

impl Ready {
    /// Ends the timers of before and sets the handlers. Cannot fail.
    #[inline(never)]
    pub(crate) fn begin(&mut self) {
        signal::stop_timers();
        for (bit, action) in self.0.actions.iter().enumerate() {
            if UNBLOCKABLE >> bit & 1 == 0 {
                signal::set_action(bit.wrapping_add(1), action);
            }
        }
    }

    /// Sets alternate stack, pending and blocked signals, and interval timers. Cannot
    /// fail. When the process has the POSIX timers of the image.
    #[inline(never)]
    pub(crate) fn commit(mut self) {
        let rec = &self.0;
        signal::set_altstack(&signal::Altstack {
            sp: rec.ss_sp,
            size: rec.ss_size,
            flags: rec.ss_flags,
        });
        self.1.queue();
        signal::set_blocked(rec.blocked);
        // Also when the mask was the caller's: the queues are not what they were.
        signal::recalculate();
        self.1.start();
    }
}
