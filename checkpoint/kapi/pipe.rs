// SPDX-License-Identifier: GPL-2.0

//! Pipes and FIFOs: what is in them, and new ones.
//!
//! Locking: everything in a pipe is read and changed under its mutex, which is
//! held for one buffer or one look at a time, never while an image is read or
//! written. A new pipe gets all that it has in one hold: others may have opened
//! a FIFO, and nothing of theirs may come between the buffers of an image.

use super::file;
use super::file::FileRef;
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
    /// See [`Look`].
    pub(crate) look: Look,
}

/// Where a pipe was at a look: as long as it does not change, neither do the contents.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Look {
    /// Buffers that were ever written, and read.
    head_tail: c_ulong,
    /// Start of the first buffer.
    offset: u32,
    /// Bytes of the last one, to which a write may add.
    len: u32,
    /// How often an end was opened.
    opened: (u32, u32),
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

/// Buffers on their way into a pipe.
///
/// # Invariants
///
/// Each buffer has a page of its own, whose only reference belongs to the value.
pub(crate) struct Contents {
    bufs: KVVec<bindings::pipe_buffer>,
}

impl Contents {
    /// None.
    pub(crate) fn new() -> Self {
        Self { bufs: KVVec::new() }
    }

    /// Adds a buffer. Its bytes are zeros, which the caller replaces.
    ///
    /// # Errors
    ///
    /// EINVAL when it is not within a page, ENOMEM.
    pub(crate) fn add(&mut self, buffer: &Buffer) -> Result<&mut [u8]> {
        let start = buffer.offset as usize;
        let end = start.checked_add(buffer.len as usize).ok_or(EINVAL)?;
        if end > PAGE {
            return Err(EINVAL);
        }
        self.bufs.reserve(1, GFP_KERNEL_ACCOUNT)?;
        // SAFETY: A page without an owner, or null.
        let page = unsafe { bindings::ckpt_alloc_pipe_page() };
        if page.is_null() {
            return Err(ENOMEM);
        }
        let flags = if buffer.packet {
            bindings::PIPE_BUF_FLAG_PACKET
        } else if buffer.merge {
            bindings::PIPE_BUF_FLAG_CAN_MERGE
        } else {
            0
        };
        // There is room. INVARIANT: The page is a new one.
        let _ = self.bufs.push_within_capacity(bindings::pipe_buffer {
            page,
            offset: buffer.offset,
            len: buffer.len,
            flags,
            ..Default::default()
        });
        // SAFETY: The page is filled with zeros, and every page has an address on x86-64.
        // Nobody else has it, and the value is borrowed as long as the slice is used.
        let bytes = unsafe {
            core::slice::from_raw_parts_mut(bindings::ckpt_page_address(page).cast::<u8>(), PAGE)
        };
        bytes.get_mut(start..end).ok_or(EINVAL)
    }
}

impl Drop for Contents {
    fn drop(&mut self) {
        for buf in &self.bufs {
            // SAFETY: By the invariants the reference is ours.
            unsafe { bindings::ckpt_put_page(buf.page) };
        }
    }
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
        // SAFETY: The mutex of the pipe is held, so that its buffers stay; `files` is one
        // word.
        unsafe {
            let info = &*self.info;
            let used = bindings::ckpt_pipe_used(self.info);
            let first = bindings::ckpt_pipe_buf(self.info, 0);
            let last = bindings::ckpt_pipe_buf(self.info, used.wrapping_sub(1));
            Ok(State {
                slots: info.ring_size,
                used,
                readers: info.readers,
                writers: info.writers,
                files: info.files,
                look: Look {
                    head_tail: bindings::ckpt_pipe_head_tail(self.info),
                    offset: if first.is_null() { 0 } else { (*first).offset },
                    len: if last.is_null() { 0 } else { (*last).len },
                    opened: (info.r_counter, info.w_counter),
                },
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

    /// Gives an empty pipe its contents, if it has `files` open files and no others.
    ///
    /// # Errors
    ///
    /// EBUSY when somebody else has opened or filled it; EINTR when the task is killed.
    pub(crate) fn fill(&self, mut contents: Contents, files: u32) -> Result {
        let nr = u32::try_from(contents.bufs.len()).map_err(|_| EINVAL)?;
        // SAFETY: The end keeps the pipe. By the invariants of the contents nobody else has
        // the pages, and each is there once: the call takes all of them, or none.
        to_result(unsafe { bindings::pipe_fill(self.info, contents.bufs.as_ptr(), nr, files) })?;
        contents.bufs.clear();
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
        // SAFETY: As above. If somebody else polls this end in this moment, it is told the
        // one or the other.
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
