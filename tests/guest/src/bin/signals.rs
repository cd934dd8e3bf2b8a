// SPDX-License-Identifier: GPL-2.0

//! Blocked signals, handlers that run afterwards, the alternate stack.

use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::sys;

static COUNT: AtomicUsize = AtomicUsize::new(0);
static STACK_POINTER: AtomicUsize = AtomicUsize::new(0);
static BLOCKED: AtomicUsize = AtomicUsize::new(0);

extern "C" fn handler(signal: i32) {
    let local = 0u8;
    STACK_POINTER.store((&raw const local) as usize, Ordering::Relaxed);
    BLOCKED.store(blocked() as usize, Ordering::Relaxed);
    COUNT.fetch_add(signal as usize, Ordering::Relaxed);
}

extern "C" fn handler_info(_: i32, info: *const libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands over a valid siginfo of a signal sent by kill(2).
    let from = unsafe { (*info).si_pid() };
    if from == sys::getpid() {
        COUNT.fetch_add(1000, Ordering::Relaxed);
    }
}

fn blocked() -> u64 {
    let mut mask = 0u64;
    let to = (&raw mut mask) as usize;
    // SAFETY: the kernel writes eight bytes.
    let _ = unsafe { sys::raw(libc::SYS_rt_sigprocmask as usize, [0, 0, to, 8, 0, 0]) };
    mask
}

fn block(mask: u64) {
    let from = (&raw const mask) as usize;
    let how = libc::SIG_SETMASK as usize;
    // SAFETY: the kernel reads eight bytes.
    let ret = unsafe { sys::raw(libc::SYS_rt_sigprocmask as usize, [how, from, 0, 8, 0, 0]) };
    check::need("rt_sigprocmask", ret);
}

/// All actions and the alternate stack, as the kernel has them.
fn kernel_state() -> (Vec<[u64; 4]>, [u64; 3]) {
    let mut actions = Vec::new();
    for signal in 1..=64 {
        let mut action = [0u64; 4];
        let to = action.as_mut_ptr() as usize;
        // SAFETY: the kernel writes four words.
        let _ = unsafe { sys::raw(libc::SYS_rt_sigaction as usize, [signal, 0, to, 8, 0, 0]) };
        actions.push(action);
    }
    let mut stack = [0u64; 3];
    let to = stack.as_mut_ptr() as usize;
    // SAFETY: the kernel writes three words.
    let _ = unsafe { sys::raw(libc::SYS_sigaltstack as usize, [0, to, 0, 0, 0, 0]) };
    (actions, stack)
}

fn on(signal: i32, handler: usize, flags: i32, mask: &[i32]) {
    // SAFETY: all bytes of a sigaction may be zero.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    for signal in mask {
        // SAFETY: a set of this function's own.
        unsafe { libc::sigaddset(&mut action.sa_mask, *signal) };
    }
    // SAFETY: the handlers only touch atomics.
    let ret = unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    check::need("sigaction", sys::libc_result(ret));
}

fn bit(signal: i32) -> u64 {
    1 << (signal - 1)
}

fn main() -> ExitCode {
    let life = Life::start();
    let simple = handler as extern "C" fn(i32) as usize;
    let info = handler_info as extern "C" fn(_, _, _) as usize;
    on(
        libc::SIGUSR1,
        simple,
        libc::SA_ONSTACK | libc::SA_RESTART,
        &[libc::SIGHUP],
    );
    on(
        libc::SIGUSR2,
        info,
        libc::SA_SIGINFO | libc::SA_NODEFER,
        &[],
    );
    on(
        libc::SIGALRM,
        simple,
        libc::SA_RESETHAND,
        &[libc::SIGUSR1, libc::SIGUSR2],
    );
    on(libc::SIGRTMIN() + 3, simple, 0, &[]);
    on(libc::SIGHUP, libc::SIG_IGN, 0, &[]);
    let stack = check::need("mmap", Map::anon(1 << 16));
    let alternate = [stack.addr, 0, stack.len];
    let from = alternate.as_ptr() as usize;
    // SAFETY: the memory is used for nothing else.
    let ret = unsafe { sys::raw(libc::SYS_sigaltstack as usize, [from, 0, 0, 0, 0, 0]) };
    check::need("sigaltstack", ret);
    let mask = bit(libc::SIGTERM) | bit(libc::SIGALRM) | bit(64);
    block(mask);
    let before = kernel_state();

    let back = life.checkpoint();

    check::same("blocked signals", &mask, &blocked());
    let after = kernel_state();
    for (i, (was, is)) in before.0.iter().zip(&after.0).enumerate() {
        check::same(&format!("action of signal {}", i + 1), was, is);
    }
    check::same("alternate stack", &before.1, &after.1);

    let sent = |signal| check::need("kill", sys::signal_self(signal));
    sent(libc::SIGUSR1);
    check::same(
        "count after SIGUSR1",
        &(libc::SIGUSR1 as usize),
        &COUNT.load(Ordering::Relaxed),
    );
    let sp = STACK_POINTER.load(Ordering::Relaxed);
    check::that(
        (stack.addr..stack.end()).contains(&sp),
        "the handler ran on the wrong stack",
    );
    let during = BLOCKED.load(Ordering::Relaxed) as u64;
    let expected = mask | bit(libc::SIGUSR1) | bit(libc::SIGHUP);
    check::same("blocked in the handler", &expected, &during);
    check::same("blocked after it", &mask, &blocked());
    COUNT.store(0, Ordering::Relaxed);
    sent(libc::SIGUSR2);
    check::same("count after SIGUSR2", &1000, &COUNT.load(Ordering::Relaxed));
    sent(libc::SIGHUP);
    sent(libc::SIGALRM);
    check::same(
        "a blocked signal arrived",
        &1000,
        &COUNT.load(Ordering::Relaxed),
    );
    block(0);
    let count = 1000 + libc::SIGALRM as usize;
    check::same(
        "count after unblocking",
        &count,
        &COUNT.load(Ordering::Relaxed),
    );
    check::same(
        "SA_RESETHAND",
        &0,
        &kernel_state().0[libc::SIGALRM as usize - 1][0],
    );
    check::detail(format!("{back:?}"));
    check::verdict()
}
