// SPDX-License-Identifier: GPL-2.0

//! Victims in calls that end with EINTR after other stops: waits for events, signals
//! and semaphores. Here they wait on, and for what is left of their time.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use ckpt_guest::act::Act;
use ckpt_guest::bpf;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;
use ckpt_guest::timer::bit;
use ckpt_guest::victim::Scene;

use crate::calls;
use crate::calls::act;
use crate::calls::call;
use crate::calls::duration;
use crate::calls::nothing_is_blocked;
use crate::calls::sleeps;
use crate::calls::time;

static MASK: u64 = 1 << (libc::SIGUSR2 - 1);
static ALARM: u64 = 1 << (libc::SIGALRM - 1);
const EVENT: usize = 12;

/// A call that must succeed.
pub fn made(nr: libc::c_long, args: &[usize]) -> Result<usize, String> {
    call(nr, args).map_err(|e| format!("call {nr}: {e:?}"))
}

fn epoll() -> Result<usize, String> {
    made(libc::SYS_epoll_create1, &[0])
}

fn epoll_wait(_: &Scene) -> Result<(), String> {
    let (fd, mut event) = (epoll()?, [0u8; EVENT]);
    let at = event.as_mut_ptr() as usize;
    let millis = duration() as usize;
    sleeps(Ok(0), || call(libc::SYS_epoll_wait, &[fd, at, 1, millis]))
}

fn epoll_pwait(_: &Scene) -> Result<(), String> {
    let (fd, mut event) = (epoll()?, [0u8; EVENT]);
    let (at, mask) = (event.as_mut_ptr() as usize, (&raw const MASK) as usize);
    let args = [fd, at, 1, duration() as usize, mask, 8];
    sleeps(Ok(0), || call(libc::SYS_epoll_pwait, &args))?;
    nothing_is_blocked()
}

fn epoll_pwait2(_: &Scene) -> Result<(), String> {
    let (fd, mut event) = (epoll()?, [0u8; EVENT]);
    let (at, time) = (event.as_mut_ptr() as usize, time(duration()));
    let args = [fd, at, 1, (&raw const time) as usize, 0, 8];
    sleeps(Ok(0), || call(libc::SYS_epoll_pwait2, &args))
}

/// Waits without a timeout, for a timer that is watched.
fn epoll_forever(_: &Scene) -> Result<(), String> {
    let (fd, mut event) = (epoll()?, [0u8; EVENT]);
    let timer = made(libc::SYS_timerfd_create, &[1, 0])?;
    let mut add = [0u8; EVENT];
    add[0] = libc::EPOLLIN as u8;
    add[4] = 77;
    made(libc::SYS_epoll_ctl, &[fd, 1, timer, add.as_ptr() as usize])?;
    let [sec, nsec] = time(duration());
    let set = [0, 0, sec, nsec];
    made(
        libc::SYS_timerfd_settime,
        &[timer, 0, set.as_ptr() as usize, 0],
    )?;
    let (at, mask) = (event.as_mut_ptr() as usize, (&raw const MASK) as usize);
    let args = [fd, at, 1, usize::MAX, mask, 8];
    sleeps(Ok(1), || call(libc::SYS_epoll_pwait, &args))?;
    if event != add {
        return Err(format!("event {event:?}"));
    }
    nothing_is_blocked()
}

fn blocked<T>(body: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    made(
        libc::SYS_rt_sigprocmask,
        &[0, (&raw const ALARM) as usize, 0, 8],
    )?;
    body()
}

fn sigtimedwait(_: &Scene) -> Result<(), String> {
    let time = time(duration());
    let args = [
        (&raw const ALARM) as usize,
        0,
        (&raw const time) as usize,
        8,
    ];
    blocked(|| {
        sleeps(Err(Errno(libc::EAGAIN)), || {
            call(libc::SYS_rt_sigtimedwait, &args)
        })
    })
}

/// Waits for the signal of a timer, with and without a timeout that is longer.
fn alarm(args: [usize; 4]) -> Result<(), String> {
    let [sec, nsec] = time(duration());
    let set = [0, 0, sec, nsec / 1000];
    blocked(|| {
        // The timer runs from here on.
        sleeps(Ok(libc::SIGALRM as usize), || {
            call(libc::SYS_setitimer, &[0, set.as_ptr() as usize, 0])?;
            call(libc::SYS_rt_sigtimedwait, &args)
        })
    })
}

fn sigwaitinfo(_: &Scene) -> Result<(), String> {
    let mut info = [0i32; 32];
    let at = info.as_mut_ptr() as usize;
    alarm([(&raw const ALARM) as usize, at, 0, 8])?;
    if info[0] != libc::SIGALRM {
        return Err(format!("signal {}", info[0]));
    }
    let long = time(1000 * duration());
    alarm([
        (&raw const ALARM) as usize,
        at,
        (&raw const long) as usize,
        8,
    ])
}

