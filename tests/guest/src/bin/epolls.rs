// SPDX-License-Identifier: GPL-2.0

//! epoll: entries of all kinds, what they tell afterwards, and what happens later.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::sys;

const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const EDGE: u32 = libc::EPOLLET as u32;
const ONCE: u32 = libc::EPOLLONESHOT as u32;
const EXCLUSIVE: u32 = libc::EPOLLEXCLUSIVE as u32;
const HANGUP: u32 = libc::EPOLLHUP as u32;
static USR1: u64 = 1 << (libc::SIGUSR1 - 1);

fn made(what: &str, nr: libc::c_long, args: &[usize]) -> i32 {
    check::need(what, sys::plain(nr, args)) as i32
}

fn epoll() -> i32 {
    made("epoll", libc::SYS_epoll_create1, &[0])
}

fn eventfd(count: usize) -> i32 {
    made(
        "eventfd",
        libc::SYS_eventfd2,
        &[count, libc::O_NONBLOCK as usize],
    )
}

fn pipe() -> (i32, i32) {
    let mut ends = [0i32; 2];
    let flags = libc::O_NONBLOCK as usize;
    made(
        "pipe",
        libc::SYS_pipe2,
        &[ends.as_mut_ptr() as usize, flags],
    );
    (ends[0], ends[1])
}

fn socketpair() -> (i32, i32) {
    let mut ends = [0i32; 2];
    let unix = libc::AF_UNIX as usize;
    let args = [
        unix,
        libc::SOCK_STREAM as usize,
        0,
        ends.as_mut_ptr() as usize,
    ];
    made("socketpair", libc::SYS_socketpair, &args);
    (ends[0], ends[1])
}

fn control(epoll: i32, op: i32, fd: i32, events: u32, data: u64) -> Result<i32, sys::Errno> {
    let mut event = libc::epoll_event { events, u64: data };
    // SAFETY: reads a structure of ours.
    sys::libc_result(unsafe { libc::epoll_ctl(epoll, op, fd, &mut event) })
}

fn add(epoll: i32, fd: i32, events: u32, data: u64) {
    let done = control(epoll, libc::EPOLL_CTL_ADD, fd, events, data);
    check::need("epoll_ctl", done);
}

/// What is ready within some milliseconds: data and events, in the order of the data.
fn ready(epoll: i32, millis: i32) -> Vec<(u64, u32)> {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 32];
    // SAFETY: writes structures of ours, of which there are as many.
    let found = unsafe { libc::epoll_wait(epoll, events.as_mut_ptr(), 32, millis) };
    let found = check::need("epoll_wait", sys::libc_result(found));
    let mut found: Vec<_> = events[..found as usize]
        .iter()
        .map(|e| (e.u64, e.events))
        .collect();
    found.sort_unstable();
    found
}

/// The entries, without what is another file's at a restart.
fn entries(epoll: i32) -> Vec<String> {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{epoll}")).unwrap_or_default();
    let mut all: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("tfd:"))
        .map(|line| line.split(" pos:").next().unwrap_or(line).to_string())
        .collect();
    all.sort_unstable();
    all
}

