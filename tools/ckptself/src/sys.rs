// SPDX-License-Identifier: GPL-2.0

//! The two system calls, and one more: all unsafe code of this crate.

use std::io;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;

const NR_CHECKPOINT: libc::c_long = 473;
const NR_RESTART: libc::c_long = 474;

fn number(log: Option<BorrowedFd<'_>>) -> libc::c_long {
    log.map_or(-1, |fd| fd.as_raw_fd().into())
}

fn result(result: libc::c_long) -> io::Result<i64> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// checkpoint(2).
pub fn checkpoint(
    pid: i32,
    image: BorrowedFd<'_>,
    flags: u64,
    log: Option<BorrowedFd<'_>>,
) -> io::Result<i64> {
    // SAFETY: The call takes four numbers and touches no memory of the caller; both
    // descriptors are open as long as they are borrowed. After a restart memory and
    // descriptors are those that were saved in this call.
    result(unsafe {
        libc::syscall(
            NR_CHECKPOINT,
            libc::c_long::from(pid),
            libc::c_long::from(image.as_raw_fd()),
            flags,
            number(log),
        )
    })
}

/// restart(2): returns only on failure.
pub fn restart(image: BorrowedFd<'_>, flags: u64, log: Option<BorrowedFd<'_>>) -> io::Result<i64> {
    // SAFETY: The call takes four numbers. On failure nothing of the caller has
    // changed; on success nothing of it is left.
    result(unsafe {
        libc::syscall(
            NR_RESTART,
            0 as libc::c_long,
            libc::c_long::from(image.as_raw_fd()),
            flags,
            number(log),
        )
    })
}

/// Has reading from a pipe fail where it would wait.
pub fn do_not_wait(pipe: BorrowedFd<'_>) {
    // SAFETY: The call takes three numbers. A pipe of our own has no other flags.
    unsafe { libc::fcntl(pipe.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK) };
}
