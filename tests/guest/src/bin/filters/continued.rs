// SPDX-License-Identifier: GPL-2.0

//! restart_syscall(2) continues what was interrupted, and nothing else: it takes the
//! arguments of a wait from the registers, which a program could fill for it.

use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::bpf;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

use crate::add;
use crate::no_new_privs;

/// An epoll without entries, in which nothing ever happens.
static EPOLL: AtomicI32 = AtomicI32::new(-1);
/// What the handler has got: an errno, or 0.
static GOT: AtomicI32 = AtomicI32::new(-1);

fn millis() -> u64 {
    400 * pace::factor().min(3)
}

fn open_epoll() -> Result<(), String> {
    let fd = sys::plain(libc::SYS_epoll_create1, &[0]).map_err(|e| format!("epoll: {e}"))?;
    EPOLL.store(fd as i32, SeqCst);
    Ok(())
}

/// epoll_wait(2) by its number, or by another one with the same arguments; its errno.
fn wait_by(nr: libc::c_long, millis: u64) -> i32 {
    // There are no events that would be written.
    let events = [0_u64; 2];
    let fd = EPOLL.load(SeqCst) as usize;
    let args = [fd, events.as_ptr() as usize, 1, millis as usize];
    sys::plain(nr, &args).err().map_or(0, |errno| errno.0)
}

/// Waits until a file of a process says so.
fn until(pid: i32, file: &str, says: impl Fn(&str) -> bool) {
    let path = format!("/proc/{pid}/{file}");
    while !std::fs::read_to_string(&path).is_ok_and(|text| says(&text)) {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Sends these signals to its parent, in the middle of the parent's wait.
fn sender(signals: &[i32]) -> Result<i32, String> {
    let parent = sys::getpid();
    let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if pid != 0 {
        return Ok(pid);
    }
    let number = format!("{} ", libc::SYS_epoll_wait);
    until(parent, "syscall", |text| text.starts_with(&number));
    for signal in signals {
        let _ = sys::plain(libc::SYS_kill, &[parent as usize, *signal as usize]);
        if *signal == libc::SIGSTOP {
            until(parent, "stat", |text| text.contains(") T "));
        }
    }
    sys::exit(0);
}

fn done(pid: i32) -> Result<(), String> {
    match sys::wait_for(pid, 20) {
        Ended::Exit(0) => Ok(()),
        other => Err(format!("the sender: {other:?}")),
    }
}

/// What a wait that was stopped, and has come to its end, has left.
pub fn only_once() -> Case {
    open_epoll()?;
    let start = Instant::now();
    let pid = sender(&[libc::SIGSTOP, libc::SIGCONT])?;
    // So long that the sender comes in time.
    let wait = 10 * millis();
    let errno = wait_by(libc::SYS_epoll_wait, wait);
    let waited = start.elapsed();
    done(pid)?;
    if errno != 0 || waited < Duration::from_millis(wait) {
        return Err(format!("{} after {waited:?}", sys::Errno(errno)));
    }
    match wait_by(libc::SYS_restart_syscall, 0) {
        libc::EINTR => pass_with("EINTR"),
        errno => Err(format!("once more: {}", sys::Errno(errno))),
    }
}

/// A wait with a time limit that is stopped behind a filter: its errno, and how long it was.
fn stopped_behind(filter: &[u64]) -> Result<(i32, Duration), String> {
    open_epoll()?;
    no_new_privs();
    bpf::install(filter, 0).map_err(|e| format!("seccomp: {e}"))?;
    let start = Instant::now();
    let pid = sender(&[libc::SIGSTOP, libc::SIGCONT])?;
    let errno = wait_by(libc::SYS_epoll_wait, 10 * millis());
    let waited = start.elapsed();
    done(pid)?;
    Ok((errno, waited))
}

/// The filter has nothing against the wait, nor against restart_syscall(2).
pub fn behind_a_filter() -> Case {
    let filter = bpf::failing(&[(libc::SYS_getppid, libc::EPERM)]);
    match stopped_behind(&filter)? {
        (0, waited) if waited >= Duration::from_millis(10 * millis()) => pass_with("waited"),
        (errno, waited) => Err(format!("{} after {waited:?}", sys::Errno(errno))),
    }
}

fn ends_behind(filter: &[u64]) -> Case {
    match stopped_behind(filter)? {
        (libc::EINTR, _) => pass_with("EINTR"),
        (errno, _) => Err(format!("the wait: {}", sys::Errno(errno))),
    }
}

/// The filter does not allow restart_syscall(2), so that a stop ends the wait, as it does on
/// any kernel.
pub fn not_behind_a_filter() -> Case {
    ends_behind(&bpf::failing(&[(libc::SYS_restart_syscall, libc::EPERM)]))
}

/// The filter looks at the arguments of the wait, which restart_syscall(2) has not.
pub fn not_behind_a_look() -> Case {
    // No wait has so many events.
    ends_behind(&bpf::failing_with(libc::SYS_epoll_wait, 2, 77, libc::EPERM))
}

extern "C" fn on_signal(_: libc::c_int) {
    no_new_privs();
    let errno = match add(libc::SYS_epoll_wait, libc::EPERM, 0) {
        Ok(_) => wait_by(libc::SYS_restart_syscall, 0),
        Err(_) => -2,
    };
    GOT.store(errno, SeqCst);
}

/// What a wait has left that a handler has interrupted, behind a filter that forbids it.
pub fn not_round_a_filter() -> Case {
    open_epoll()?;
    let handler: extern "C" fn(libc::c_int) = on_signal;
    // SAFETY: the handler makes system calls, while the program is in one.
    unsafe { libc::signal(libc::SIGUSR1, handler as libc::sighandler_t) };
    let pid = sender(&[libc::SIGUSR1])?;
    let errno = wait_by(libc::SYS_epoll_wait, 20 * millis());
    done(pid)?;
    if errno != libc::EINTR {
        return Err(format!("the wait: {}", sys::Errno(errno)));
    }
    match (GOT.load(SeqCst), wait_by(libc::SYS_epoll_wait, 0)) {
        (libc::EINTR, libc::EPERM) => pass_with("EINTR"),
        (got, now) => Err(format!("continued: {got}, now {now}")),
    }
}
