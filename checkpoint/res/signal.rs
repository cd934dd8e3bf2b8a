// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Blocked signals, the alternate stack, and handlers.
//!
//! Pending signals and timers are refused at checkpoint; a restart ends the
//! caller's timers. A signal that reaches the caller during a restart is
//! delivered to the restarted task.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::Outcome;
use crate::format::signal::Signal;
use crate::format::signal::NR_SIGNALS;
use crate::format::signal::SA_KNOWN;
use crate::format::signal::UNBLOCKABLE;
use crate::image::Written;
use crate::kapi::signal;
use kernel::prelude::*;

/// Writes the signal record.
pub(crate) fn save(ctx: &mut SaveCtx, task: u32) -> Outcome {
    let mut rec = KBox::new(Signal::zeroed(), GFP_KERNEL)?;
    rec.nr_actions = NR_SIGNALS as u32;
    rec.blocked = signal::blocked();
    let stack = signal::altstack();
    (rec.ss_sp, rec.ss_size, rec.ss_flags) = (stack.sp, stack.size, stack.flags);
    rec.actions = signal::actions();
    for action in &mut rec.actions {
        action.flags &= SA_KNOWN;
        action.mask &= !UNBLOCKABLE;
    }
    ctx.writer.record(task, &*rec).written()
}

/// Signal state that was read.
pub(crate) struct Ready(KBox<Signal>);

/// Reads the signal record.
pub(crate) fn restore(ctx: &mut RestoreCtx, task: u32) -> Outcome<Ready> {
    Ok(Ready(KBox::new(ctx.reader.record(task)?, GFP_KERNEL)?))
}

impl Ready {
    /// Sets handlers, alternate stack and blocked signals. Cannot fail.
    pub(crate) fn commit(self) {
        signal::stop_timers();
        for (nr, action) in (1..).zip(&self.0.actions) {
            if UNBLOCKABLE >> (nr - 1) & 1 == 0 {
                signal::set_action(nr, action);
            }
        }
        signal::set_altstack(&signal::Altstack {
            sp: self.0.ss_sp,
            size: self.0.ss_size,
            flags: self.0.ss_flags,
        });
        signal::set_blocked(self.0.blocked);
    }
}
