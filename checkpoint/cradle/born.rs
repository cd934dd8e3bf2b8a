// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! One task that was made, as who made it has it.

use super::killed;
use super::Births;
use super::Cradle;
use super::Order;
use super::Report;
use super::MOURNING;
use crate::ctx::restore::RestoreCtx;
use crate::error::Outcome;
use crate::kapi::birth;
use crate::kapi::birth::Kind;
use crate::kapi::ids;
use crate::kapi::park;
use crate::kapi::park::Baton;
use crate::kapi::park::Visit;
use crate::kapi::sched;
use crate::mailbox::Mailbox;
use crate::res::tree::no_pid;
use core::cell::Cell;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::task::Task;
/// A task that was made for the restart. It waits until [`Births`], which it is in
/// from its birth on, let it go on or end.
pub(crate) struct Born {
    pub(super) task: ARef<Task>,
    /// Its id, unless it has ended at once.
    id: Option<ids::Id>,
    pub(super) visit: Arc<Visit<Cradle>>,
    /// Its place in the forest.
    pub(super) place: usize,
    /// It is no child, but a thread of the one that made it.
    pub(super) thread: bool,
    /// It was told to end, and nothing else.
    pub(super) ends: Cell<bool>,
}

impl Born {
    /// Makes a task of this kind, under this id if there is one: it waits, and builds the
    /// one at `place` of the forest when it is told to.
    ///
    /// # Errors
    ///
    /// Those of clone(2) with set_tid; EEXIST when the id is taken.
    pub(super) fn new(kind: Kind, pid: Option<u32>, place: usize) -> Outcome<Self> {
        let visit = Visit::new(Mailbox::new())?;
        let task = birth::make(&visit, kind, pid).map_err(|errno| no_pid(errno, pid))?;
        Ok(Self {
            id: ids::Id::of(&task),
            task,
            visit,
            place,
            thread: kind == Kind::Thread,
            ends: Cell::new(false),
        })
    }

    /// The task.
    pub(crate) fn task(&self) -> &Task {
        &self.task
    }

    /// Has a process build itself; the context comes back unless one of the two
    /// leaves.
    pub(super) fn build(
        &self,
        ctx: KBox<RestoreCtx>,
    ) -> (Option<KBox<RestoreCtx>>, Outcome<Births>) {
        self.visit.order(Order::Settle);
        match self.visit.next_report() {
            Ok(Report::Settled) => {}
            Ok(_) => return (Some(ctx), Err(killed())),
            Err(errno) => return (Some(ctx), Err(errno.into())),
        }
        self.visit.order(Order::Build(Baton(ctx), self.place));
        match self.visit.next_report() {
            Ok(Report::Built(Baton(ctx), done)) => (Some(ctx), done),
            Ok(_) => (None, Err(killed())),
            Err(errno) => (None, Err(errno.into())),
        }
    }

    /// Waits until a process that was told so has ended, but not longer than `left` ticks,
    /// which become less, and not when the current task is killed. A tracer can keep it
    /// from its end.
    pub(super) fn await_end(&self, left: &mut u32) {
        for _ in 0..MOURNING.min(*left) {
            let ended = birth::is_zombie(&self.task) || birth::is_gone(&self.task);
            if ended || sched::is_killed() {
                return;
            }
            sched::sleep_tick();
            *left = left.saturating_sub(1);
        }
    }

    /// Ends it: nothing of it has become visible.
    pub(super) fn abandon(&self) {
        self.visit.close();
        // A thread ends by itself: to kill it would kill the caller.
        if !self.thread {
            birth::kill(&self.task);
        }
    }

    /// Waits until its id is free, or, behind its end, only who traces it finds it, but
    /// not longer than `left` ticks, which become less. A tracer can keep it from its end.
    pub(super) fn mourn(&self, left: &mut u32) {
        for _ in 0..MOURNING.min(*left) {
            let ended = birth::is_zombie(&self.task) && park::is_traced(&self.task);
            let is_free = self.id.as_ref().is_none_or(ids::Id::is_free);
            if ended || is_free {
                return;
            }
            sched::sleep_tick();
            *left = left.saturating_sub(1);
        }
    }
}
