// SPDX-License-Identifier: GPL-2.0

//! The file that an image goes to or comes from.

use crate::kapi::file::position;
use crate::kapi::file::FileRef;
use crate::kapi::pages::PageBatch;
use kernel::bindings;
use kernel::error::to_result;
use kernel::fs::file::File;
use kernel::fs::file::LocalFile;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// Sets the position of the file that an image goes to or comes from. Others may have
/// the open file: as read(2) and write(2) of theirs would do without a lock, the last
/// one wins.
fn set_position(file: &LocalFile, pos: i64) {
    // SAFETY: The reference keeps the file. The position is one word, written at once;
    // whoever else moves it by lseek(2) or read(2) finds the old or the new one.
    unsafe { (&raw mut (*file.as_ptr()).f_pos).write_volatile(pos) };
}

/// The file ends where more is wanted: an error that no read returns, unlike EIO.
pub(crate) const END: Error = ETOOSMALL;

fn kvec(base: *mut u8, len: usize) -> bindings::kvec {
    bindings::kvec {
        iov_base: base.cast(),
        iov_len: len,
    }
}

/// A file that an image goes to or comes from.
///
/// Keeps the position as read(2) and write(2) do, and never accepts less than
/// was asked for.
#[derive(Clone)]
pub(crate) struct ImageFile {
    file: ARef<File>,
}

/// RWF_NOSIGNAL, a macro with a cast.
const RWF_NOSIGNAL: bindings::rwf_t = 0x100;

impl ImageFile {
    /// Wraps a file that was opened for the direction in question.
    pub(crate) fn new(file: FileRef) -> Self {
        // SAFETY: The reference is one of its own, from fget(): this system call
        // has not taken any with fdget_pos().
        let file = unsafe { LocalFile::assume_no_fdget_pos(file) };
        Self { file }
    }

    fn advance(&self, done: isize, pos: i64) -> Result<usize> {
        if done < 0 {
            let errno = to_result(done as i32).err().unwrap_or(EIO);
            // A restarted call would begin the image anew.
            let interrupted = [
                ERESTARTSYS,
                ERESTARTNOINTR,
                ERESTARTNOHAND,
                ERESTART_RESTARTBLOCK,
            ];
            return Err(if interrupted.contains(&errno) {
                EINTR
            } else {
                errno
            });
        }
        // SAFETY: The reference keeps the file.
        if !unsafe { bindings::ckpt_file_is_stream(self.file.as_ptr()) } {
            set_position(&self.file, pos);
        }
        Ok(done as usize)
    }

    /// Writes all of `bytes`.
    pub(crate) fn write_all(&self, bytes: &[u8]) -> Result {
        self.write(bytes, 0)
    }

    /// Writes lines of a log. When nobody reads it any more, no SIGPIPE is sent: the
    /// program would get that which is restarted, or the caller whose restart failed.
    pub(crate) fn write_log(&self, lines: &[u8]) -> Result {
        self.write(lines, RWF_NOSIGNAL)
    }

    fn write(&self, mut bytes: &[u8], flags: bindings::rwf_t) -> Result {
        while !bytes.is_empty() {
            let mut pos = position(&self.file);
            let vec = kvec(bytes.as_ptr().cast_mut(), bytes.len());
            let mut iter = bindings::iov_iter::default();
            // SAFETY: The file is open for writing; the slice is valid, and
            // only read.
            let done = unsafe {
                let source = bindings::ITER_SOURCE;
                bindings::iov_iter_kvec(&mut iter, source, &vec, 1, bytes.len());
                bindings::vfs_iter_write(self.file.as_ptr(), &mut iter, &mut pos, flags)
            };
            let done = self.advance(done, pos)?;
            if done == 0 {
                return Err(EIO);
            }
            bytes = bytes.get(done..).ok_or(EIO)?;
            super::sched::breathe()?;
        }
        Ok(())
    }

    /// Is it a regular file, of which more can be read than is used?
    pub(crate) fn is_regular(&self) -> bool {
        // SAFETY: The reference keeps the file and its inode, whose type does
        // not change.
        unsafe {
            let inode = bindings::ckpt_file_inode(self.file.as_ptr());
            u32::from((*inode).i_mode) & bindings::S_IFMT == bindings::S_IFREG
                && !bindings::ckpt_file_is_stream(self.file.as_ptr())
        }
    }

    /// Moves the position of a regular file back over bytes that were read.
    pub(crate) fn rewind(&self, bytes: usize) {
        // Whoever shares the file may have moved it meanwhile: never below 0.
        let pos = position(&self.file).saturating_sub(bytes as i64);
        set_position(&self.file, pos.max(0));
    }

    /// How far the position is from the next multiple of `align`.
    pub(crate) fn to_boundary(&self, align: usize) -> usize {
        let pos = position(&self.file) as usize;
        align.saturating_sub(pos.checked_rem(align).unwrap_or(0))
    }

    /// Fills all of `buf`; [`END`] when the file ends before.
    pub(crate) fn read_exact(&self, mut buf: &mut [u8]) -> Result {
        while !buf.is_empty() {
            let done = self.read_some(buf)?;
            if done == 0 {
                return Err(END);
            }
            buf = buf.get_mut(done..).ok_or(EIO)?;
        }
        super::sched::breathe()
    }

    /// Reads once; returns the number of bytes, 0 at the end.
    pub(crate) fn read_some(&self, buf: &mut [u8]) -> Result<usize> {
        let mut pos = position(&self.file);
        let vec = kvec(buf.as_mut_ptr(), buf.len());
        let mut iter = bindings::iov_iter::default();
        // SAFETY: The file is open for reading; the slice is valid.
        let done = unsafe {
            let dest = bindings::ITER_DEST;
            bindings::iov_iter_kvec(&mut iter, dest, &vec, 1, buf.len());
            bindings::vfs_iter_read(self.file.as_ptr(), &mut iter, &mut pos, 0)
        };
        self.advance(done, pos)
    }

    /// Writes the contents of pages; one copy, made by the file system.
    pub(crate) fn write_pages(&self, pages: &PageBatch) -> Result {
        pages.transfer(true, |iter| {
            let mut pos = position(&self.file);
            // SAFETY: The file is open for writing; `iter` describes pages
            // that the batch holds references to.
            let done = unsafe { bindings::vfs_iter_write(self.file.as_ptr(), iter, &mut pos, 0) };
            self.advance(done, pos)
        })
    }

    /// Fills pages; one copy, made by the file system.
    pub(crate) fn read_pages(&self, pages: &PageBatch) -> Result {
        pages.transfer(false, |iter| {
            let mut pos = position(&self.file);
            // SAFETY: The file is open for reading; `iter` describes pages
            // that the batch holds references to.
            let done = unsafe { bindings::vfs_iter_read(self.file.as_ptr(), iter, &mut pos, 0) };
            match self.advance(done, pos) {
                Ok(0) => Err(END),
                done => done,
            }
        })
    }
}
