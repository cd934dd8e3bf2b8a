// SPDX-License-Identifier: GPL-2.0

//! All unsafe code of this tool: the system call, and the process that makes it.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;

use nix::errno::Errno;
use nix::libc;
use nix::unistd::fork;
use nix::unistd::ForkResult;
use nix::unistd::Pid;

/// Number of checkpoint(2).
const NR_CHECKPOINT: libc::c_long = 473;

/// The reason of a failure goes to the log.
const CHECKPOINT_LOG: libc::c_ulong = 1;
/// The process is killed when its image is complete.
pub const CHECKPOINT_KILL: libc::c_ulong = 2;
/// The process is stopped when its image is complete.
pub const CHECKPOINT_STOP: libc::c_ulong = 4;

/// checkpoint(2): writes an image of `pid` to `image`, and the reason of a failure
/// to `log`. Returns the identifier of the image.
///
/// # Errors
///
/// Those of the call.
pub fn checkpoint(
    pid: i32,
    image: BorrowedFd<'_>,
    flags: libc::c_ulong,
    log: BorrowedFd<'_>,
) -> Result<i32, Errno> {
    // SAFETY: The call takes four numbers and touches no memory of the caller; both
    // descriptors are open as long as they are borrowed.
    let crid = unsafe {
        libc::syscall(
            NR_CHECKPOINT,
            libc::c_long::from(pid),
            libc::c_long::from(image.as_raw_fd()),
            flags | CHECKPOINT_LOG,
            libc::c_long::from(log.as_raw_fd()),
        )
    };
    Errno::result(crid).map(|crid| crid as i32)
}

/// A descriptor of a process, which can be read from when it has ended.
///
/// # Errors
///
/// Those of pidfd_open(2).
pub fn process(pid: i32) -> Result<OwnedFd, Errno> {
    // SAFETY: The call takes two numbers; a descriptor that it returns is new.
    unsafe {
        let fd = Errno::result(libc::syscall(libc::SYS_pidfd_open, pid, 0))?;
        Ok(OwnedFd::from_raw_fd(fd as RawFd))
    }
}

/// Another descriptor for what whoever has started this program has open as `fd`.
///
/// # Errors
///
/// EBADF for one that is not open, or is this program's own.
pub fn of_caller(fd: RawFd) -> Result<OwnedFd, Errno> {
    // SAFETY: Both calls take numbers, which need not be descriptors; one that is returned is
    // new. An exec has closed all that had the flag: what has it is ours.
    unsafe {
        let flags = Errno::result(libc::fcntl(fd, libc::F_GETFD))?;
        if flags & libc::FD_CLOEXEC != 0 {
            return Err(Errno::EBADF);
        }
        let new = Errno::result(libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 0))?;
        Ok(OwnedFd::from_raw_fd(new))
    }
}

/// Runs `work` in a child process, which then ends.
///
/// # Errors
///
/// Those of fork(2).
pub fn in_child(work: impl FnOnce()) -> io::Result<Pid> {
    // SAFETY: This program starts no threads, so that the child finds no lock that
    // somebody else holds, and may do all that the parent may do.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            // Files of the parent are not to be removed.
            ckpttool::end_with(0, || {
                work();
                0
            })
        }
    }
}
