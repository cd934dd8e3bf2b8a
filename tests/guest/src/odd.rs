// SPDX-License-Identifier: GPL-2.0

//! State that no image has: a task that has it is refused, as is a caller of restart(2).
//!
//! The errors of all functions are those of the calls that they make.

use std::sync::atomic::AtomicU32;

use crate::sys;
use crate::sys::plain;
use crate::sys::Errno;
use crate::sys::Ret;
use crate::tracing;

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

/// A trace event of user space, which the kernel tells in `ENABLED` whether it is on.
pub fn user_event() -> Ret {
    const DATA: &std::ffi::CStr = c"/sys/kernel/tracing/user_events_data";
    /// DIAG_IOCSREG: `_IOWR('*', 0, struct user_reg *)`.
    const REGISTER: usize = 3 << 30 | 8 << 16 | (b'*' as usize) << 8;
    static ENABLED: AtomicU32 = AtomicU32::new(0);
    static NAME: &std::ffi::CStr = c"checkpoint_test u32 number";

    /// struct user_reg, which is packed.
    #[repr(C, packed)]
    struct Event {
        size: u32,
        bit: u8,
        bytes: u8,
        flags: u16,
        enabled: u64,
        name: u64,
        index: u32,
    }

    if !tracing::has("user_events_data") {
        return Err(Errno(libc::ENOSYS));
    }
    let fd = sys::open(DATA, libc::O_RDWR, 0)?;
    let mut event = Event {
        size: size_of::<Event>() as u32,
        bit: 31,
        bytes: 4,
        flags: 0,
        enabled: (&raw const ENABLED) as u64,
        name: NAME.as_ptr() as u64,
        index: 0,
    };
    let args = [fd as usize, REGISTER, (&raw mut event) as usize];
    let done = plain(libc::SYS_ioctl, &args);
    // What is registered stays; the file is not to be in the way.
    sys::close(fd)?;
    done
}

/// All I/O ports, which the task may use.
pub fn io_privilege() -> Ret {
    plain(libc::SYS_iopl, &[3])
}

/// An I/O port that the task may use.
pub fn io_port() -> Ret {
    plain(libc::SYS_ioperm, &[0x80, 1, 1])
}
