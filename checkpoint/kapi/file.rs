// SPDX-License-Identifier: GPL-2.0

//! Open files: the image's own, and those of the task.

use crate::kapi::pages::PageBatch;
use crate::kapi::socket::Sock;
use core::ptr::NonNull;
use kernel::bindings;
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

/// Open flags, O_*.
pub(crate) fn flags(file: &FileRef) -> u32 {
    // SAFETY: The reference keeps the file; a flag that fcntl changes in this
    // moment is read old or new.
    unsafe { (*file.as_ptr()).f_flags }
}

/// Position in bytes.
pub(crate) fn position(file: &LocalFile) -> i64 {
    // SAFETY: The reference keeps the file; the position is one word.
    unsafe { (*file.as_ptr()).f_pos }
}

/// Sets the position of the file that an image goes to or comes from. Others may have
/// the open file: as read(2) and write(2) of theirs would do without a lock, the last
/// one wins.
fn set_position(file: &LocalFile, pos: i64) {
    // SAFETY: The reference keeps the file. The position is one word, written at once;
    // whoever else moves it by lseek(2) or read(2) finds the old or the new one.
    unsafe { (&raw mut (*file.as_ptr()).f_pos).write_volatile(pos) };
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

/// What stat(2) tells of a file.
pub(crate) struct Stat {
    /// Type and permissions.
    pub(crate) mode: u16,
    /// Size in bytes.
    pub(crate) size: i64,
    /// Inode number.
    pub(crate) ino: u64,
    /// Number of names.
    pub(crate) nlink: u32,
    /// Last change of the contents: seconds and nanoseconds.
    pub(crate) mtime: (i64, u32),
    /// Device number of a device file: major and minor.
    pub(crate) rdev: (u32, u32),
}

/// Attributes of an open file. Without `ask`, what is known here will do: whoever
/// serves the file elsewhere is not waited for.
pub(crate) fn stat(file: &FileRef, ask: bool) -> Result<Stat> {
    let mut st = bindings::kstat::default();
    // SAFETY: The reference keeps the file and with it its path; `st` is ours.
    to_result(unsafe {
        bindings::vfs_getattr(
            bindings::ckpt_file_path(file.as_ptr()),
            &mut st,
            bindings::STATX_BASIC_STATS,
            if ask { 0 } else { bindings::AT_STATX_DONT_SYNC },
        )
    })?;
    Ok(Stat {
        mode: st.mode,
        size: st.size,
        ino: st.ino,
        nlink: st.nlink,
        mtime: (st.mtime.tv_sec, st.mtime.tv_nsec as u32),
        rdev: (st.rdev >> 20, st.rdev & 0xf_ffff),
    })
}

/// The kind of lock that the current task holds on an open file.
///
/// Follows the lists of `struct file_lock_context`: record locks belong to
/// the descriptor table, flock and open-file locks and leases to the file.
pub(crate) fn lock_held(file: &FileRef) -> Option<&'static str> {
    // SAFETY: The reference keeps the file, its inode and the lock context.
    let ctx = unsafe { bindings::ckpt_lock_context(file.as_ptr()) };
    if ctx.is_null() {
        return None;
    }
    let files = super::task::files_ptr().cast::<c_void>();
    let owner = file.as_ptr().cast::<c_void>();
    // SAFETY: As above.
    unsafe { bindings::ckpt_flc_lock(ctx) };
    let mut found = None;
    // SAFETY: The lists are walked under flc_lock, which is held.
    unsafe {
        for (head, what) in [
            (&raw mut (*ctx).flc_posix, "a record lock is held"),
            (&raw mut (*ctx).flc_flock, "a flock lock is held"),
            (&raw mut (*ctx).flc_lease, "a lease is held"),
        ] {
            let mut at = (*head).next;
            while at != head {
                let lock = kernel::container_of!(at, bindings::file_lock_core, flc_list);
                if (*lock).flc_file.cast() == owner || (*lock).flc_owner == files {
                    found = Some(what);
                }
                at = (*at).next;
            }
        }
        bindings::ckpt_flc_unlock(ctx);
    }
    found
}

/// May the current task execute this file?
pub(crate) fn may_execute(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file.
    unsafe { bindings::ckpt_may_exec(file.as_ptr()) == 0 }
}

/// May the current task search this directory?
pub(crate) fn may_search(dir: &FileRef) -> bool {
    // SAFETY: The reference keeps the file.
    unsafe { bindings::ckpt_may_search(dir.as_ptr()) == 0 }
}

/// Is it a file of a control group, of either version?
pub(crate) fn is_cgroup(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file, its inode and the file system.
    let magic = unsafe { (*(*bindings::ckpt_file_inode(file.as_ptr())).i_sb).s_magic };
    magic == bindings::CGROUP_SUPER_MAGIC as c_ulong
        || magic == bindings::CGROUP2_SUPER_MAGIC as c_ulong
}

