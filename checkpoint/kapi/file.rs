// SPDX-License-Identifier: GPL-2.0

//! Open files.

use super::inode::Stat;
use super::path::PathRef;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::cred::Credential;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::fs::file::File;
use kernel::fs::file::LocalFile;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// A counted reference to an open file.
pub(crate) type FileRef = ARef<LocalFile>;

/// Takes over a reference that C has handed out.
///
/// # Safety
///
/// `file` is a valid file, and the caller owns one reference to it.
pub(crate) unsafe fn adopt(file: *mut bindings::file) -> Option<FileRef> {
    // SAFETY: By the contract of this function; LocalFile is a transparent
    // wrapper of the C structure.
    NonNull::new(file).map(|file| unsafe { ARef::from_raw(file.cast()) })
}

/// The file behind a descriptor of the current task.
pub(crate) fn fget(fd: u32) -> Option<FileRef> {
    LocalFile::fget(fd).ok()
}

/// The address of the open file: its identity while a reference is held.
pub(crate) fn identity(file: &FileRef) -> usize {
    file.as_ptr() as usize
}

/// Does a process serve the file system? It may stand still.
pub(crate) fn is_served_elsewhere(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file.
    unsafe { bindings::ckpt_file_in_user_space(file.as_ptr()) }
}

/// May the current task open the file for reading, as in /proc/self/fd?
pub(crate) fn may_open_for_reading(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file.
    unsafe { bindings::ckpt_file_permission(file.as_ptr(), bindings::MAY_READ as c_int) == 0 }
}

/// A reference that is handed from task to task.
pub(crate) struct Kept(ARef<File>);

impl Kept {
    /// One more reference to a file.
    pub(crate) fn new(file: &FileRef) -> Self {
        // SAFETY: The reference is one of its own: neither this system call, nor the way on
        // which a task stands still, has taken any with fdget_pos().
        Self(unsafe { LocalFile::assume_no_fdget_pos(file.clone()) })
    }

    /// The file, for the current task.
    pub(crate) fn get(&self) -> FileRef {
        FileRef::from(&**self.0)
    }
}

fn mode(file: &FileRef) -> u32 {
    // SAFETY: The reference keeps the file; f_mode does not change after open
    // in the bits looked at here.
    unsafe { (*file.as_ptr()).f_mode }
}

const FMODE_READ: u32 = 1;
const FMODE_WRITE: u32 = 2;

/// Opened for reading.
pub(crate) fn may_read(file: &FileRef) -> bool {
    mode(file) & FMODE_READ != 0
}

/// Opened for writing.
pub(crate) fn may_write(file: &FileRef) -> bool {
    mode(file) & FMODE_WRITE != 0
}

/// Flags as open(2) has got them. Of a mapped file the one below may be all that there is
/// where a file system is over others: nobody has asked for its access times to stay, and who
/// does not own it could not.
pub(crate) fn flags(file: &FileRef) -> u32 {
    // SAFETY: The reference keeps the file; a flag that fcntl changes in this
    // moment is read old or new.
    unsafe {
        let hidden = if bindings::ckpt_file_is_backing(file.as_ptr()) {
            bindings::O_NOATIME
        } else {
            0
        };
        (*file.as_ptr()).f_flags & !hidden
    }
}

/// Position in bytes.
pub(crate) fn position(file: &LocalFile) -> i64 {
    // SAFETY: The reference keeps the file; the position is one word.
    unsafe { (*file.as_ptr()).f_pos }
}

/// Changes the flags that fcntl(F_SETFL) can change. Asks for no rights: the file was
/// opened with the flags that need them.
pub(crate) fn set_flags(file: &FileRef, clear: u32, set: u32) {
    // SAFETY: The reference keeps the file. Whoever has it, too, changes the flags under
    // the same lock, which is not held for longer and allows no sleep.
    unsafe {
        bindings::ckpt_file_lock(file.as_ptr());
        let flags = &raw mut (*file.as_ptr()).f_flags;
        flags.write_volatile(*flags & !clear | set);
        bindings::ckpt_iocb_flags(file.as_ptr());
        bindings::ckpt_file_unlock(file.as_ptr());
    }
}

/// References to the open file, also ours.
pub(crate) fn references(file: &FileRef) -> u64 {
    // SAFETY: The reference keeps the file; the counter is one word.
    let count = unsafe { bindings::ckpt_file_references(file.as_ptr()) };
    count.max(0) as u64
}

/// Closes a file whose last reference this is, before the task goes on.
pub(crate) fn close(file: FileRef) {
    // SAFETY: The reference is ours, and handed over. The current task holds no lock.
    unsafe { bindings::__fput_sync(ARef::into_raw(file).as_ptr().cast()) };
}

/// A signal is sent on I/O (F_SETOWN).
pub(crate) fn has_owner(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file; what is looked at are single words.
    unsafe { bindings::ckpt_file_has_owner(file.as_ptr()) }
}

/// May the current task execute this file?
pub(crate) fn may_execute(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file.
    unsafe { bindings::ckpt_may_exec(file.as_ptr()) == 0 }
}

