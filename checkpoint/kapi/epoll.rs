// SPDX-License-Identifier: GPL-2.0

//! epoll: what it watches, and new ones.
//!
//! The functions that are called were opened for this: they take the mutex of the
//! epoll.

use super::file;
use super::file::FileRef;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// A file that an epoll watches.
pub(crate) struct Entry {
    /// The file.
    pub(crate) file: FileRef,
    /// The descriptor that it was added by.
    pub(crate) fd: u32,
    /// Events and flags.
    pub(crate) events: u32,
    /// What epoll_wait(2) tells.
    pub(crate) data: u64,
}

impl Entry {
    fn key(&self) -> bindings::epoll_key {
        bindings::epoll_key {
            file: self.file.as_ptr(),
            fd: self.fd as c_int,
        }
    }
}

/// EPOLLWAKEUP: keeps the machine awake while an event is handled.
pub(crate) const WAKEUP: u32 = 1 << 29;

/// Is it an epoll?
pub(crate) fn is_one(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file, whose operations do not change.
    unsafe { bindings::is_file_epoll(file.as_ptr()) }
}

/// The entry behind `last`, or the first one; `None` at the end.
///
/// # Errors
///
/// EOPNOTSUPP when it polls devices busily; EXDEV for a signalfd that was added by
/// another process than the current one; EINTR.
pub(crate) fn next(epoll: &FileRef, last: Option<&Entry>) -> Result<Option<Entry>> {
    let mut key = last.map_or(bindings::epoll_key::default(), Entry::key);
    let mut event = bindings::epoll_event::default();
    // SAFETY: The references keep both files; what is filled in is ours.
    let found = unsafe { bindings::eventpoll_next(epoll.as_ptr(), &mut key, &mut event) };
    to_result(found)?;
    if found == 0 {
        return Ok(None);
    }
    // SAFETY: An entry was found: its file has one more reference, which is ours.
    let file = unsafe { file::adopt(key.file) }.ok_or(EBADF)?;
    Ok(Some(Entry {
        file,
        fd: key.fd as u32,
        events: event.events,
        data: event.data,
    }))
}

/// A new epoll, which watches nothing.
///
/// # Errors
///
/// ENFILE, ENOMEM.
pub(crate) fn new() -> Result<FileRef> {
    // SAFETY: The result is a file with one reference, or an error.
    unsafe {
        let file = from_err_ptr(bindings::eventpoll_new_file(0))?;
        file::adopt(file).ok_or(EBADF)
    }
}

/// Has an epoll watch one more file.
///
/// # Errors
///
/// Those of epoll_ctl(2): EEXIST, EINVAL, ELOOP, ENOMEM, ENOSPC, EPERM.
pub(crate) fn add(epoll: &FileRef, entry: &Entry) -> Result {
    let event = bindings::epoll_event {
        events: entry.events,
        data: entry.data,
    };
    // SAFETY: The references keep both files. The first one is an epoll, whose mutex the
    // call takes, as epoll_ctl(2) does: the files that it watches may be others' as well.
    // What is pointed to is only read, but for the key, which is ours.
    to_result(unsafe { bindings::eventpoll_add(epoll.as_ptr(), &mut entry.key(), &event) })
}
