// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Holding another task still, and letting it save itself.
//!
//! The task is visited at its way back to user mode ([`Visit`]) and stays in the
//! visit until it is let go: it sleeps, and on order saves its own state with the
//! same code as a task that checkpoints itself. What it writes goes to the caller,
//! piece by piece, and the caller writes it to the image: a reader that stops
//! reading, or a signal of the task, concern nobody else.

use crate::arch;
use crate::ctx::save::Part;
use crate::ctx::save::SaveCtx;
use crate::error::Failure;
use crate::error::Outcome;
use crate::kapi::common::Known;
use crate::kapi::imagefile::ImageFile;
use crate::kapi::pages::PageBatch;
use crate::kapi::park;
use crate::kapi::park::Fate;
use crate::kapi::park::Host;
use crate::kapi::park::Visit;
use crate::kapi::sched;
use crate::kapi::signal;
use crate::kapi::task;
use crate::mailbox::interrupted;
use crate::mailbox::Mailbox;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::task::Task;

/// Longest time until all tasks must stand still, in milliseconds.
pub(crate) const PATIENCE_MS: u32 = 10_000;
/// Why a task does not stand still.
pub(crate) const IN_EXEC: &str = "the task is in execve for 10 seconds";
/// What a caller that was killed has waited for then.
pub(crate) const KILLED_IN_EXEC: &str = "killed while the task is in execve";
/// Time between two visits to a task that is not ready for the first one.
const AGAIN_MS: u32 = 4;

/// A part of the image on its way to the caller, and empty on its way back.
pub(crate) enum Freight {
    /// Metadata.
    Bytes(KVec<u8>),
    /// The contents of pages.
    Pages(PageBatch),
}

/// What the caller wants of a task that stands still.
pub(crate) enum Order {
    /// Its part of the image.
    Do(KBox<SaveCtx>, Part),
    /// The answer to [`Report::Write`].
    Written(Result<Freight>),
}

/// What a task that is visited has to say.
pub(crate) enum Report {
    /// The task stands still.
    Parked,
    /// The task is ending.
    Gone,
    /// The task ran the visit in the middle of a call, or has a signal to handle
    /// first.
    Later,
    /// A part of the image, to be written.
    Write(Freight),
    /// The order was carried out, or has failed.
    Done(KBox<SaveCtx>, Outcome),
}

/// Where a task and the caller meet.
pub(crate) type Berth = Mailbox<Order, Report>;

/// The task's end of its image: the caller writes what is put in.
pub(crate) struct Relay(Arc<Visit<Berth>>);

impl Relay {
    /// Has something written, and gets it back empty.
    ///
    /// # Errors
    ///
    /// Those of the write; EINTR when the task is killed, ECANCELED when the
    /// caller is gone.
    pub(crate) fn write(&self, freight: Freight) -> Result<Freight> {
        if self.0.is_closed() {
            return Err(ECANCELED);
        }
        self.0.report(Report::Write(freight));
        match self.0.next_order() {
            Some(Order::Written(done)) => done,
            Some(Order::Do(..)) => Err(EINVAL),
            None if sched::is_killed() => Err(EINTR),
            None => Err(ECANCELED),
        }
    }
}

impl Host for Berth {
    fn arrive(visit: &Arc<Visit<Self>>, more: bool) -> Fate {
        if visit.is_closed() {
            return Fate::GoOn;
        }
        if task::is_exiting() || sched::is_killed() {
            visit.report(Report::Gone);
            return Fate::GoOn;
        }
        // A child of vfork uses memory and time of its parent, which cannot stand
        // still before.
        // What waits for a task that is stopped waits on. What it has closed is still open
        // until its works have run, and its parent is not told yet that it was stopped or
        // continued.
        if more
            || !arch::cpu::at_boundary()
            || (signal::is_due() && !park::is_stopped(current!()))
            || signal::is_to_tell()
            || park::is_traced(current!())
            || task::is_vfork_child()
        {
            visit.report(Report::Later);
            return Fate::GoOn;
        }
        // As for a task in a frozen control group: it counts as frozen there.
        let _frozen = sched::Frozen::enter();
        visit.report(Report::Parked);
        while let Some(order) = visit.next_order() {
            if let Order::Do(mut ctx, part) = order {
                ctx.writer.sink().relay(Relay(visit.clone()));
                let done = ctx.perform(part).map_err(|failure| {
                    // Whatever it was in the middle of.
                    if sched::is_killed() {
                        ended()
                    } else {
                        failure
                    }
                });
                if sched::is_killed() {
                    // The caller may take its time, and what is dead holds no memory.
                    ctx.known = Known::new(true);
                }
                visit.report(Report::Done(ctx, done));
            }
        }
        visit.leave(Report::Gone);
        Fate::GoOn
    }
}

/// A task that stands still at its way back to user mode, or will do so, until this
/// is dropped.
pub(crate) struct Parked {
    task: ARef<Task>,
    visit: Arc<Visit<Berth>>,
}