/// Could execve(2) have made it the program's file? It keeps no script, and no other data.
pub(crate) fn is_program(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file, which was opened for reading.
    may_read(file) && unsafe { bindings::ckpt_file_is_elf(file.as_ptr()) }
}

/// Is it a terminal that was hung up since it was opened?
pub(crate) fn is_hung_up(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file.
    unsafe { bindings::ckpt_file_is_hung_up(file.as_ptr()) }
}

/// May the current task search this directory?
pub(crate) fn may_search(dir: &FileRef) -> bool {
    // SAFETY: The reference keeps the file.
    unsafe { bindings::ckpt_may_search(dir.as_ptr()) == 0 }
}

/// Is it mapped below an overlay in which it was copied since, and is the copy, of which
/// stat(2) tells, another one by size or time?
pub(crate) fn is_left_below(file: &FileRef, st: &Stat) -> bool {
    let (sec, nsec) = st.mtime;
    // SAFETY: The reference keeps the file, its inode and its path.
    unsafe { bindings::ckpt_file_is_left_below(file.as_ptr(), st.size, sec, nsec) }
}

/// Writes the contents of a file back, as fdatasync(2) does.
///
/// Not where a user process serves the file system: it may stand still.
///
/// # Errors
///
/// Those of fdatasync(2). The next one of the program gets them, too.
pub(crate) fn write_back(file: &FileRef) -> Result {
    // SAFETY: The reference keeps the file and its inode. The word that remembers which
    // errors were told is written under the file's lock, as fsync(2) does, and that of the
    // inode by compare-and-exchange.
    unsafe {
        if is_served_elsewhere(file) {
            return Ok(());
        }
        let told = bindings::ckpt_file_wb_err(file.as_ptr());
        let unseen = bindings::ckpt_file_unseen_wb_err(file.as_ptr());
        // Errors from long ago, which nobody was told yet by this file, do not count here.
        let _ = bindings::file_check_and_advance_wb_err(file.as_ptr());
        let done = to_result(bindings::vfs_fsync(file.as_ptr(), 1));
        bindings::ckpt_file_set_wb_err(file.as_ptr(), told);
        if unseen != 0 && done.is_ok() {
            // That was no program: whoever opens it next is still to be told.
            bindings::ckpt_file_renew_wb_err(file.as_ptr(), unseen);
        }
        match done {
            // A file system that has nothing to write back.
            Err(EINVAL) => Ok(()),
            done => done,
        }
    }
}

/// Has writing back failed of which the program would be told by the next fsync(2)?
pub(crate) fn has_untold_error(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file and its pages; two words that may change.
    unsafe { bindings::ckpt_file_untold_wb_err(file.as_ptr()) != 0 }
}

/// Sets the position as lseek(2) does, with the checks of the file system.
///
/// A directory has no other user: it was just opened, and is in no table yet.
pub(crate) fn seek(file: &FileRef, pos: i64) -> Result {
    // SAFETY: The reference keeps the file. Two that set the position of a regular file
    // each store one word, so that its lock, which may be held for as long as somebody
    // reads, is not waited for.
    let at = unsafe { bindings::vfs_llseek(file.as_ptr(), pos, bindings::SEEK_SET as i32) };
    if at == pos {
        Ok(())
    } else {
        Err(to_result(at as i32).err().unwrap_or(EINVAL))
    }
}

/// Opens `name` below `root`, with all checks, as the current task. No symbolic link is
/// followed: the names of an image have none.
///
/// # Errors
///
/// ELOOP where there is a symbolic link; EINVAL for a name with a zero byte; EFTYPE for what
/// is no file, where only a `regular` one is wanted: that is not opened; those of openat2(2).
pub(crate) fn open(
    root: &super::path::PathRef,
    name: &[u8],
    flags: u32,
    regular: bool,
) -> Result<FileRef> {
    let text = super::path::terminated(name)?;
    let name = CStr::from_bytes_with_nul(&text).map_err(|_| EINVAL)?;
    // SAFETY: `root` holds its references, `name` is a string; the result is
    // a file with one reference, or an error.
    unsafe {
        let file = from_err_ptr(bindings::ckpt_open_root(
            root.as_ptr(),
            name.as_char_ptr(),
            flags as i32,
            regular,
        ))?;
        adopt(file).ok_or(EBADF)
    }
}

/// Opens what is at `path` as somebody else. The rights of that one are not looked at, but by
/// those who look at who opens: the current task shows its own by another way.
///
/// Whoever asks a file who has opened it, when it is opened or later, is told of `opener`.
pub(crate) fn open_as(path: &PathRef, flags: u32, opener: &Credential) -> Result<FileRef> {
    // SAFETY: The references keep the path and the credentials; the result is a file with
    // one reference, or an error.
    unsafe {
        let file = from_err_ptr(bindings::dentry_open(
            path.as_ptr(),
            flags as i32,
            opener.as_ptr(),
        ));
        // For callers of the kernel that look the path up again.
        let file = file.map_err(|errno| if errno == EOPENSTALE { ESTALE } else { errno })?;
        adopt(file).ok_or(EBADF)
    }
}