/// The address of the file's inode: its identity while a reference is held.
pub(crate) fn inode_identity(file: &FileRef) -> usize {
    // SAFETY: The reference keeps the file and its inode.
    unsafe { bindings::ckpt_file_inode(file.as_ptr()) as usize }
}

/// What a file is open on: the same for all that are open on the same.
#[derive(Clone, Copy)]
pub(crate) struct On {
    inode: usize,
    /// A pipe or a FIFO.
    pub(crate) is_pipe: bool,
    /// A socket.
    pub(crate) is_socket: bool,
    /// The address of a local socket, else 0.
    socket: usize,
    /// A terminal, at either end.
    pub(crate) is_terminal: bool,
}

impl On {
    /// Of an open file, which is held as long as the answer is of use.
    pub(crate) fn of(file: &FileRef) -> Self {
        // SAFETY: The reference keeps the file and its inode, whose type does not change.
        let (mode, dev) = unsafe {
            let inode = bindings::ckpt_file_inode(file.as_ptr());
            ((*inode).i_mode, (*inode).i_rdev)
        };
        let kind = u32::from(mode) & bindings::S_IFMT;
        let major = dev >> 20;
        Self {
            inode: inode_identity(file),
            is_pipe: kind == bindings::S_IFIFO,
            is_socket: kind == bindings::S_IFSOCK,
            socket: Sock::of(file).map_or(0, |sock| sock.identity()),
            is_terminal: kind == bindings::S_IFCHR && matches!(major, 4 | 5 | 136..=143),
        }
    }

    /// Is the file open on the same inode? Both ends of a pipe are.
    pub(crate) fn is_on(&self, file: &FileRef) -> bool {
        self.inode == inode_identity(file)
    }

    /// A socket of which is not known what it is connected to.
    pub(crate) fn is_other_socket(&self) -> bool {
        self.is_socket && self.socket == 0
    }

    /// Is the file the local socket that receives what is sent to this one?
    pub(crate) fn is_received_by(&self, file: &FileRef) -> bool {
        let peer = Sock::of(file).and_then(|sock| sock.peer());
        self.socket != 0 && peer.is_some_and(|peer| peer.identity() == self.socket)
    }
}

/// Writes the contents of a file back, as fdatasync(2) does.
///
/// Not where a user process serves the file system: it may stand still.
///
/// # Errors
///
/// Those of fdatasync(2). The next one of the program gets them, too.
pub(crate) fn write_back(file: &FileRef) -> Result {
    // SAFETY: The reference keeps the file. The word that remembers which errors
    // were told is written under its lock, as fsync(2) does.
    unsafe {
        if bindings::ckpt_file_in_user_space(file.as_ptr()) {
            return Ok(());
        }
        let told = bindings::ckpt_file_wb_err(file.as_ptr());
        let done = to_result(bindings::vfs_fsync(file.as_ptr(), 1));
        match done {
            // A file system that has nothing to write back.
            Err(EINVAL) => Ok(()),
            Err(errno) => {
                bindings::ckpt_file_set_wb_err(file.as_ptr(), told);
                Err(errno)
            }
            Ok(()) => Ok(()),
        }
    }
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

/// Opens `name` below `root`, with all checks, as the current task.
///
/// # Errors
///
/// EINVAL for a name with a zero byte; those of open(2).
pub(crate) fn open(root: &super::path::PathRef, name: &[u8], flags: u32) -> Result<FileRef> {
    let mut text: KVec<u8> = KVec::with_capacity(name.len().saturating_add(1), GFP_KERNEL)?;
    text.extend_from_slice(name, GFP_KERNEL)?;
    text.push(0, GFP_KERNEL)?;
    let name = CStr::from_bytes_with_nul(&text).map_err(|_| EINVAL)?;
    // SAFETY: `root` holds its references, `name` is a string; the result is
    // a file with one reference, or an error.
    unsafe {
        let file = from_err_ptr(bindings::file_open_root(
            root.as_ptr(),
            name.as_char_ptr(),
            flags as i32,
            0,
        ))?;
        adopt(file).ok_or(EBADF)
    }
}

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
            let interrupted = [ERESTARTSYS, ERESTARTNOINTR, ERESTARTNOHAND];
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

    /// Fills all of `buf`; EIO when the file ends before.
    pub(crate) fn read_exact(&self, mut buf: &mut [u8]) -> Result {
        while !buf.is_empty() {
            let done = self.read_some(buf)?;
            if done == 0 {
                return Err(EIO);
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
            self.advance(done, pos)
        })
    }
}
