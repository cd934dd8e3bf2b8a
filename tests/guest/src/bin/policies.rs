// SPDX-License-Identifier: GPL-2.0

//! Scheduling policies that need a right, of a process and of threads of it.

use std::process::ExitCode;
use std::sync::mpsc;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::sys;

/// SCHED_FLAG_RESET_ON_FORK
const RESET: u64 = 1;

/// struct sched_attr, as far as it is of use.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Attr {
    size: u32,
    policy: i32,
    flags: u64,
    nice: i32,
    priority: u32,
    more: [u64; 4],
}

const fn attr(policy: i32, flags: u64, nice: i32, priority: u32) -> Attr {
    Attr {
        size: 56,
        policy,
        flags,
        nice,
        priority,
        more: [0; 4],
    }
}

/// What the threads have, the first one among them, and their nice values: those of
/// another policy than the usual ones wait until one of these is set.
const WANTED: [(Attr, i32); 7] = [
    (attr(libc::SCHED_FIFO, RESET, 0, 7), 0),
    (attr(libc::SCHED_RR, 0, 0, 99), 0),
    (attr(libc::SCHED_RR, RESET, 0, 1), -6),
    (attr(libc::SCHED_FIFO, 0, 0, 3), 7),
    (attr(libc::SCHED_IDLE, RESET, 0, 0), 0),
    (attr(libc::SCHED_IDLE, 0, 9, 0), 9),
    (attr(libc::SCHED_BATCH, RESET, -4, 0), -4),
];

/// The nice value, and then the policy.
fn set((attr, nice): &(Attr, i32)) -> sys::Ret {
    let thread = ckpt_guest::timer::gettid() as usize;
    sys::plain(libc::SYS_setpriority, &[0, thread, *nice as usize])?;
    let at = std::ptr::from_ref(attr) as usize;
    sys::plain(libc::SYS_sched_setattr, &[0, at, 0])
}

/// Without what depends on the machine: the slice.
fn get() -> (Attr, i32) {
    let mut attr = Attr::default();
    let args = [0, (&raw mut attr) as usize, 56, 0, 0, 0];
    // SAFETY: the kernel writes the structure, which is as long as it is told.
    check::need("sched_getattr", unsafe {
        sys::raw(libc::SYS_sched_getattr as usize, args)
    });
    attr.more = [0; 4];
    // The call tells it as 20 less the value.
    let nice = sys::plain(libc::SYS_getpriority, &[0, 0]);
    (attr, 20 - check::need("getpriority", nice) as i32)
}

/// The policy and the real-time priority of a child that is made now.
fn of_child() -> Option<(i32, u32)> {
    let ended = sys::in_child(10, || {
        let (attr, _) = get();
        attr.policy << 4 | attr.priority as i32 & 15
    });
    match ended {
        sys::Ended::Exit(code) => Some((code >> 4, code as u32 & 15)),
        _ => None,
    }
}

fn same(what: &str, now: &[(Attr, i32)]) {
    for (nr, (wanted, now)) in WANTED.iter().zip(now).enumerate() {
        check::same(&format!("{what}, thread {nr}"), wanted, now);
    }
}

fn main() -> ExitCode {
    let life = Life::start();
    // Each answers when it is asked, and sleeps in between: no policy keeps the others
    // from running.
    let threads = WANTED[1..].iter().map(|wanted| {
        let (ask, asked) = mpsc::channel::<()>();
        let (answer, answered) = mpsc::channel();
        std::thread::spawn(move || {
            check::need("sched_setattr", set(wanted));
            while asked.recv().is_ok() {
                let _ = answer.send(get());
            }
        });
        (ask, answered)
    });
    let threads: Vec<_> = threads.collect();
    check::need("sched_setattr", set(&WANTED[0]));
    let all = || {
        let mut all = vec![get()];
        for (ask, answered) in &threads {
            let _ = ask.send(());
            all.push(answered.recv().unwrap_or((Attr::default(), 99)));
        }
        all
    };
    same("what was set", &all());

    let back = life.checkpoint();

    same("what was set before", &all());
    check::same("a child", &Some((libc::SCHED_OTHER, 0)), &of_child());
    let (attr, _) = &WANTED[3];
    check::need("sched_setattr", set(&WANTED[3]));
    let inherited = Some((attr.policy, attr.priority));
    check::same("a child without the flag", &inherited, &of_child());
    check::detail(format!("{back:?}, {} policies", WANTED.len()));
    check::verdict()
}
