// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Where the caller of a system call and a task that works for it meet.
//!
//! The caller gives orders, the task reports; there is room for one of each.
//! Everything that is handed over changes its owner on the way. Whoever is killed
//! at any moment just leaves; the other side sees that and drops what it has.
//! Locks: the mail lock is held only to put something in or take it out.

use crate::error::Failure;
use crate::error::Outcome;
use crate::kapi::park::Event;
use crate::kapi::sched;
use kernel::new_mutex;
use kernel::prelude::*;
use kernel::sync::Mutex;
use kernel::time::msecs_to_jiffies;

/// As long as it takes, in jiffies.
const FOREVER: usize = isize::MAX as usize;

struct Mail<O, R> {
    order: Option<O>,
    report: Option<R>,
    /// What the task says when it leaves, behind all else.
    last: Option<R>,
    /// The caller lets the task go.
    closed: bool,
}

/// See the module.
#[pin_data]
pub(crate) struct Mailbox<O, R> {
    #[pin]
    mail: Mutex<Mail<O, R>>,
    #[pin]
    to_task: Event,
    #[pin]
    to_caller: Event,
}

impl<O: Unpin, R: Unpin> Mailbox<O, R> {
    /// An empty mailbox.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            mail <- new_mutex!(Mail {
                order: None,
                report: None,
                last: None,
                closed: false,
            }),
            to_task <- Event::new(),
            to_caller <- Event::new(),
        })
    }

    /// Has the caller let the task go?
    pub(crate) fn is_closed(&self) -> bool {
        self.mail.lock().closed
    }

    /// The task reports.
    pub(crate) fn report(&self, report: R) {
        let former = self.mail.lock().report.replace(report);
        self.to_caller.announce();
        drop(former);
    }

    /// The task's last word. What the caller has still to take comes first; without
    /// a caller nothing stays, since what is in it may lead back here.
    pub(crate) fn leave(&self, last: R) {
        let mut mail = self.mail.lock();
        let former = if mail.closed {
            mail.report.take()
        } else {
            mail.last = Some(last);
            None
        };
        drop(mail);
        self.to_caller.announce();
        drop(former);
    }

    /// The next order; `None` when the task is let go, or is killed.
    pub(crate) fn next_order(&self) -> Option<O> {
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

    /// The caller orders.
    pub(crate) fn order(&self, order: O) {
        let former = self.mail.lock().order.replace(order);
        self.to_task.announce();
        drop(former);
    }

    /// What the task has reported, if the caller has not taken it yet.
    pub(crate) fn take_report(&self) -> Option<R> {
        let mut mail = self.mail.lock();
        mail.report.take().or_else(|| mail.last.take())
    }

    /// Waits for a report.
    ///
    /// # Errors
    ///
    /// EINTR when the caller has a signal.
    pub(crate) fn next_report(&self) -> Result<R> {
        loop {
            if let Some(report) = self.take_report() {
                return Ok(report);
            }
            self.to_caller
                .wait_interruptible(FOREVER)
                .map_err(|_| EINTR)?;
        }
    }

    /// Waits for a report that is certain to come soon.
    pub(crate) fn last_report(&self) -> R {
        loop {
            if let Some(report) = self.take_report() {
                return report;
            }
            self.to_caller.wait();
        }
    }

    /// Waits for an announcement at most `left` milliseconds, which become less;
    /// false when there was none.
    pub(crate) fn wait(&self, left: &mut u32) -> Outcome<bool> {
        let before = sched::clocks().1;
        let there = self
            .to_caller
            .wait_interruptible(msecs_to_jiffies(*left))
            .map_err(interrupted)?;
        let passed = sched::clocks().1.saturating_sub(before) / 1_000_000;
        *left = left.saturating_sub(u32::try_from(passed).unwrap_or(u32::MAX));
        Ok(there)
    }

    /// The caller lets the task go.
    pub(crate) fn close(&self) {
        let mut mail = self.mail.lock();
        mail.closed = true;
        let former = (mail.order.take(), mail.report.take());
        drop(mail);
        self.to_task.announce();
        drop(former);
    }
}

/// A signal before anything was written: the call may be issued again.
pub(crate) fn interrupted(errno: Error) -> Failure {
    let mut failure = Failure::new(errno, "interrupted by a signal");
    failure.again = true;
    failure
}
