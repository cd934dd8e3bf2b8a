// SPDX-License-Identifier: GPL-2.0

//! Callers that have what no image could take from them.

use std::thread;
use std::time::Duration;

use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;

use crate::refused;

/// A caller that has done `arrange` is refused, with `word`, and keeps what it has.
fn with(name: &str, arrange: fn() -> sys::Ret, word: &str) -> Case {
    let desk = Desk::open(name);
    desk.make(|| ())?;
    match arrange() {
        Ok(_) => refused(&desk, &[libc::EBUSY], word),
        Err(Errno(libc::ENOSYS)) => skip("the kernel does not have it"),
        Err(errno) => Err(format!("{name}: {errno}")),
    }
}

pub fn a_thread() -> Case {
    let desk = Desk::open("thread");
    desk.make(|| ())?;
    let (stop, wait) = std::sync::mpsc::channel::<()>();
    let other = thread::spawn(move || wait.recv().is_err());
    // Until it waits: its stack is memory of the caller.
    thread::sleep(Duration::from_millis(100 * pace::factor()));
    let done = refused(&desk, &[libc::EBUSY], "other threads");
    drop(stop);
    if !other.join().unwrap_or(false) {
        return Err("the thread is gone".to_string());
    }
    done
}

pub fn io_uring() -> Case {
    let arrange = || {
        let mut params = [0u8; 120];
        let args = [4, params.as_mut_ptr() as usize, 0, 0, 0, 0];
        // SAFETY: the kernel fills the structure, which has this size.
        unsafe { sys::raw(libc::SYS_io_uring_setup as usize, args) }
    };
    with("io-uring", arrange, "io_uring")
}

pub fn syscall_dispatch() -> Case {
    // On for one page: no call is diverted as long as the selector is 0.
    static SELECTOR: u8 = 0;
    const PR_SET_SYSCALL_USER_DISPATCH: i32 = 59;
    let arrange = || {
        let selector = (&raw const SELECTOR) as usize;
        let page = selector & !0xfff;
        sys::prctl(PR_SET_SYSCALL_USER_DISPATCH, &[1, page, 0x1000, selector])
    };
    with("dispatch", arrange, "system call user dispatch")
}

pub fn child_namespace() -> Case {
    let arrange = || sys::plain(libc::SYS_unshare, &[libc::CLONE_NEWPID as usize]);
    with("child-namespace", arrange, "would enter another namespace")
}

/// KEYCTL_GET_KEYRING_ID of the thread's or the process's own keyring, which is made.
pub fn keyrings() -> Case {
    const THREAD: usize = usize::MAX;
    let arrange = || sys::plain(libc::SYS_keyctl, &[0, THREAD, 1]);
    with("keyring", arrange, "keyrings of its thread or process")
}

pub fn io_ports() -> Case {
    let arrange = || sys::plain(libc::SYS_ioperm, &[0x80, 1, 1]);
    with("io-ports", arrange, "I/O port permissions")
}
