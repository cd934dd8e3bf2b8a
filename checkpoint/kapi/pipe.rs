// SPDX-License-Identifier: GPL-2.0

//! Pipes and FIFOs: what is in them, and new ones.
//!
//! Locking: everything in a pipe is read and changed under its mutex, which is
//! held for one buffer or one look at a time, never while an image is read or
//! written.

use super::file;
use super::file::FileRef;
use super::path;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// Bytes of a page.
const PAGE: usize = 4096;

/// A pipe, by one of its ends.
pub(crate) struct Pipe<'a> {
    end: &'a FileRef,
    info: *mut bindings::pipe_inode_info,
}

/// What a pipe is, without its contents.
pub(crate) struct State {
    /// Capacity in pages.
    pub(crate) slots: u32,
    /// Buffers in use.
    pub(crate) used: u32,
    /// Open files that read.
    pub(crate) readers: u32,
    /// Open files that write.
    pub(crate) writers: u32,
    /// Open files.
    pub(crate) files: u32,
}

/// One buffer, without its bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Buffer {
    /// Where its bytes start in their page.
    pub(crate) offset: u32,
    /// Their number.
    pub(crate) len: u32,
    /// One read takes it, and nothing behind it.
    pub(crate) packet: bool,
    /// The next write may add to it.
    pub(crate) merge: bool,
}

/// The mutex of a pipe, held.
struct Locked(*mut bindings::pipe_inode_info);

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: The value exists while the mutex is held.
        unsafe { bindings::ckpt_pipe_unlock(self.0) };
    }
}

impl<'a> Pipe<'a> {
    /// The pipe of an open file, if it is an end of one.
    pub(crate) fn of(end: &'a FileRef) -> Option<Self> {
        // SAFETY: The reference keeps the file, and the file its pipe.
        let info = unsafe { bindings::get_pipe_info(end.as_ptr(), false) };
        (!info.is_null()).then_some(Self { end, info })
    }

    /// Its address: its identity as long as one of its ends is open.
    pub(crate) fn identity(&self) -> usize {
        self.info as usize
    }

    /// It has no name in a file system.
    pub(crate) fn is_anonymous(&self) -> bool {
        // SAFETY: The reference keeps the file, its inode and the file system.
        unsafe {
            let inode = bindings::ckpt_file_inode(self.end.as_ptr());
            (*(*inode).i_sb).s_magic == bindings::PIPEFS_MAGIC as c_ulong
        }
    }

    /// The kernel writes notifications to it.
    pub(crate) fn has_notifications(&self) -> bool {
        // SAFETY: The end keeps the pipe; the pointer is set at its creation.
        unsafe { bindings::ckpt_pipe_notifies(self.info) }
    }

    fn lock(&self) -> Result<Locked> {
        // SAFETY: The end keeps the pipe.
        to_result(unsafe { bindings::ckpt_pipe_lock(self.info) })?;
        Ok(Locked(self.info))
    }

    /// See [`State`].
    ///
    /// # Errors
    ///
    /// EINTR when the task is killed.
    pub(crate) fn state(&self) -> Result<State> {
        let _locked = self.lock()?;
        // SAFETY: The mutex of the pipe is held; `files` is one word.
        unsafe {
            let info = &*self.info;
            Ok(State {
                slots: info.ring_size,
                used: bindings::ckpt_pipe_used(self.info),
                readers: info.readers,
                writers: info.writers,
                files: info.files,
            })
        }
    }

    /// Copies the buffer `nr` to the start of `to`, which has room for a page.
    ///
    /// # Errors
    ///
    /// ENODATA when there is none, EOPNOTSUPP when it is not within a page; those of
    /// the file system that a page was spliced from.
    pub(crate) fn copy(&self, nr: u32, to: &mut [u8]) -> Result<Buffer> {
        let _locked = self.lock()?;
        // SAFETY: The mutex of the pipe is held: the buffer stays, and with it its
        // page. The page has `offset + len` bytes, and `to` has room for them.
        unsafe {
            let buf = bindings::ckpt_pipe_buf(self.info, nr);
            if buf.is_null() {
                return Err(ENODATA);
            }
            to_result(bindings::ckpt_pipe_confirm(self.info, buf))?;
            let (offset, len) = ((*buf).offset, (*buf).len);
            let end = u64::from(offset).saturating_add(len.into());
            let to = to.get_mut(..len as usize).ok_or(EOPNOTSUPP)?;
            if end > PAGE as u64 {
                return Err(EOPNOTSUPP);
            }
            bindings::ckpt_copy_page(
                to.as_mut_ptr().cast(),
                (*buf).page,
                offset as usize,
                to.len(),
            );
            Ok(Buffer {
                offset,
                len,
                packet: (*buf).flags & bindings::PIPE_BUF_FLAG_PACKET != 0,
                merge: (*buf).flags & bindings::PIPE_BUF_FLAG_CAN_MERGE != 0,
            })
        }
    }

