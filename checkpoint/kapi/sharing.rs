// SPDX-License-Identifier: GPL-2.0

//! What tasks have in common by clone(2): address space, descriptor table, file system
//! view, signal handlers.
//!
//! Each is one structure of the kernel with a count of its users. Checkpoint: the task
//! that meets it first writes it, and all its users must be in the image. Restart: the
//! task that builds it first keeps it for the others, each of which takes it over in its
//! own context.

use super::task::current_ptr;
use super::tree;
use core::mem::offset_of;
use kernel::bindings;
use kernel::bindings::task_struct;
use kernel::prelude::*;
use kernel::task::Task;

/// What a task has that others may have, too: addresses, which are the identities as
/// long as the task stands still.
#[derive(Clone, Copy)]
pub(crate) struct Shared {
    pub(crate) mm: usize,
    pub(crate) files: usize,
    pub(crate) fs: usize,
    pub(crate) handlers: usize,
}

impl Shared {
    /// Of the current task.
    pub(crate) fn of_current() -> Self {
        // SAFETY: Only the current task changes its pointers.
        unsafe { Self::of(current_ptr()) }
    }

    /// # Safety
    ///
    /// The task is held.
    unsafe fn of(task: *const task_struct) -> Self {
        // SAFETY: By the contract. Words that are only compared.
        unsafe {
            Self {
                mm: core::ptr::read_volatile(&raw const (*task).mm) as usize,
                files: core::ptr::read_volatile(&raw const (*task).files) as usize,
                fs: core::ptr::read_volatile(&raw const (*task).fs) as usize,
                handlers: bindings::ckpt_handlers(task.cast_mut()) as usize,
            }
        }
    }
}

/// Has the current task the same as the first thread of its process?
pub(crate) fn like_first_thread() -> bool {
    // SAFETY: The first thread of a process is released behind all others.
    let first = unsafe { Shared::of((*current_ptr()).group_leader) };
    let own = Shared::of_current();
    (own.files, own.fs) == (first.files, first.fs)
}

/// How many have something in common with the current task.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Users {
    mm: i32,
    files: i32,
    fs: i32,
    handlers: i32,
}

impl Users {
    fn add(&mut self, own: &Shared, other: &Shared) {
        self.mm = self.mm.saturating_add((own.mm == other.mm).into());
        self.files = self.files.saturating_add((own.files == other.files).into());
        self.fs = self.fs.saturating_add((own.fs == other.fs).into());
        self.handlers = self
            .handlers
            .saturating_add((own.handlers == other.handlers).into());
    }

    /// As the structures of the current task count them.
    fn counted() -> Self {
        // SAFETY: The current task has all of them; single words.
        unsafe {
            let t = &*current_ptr();
            Self {
                mm: bindings::ckpt_mm_users(t.mm),
                files: (*t.files).count.counter,
                fs: (*t.fs).users,
                handlers: bindings::ckpt_handlers_users(current_ptr()),
            }
        }
    }
}

/// What the current task shares with somebody who is not one of `processes`, which are in
/// order, if there is something. All tasks of these stand still but for the current one.
pub(crate) fn with_outsiders(processes: &[u32]) -> Option<&'static str> {
    let current = current_ptr();
    let own = Shared::of_current();
    let (mut inside, mut outside) = (Users::default(), Users::default());
    // Under the lock, too: handlers lose users with it held.
    let counted;
    // SAFETY: The lock is held while the lists are walked, so that no task in them is
    // released; pointers of others are only compared. The closures do not fail.
    unsafe {
        bindings::ckpt_tasklist_read_lock();
        let _ = tree::each_thread(current, |thread| {
            inside.add(&own, &Shared::of(thread));
            Ok(())
        });
        // Few share anything but with their threads.
        if inside != Users::counted() {
            inside = Users::default();
            let head = &raw const bindings::init_task.tasks;
            let _ = tree::each(head, offset_of!(task_struct, tasks), |process| {
                let number = bindings::ckpt_pid_nr(process, bindings::pid_type_PIDTYPE_TGID);
                let member = processes.binary_search(&(number as u32)).is_ok();
                tree::each_thread(process, |thread| {
                    // Whoever has ended keeps handlers until somebody waits for it, and
                    // does nothing with them.
                    let harmless = member || (*thread).exit_state != 0;
                    if (*thread).flags & bindings::PF_KTHREAD == 0 {
                        let users = if harmless { &mut inside } else { &mut outside };
                        users.add(&own, &Shared::of(thread));
                    }
                    Ok(())
                })
            });
        }
        counted = Users::counted();
        bindings::ckpt_tasklist_read_unlock();
    }
    // Readers of procfs count as users of memory for a moment, too.
    if outside.mm != 0 {
        return Some("memory shared with a process outside of the image is not supported");
    }
    if inside.files != counted.files {
        return Some(
            "a descriptor table shared with a process outside of the image is not supported",
        );
    }
    if inside.fs != counted.fs {
        return Some(
            "a file system view shared with a process outside of the image is not supported",
        );
    }
    if inside.handlers != counted.handlers {
        return Some("handlers shared with a process outside of the image are not supported");
    }
    None
}

/// A descriptor table of a task, for others.
///
/// # Invariants
///
/// The value owns one use of the table.
pub(crate) struct Table(*mut bindings::files_struct);

// SAFETY: The use belongs to the value, not to a task.
unsafe impl Send for Table {}

impl Table {
    /// That of the current task.
    pub(crate) fn current() -> Self {
        Self::of(super::task::files_ptr())
    }

    fn of(files: *mut bindings::files_struct) -> Self {
        // SAFETY: The current task, or another value, has a use of it.
        unsafe { bindings::ckpt_files_get(files) };
        Self(files)
    }

    /// The table, with one use of it that the caller takes over.
    pub(super) fn take(&self) -> *mut bindings::files_struct {
        let more = core::mem::ManuallyDrop::new(Self::of(self.0));
        more.0
    }

    /// The table, as long as the value is there.
    pub(super) fn as_ptr(&self) -> *mut bindings::files_struct {
        self.0
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // SAFETY: The invariants give us the use.
        unsafe { bindings::put_files_struct(self.0) };
    }
}

/// A file system view of a task, for others.
///
/// # Invariants
///
/// The value owns one use of the view.
pub(crate) struct View(*mut bindings::fs_struct);

// SAFETY: The use belongs to the value, not to a task.
unsafe impl Send for View {}

impl View {
    /// That of the current task.
    pub(crate) fn current() -> Self {
        // SAFETY: Only the current task changes its pointer, and it has a use of the view.
        unsafe {
            let fs = (*current_ptr()).fs;
            bindings::ckpt_fs_get(fs);
            Self(fs)
        }
    }

    /// The view, with one use of it that the caller takes over.
    pub(super) fn take(&self) -> *mut bindings::fs_struct {
        // SAFETY: The value has a use of it.
        unsafe { bindings::ckpt_fs_get(self.0) };
        self.0
    }
}

impl Drop for View {
    fn drop(&mut self) {
        // SAFETY: The invariants give us the use.
        unsafe { bindings::ckpt_fs_put(self.0) };
    }
}

/// Gives the current process, which has one thread, the signal handlers of another one.
///
/// # Errors
///
/// ESRCH when that one has ended.
pub(crate) fn take_handlers(of: &Task) -> Result {
    // SAFETY: The current process has one thread: nobody else changes its pointer. The
    // other task is held; the call takes the locks under which its pointer stays.
    match unsafe { bindings::ckpt_take_handlers(of.as_ptr()) } {
        true => Ok(()),
        false => Err(ESRCH),
    }
}
