// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Holding another task still, and letting it save itself.
//!
//! The task is visited at its way back to user mode ([`Visit`]) and stays in the
//! visit until it is let go: it sleeps, and on order saves its own state with the
//! same code as a task that checkpoints itself. What it writes goes to the caller,
//! piece by piece, and the caller writes it to the image: a reader that stops
//! reading, or a signal of the task, concern nobody else.
//!
//! Everything that is handed over changes its owner on the way. Whoever is killed
//! at any moment just leaves; the other side sees that and drops what it has.
//! Locks: the mail lock is held only to put something in or take it out.

use crate::arch;
use crate::ctx::save::SaveCtx;
use crate::error::Failure;
use crate::error::Outcome;
use crate::kapi::file::ImageFile;
use crate::kapi::pages::PageBatch;
use crate::kapi::park;
use crate::kapi::park::Event;
use crate::kapi::park::Host;
use crate::kapi::park::Visit;
use crate::kapi::sched;
use crate::kapi::signal;
use crate::kapi::task;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::sync::Mutex;
use kernel::task::Task;
use kernel::time::msecs_to_jiffies;

/// Longest time until the task must stand still, in milliseconds.
const PATIENCE_MS: u32 = 10_000;
/// As long as it takes, in jiffies.
const FOREVER: usize = isize::MAX as usize;
/// Time between two visits to a task that is not ready for the first one.
const AGAIN_MS: u32 = 4;

/// A part of the image on its way to the caller, and empty on its way back.
pub(crate) enum Freight {
    /// Metadata.
    Bytes(KVec<u8>),
    /// The contents of pages.
    Pages(PageBatch),
}

enum Order {
    Save(KBox<SaveCtx>),
    Written(Result<Freight>),
}

enum Report {
    /// The task stands still.
    Parked,
    /// The task is ending.
    Gone,
    /// The task ran the visit in the middle of a call, or has a signal to handle
    /// first.
    Later,
    /// A part of the image, to be written.
    Write(Freight),
    /// The image is complete or has failed.
    Saved(KBox<SaveCtx>, Outcome),
}

struct Mail {
    order: Option<Order>,
    report: Option<Report>,
    /// The caller lets the task go.
    closed: bool,
}

/// Where a task and the caller meet.
#[pin_data]
pub(crate) struct Berth {
    #[pin]
    mail: Mutex<Mail>,
    #[pin]
    to_task: Event,
    #[pin]
    to_caller: Event,
}

impl Berth {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            mail <- new_mutex!(Mail {
                order: None,
                report: None,
                closed: false,
            }),
            to_task <- Event::new(),
            to_caller <- Event::new(),
        })
    }

    fn report(&self, report: Report) {
        let former = self.mail.lock().report.replace(report);
        self.to_caller.announce();
        drop(former);
    }

    /// The task's last word. A result that the caller has still to take stays; without
    /// a caller nothing does, since the context in it leads back here.
    fn leave(&self) {
        let mut mail = self.mail.lock();
        let kept = !mail.closed && matches!(mail.report, Some(Report::Saved(..)));
        let former = if kept {
            None
        } else {
            mail.report.replace(Report::Gone)
        };
        drop(mail);
        self.to_caller.announce();
        drop(former);
    }

    fn take_report(&self) -> Option<Report> {
        self.mail.lock().report.take()
    }

    fn order(&self, order: Order) {
        let former = self.mail.lock().order.replace(order);
        self.to_task.announce();
        drop(former);
    }

    /// The next order; `None` when the task is to go on, or is killed.
    fn next_order(&self) -> Option<Order> {
        loop {
            // Looked at before the first wait: it may be closed for long.
            let mut mail = self.mail.lock();
            if mail.closed {
                return None;
            }
            if let Some(order) = mail.order.take() {
                return Some(order);
            }
            drop(mail);
            self.to_task.wait_killable().ok()?;
        }
    }

    fn close(&self) {
        let mut mail = self.mail.lock();
        mail.closed = true;
        let former = (mail.order.take(), mail.report.take());
        drop(mail);
        self.to_task.announce();
        drop(former);
    }
}

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
        if self.0.mail.lock().closed {
            return Err(ECANCELED);
        }
        self.0.report(Report::Write(freight));
        match self.0.next_order() {
            Some(Order::Written(done)) => done,
            Some(Order::Save(_)) => Err(EINVAL),
            None if sched::is_killed() => Err(EINTR),
            None => Err(ECANCELED),
        }
    }
}