    /// Sets the capacity, with the rules of F_SETPIPE_SZ.
    ///
    /// # Errors
    ///
    /// EPERM above the caller's limits, EBUSY, ENOMEM.
    pub(crate) fn resize(&self, slots: u32) -> Result {
        let bytes = slots.checked_mul(PAGE as u32).ok_or(EINVAL)?;
        // SAFETY: The reference keeps the file; the call takes the mutex.
        let done =
            unsafe { bindings::pipe_fcntl(self.end.as_ptr(), bindings::F_SETPIPE_SZ, bytes) };
        to_result(done.min(0) as i32)
    }

    /// Writes one buffer, of at most a page, as a packet: nothing is added to it yet.
    /// The end writes packets and does not block.
    ///
    /// # Errors
    ///
    /// EAGAIN when the pipe is full, ENOMEM.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result {
        let mut pos = 0;
        // SAFETY: The reference keeps the file, which is open for writing; the slice
        // is only read.
        let done = unsafe {
            bindings::kernel_write(
                self.end.as_ptr(),
                bytes.as_ptr().cast(),
                bytes.len(),
                &mut pos,
            )
        };
        match usize::try_from(done) {
            Ok(done) if done == bytes.len() => Ok(()),
            Ok(_) => Err(EAGAIN),
            Err(_) => to_result(done as i32),
        }
    }

    /// Gives buffers that were just written their places and flags.
    ///
    /// # Errors
    ///
    /// EBUSY when the pipe holds others.
    pub(crate) fn mark(&self, buffers: &[Buffer]) -> Result {
        let _locked = self.lock()?;
        for (nr, mark) in buffers.iter().enumerate() {
            // SAFETY: The mutex of the pipe is held; the page was allocated by the
            // write and is the pipe's own, so that further bytes may be added.
            unsafe {
                let buf = bindings::ckpt_pipe_buf(self.info, nr as u32);
                if buf.is_null()
                    || (*buf).offset != 0
                    || (*buf).len != mark.offset.saturating_add(mark.len)
                {
                    return Err(EBUSY);
                }
                (*buf).offset = mark.offset;
                (*buf).len = mark.len;
                (*buf).flags = if mark.packet {
                    bindings::PIPE_BUF_FLAG_PACKET
                } else if mark.merge {
                    bindings::PIPE_BUF_FLAG_CAN_MERGE
                } else {
                    0
                };
            }
        }
        Ok(())
    }

    /// This end of a FIFO reads, and nobody has opened it for writing since.
    pub(crate) fn waits_for_writer(&self) -> bool {
        // SAFETY: The reference keeps the file and its pipe; both are words that
        // change when an end is opened.
        unsafe { bindings::ckpt_pipe_unseen(self.end.as_ptr(), self.info) }
    }

    /// From now on nobody has opened it for writing.
    pub(crate) fn wait_for_writer(&self) {
        // SAFETY: As above; no descriptor of a running task refers to this end yet.
        unsafe { bindings::ckpt_pipe_set_unseen(self.end.as_ptr(), self.info) };
    }

    /// Opens one more end of a pipe without a name, with the rights that opening it
    /// through /proc needs.
    ///
    /// # Errors
    ///
    /// EACCES, ENFILE, ENOMEM.
    pub(crate) fn open(&self, access: u32) -> Result<FileRef> {
        // SAFETY: The reference keeps the file and its path; the result is a file
        // with one reference, or an error.
        unsafe {
            to_result(bindings::ckpt_may_open(self.end.as_ptr(), access as i32))?;
            let end = from_err_ptr(bindings::ckpt_reopen(self.end.as_ptr(), access as i32))?;
            file::adopt(end).ok_or(EBADF)
        }
    }

    /// Owner and group, as the task sees them.
    pub(crate) fn owner(&self) -> (u32, u32) {
        // SAFETY: The reference keeps the file and its inode.
        unsafe {
            let inode = bindings::ckpt_file_inode(self.end.as_ptr());
            let ns = bindings::ckpt_user_ns();
            (
                bindings::from_kuid_munged(ns, (*inode).i_uid),
                bindings::from_kgid_munged(ns, (*inode).i_gid),
            )
        }
    }

    /// Changes owner and group, with the rules of chown(2).
    pub(crate) fn set_owner(&self, uid: u32, gid: u32) -> Result {
        let path = path::PathRef::of(self.end);
        // SAFETY: The location is held.
        to_result(unsafe { bindings::ckpt_chown(path.as_ptr(), uid, gid) })
    }

    /// Changes permissions, with the rules of chmod(2).
    pub(crate) fn set_mode(&self, mode: u16) -> Result {
        let path = path::PathRef::of(self.end);
        // SAFETY: The location is held.
        to_result(unsafe { bindings::ckpt_chmod(path.as_ptr(), mode) })
    }
}

/// A new pipe, with the limits of the current task: the end that reads, and the
/// end that writes.
///
/// # Errors
///
/// ENFILE, ENOMEM.
pub(crate) fn create() -> Result<[FileRef; 2]> {
    let mut ends = [core::ptr::null_mut(); 2];
    // SAFETY: The call stores two files with one reference each, or fails.
    unsafe {
        to_result(bindings::create_pipe_files(ends.as_mut_ptr(), 0))?;
        let [read, write] = ends.map(|end| file::adopt(end));
        Ok([read.ok_or(EBADF)?, write.ok_or(EBADF)?])
    }
}
