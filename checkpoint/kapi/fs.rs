// SPDX-License-Identifier: GPL-2.0

//! File system view and descriptor table of the current task, and new ones
//! aside.

use super::file;
use super::file::FileRef;
use super::path::PathRef;
use super::sharing::Table;
use super::sharing::View;
use super::task;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// File mode creation mask.
pub(crate) fn umask() -> u32 {
    // SAFETY: The task keeps its view; the mask is one word.
    unsafe { (*(*task::current_ptr()).fs).umask as u32 }
}

/// A new file system view in place of the task's, with a way back.
///
/// # Invariants
///
/// `old` is the view that the task had, and the value owns one use of it.
pub(crate) struct NewFs {
    old: *mut bindings::fs_struct,
}

/// Makes a view that of the current task, which gives up its use of the former one.
///
/// # Safety
///
/// A use of `new` is handed over.
unsafe fn exchange(new: *mut bindings::fs_struct) {
    // SAFETY: By the contract. The call exchanges the pointers under the task lock and
    // returns the former view if nobody else uses it.
    unsafe {
        let former = bindings::switch_fs_struct(new);
        if !former.is_null() {
            bindings::free_fs_struct(former);
        }
    }
}

impl NewFs {
    /// Puts a view with this mask, root and current directory in place. Threads that
    /// are made from here on have it, too.
    pub(crate) fn begin(umask: u32, root: &PathRef, pwd: &PathRef) -> Result<Self> {
        // SAFETY: The task's own view is copied under its lock; the copy is
        // ours, and takes references of its own to the paths. The use of the old one
        // that is taken here keeps it for the way back.
        unsafe {
            let old = (*task::current_ptr()).fs;
            let new = bindings::copy_fs_struct(old);
            if new.is_null() {
                return Err(ENOMEM);
            }
            (*new).umask = umask as i32;
            bindings::set_fs_root(new, root.as_ptr());
            bindings::set_fs_pwd(new, pwd.as_ptr());
            bindings::ckpt_fs_get(old);
            exchange(new);
            Ok(Self { old })
        }
    }

    /// Puts the view of another task in place.
    pub(crate) fn join(view: &View) -> Self {
        // SAFETY: Only the current task changes its pointer. The use of the old view that
        // is taken here keeps it for the way back.
        unsafe {
            let old = (*task::current_ptr()).fs;
            bindings::ckpt_fs_get(old);
            exchange(view.take());
            Self { old }
        }
    }

    /// There is no way back any more. Cannot fail.
    pub(crate) fn commit(mut self) {
        let old = core::mem::replace(&mut self.old, core::ptr::null_mut());
        // SAFETY: The invariants give us the use.
        unsafe { bindings::ckpt_fs_put(old) };
    }
}

impl Drop for NewFs {
    fn drop(&mut self) {
        if !self.old.is_null() {
            // SAFETY: The invariants give us the use, which the task takes over.
            unsafe { exchange(self.old) };
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

/// Another descriptor table in place of the task's, with a way back.
///
/// # Invariants
///
/// `old` is the table that the task had, and the value owns the task's
/// reference to it; it is null where there is no way back. The task's table is `new`: who
/// may trace the task can look into it (under the task lock) and take files out of it by
/// pidfd_getfd(2), while it is still being filled.
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

/// The file behind a descriptor of a table, unless execve(2) would close that.
pub(crate) fn file_of(table: &Table, fd: u32) -> Option<FileRef> {
    // The task's pointer changes for the time of the look: only the task itself opens
    // and closes through it.
    let own = task::files_ptr();
    switch(table.as_ptr());
    // SAFETY: Looks into the table of the current task, at a descriptor that was open there:
    // the table is as large, and none shrinks, whoever shares it.
    let file = file::fget(fd).filter(|_| !unsafe { bindings::get_close_on_exec(fd) });
    switch(own);
    file
}

/// A process that is born for a restart closes what it was born with, as long as nobody else
/// waits for it; if there is no memory for that, it does so when it is built.
pub(crate) fn close_inherited() {
    if let Ok(files) = NewFiles::begin(false) {
        drop(files.commit());
    }
}

impl NewFiles {
    /// Puts an empty table in place, with a way back or without: see [`super::mmswitch`].
    pub(crate) fn begin(goes_back: bool) -> Result<Self> {
        let old = task::files_ptr();
        // SAFETY: A copy of a table without entries, which is ours.
        let new = kernel::error::from_err_ptr(unsafe { bindings::ckpt_new_files() })?;
        switch(new);
        Ok(Self { old, new }.only(goes_back))
    }

    /// Puts the table of another task in place, with a way back or without.
    pub(crate) fn join(table: &Table, goes_back: bool) -> Self {
        let old = task::files_ptr();
        let new = table.take();
        switch(new);
        Self { old, new }.only(goes_back)
    }

    /// Closes the old table at once unless the task goes back to it when it fails.
    fn only(mut self, goes_back: bool) -> Self {
        if !goes_back {
            drop(OldFiles(core::mem::replace(
                &mut self.old,
                core::ptr::null_mut(),
            )));
        }
        self
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

    /// Gives up the way back; the old table is closed with the result. Cannot fail.
    pub(crate) fn commit(mut self) -> OldFiles {
        OldFiles(core::mem::replace(&mut self.old, core::ptr::null_mut()))
    }
}

/// The table that a task had, if there is one, for which nobody else waits. To close files
/// may wait for those who serve them, which nobody can end.
///
/// # Invariants
///
/// The value owns a reference to the table, unless that is null; no task of ours uses it.
#[must_use]
pub(crate) struct OldFiles(*mut bindings::files_struct);

impl Drop for OldFiles {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: The invariants give us the reference.
            unsafe { bindings::put_files_struct(self.0) };
        }
    }
}

impl Drop for NewFiles {
    fn drop(&mut self) {
        if self.old.is_null() {
            return;
        }
        switch(self.old);
        // SAFETY: The task's reference to the new table, which it gives up.
        unsafe { bindings::put_files_struct(self.new) };
    }
}
