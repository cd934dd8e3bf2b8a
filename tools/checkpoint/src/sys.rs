// SPDX-License-Identifier: GPL-2.0

//! All unsafe code of this tool: the system call, and the process that makes it.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

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
