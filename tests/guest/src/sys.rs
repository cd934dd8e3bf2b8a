// SPDX-License-Identifier: GPL-2.0

//! System calls without the C library: no errno, no cancellation, no hidden state.
//!
//! A test compares its own memory before and after a call, and errno is part of
//! that memory.

mod children;

use std::ffi::CStr;
use std::fmt;

pub use children::fork;
pub use children::fork_as;
pub use children::fork_as_soon;
pub use children::group_is_gone;
pub use children::has_ended;
pub use children::in_child;
pub use children::wait_for;
pub use children::Ended;

/// Number of checkpoint(2).
pub const NR_CHECKPOINT: usize = 473;
/// Number of restart(2).
pub const NR_RESTART: usize = 474;
/// CHECKPOINT_LOG and RESTART_LOG: the fourth argument takes a line of text.
pub const LOG: usize = 1;
/// CHECKPOINT_KILL: all are killed when the image is complete.
pub const KILL: usize = 2;
/// CHECKPOINT_STOP
pub const STOP: usize = 4;

/// A positive error number.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What a system call returns.
pub type Ret = Result<usize, Errno>;

const NAMES: &[(i32, &str)] = &[
    (libc::EPERM, "EPERM"),
    (libc::ENOENT, "ENOENT"),
    (libc::ESRCH, "ESRCH"),
    (libc::EINTR, "EINTR"),
    (libc::EIO, "EIO"),
    (libc::E2BIG, "E2BIG"),
    (libc::ENOEXEC, "ENOEXEC"),
    (libc::EBADF, "EBADF"),
    (libc::EAGAIN, "EAGAIN"),
    (libc::ENOMEM, "ENOMEM"),
    (libc::EACCES, "EACCES"),
    (libc::EFAULT, "EFAULT"),
    (libc::EBUSY, "EBUSY"),
    (libc::EEXIST, "EEXIST"),
    (libc::ENOTDIR, "ENOTDIR"),
    (libc::EISDIR, "EISDIR"),
    (libc::EINVAL, "EINVAL"),
    (libc::EMFILE, "EMFILE"),
    (libc::ETXTBSY, "ETXTBSY"),
    (libc::EFBIG, "EFBIG"),
    (libc::ENOSPC, "ENOSPC"),
    (libc::EPIPE, "EPIPE"),
    (libc::ERANGE, "ERANGE"),
    (libc::EDEADLK, "EDEADLK"),
    (libc::ENAMETOOLONG, "ENAMETOOLONG"),
    (libc::ENOSYS, "ENOSYS"),
    (libc::EBADMSG, "EBADMSG"),
    (libc::EOVERFLOW, "EOVERFLOW"),
    (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    (libc::ESTALE, "ESTALE"),
];

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|n| n.0 == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Any system call.
///
/// # Safety
///
/// As for the call: what it does to memory and descriptors must be what the
/// rest of the program expects.
pub unsafe fn raw(nr: usize, args: [usize; 6]) -> Ret {
    let ret: isize;
    // SAFETY: the kernel clobbers rax, rcx and r11 only; the rest is the caller's promise.
    unsafe {
        std::arch::asm!(
            "syscall",
            inlateout("rax") nr as isize => ret,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            in("r8") args[4],
            in("r9") args[5],
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result(ret)
}

/// Splits the kernel's return value.
pub fn result(ret: isize) -> Ret {
    match ret {
        -4095..=-1 => Err(Errno(-ret as i32)),
        _ => Ok(ret as usize),
    }
}

/// A system call that writes to no memory of the caller: its arguments are numbers,
/// or pointers that the kernel only reads.
///
/// Descriptors are plain numbers here: the tests do to them what they like.
pub fn plain(nr: libc::c_long, args: &[usize]) -> Ret {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    debug_assert!(!NOT_PLAIN.contains(&nr));
    // SAFETY: the kernel writes no memory of ours, and the calls that change mappings
    // are not among those allowed.
    unsafe { raw(nr as usize, all) }
}

/// Calls that must not go through [`plain`], as far as the tests use them.
const NOT_PLAIN: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_modify_ldt,
];

fn int(value: i32) -> usize {
    value as isize as usize
}

/// checkpoint(2): the image's identifier, or 0 when back from a restart.
pub fn checkpoint(pid: i32, fd: i32, flags: usize, logfd: i32) -> Ret {
    plain(
        NR_CHECKPOINT as libc::c_long,
        &[int(pid), int(fd), flags, int(logfd)],
    )
}

/// restart(2): comes back only on failure.
pub fn restart(crid: i32, fd: i32, flags: usize, logfd: i32) -> Errno {
    match plain(
        NR_RESTART as libc::c_long,
        &[int(crid), int(fd), flags, int(logfd)],
    ) {
        Err(errno) => errno,
        // The image's registers are loaded on success, so this is a kernel bug.
        Ok(_) => Errno(0),
    }
}

/// open(2).
pub fn open(path: &CStr, flags: i32, mode: u32) -> Result<i32, Errno> {
    let args = [path.as_ptr() as usize, int(flags), mode as usize, 0, 0, 0];
    // SAFETY: the path is a C string; the kernel writes nothing.
    unsafe { raw(libc::SYS_open as usize, args) }.map(|fd| fd as i32)
}

/// close(2).
pub fn close(fd: i32) -> Ret {
    plain(libc::SYS_close, &[int(fd)])
}

/// read(2).
pub fn read(fd: i32, buf: &mut [u8]) -> Ret {
    let args = [int(fd), buf.as_mut_ptr() as usize, buf.len(), 0, 0, 0];
    // SAFETY: the kernel writes into the slice only.
    unsafe { raw(libc::SYS_read as usize, args) }
}

/// write(2).
pub fn write(fd: i32, buf: &[u8]) -> Ret {
    let args = [int(fd), buf.as_ptr() as usize, buf.len(), 0, 0, 0];
    // SAFETY: the kernel reads the slice only.
    unsafe { raw(libc::SYS_write as usize, args) }
}

/// pread(2).
pub fn pread(fd: i32, buf: &mut [u8], at: usize) -> Ret {
    let args = [int(fd), buf.as_mut_ptr() as usize, buf.len(), at, 0, 0];
    // SAFETY: the kernel writes into the slice only.
    unsafe { raw(libc::SYS_pread64 as usize, args) }
}

/// pwrite(2).
pub fn pwrite(fd: i32, buf: &[u8], at: usize) -> Ret {
    let args = [int(fd), buf.as_ptr() as usize, buf.len(), at, 0, 0];
    // SAFETY: the kernel reads the slice only.
    unsafe { raw(libc::SYS_pwrite64 as usize, args) }
}

/// lseek(2).
pub fn lseek(fd: i32, offset: i64, whence: i32) -> Ret {
    plain(libc::SYS_lseek, &[int(fd), offset as usize, int(whence)])
}

/// fcntl(2) with a number as its argument.
pub fn fcntl(fd: i32, cmd: i32, arg: usize) -> Ret {
    plain(libc::SYS_fcntl, &[int(fd), int(cmd), arg])
}

/// A number of the file behind a descriptor: its device and inode, mixed.
pub fn inode(fd: i32) -> usize {
    // SAFETY: all zero is a structure of numbers.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    match plain(libc::SYS_fstat, &[int(fd), (&raw mut stat) as usize]) {
        Ok(_) => (stat.st_dev as usize).rotate_left(32) ^ stat.st_ino as usize,
        Err(_) => usize::MAX,
    }
}

/// pipe2(2): the end that reads, and the end that writes.
pub fn pipe(flags: i32) -> Result<[i32; 2], Errno> {
    let mut ends = [0i32; 2];
    let args = [ends.as_mut_ptr() as usize, int(flags), 0, 0, 0, 0];
    // SAFETY: the kernel writes two ints.
    unsafe { raw(libc::SYS_pipe2 as usize, args) }.map(|_| ends)
}

/// FIONREAD: bytes in a pipe. 0 without a reader: nobody takes them any more.
pub fn unread(pipe: i32) -> Result<i32, Errno> {
    if poll(pipe, libc::POLLOUT) & libc::POLLERR != 0 {
        return Ok(0);
    }
    let mut bytes = 0i32;
    // SAFETY: the kernel writes one int.
    libc_result(unsafe { libc::ioctl(pipe, libc::FIONREAD, &raw mut bytes) })?;
    Ok(bytes)
}

/// poll(2) of one descriptor, without waiting: what has happened.
pub fn poll(fd: i32, events: i16) -> i16 {
    let revents = 0;
    let mut poll = libc::pollfd {
        fd,
        events,
        revents,
    };
    let args = [(&raw mut poll) as usize, 1, 0, 0, 0, 0];
    // SAFETY: the kernel writes into the structure only.
    let _ = unsafe { raw(libc::SYS_poll as usize, args) };
    poll.revents
}

/// dup3(2).
pub fn dup_to(from: i32, to: i32, flags: i32) -> Ret {
    if from == to {
        return Ok(to as usize);
    }
    plain(libc::SYS_dup3, &[int(from), int(to), int(flags)])
}

/// getpid(2).
pub fn getpid() -> i32 {
    plain(libc::SYS_getpid, &[]).unwrap_or(0) as i32
}

/// kill(2) of the calling process.
pub fn signal_self(signal: i32) -> Ret {
    plain(libc::SYS_kill, &[getpid() as usize, int(signal)])
}

/// exit_group(2).
pub fn exit(status: i32) -> ! {
    let _ = plain(libc::SYS_exit_group, &[int(status)]);
    std::process::abort()
}

/// prctl(2) with numbers as its arguments.
pub fn prctl(option: i32, args: &[usize]) -> Ret {
    let mut all = [int(option), 0, 0, 0, 0];
    all[1..=args.len()].copy_from_slice(args);
    plain(libc::SYS_prctl, &all)
}

/// The error of the last call through the C library.
pub fn last() -> Errno {
    Errno(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// Turns a C library's return value of -1 into its error.
pub fn libc_result(ret: libc::c_int) -> Result<i32, Errno> {
    if ret == -1 {
        Err(last())
    } else {
        Ok(ret)
    }
}