/// What is blocked while a handler runs.
static IN_HANDLER: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_alarm(_: i32) {
    IN_HANDLER.store(calls::blocked(), Ordering::Relaxed);
}

/// Waits for the signal of a timer with one mask, and has another one before and after.
fn sigsuspend(_: &Scene) -> Result<(), String> {
    let own = ALARM | bit(libc::SIGUSR1);
    let handler: extern "C" fn(i32) = on_alarm;
    // SAFETY: the handler asks for its mask, and stores to an atomic.
    unsafe { libc::signal(libc::SIGALRM, handler as libc::sighandler_t) };
    let set = libc::SIG_SETMASK as usize;
    made(
        libc::SYS_rt_sigprocmask,
        &[set, (&raw const own) as usize, 0, 8],
    )?;
    let [sec, nsec] = time(duration());
    let timer = [0, 0, sec, nsec / 1000];
    sleeps(Err(Errno(libc::EINTR)), || {
        call(libc::SYS_setitimer, &[0, timer.as_ptr() as usize, 0])?;
        call(libc::SYS_rt_sigsuspend, &[(&raw const MASK) as usize, 8])
    })?;
    let masks = [IN_HANDLER.load(Ordering::Relaxed), calls::blocked()];
    if masks != [MASK | ALARM, own] {
        return Err(format!(
            "the masks in the handler and behind are {masks:x?}"
        ));
    }
    Ok(())
}

/// A semaphore that is down, made by the test, which outlives all restarts.
static SEMAPHORE: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Has the semaphore while `body` runs. Without one the victims fail.
pub fn with_semaphore(body: impl FnOnce()) {
    let made = call(libc::SYS_semget, &[libc::IPC_PRIVATE as usize, 1, 0o600]);
    SEMAPHORE.store(made.unwrap_or(usize::MAX), Ordering::Relaxed);
    body();
    let id = SEMAPHORE.swap(usize::MAX, Ordering::Relaxed);
    let _ = call(libc::SYS_semctl, &[id, 0, libc::IPC_RMID as usize]);
}

fn semtimedop(_: &Scene) -> Result<(), String> {
    let (down, time) = ([0i16, -1, 0], time(duration()));
    let id = SEMAPHORE.load(Ordering::Relaxed);
    let args = [id, down.as_ptr() as usize, 1, (&raw const time) as usize];
    sleeps(Err(Errno(libc::EAGAIN)), || {
        call(libc::SYS_semtimedop, &args)
    })
}

/// Waits without a timeout, until a child raises the semaphore.
fn semop(_: &Scene) -> Result<(), String> {
    let (up, down) = ([0i16, 1, 0], [0i16, -1, 0]);
    let id = SEMAPHORE.load(Ordering::Relaxed);
    sleeps(Ok(0), || {
        let child = sys::fork()?;
        if child == 0 {
            let time = time(duration() + 50);
            let slept = call(libc::SYS_nanosleep, &[(&raw const time) as usize, 0]);
            let raised = call(libc::SYS_semop, &[id, up.as_ptr() as usize, 1]);
            sys::exit(i32::from([slept, raised] != [Ok(0); 2]));
        }
        let ret = call(libc::SYS_semop, &[id, down.as_ptr() as usize, 1]);
        match sys::wait_for(child, 20) {
            // What was raised has been taken, and no more than that.
            Ended::Exit(0) if ret == Ok(0) => {
                call(libc::SYS_semctl, &[id, 0, libc::GETVAL as usize])
            }
            Ended::Exit(0) => ret,
            other => {
                println!("its child: {other:?}");
                Err(Errno(libc::ECHILD))
            }
        }
    })
}

/// With a filter of system calls that has nothing against the wait.
pub fn filtered(play: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let _ = sys::prctl(libc::PR_SET_NO_NEW_PRIVS, &[1, 0, 0, 0]);
    let code = bpf::failing(&[(libc::SYS_getpgrp, libc::EPERM)]);
    bpf::install(&code, 0).map_err(|e| format!("seccomp: {e}"))?;
    play()
}

/// Victims that wait.
pub const ACTS: &[Act] = &[
    act("epoll-wait", epoll_wait),
    act("epoll-pwait", epoll_pwait),
    act("epoll-pwait2", epoll_pwait2),
    act("filtered-epoll-wait", |scene| {
        filtered(|| epoll_wait(scene))
    }),
    act("filtered-epoll-pwait", |scene| {
        filtered(|| epoll_pwait(scene))
    }),
    act("epoll-forever", epoll_forever),
    act("sigtimedwait", sigtimedwait),
    act("filtered-sigtimedwait", |scene| {
        filtered(|| sigtimedwait(scene))
    }),
    act("sigwaitinfo", sigwaitinfo),
    act("sigsuspend", sigsuspend),
    act("semtimedop", semtimedop),
    act("filtered-semtimedop", |scene| {
        filtered(|| semtimedop(scene))
    }),
    act("semop", semop),
];