fn main() -> ExitCode {
    let life = Life::start();
    // The lower descriptor: it is saved first, with what it watches.
    let (outer, all) = (epoll(), epoll());

    let (counter, empty) = (eventfd(3), eventfd(0));
    add(all, counter, IN, 1);
    add(all, empty, IN | OUT, u64::MAX);
    // By a descriptor that is another file's now.
    let (twin, (read, write)) = (60, pipe());
    check::need("dup", sys::dup_to(read, twin, 0));
    add(all, twin, IN | EDGE, 2);
    check::need("write", sys::write(write, b"data"));
    let null = check::need("open", sys::open(c"/dev/null", libc::O_RDONLY, 0));
    check::need("dup", sys::dup_to(null, twin, 0));
    // Spent, and one that waits.
    let (spent, armed) = (eventfd(1), eventfd(0));
    add(all, spent, IN | ONCE, 3);
    add(all, armed, IN | ONCE, 4);
    // Twice, by two descriptors.
    let both = check::need("dup", sys::dup_to(armed, 70, 0)) as i32;
    add(all, both, OUT | EXCLUSIVE, 5);
    // A pipe that nobody writes to any more.
    let (end, other) = pipe();
    check::need("close", sys::close(other));
    add(all, end, IN, 6);
    // Signals and time that come later.
    let args = [0, (&raw const USR1) as usize, 0, 8];
    made("mask", libc::SYS_rt_sigprocmask, &args);
    let args = [usize::MAX, (&raw const USR1) as usize, 8, 0];
    let signals = made("signalfd", libc::SYS_signalfd4, &args);
    add(all, signals, IN, 7);
    let timer = made("timerfd", libc::SYS_timerfd_create, &[1, 0]);
    add(all, timer, IN, 8);
    // Time that has come, and that nobody has asked for.
    let late = made("timerfd", libc::SYS_timerfd_create, &[1, 0]);
    let set = [0i64, 0, 0, 1];
    let args = [late as usize, 0, set.as_ptr() as usize, 0];
    made("settime", libc::SYS_timerfd_settime, &args);
    std::thread::sleep(std::time::Duration::from_millis(5));
    add(all, late, IN, 10);
    // One in another.
    let inner = epoll();
    let inside = eventfd(0);
    add(inner, inside, IN, 100);
    // As deep as the kernel allows; what waits in the socket is for its other end.
    let (deep, deepest, (near, far)) = (epoll(), epoll(), socketpair());
    check::need("write", sys::write(near, &[7; 3000]));
    add(deepest, near, IN, 300);
    add(deep, deepest, IN, 200);
    add(inner, deep, IN, 101);
    add(all, inner, IN, 9);
    add(outer, all, IN, 1000);

    let first = ready(all, 0);
    let expected = vec![
        (1, IN),
        (2, IN),
        (3, IN),
        (5, OUT),
        (6, HANGUP),
        (10, IN),
        (u64::MAX, OUT),
    ];
    check::same("ready before", &expected, &first);
    let expected = vec![(1, IN), (5, OUT), (6, HANGUP), (10, IN), (u64::MAX, OUT)];
    check::same("the edge and the shot are gone", &expected, &ready(all, 0));
    let before = [entries(all), entries(inner), entries(outer)];
    check::same("entries", &11, &before[0].len());

    let back = life.checkpoint();

    check::same(
        "entries",
        &before,
        &[entries(all), entries(inner), entries(outer)],
    );
    // An edge may be told again, once.
    let mut now = ready(all, 0);
    now.retain(|event| *event != (2, IN));
    check::same("ready as before", &expected, &now);
    check::same("the edge is told once", &expected, &ready(all, 0));
    check::same("from outside", &vec![(1000, IN)], &ready(outer, 0));

    // What comes later is heard.
    for (what, fd, data) in [("armed", armed, 4u64), ("inside", inside, 9)] {
        check::need("write", sys::write(fd, &1u64.to_le_bytes()));
        let told = ready(all, 1000).contains(&(data, IN));
        check::that(told, format!("{what} is not told"));
    }
    check::same("inside", &vec![(100, IN)], &ready(inner, 0));
    check::need("write", sys::write(far, b"up"));
    check::same("deepest", &vec![(300, IN)], &ready(deepest, 1000));
    check::same("upwards", &vec![(100, IN), (101, IN)], &ready(inner, 0));
    let mut waiting = [0; 4096];
    let got = check::need("read", sys::read(far, &mut waiting));
    check::same("what waits", &[7; 3000][..], &waiting[..got]);
    check::need("kill", sys::signal_self(libc::SIGUSR1));
    check::need("write", sys::write(write, b"more"));
    let set = [0i64, 0, 0, 1_000_000];
    let args = [timer as usize, 0, set.as_ptr() as usize, 0];
    made("settime", libc::SYS_timerfd_settime, &args);
    std::thread::sleep(std::time::Duration::from_millis(50));
    let told = ready(all, 1000);
    for (what, data) in [("edge", 2), ("signal", 7), ("timer", 8)] {
        check::that(told.contains(&(data, IN)), format!("{what}: {told:x?}"));
    }
    check::that(!told.iter().any(|e| e.0 == 3 || e.0 == 4), "spent ones");
    let again = control(all, libc::EPOLL_CTL_MOD, spent, IN | ONCE, 3);
    check::same("the spent one can be set again", &Ok(0), &again);
    check::that(ready(all, 0).contains(&(3, IN)), "the spent one, set again");
    let gone = control(all, libc::EPOLL_CTL_DEL, counter, 0, 0);
    check::same("an entry can be removed", &Ok(0), &gone);
    check::that(!ready(all, 0).iter().any(|e| e.0 == 1), "removed");
    check::detail(format!("{back:?}, {} entries", before[0].len()));
    check::verdict()
}
