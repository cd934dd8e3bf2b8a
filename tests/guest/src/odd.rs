// SPDX-License-Identifier: GPL-2.0

//! State that no image has: a task that has it is refused, as is a caller of restart(2).
//!
//! The errors of all functions are those of the calls that they make.

use crate::sys;
use crate::sys::plain;
use crate::sys::Ret;

/// An io_uring of four entries; its descriptor.
pub fn io_uring() -> Ret {
    let mut params = [0u8; 120];
    let args = [4, params.as_mut_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: the kernel fills the structure, which has this size.
    unsafe { sys::raw(libc::SYS_io_uring_setup as usize, args) }
}

/// System call user dispatch, for one page: no call is diverted as long as its selector is 0.
pub fn syscall_dispatch() -> Ret {
    const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
    static SELECTOR: u8 = 0;
    let selector = (&raw const SELECTOR) as usize;
    let page = selector & !0xfff;
    sys::prctl(PR_SET_SYSCALL_USER_DISPATCH, &[1, page, 0x1000, selector])
}

/// KEYCTL_GET_KEYRING_ID of the thread's own keyring, which is made.
pub fn keyring() -> Ret {
    const THREAD: usize = usize::MAX;
    plain(libc::SYS_keyctl, &[0, THREAD, 1])
}

/// An I/O port that the task may use.
pub fn io_port() -> Ret {
    plain(libc::SYS_ioperm, &[0x80, 1, 1])
}
