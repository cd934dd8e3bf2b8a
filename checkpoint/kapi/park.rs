// SPDX-License-Identifier: GPL-2.0

//! Visits: code of ours that another task runs, at its way back to user mode.
//!
//! A visit is task work that is queued like a signal (TWA_SIGNAL): the task
//! leaves its system call as for a signal with a handler, runs our function,
//! and then goes on as if nothing had been. A task that is stopped by a signal runs it
//! where it is, and stays stopped. Its parent hears nothing.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ops::Deref;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::task::Task;
use kernel::types::Opaque;

/// What becomes of a task behind a visit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on to user mode.
    GoOn,
    /// It ends, with what wait(2) is to tell of it.
    Exit(u32),
}

/// What a task does on a visit.
pub(crate) trait Host: Send + Sync + Sized {
    /// Runs in the visited task, where it may sleep. The task is between two
    /// instructions of user code, also where it is stopped, or it is exiting. It may
    /// have more works to run first: files that it has closed, for example.
    fn arrive(visit: &Arc<Visit<Self>>, more: bool) -> Fate;
}

/// State of ours that tasks hand to each other.
///
/// # Safety
///
/// It has references to objects of the kernel, counted, and plain data. Nothing in it
/// belongs to the task that made it: no open file that was borrowed from a descriptor
/// table without a reference, no lock.
pub(crate) unsafe trait Handover {}

// SAFETY: The stream, tables, views, spaces, files, tasks and filters are counted
// references, each dropped by a call that any task may make; pages are owned by the batch.
unsafe impl Handover for crate::ctx::restore::RestoreCtx {}

// SAFETY: Records that were read, entries for queues of signals, and counted references to
// a table, a view and filters.
unsafe impl Handover for crate::ctx::built::ThreadReady {}

/// Such state on its way: one task has it at a time.
pub(crate) struct Baton<T: Handover>(pub(crate) KBox<T>);

// SAFETY: By the rule of Handover the value may be used and dropped by any task.
unsafe impl<T: Handover> Send for Baton<T> {}

/// A visit to one task, shared with it. See [`Host`].
#[pin_data]
pub(crate) struct Visit<T: Host> {
    work: Opaque<bindings::callback_head>,
    #[pin]
    host: T,
}

// SAFETY: The work is touched only by task_work_add() and its run, which the
// kernel orders; the rest is Send by the bound.
unsafe impl<T: Host> Send for Visit<T> {}
// SAFETY: As above.
unsafe impl<T: Host> Sync for Visit<T> {}

impl<T: Host> Deref for Visit<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.host
    }
}

impl<T: Host> Visit<T> {
    /// A visit that was not sent yet.
    pub(crate) fn new(host: impl PinInit<T>) -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                work: Opaque::uninit(),
                host <- host,
            }),
            GFP_KERNEL,
        )
    }

    /// Sends the visit on its way. Not again before it has arrived.
    ///
    /// # Errors
    ///
    /// ESRCH when the task is exiting.
    pub(crate) fn send(this: &Arc<Self>, task: &Task) -> Result {
        let work = this.work.get();
        let queued = this.clone().into_raw();
        // SAFETY: The visit is not queued, so that nobody else looks at the
        // work. The queue owns the reference that was just taken, which keeps
        // the work in place until it has run or was cancelled.
        let done = unsafe {
            (*work).func = Some(arrived::<T>);
            bindings::task_work_add(
                task.as_ptr(),
                work,
                bindings::task_work_notify_mode_TWA_SIGNAL,
            )
        };
        to_result(done).inspect_err(|_| {
            // SAFETY: The work was not queued: the reference is ours again.
            drop(unsafe { Arc::<Self>::from_raw(queued) });
        })?;
        // SAFETY: The task is held; the call takes its signal lock. A task that is
        // about to stop looks for works when the lock is free.
        unsafe { bindings::wake_stopped(task.as_ptr()) };
        Ok(())
    }

    /// Calls a visit back that has not arrived yet; false when it has.
    pub(crate) fn cancel(this: &Arc<Self>, task: &Task) -> bool {
        // SAFETY: The task is held; the work is ours. When it is taken out of
        // the queue, the reference of the queue comes back to us.
        unsafe {
            let cancelled = bindings::task_work_cancel(task.as_ptr(), this.work.get());
            if cancelled {
                drop(Arc::from_raw(Arc::as_ptr(this)));
            }
            cancelled
        }
    }
}

