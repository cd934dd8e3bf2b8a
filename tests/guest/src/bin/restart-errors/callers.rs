// SPDX-License-Identifier: GPL-2.0

//! Callers that have what no image could take from them.

use std::thread;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
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

/// A thread on each processor, all of them at work at once, until they have ended.
fn everywhere() -> Result<(), String> {
    let cpus = thread::available_parallelism().map_or(1, |count| count.get());
    thread::scope(|scope| {
        let threads = (0..cpus).map(|cpu| {
            scope.spawn(move || {
                let mask = 1u64 << cpu;
                let args = [0, 8, (&raw const mask) as usize];
                sys::plain(libc::SYS_sched_setaffinity, &args).map_err(|e| e.to_string())?;
                let start = Instant::now();
                while start.elapsed() < Duration::from_millis(20 * pace::factor()) {
                    std::hint::spin_loop();
                }
                Ok(())
            })
        });
        let threads: Vec<_> = threads.collect();
        threads.into_iter().try_for_each(|thread| {
            let done = thread.join();
            done.map_err(|_| "it panicked".to_string())?
        })
    })
}

/// A caller that had threads, goes back, and has threads again: the ids of concurrency of
/// those before are free. The kernel would look for one for ever.
pub fn after_threads() -> Case {
    let desk = Desk::open("after-threads");
    desk.make(|| ())?;
    // Its trailer is not whole.
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let cut = bytes.get(..bytes.len().saturating_sub(8));
    std::fs::write(&desk.path, cut.unwrap_or_default()).map_err(|e| e.to_string())?;
    for _ in 0..ROUNDS {
        everywhere()?;
        desk.refuses()?;
    }
    everywhere()?;
    pass_with(format!("{ROUNDS} times"))
}

/// How often a caller goes back.
const ROUNDS: usize = 10;
