// SPDX-License-Identifier: GPL-2.0

//! Callers that have what no image could take from them.

use std::thread;
use std::time::Duration;

use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::odd;
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
    with("io-uring", odd::io_uring, "io_uring")
}

pub fn syscall_dispatch() -> Case {
    with(
        "dispatch",
        odd::syscall_dispatch,
        "system call user dispatch",
    )
}

pub fn child_namespace() -> Case {
    let arrange = || sys::plain(libc::SYS_unshare, &[libc::CLONE_NEWPID as usize]);
    with("child-namespace", arrange, "would enter another namespace")
}

/// Who traces one of its children, which ends with it.
pub fn tracer() -> Case {
    let arrange = || {
        let tracee = sys::fork()?;
        if tracee == 0 {
            let _ = sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
            loop {
                thread::park();
            }
        }
        let args = [libc::PTRACE_SEIZE as usize, tracee as usize, 0, 0];
        sys::plain(libc::SYS_ptrace, &args)
    };
    with("tracer", arrange, "traces another task")
}

pub fn keyrings() -> Case {
    with("keyring", odd::keyring, "keyrings of its thread or process")
}

pub fn user_event() -> Case {
    with(
        "user-event",
        odd::user_event,
        "has registered user trace events",
    )
}

pub fn io_ports() -> Case {
    with("io-ports", odd::io_port, "I/O port permissions")
}