/// # Safety
///
/// Called by task_work_run() with the work of a [`Visit`] that was queued by
/// [`Visit::send`].
unsafe extern "C" fn arrived<T: Host>(work: *mut bindings::callback_head) {
    // SAFETY: As above. Read first: the visit may be sent again on the way.
    let mut behind = unsafe { (*work).next };
    // SAFETY: The work is a field of the visit, and the queue's reference is
    // handed over to us.
    let visit = unsafe {
        Arc::from_raw(
            work.byte_sub(offset_of!(Visit<T>, work))
                .cast::<Visit<T>>()
                .cast_const(),
        )
    };
    // SAFETY: The list of the current task; one word, to which others may add at once.
    let newer =
        unsafe { core::ptr::read_volatile(&raw const (*super::task::current_ptr()).task_works) };
    let fate = T::arrive(&visit, !behind.is_null() || !newer.is_null());
    drop(visit);
    if let Fate::Exit(code) = fate {
        // task_work_run() has taken the works behind this one out of the queue, and
        // would run them next: nobody else knows of them any more.
        while !behind.is_null() {
            let next = behind;
            // SAFETY: The works belong to task_work_run(), which does not go on; each
            // is gone when it has run.
            unsafe {
                behind = (*next).next;
                if let Some(func) = (*next).func {
                    func(next);
                }
            }
        }
        // SAFETY: The task is on its way to user mode and holds no lock; nothing of
        // this frame is left to be dropped.
        unsafe { bindings::do_exit(code as c_long) }
    }
}

/// Something that is announced once and waited for once, as often as needed.
#[pin_data]
pub(crate) struct Event {
    #[pin]
    inner: Opaque<bindings::completion>,
}

// SAFETY: A completion is made for use by several tasks.
unsafe impl Send for Event {}
// SAFETY: As above.
unsafe impl Sync for Event {}

impl Event {
    /// Nothing announced.
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            inner <- Opaque::ffi_init(|slot: *mut bindings::completion| {
                // SAFETY: The slot is valid and becomes a completion.
                unsafe { bindings::init_completion(slot) };
            }),
        })
    }

    /// Announces once.
    pub(crate) fn announce(&self) {
        // SAFETY: The completion was initialised and is in place.
        unsafe { bindings::complete(self.inner.get()) };
    }

    /// Waits for an announcement.
    ///
    /// # Errors
    ///
    /// EINTR when the task is killed.
    pub(crate) fn wait_killable(&self) -> Result {
        // SAFETY: As above.
        to_result(unsafe { bindings::ckpt_wait_killable(self.inner.get()) }).map_err(|_| EINTR)
    }

    /// Waits for an announcement that is certain to come, if the one who makes it is not
    /// frozen: then the caller can be, too.
    pub(crate) fn wait(&self) {
        const STATE: u32 = bindings::TASK_UNINTERRUPTIBLE | bindings::TASK_FREEZABLE;
        // SAFETY: As above. No signal ends this wait.
        unsafe { bindings::wait_for_completion_state(self.inner.get(), STATE) };
    }

    /// Waits for an announcement, at most `jiffies`; false when there was none.
    ///
    /// # Errors
    ///
    /// ERESTARTSYS when a signal is pending.
    pub(crate) fn wait_interruptible(&self, jiffies: usize) -> Result<bool> {
        // SAFETY: As above.
        let left = unsafe {
            bindings::wait_for_completion_interruptible_timeout(self.inner.get(), jiffies)
        };
        match left {
            0 => Ok(false),
            left if left < 0 => Err(ERESTARTSYS),
            _ => Ok(true),
        }
    }
}

/// The task with this id in the namespace of the current one.
pub(crate) fn find(pid: i32) -> Option<ARef<Task>> {
    // SAFETY: The call takes a reference, which the result adopts; Task is a
    // transparent wrapper of the C structure.
    let task = unsafe { bindings::find_get_task_by_vpid(pid) };
    // SAFETY: As above.
    core::ptr::NonNull::new(task).map(|task| unsafe { ARef::from_raw(task.cast()) })
}

/// Does the task run our code for good? Kernel threads and their like.
pub(crate) fn is_kernel(task: &Task) -> bool {
    const KERNEL: u32 = bindings::PF_KTHREAD | bindings::PF_USER_WORKER | bindings::PF_IO_WORKER;
    // SAFETY: The task is held; these flags are set before it runs.
    unsafe { (*task.as_ptr()).flags & KERNEL != 0 }
}

/// Is the task stopped, by a signal or a terminal?
pub(crate) fn is_stopped(task: &Task) -> bool {
    // SAFETY: The task is held; one word, which may change at once.
    let jobctl = unsafe { core::ptr::read_volatile(&raw const (*task.as_ptr()).jobctl) };
    jobctl & bindings::ckpt_value_CKPT_JOBCTL_STOPPED as usize != 0
}