/// Lets the task go on when the caller gives up, whatever has happened.
impl Drop for Parked {
    fn drop(&mut self) {
        self.visit.close();
        Visit::cancel(&self.visit, &self.task);
    }
}

fn ended() -> Failure {
    Failure::new(ESRCH, "the task has ended")
}

impl Parked {
    /// Sends somebody to hold the task; nothing when it is ending.
    pub(crate) fn send(task: ARef<Task>) -> Result<Option<Self>> {
        let parked = Self {
            visit: Visit::new(Mailbox::new())?,
            task,
        };
        Ok(Visit::send(&parked.visit, &parked.task)
            .is_ok()
            .then_some(parked))
    }

    /// The task.
    pub(crate) fn task(&self) -> &ARef<Task> {
        &self.task
    }

    /// Waits until the task stands still, at most `left` milliseconds, which become
    /// less; false when it is ending.
    ///
    /// # Errors
    ///
    /// EBUSY when it does not stand still in time, ERESTARTSYS when the caller has
    /// a signal.
    pub(crate) fn settle(&self, left: &mut u32) -> Outcome<bool> {
        loop {
            let settled = self.visit.wait(left);
            if !settled.map_err(|failure| self.given_up(failure))? {
                return Err(self.too_slow());
            }
            match self.visit.take_report() {
                Some(Report::Parked) => return Ok(true),
                Some(Report::Later) if park::is_traced(&self.task) => return Err(self.too_slow()),
                Some(Report::Later) => self.pause(left)?,
                _ => return Ok(false),
            }
            if Visit::send(&self.visit, &self.task).is_err() {
                return Ok(false);
            }
        }
    }

    /// Time for a task that was not ready to get further.
    fn pause(&self, left: &mut u32) -> Outcome {
        let paused = pause(left).map_err(|failure| self.given_up(failure));
        paused?.then_some(()).ok_or_else(|| {
            let why = if park::is_vfork_child(&self.task) {
                "for 10 seconds the task is a child of vfork that has not called exec"
            } else {
                "for 10 seconds the task stays inside of a system call, or among its signals"
            };
            Failure::new(EBUSY, why)
        })
    }

    /// A caller that was killed leaves word of what it has waited for.
    fn given_up(&self, failure: Failure) -> Failure {
        let why = if park::is_vfork_child(&self.task) {
            "killed while the task is a child of vfork that has not called exec"
        } else if park::is_in_exec(&self.task) {
            KILLED_IN_EXEC
        } else {
            "killed while the task does not leave the kernel"
        };
        given_up(failure, why)
    }

    fn too_slow(&self) -> Failure {
        let why = if park::is_traced(&self.task) {
            "the task is traced"
        } else if park::is_in_exec(&self.task) {
            IN_EXEC
        } else {
            "the task did not leave the kernel within 10 seconds"
        };
        Failure::new(EBUSY, why)
    }

    /// Has the task do its part, and writes what it sends to `file`.
    ///
    /// # Errors
    ///
    /// What the task could not save; those of the writes; EINTR when the caller
    /// has a signal. The context comes back unless one of the two leaves.
    pub(crate) fn perform(
        &self,
        ctx: KBox<SaveCtx>,
        part: Part,
        file: &ImageFile,
    ) -> (Option<KBox<SaveCtx>>, Outcome) {
        self.visit.order(Order::Do(ctx, part));
        loop {
            // Whatever the task waits for, the caller may leave.
            match self.visit.next_report() {
                Err(errno) => return (None, Err(errno.into())),
                Ok(Report::Write(freight)) => {
                    self.visit.order(Order::Written(write(file, freight)));
                }
                Ok(Report::Done(ctx, done)) => return (Some(ctx), done),
                // It was killed; another report may have replaced the one waited for.
                Ok(_) => return (None, Err(ended())),
            }
        }
    }
}

/// What is said of a wait that has failed: if the caller was killed nobody issues the call
/// again, and whoever did it may want to know.
pub(crate) fn given_up(failure: Failure, why: &'static str) -> Failure {
    if failure.again && sched::is_killed() {
        Failure::new(EINTR, why)
    } else {
        failure
    }
}

/// A short wait out of `left` milliseconds; false when nothing is left.
///
/// # Errors
///
/// ERESTARTSYS when the caller has a signal.
pub(crate) fn pause(left: &mut u32) -> Outcome<bool> {
    let Some(rest) = left.checked_sub(AGAIN_MS) else {
        return Ok(false);
    };
    *left = rest;
    sched::sleep_interruptible(AGAIN_MS).map_err(interrupted)?;
    Ok(true)
}

fn write(file: &ImageFile, freight: Freight) -> Result<Freight> {
    match freight {
        Freight::Bytes(mut bytes) => {
            file.write_all(&bytes)?;
            bytes.clear();
            Ok(Freight::Bytes(bytes))
        }
        Freight::Pages(pages) => {
            file.write_pages(&pages)?;
            Ok(Freight::Pages(pages))
        }
    }
}