impl Host for Berth {
    fn arrive(visit: &Arc<Visit<Self>>) {
        if visit.mail.lock().closed {
            return;
        }
        if task::is_exiting() || sched::is_killed() {
            return visit.report(Report::Gone);
        }
        if !arch::cpu::at_boundary() || signal::is_due() || park::is_traced(current!()) {
            return visit.report(Report::Later);
        }
        // As for a task in a frozen control group: it counts as frozen there.
        let _frozen = sched::Frozen::enter();
        visit.report(Report::Parked);
        while let Some(order) = visit.next_order() {
            if let Order::Save(mut ctx) = order {
                ctx.writer.sink().relay(Relay(visit.clone()));
                let done = ctx.save_current().map_err(|failure| {
                    // Whatever it was in the middle of.
                    if sched::is_killed() {
                        ended()
                    } else {
                        failure
                    }
                });
                visit.report(Report::Saved(ctx, done));
            }
        }
        visit.leave();
    }
}

/// A task that stands still at its way back to user mode, until this is dropped.
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

/// A signal before anything was written: the call may be issued again.
fn interrupted(errno: Error) -> Failure {
    let mut failure = Failure::new(errno, "interrupted by a signal");
    failure.again = true;
    failure
}

fn ended() -> Failure {
    Failure::new(ESRCH, "the task has ended")
}

impl Parked {
    /// Brings a task to a halt.
    ///
    /// # Errors
    ///
    /// ESRCH when it ends, EBUSY when it does not stand still in time,
    /// ERESTARTSYS when the caller has a signal.
    pub(crate) fn new(task: ARef<Task>) -> Outcome<Self> {
        let parked = Self {
            visit: Visit::new(Berth::new())?,
            task,
        };
        let mut left = PATIENCE_MS;
        loop {
            Visit::send(&parked.visit, &parked.task).map_err(|_| ended())?;
            if !parked.wait(&mut left)? {
                return Err(parked.too_slow());
            }
            match parked.visit.take_report() {
                Some(Report::Parked) => return Ok(parked),
                Some(Report::Later)
                    if park::is_stopped(&parked.task) || park::is_traced(&parked.task) =>
                {
                    return Err(parked.too_slow())
                }
                Some(Report::Later) => parked.pause(&mut left)?,
                _ => return Err(ended()),
            }
        }
    }

    /// Waits for a report within what is left of the caller's patience.
    fn wait(&self, left: &mut u32) -> Outcome<bool> {
        let before = sched::clocks().1;
        let there = self
            .visit
            .to_caller
            .wait_interruptible(msecs_to_jiffies(*left))
            .map_err(interrupted)?;
        let passed = sched::clocks().1.saturating_sub(before) / 1_000_000;
        *left = left.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
        Ok(there)
    }

    /// Time for a task that was not ready to get further.
    fn pause(&self, left: &mut u32) -> Outcome {
        let Some(rest) = left.checked_sub(AGAIN_MS) else {
            return Err(Failure::new(
                EBUSY,
                "the task stays inside of a system call, or among its signals",
            ));
        };
        *left = rest;
        // Nothing is announced: the task has reported.
        self.visit
            .to_caller
            .wait_interruptible(msecs_to_jiffies(AGAIN_MS))
            .map_err(interrupted)?;
        Ok(())
    }

    fn too_slow(&self) -> Failure {
        let why = if park::is_traced(&self.task) {
            "the task is traced"
        } else if park::is_stopped(&self.task) {
            "the task is stopped by a signal"
        } else {
            "the task did not leave the kernel within 10 seconds"
        };
        Failure::new(EBUSY, why)
    }

    /// Has the task save itself, and writes the image to `file`.
    ///
    /// # Errors
    ///
    /// What the task could not save; those of the writes; EINTR when the caller
    /// has a signal. The context comes back unless one of the two leaves.
    pub(crate) fn save(&self, ctx: SaveCtx, file: &ImageFile) -> (Option<KBox<SaveCtx>>, Outcome) {
        match KBox::new(ctx, GFP_KERNEL) {
            Ok(ctx) => self.visit.order(Order::Save(ctx)),
            Err(errno) => return (None, Err(errno.into())),
        }
        // What a task does that is visited must not end the image.
        let _quiet = sched::Quiet::enter();
        loop {
            // Whatever the task waits for, the caller may leave.
            if self.visit.to_caller.wait_interruptible(FOREVER).is_err() {
                return (None, Err(EINTR.into()));
            }
            match self.visit.take_report() {
                Some(Report::Write(freight)) => {
                    self.visit.order(Order::Written(write(file, freight)));
                }
                Some(Report::Saved(ctx, done)) => return (Some(ctx), done),
                // It was killed; another report may have replaced the one waited for.
                Some(_) => return (None, Err(ended())),
                None => {}
            }
        }
    }
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