/// Is the task traced?
pub(crate) fn is_traced(task: &Task) -> bool {
    // SAFETY: The task is held; one word, which may change at once.
    unsafe { core::ptr::read_volatile(&raw const (*task.as_ptr()).ptrace) != 0 }
}

/// Is the task a child of vfork(2) that still uses the memory of its parent?
pub(crate) fn is_vfork_child(task: &Task) -> bool {
    // SAFETY: The task is held; one word, which may change at once.
    unsafe { !core::ptr::read_volatile(&raw const (*task.as_ptr()).vfork_done).is_null() }
}

/// Is the task in execve(2)?
pub(crate) fn is_in_exec(task: &Task) -> bool {
    // SAFETY: The task is held; one bit, which may change at once.
    unsafe { bindings::ckpt_in_execve(task.as_ptr()) }
}

/// Has the task used io_uring?
pub(crate) fn has_io_uring(task: &Task) -> bool {
    // SAFETY: The task is held; one word, which may change at once.
    unsafe { bindings::ckpt_has_io_uring(task.as_ptr()) }
}

/// Does somebody listen to what a filter of system calls of the task asks?
pub(crate) fn has_seccomp_listener(task: &Task) -> bool {
    // SAFETY: The task is held; the call takes the lock that its filters need.
    unsafe { bindings::ckpt_has_seccomp_listener(task.as_ptr()) }
}

/// May the current task trace this one?
pub(crate) fn may_trace(task: &Task) -> bool {
    // SAFETY: The task is held.
    unsafe { bindings::ckpt_may_trace(task.as_ptr()) }
}

/// Have both the same security label?
pub(crate) fn same_label(a: &Task, b: &Task) -> bool {
    // SAFETY: Both tasks are held; the call takes the locks it needs.
    unsafe { bindings::ckpt_same_label(a.as_ptr(), b.as_ptr()) }
}

/// Sends a signal as the kernel does.
pub(crate) fn signal(task: &Task, signal: u32) {
    // SAFETY: The task is held; the call takes the locks it needs. It fails
    // only for a task that is gone.
    unsafe { bindings::ckpt_send_signal(task.as_ptr(), signal as c_int) };
}

/// Stops a process, all of whose threads stand still, as SIGSTOP does: none of them is in user
/// mode before it has stopped.
pub(crate) fn stop(task: &Task) {
    // SAFETY: The task is held, and its signal structure with it; the list of threads and the
    // queue change under the signal lock, which the call takes.
    unsafe { bindings::ckpt_stop_process(task.as_ptr()) };
}

/// A namespace of the task that is not the current task's, if there is one.
///
/// The task stands still: nobody else changes its namespaces.
pub(crate) fn other_namespace(task: &Task) -> Option<&'static str> {
    let pointer = |p: *const c_void| p;
    // SAFETY: Both tasks are held; the lock keeps the proxy of the other one.
    unsafe {
        let ours = &*(*super::task::current_ptr()).nsproxy;
        bindings::ckpt_task_lock(task.as_ptr());
        let theirs = (*task.as_ptr()).nsproxy.as_ref();
        let differs = theirs.and_then(|theirs| {
            [
                (
                    pointer(ours.mnt_ns.cast()),
                    pointer(theirs.mnt_ns.cast()),
                    "mount namespace",
                ),
                (
                    ours.net_ns.cast(),
                    theirs.net_ns.cast(),
                    "network namespace",
                ),
                (ours.ipc_ns.cast(), theirs.ipc_ns.cast(), "IPC namespace"),
                (ours.uts_ns.cast(), theirs.uts_ns.cast(), "UTS namespace"),
                (ours.time_ns.cast(), theirs.time_ns.cast(), "time namespace"),
                (
                    ours.cgroup_ns.cast(),
                    theirs.cgroup_ns.cast(),
                    "cgroup namespace",
                ),
            ]
            .into_iter()
            .find_map(|(a, b, name)| (a != b).then_some(name))
        });
        bindings::ckpt_task_unlock(task.as_ptr());
        // The task may be killed and reaped: its ids live under RCU only.
        bindings::rcu_read_lock();
        let other = bindings::ckpt_other_pid_ns(task.as_ptr());
        bindings::rcu_read_unlock();
        if differs.is_none() && other {
            return Some("PID namespace");
        }
        if differs.is_none() && bindings::ckpt_other_user_ns(task.as_ptr()) {
            return Some("user namespace");
        }
        differs
    }
}
