// SPDX-License-Identifier: GPL-2.0

//! File system view and descriptor table of the current task, and new ones
//! aside.

use super::file;
use super::file::FileRef;
use super::path::PathRef;
use super::task;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// File mode creation mask.
pub(crate) fn umask() -> u32 {
    // SAFETY: The view is not shared: it was checked.
    unsafe { (*(*task::current_ptr()).fs).umask as u32 }
}

/// A file system view that is not in use yet.
pub(crate) struct NewFs(*mut bindings::fs_struct);

impl NewFs {
    /// A view with this mask, root and current directory.
    pub(crate) fn new(umask: u32, root: &PathRef, pwd: &PathRef) -> Result<Self> {
        // SAFETY: The task's own view is copied under its lock; the copy is
        // ours, and takes references of its own to the paths.
        unsafe {
            let fs = bindings::copy_fs_struct((*task::current_ptr()).fs);
            if fs.is_null() {
                return Err(ENOMEM);
            }
            (*fs).umask = umask as i32;
            bindings::set_fs_root(fs, root.as_ptr());
            bindings::set_fs_pwd(fs, pwd.as_ptr());
            Ok(Self(fs))
        }
    }

    /// Makes it the view of the current task. Cannot fail.
    pub(crate) fn commit(mut self) {
        let new = core::mem::replace(&mut self.0, core::ptr::null_mut());
        // SAFETY: The call exchanges the pointers under the task lock and
        // returns the old view if this task was its last user.
        unsafe {
            let old = bindings::switch_fs_struct(new);
            if !old.is_null() {
                bindings::free_fs_struct(old);
            }
        }
    }
}

impl Drop for NewFs {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: The view was never in use.
            unsafe { bindings::free_fs_struct(self.0) };
        }
    }
}

/// The next open descriptor of the current task at or behind `fd`.
pub(crate) fn next_fd(fd: u32) -> Option<(u32, FileRef, bool)> {
    let mut fd = fd;
    // SAFETY: The table of the current task; the call takes a reference to
    // the file, which we adopt.
    unsafe {
        let file = bindings::fget_task_next(task::current_ptr(), &mut fd);
        let file = file::adopt(file)?;
        Some((fd, file, bindings::get_close_on_exec(fd)))
    }
}

/// A new, empty descriptor table in place of the task's, with a way back.
///
/// # Invariants
///
/// `old` is the table that the task had, and the value owns the task's
/// reference to it. The task's table is `new`, which nobody else has.
pub(crate) struct NewFiles {
    old: *mut bindings::files_struct,
    new: *mut bindings::files_struct,
}

fn switch(files: *mut bindings::files_struct) {
    let tsk = task::current_ptr();
    // SAFETY: The pointer is changed under the task lock, as unshare(2) does.
    unsafe {
        bindings::ckpt_task_lock(tsk);
        (*tsk).files = files;
        bindings::ckpt_task_unlock(tsk);
    }
}

impl NewFiles {
    /// Puts an empty table in place.
    pub(crate) fn begin() -> Result<Self> {
        let old = task::files_ptr();
        // SAFETY: A copy of a table without entries, which is ours.
        let new = kernel::error::from_err_ptr(unsafe { bindings::ckpt_new_files() })?;
        switch(new);
        Ok(Self { old, new })
    }

    /// The file behind a descriptor of the old table.
    pub(crate) fn old_file(&self, fd: u32) -> Option<FileRef> {
        // The task's pointer goes back for the time of the look: only the
        // task itself opens and closes through it.
        switch(self.old);
        let file = file::fget(fd);
        switch(self.new);
        file
    }

    /// Installs a file in the new table.
    ///
    /// # Errors
    ///
    /// EBADF when the number is above the limit; ENOMEM.
    pub(crate) fn install(&self, fd: u32, file: &FileRef, cloexec: bool) -> Result {
        let flags = if cloexec { bindings::O_CLOEXEC } else { 0 };
        // SAFETY: Acts on the task's table, which is the new one; takes a
        // reference of its own to the file.
        to_result(unsafe { bindings::replace_fd(fd, file.as_ptr(), flags) })
    }

    /// Closes the old table. Cannot fail.
    pub(crate) fn commit(mut self) {
        let old = core::mem::replace(&mut self.old, core::ptr::null_mut());
        // SAFETY: The invariants give us the reference.
        unsafe { bindings::put_files_struct(old) };
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        if self.old.is_null() {
            return;
        }
        switch(self.old);
        // SAFETY: The new table is in use no more, and ours.
        unsafe { bindings::put_files_struct(self.new) };
    }
}
