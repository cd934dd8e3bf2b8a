// SPDX-License-Identifier: GPL-2.0

//! Process ids of their own: those that no task has, yet or any more.

use super::sched;
use kernel::bindings;
use kernel::prelude::*;

/// For how long an id may be on its way to be free, in milliseconds.
const PATIENCE: u32 = 3000;

/// Who has an id.
enum Holder {
    /// It is free, or is just being given out.
    Free,
    /// No task: the last one that had it is being released, or the first one is not there
    /// yet.
    Nobody,
    /// A task, as its own id or as that of its group or session.
    Tasks,
}

fn holder(pid: u32) -> Holder {
    let Ok(pid) = i32::try_from(pid) else {
        return Holder::Free;
    };
    // SAFETY: RCU keeps what is found. The namespace lives with the current task. Of the
    // lists' heads, which change under the tasklist lock, one word each is compared.
    unsafe {
        bindings::rcu_read_lock();
        let found = bindings::find_pid_ns(pid, bindings::ckpt_pid_ns());
        let holder = if found.is_null() {
            Holder::Free
        } else {
            let used = (0..bindings::pid_type_PIDTYPE_MAX as usize).any(|kind| {
                let lists = (&raw const (*found).tasks).cast::<bindings::hlist_head>();
                let first = &raw const (*lists.add(kind)).first;
                !core::ptr::read_volatile(first).is_null()
            });
            if used {
                Holder::Tasks
            } else {
                Holder::Nobody
            }
        };
        bindings::rcu_read_unlock();
        holder
    }
}

/// Has the last task gone that had this id, which is not free yet?
///
/// release_task() tells the parent of a process that it has ended when it takes its last
/// thread out of all lists, and frees the thread's id only behind that.
pub(crate) fn is_held_by_nobody(pid: u32) -> bool {
    matches!(holder(pid), Holder::Nobody)
}

/// Does this, which takes an id, and again as long as no task has the id that it wants.
///
/// # Errors
///
/// Those of `attempt`; EEXIST when a task has the id, or when nobody has had it for
/// [`PATIENCE`].
pub(super) fn take<T>(pid: Option<u32>, attempt: impl Fn() -> Result<T>) -> Result<T> {
    let mut left = sched::ticks(PATIENCE);
    loop {
        let taken = attempt();
        let (Err(errno), Some(pid)) = (&taken, pid) else {
            return taken;
        };
        if *errno != EEXIST
            || left == 0
            || sched::is_killed()
            || matches!(holder(pid), Holder::Tasks)
        {
            return taken;
        }
        left = left.saturating_sub(1);
        sched::sleep_tick();
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
