// SPDX-License-Identifier: GPL-2.0

//! Signals that wait to be delivered, and interval timers that run.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::sys;

/// The first numbers of siginfo_t, and where rt_sigqueueinfo(2) puts sender and value.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Info {
    signo: i32,
    errno: i32,
    code: i32,
    pad: i32,
    pid: i32,
    uid: u32,
    value: u64,
    rest: [u64; 12],
}

const SI_QUEUE: i32 = -1;
const SI_TKILL: i32 = -6;

fn call(nr: libc::c_long, args: [usize; 4]) -> sys::Ret {
    // SAFETY: pointers among the arguments are to structures of the callers, of the
    // size that the call expects.
    unsafe { sys::raw(nr as usize, [args[0], args[1], args[2], args[3], 0, 0]) }
}

fn rt(nr: i32) -> i32 {
    libc::SIGRTMIN() + nr
}

/// Sends this process a signal with a value.
fn queue(signo: i32, value: u64) {
    let mut info = Info {
        signo,
        code: SI_QUEUE,
        pid: 1234,
        uid: 56,
        value,
        ..Info::default()
    };
    let at = (&raw mut info) as usize;
    let args = [sys::getpid() as usize, signo as usize, at, 0];
    check::need("sigqueue", call(libc::SYS_rt_sigqueueinfo, args));
}

/// Sends this thread a signal.
fn send_thread(signo: i32) {
    let pid = sys::getpid() as usize;
    check::need(
        "tgkill",
        call(libc::SYS_tgkill, [pid, pid, signo as usize, 0]),
    );
}

/// The signals in `mask` that are pending, in the order of their delivery.
fn take(mask: u64) -> Vec<Info> {
    let (now, mut all) = ([0u64; 2], Vec::new());
    loop {
        let mut info = Info::default();
        let args = [
            (&raw const mask) as usize,
            (&raw mut info) as usize,
            (&raw const now) as usize,
            8,
        ];
        match call(libc::SYS_rt_sigtimedwait, args) {
            Ok(_) => all.push(info),
            Err(_) => return all,
        }
    }
}

fn bit(signo: i32) -> u64 {
    1 << (signo - 1)
}

/// Value and interval of a timer, in microseconds.
fn timer(which: usize) -> [u64; 2] {
    let mut value = [0u64; 4];
    let args = [which, (&raw mut value) as usize, 0, 0];
    check::need("getitimer", call(libc::SYS_getitimer, args));
    [
        value[2] * 1_000_000 + value[3],
        value[0] * 1_000_000 + value[1],
    ]
}

fn set_timer(which: usize, seconds: u64, micros: u64) {
    let value = [3u64, 250_000, seconds, micros];
    let args = [which, (&raw const value) as usize, 0, 0];
    check::need("setitimer", call(libc::SYS_setitimer, args));
}

fn main() -> ExitCode {
    let life = Life::start();
    let blocked = bit(libc::SIGUSR1)
        | bit(libc::SIGUSR2)
        | bit(libc::SIGALRM)
        | bit(rt(1))
        | bit(rt(2))
        | bit(libc::SIGURG);
    let args = [
        libc::SIG_BLOCK as usize,
        (&raw const blocked) as usize,
        0,
        8,
    ];
    check::need("block", call(libc::SYS_rt_sigprocmask, args));
    queue(rt(2), 21);
    queue(rt(1), 11);
    queue(rt(1), 12);
    send_thread(rt(1));
    queue(libc::SIGUSR1, 7);
    send_thread(libc::SIGUSR2);
    // Pending once, however often it is sent.
    send_thread(libc::SIGUSR2);
    // Ignored by default, and yet pending while it is blocked.
    send_thread(libc::SIGURG);
    // Long enough to be seen running, and one that is over soon.
    set_timer(1, 500, 0);
    set_timer(2, 700, 0);
    set_timer(0, 0, 300_000);
    // By a tick more than was asked for.
    let before = [1, 2].map(|which| (which, timer(which)[0]));

    let back = life.checkpoint();

    let other = blocked & !bit(libc::SIGALRM);
    let all = take(other);
    let seen: Vec<(i32, i32, u64)> = all.iter().map(|i| (i.signo, i.code, i.value)).collect();
    let wanted = vec![
        (libc::SIGUSR1, SI_QUEUE, 7),
        (libc::SIGUSR2, SI_TKILL, 0),
        (libc::SIGURG, SI_TKILL, 0),
        (rt(1), SI_TKILL, 0),
        (rt(1), SI_QUEUE, 11),
        (rt(1), SI_QUEUE, 12),
        (rt(2), SI_QUEUE, 21),
    ];
    check::same(
        "signals, codes and values",
        &sorted(&wanted),
        &sorted(&seen),
    );
    let order: Vec<u64> = all
        .iter()
        .filter(|i| i.code == SI_QUEUE && i.signo == rt(1))
        .map(|i| i.value)
        .collect();
    check::same("order of a queue", &vec![11, 12], &order);
    let sender = all
        .iter()
        .find(|i| i.signo == rt(2))
        .map(|i| (i.pid, i.uid));
    check::same("sender", &Some((1234, 56)), &sender);
    for (which, micros) in before {
        let [value, interval] = timer(which);
        check::same("interval", &3_250_000, &interval);
        check::that(
            value <= micros && value + 60_000_000 > micros,
            format!("timer {which} has {value} us left of {micros}"),
        );
    }
    let (wait, alarm) = ([20u64, 0], bit(libc::SIGALRM));
    let mut info = Info::default();
    let args = [
        (&raw const alarm) as usize,
        (&raw mut info) as usize,
        (&raw const wait) as usize,
        8,
    ];
    let got = call(libc::SYS_rt_sigtimedwait, args);
    check::same("the alarm", &Ok(libc::SIGALRM as usize), &got);
    check::detail(format!("{back:?}, {} signals, 3 timers", all.len()));
    check::verdict()
}

fn sorted(list: &[(i32, i32, u64)]) -> Vec<(i32, i32, u64)> {
    let mut list = list.to_vec();
    list.sort_unstable();
    list
}
