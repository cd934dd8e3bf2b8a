// SPDX-License-Identifier: GPL-2.0

//! Process ids of their own: those that no task has, yet or any more.

use super::sched;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::prelude::*;
use kernel::task::Task;
use kernel::time::Instant;
use kernel::time::Monotonic;

/// For how long an id may be on its way to be free, in milliseconds.
const PATIENCE: i64 = 3000;

/// Does this, which takes an id; while nobody has the one that is wanted but tasks that are
/// about to end, or have ended, it waits and does it again.
///
/// Whoever was killed, and was told to have ended, is not gone at once: a parent has still to
/// wait for it, and release_task() frees the id of a thread only behind what wakes a parent.
///
/// # Errors
///
/// Those of `attempt`: EEXIST when a task has the id, and when it is not free after
/// [`PATIENCE`], or the current task is killed.
pub(super) fn take<T>(pid: Option<u32>, attempt: impl Fn() -> Result<T>) -> Result<T> {
    let start = Instant::<Monotonic>::now();
    let is_late = || start.elapsed().as_millis() >= PATIENCE;
    loop {
        // Whoever has slept for too long tries once more.
        let last = is_late();
        let taken = attempt();
        let (Err(errno), Some(pid)) = (&taken, pid) else {
            return taken;
        };
        if *errno != EEXIST || last {
            return taken;
        }
        // To try costs as much as a fork: not before it is free.
        loop {
            // SAFETY: The namespace lives with the current task; the call takes the locks.
            let holder = unsafe { bindings::ckpt_pid_holder(pid) };
            let is_free = holder == bindings::ckpt_pid_holder_CKPT_PID_FREE;
            let stays = holder == bindings::ckpt_pid_holder_CKPT_PID_TASK;
            if stays || !is_free && (is_late() || sched::is_killed()) {
                return taken;
            }
            sched::sleep_tick();
            if is_free {
                break;
            }
        }
    }
}

/// The id of a task, also when that has ended. It is not kept from being free.
pub(crate) struct Id(NonNull<bindings::pid>);

// SAFETY: The reference count is atomic, and what is looked at never changes.
unsafe impl Send for Id {}

impl Id {
    /// `None` when the task has none any more.
    pub(crate) fn of(task: &Task) -> Option<Self> {
        // SAFETY: The task is held; the call takes a reference, which is ours.
        let pid = unsafe { bindings::get_task_pid(task.as_ptr(), bindings::pid_type_PIDTYPE_PID) };
        NonNull::new(pid).map(Self)
    }

    /// Could another task get it, or has got it?
    pub(crate) fn is_free(&self) -> bool {
        // SAFETY: We hold the structure, which holds its namespace.
        unsafe { bindings::ckpt_pid_is_free(self.0.as_ptr()) }
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        // SAFETY: The reference is ours.
        unsafe { bindings::put_pid(self.0.as_ptr()) };
    }
}

/// The process id that was given out last in the current namespace.
pub(crate) fn last_pid() -> u32 {
    // SAFETY: The namespace lives with the current task; of it one word is read, which
    // others may change at any time.
    unsafe { bindings::ckpt_last_pid() }
}

/// Has the current namespace go on some way behind this id, unless it has come so far.
///
/// Programs remember processes that have ended, as a shell does its jobs: nobody else may
/// get such an id before all others have been given out. Only whoever may choose ids can
/// have that; for others, and if there is no such id here, nothing changes. Numbers are
/// compared: a namespace whose ids have begun anew since the image has not come so far.
pub(crate) fn go_on_behind(pid: u32) {
    // SAFETY: The namespace lives with the current task; of it one word is written as a
    // whole, as kernel.ns_last_pid does, without a lock.
    unsafe { bindings::ckpt_skip_pids(pid) };
}

/// A process id that no task has: of a group or a session whose leader is gone.
///
/// # Invariants
///
/// Nobody uses the id unless `used` is set; then it belongs to those who do.
pub(crate) struct Orphan {
    pub(super) pid: *mut bindings::pid,
    pub(super) used: bool,
}

// SAFETY: The id is in nobody's hands but this value's.
unsafe impl Send for Orphan {}

impl Orphan {
    /// This id, or any that is free.
    ///
    /// # Errors
    ///
    /// EEXIST when the id is taken; those of clone(2).
    pub(crate) fn new(pid: Option<u32>) -> Result<Self> {
        take(pid, || Self::new_now(pid))
    }

    fn new_now(pid: Option<u32>) -> Result<Self> {
        let mut wanted = pid.unwrap_or(0) as i32;
        let size = usize::from(pid.is_some());
        // SAFETY: The namespace lives with the current task; the array has as many
        // entries as it says.
        let pid = kernel::error::from_err_ptr(unsafe {
            bindings::alloc_pid(bindings::ckpt_pid_ns(), &raw mut wanted, size)
        })?;
        Ok(Self { pid, used: false })
    }
}

impl Drop for Orphan {
    fn drop(&mut self) {
        if !self.used {
            // SAFETY: By the invariant nobody uses it.
            unsafe { bindings::free_pid(self.pid) };
        }
    }
}
