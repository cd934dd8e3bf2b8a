// SPDX-License-Identifier: GPL-2.0

//! What the current task has that is not supported, or is in the way.

use super::task::current_ptr;
use kernel::bindings;
use kernel::task::Task;

/// Is this the first process of the machine, or a thread of it?
pub(crate) fn is_first_of_machine(task: &Task) -> bool {
    // SAFETY: The reference keeps the task; the id of its process does not change.
    unsafe { (*task.as_ptr()).tgid == 1 }
}

/// State of the task itself that cannot be saved, if there is any.
pub(crate) fn unsupported() -> Option<&'static str> {
    let task = current_ptr();
    // SAFETY: All look at the current task, which does nothing else.
    unsafe {
        let t = &*task;
        if bindings::ckpt_has_io_uring(task) {
            return Some("io_uring is not supported");
        }
        if bindings::ckpt_shares_io() {
            return Some("an I/O context shared with another task is not supported");
        }
        if bindings::ckpt_traces_others() {
            return Some("a task that traces another one is not supported");
        }
        if bindings::ckpt_has_sem_undo() {
            return Some("undo lists of System V semaphores are not supported");
        }
        if bindings::ckpt_other_child_ns() {
            return Some("a namespace that only children enter is not supported");
        }
        if bindings::ckpt_has_uclamp() {
            return Some("utilisation clamps are not supported");
        }
        if bindings::ckpt_has_core_cookie() {
            return Some("a core scheduling cookie is not supported");
        }
        if bindings::ckpt_has_mempolicy() {
            return Some("a memory policy of the task is not supported");
        }
        if bindings::ckpt_rseq_slice() {
            return Some("slice extensions of restartable sequences are not supported");
        }
        if bindings::ckpt_has_keyrings() {
            return Some("keyrings of a thread or process are not supported");
        }
        if bindings::ckpt_has_landlock() {
            return Some("a Landlock domain is not supported");
        }
        if bindings::ckpt_has_spec_ctrl() {
            return Some("speculation control by prctl is not supported");
        }
        if bindings::ckpt_syscall_dispatch() {
            return Some("system call user dispatch is not supported");
        }
        if bindings::ckpt_has_pasid() {
            return Some("memory that a device uses by its address space id is not supported");
        }
        if bindings::ckpt_has_user_events() {
            return Some("user trace events are not supported");
        }
        if t.flags & (bindings::PF_MEMALLOC_NOIO | bindings::PF_LOCAL_THROTTLE) != 0 {
            return Some("PR_SET_IO_FLUSHER is not supported");
        }
        None
    }
}

/// State of the restarting task that an image would inherit, if there is any.
pub(crate) fn in_the_way() -> Option<&'static str> {
    // SAFETY: All look at the current task.
    unsafe {
        if bindings::ckpt_has_io_uring(current_ptr()) {
            Some("the caller uses io_uring")
        } else if bindings::ckpt_syscall_dispatch() {
            Some("the caller uses system call user dispatch")
        } else if bindings::ckpt_traces_others() {
            // The program of the image would not know whom it traces.
            Some("the caller traces another task")
        } else if bindings::ckpt_other_child_ns() {
            Some("children of the caller would enter another namespace")
        } else if bindings::ckpt_has_keyrings() {
            // execve(2) drops these.
            Some("the caller has keyrings of its thread or process")
        } else if bindings::ckpt_has_pasid() {
            Some("a device uses the caller's memory by its address space id")
        } else if bindings::ckpt_has_user_events() {
            // execve(2) drops these, too.
            Some("the caller has registered user trace events")
        } else if is_first_of_machine(kernel::current!()) {
            // Its view of the file system is one of the kernel, too.
            Some("the caller is the first process of the machine")
        } else {
            None
        }
    }
}
