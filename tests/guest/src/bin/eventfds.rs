// SPDX-License-Identifier: GPL-2.0

//! eventfd, signalfd, timerfd: counters, masks, and timers that run or have expired.

use std::process::ExitCode;
use std::time::Duration;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::procfs;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;

const AGAIN: sys::Ret = Err(Errno(libc::EAGAIN));
const NONBLOCK: usize = libc::O_NONBLOCK as usize;
const CLOEXEC: usize = libc::O_CLOEXEC as usize;
/// Seconds that a timer has left which must not expire during the test.
const LATER: i64 = 100_000;

fn eventfd(count: u32, flags: usize) -> i32 {
    let args = [count as usize, flags];
    check::need("eventfd", sys::plain(libc::SYS_eventfd2, &args)) as i32
}

fn signalfd(mask: u64, flags: usize) -> i32 {
    let args = [usize::MAX, (&raw const mask) as usize, 8, flags];
    check::need("signalfd", sys::plain(libc::SYS_signalfd4, &args)) as i32
}

fn timerfd(clock: i32, flags: usize) -> i32 {
    let args = [clock as usize, flags];
    check::need("timerfd", sys::plain(libc::SYS_timerfd_create, &args)) as i32
}

/// Sets a timer: seconds and nanoseconds, of the interval too.
fn set(fd: i32, flags: i32, value: (i64, i64), interval: (i64, i64)) {
    let times = [interval.0, interval.1, value.0, value.1];
    let args = [fd as usize, flags as usize, times.as_ptr() as usize, 0];
    check::need("settime", sys::plain(libc::SYS_timerfd_settime, &args));
}

/// Seconds until a timer expires, and between two times.
fn get(fd: i32) -> (i64, i64) {
    // SAFETY: zeros are a valid structure, which the call fills.
    let mut times: libc::itimerspec = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    let done = unsafe { libc::timerfd_gettime(fd, &mut times) };
    check::need("gettime", sys::libc_result(done));
    (times.it_value.tv_sec, times.it_interval.tv_sec)
}

/// Reads a number.
fn take(fd: i32) -> Result<u64, Errno> {
    let mut bytes = [0; 8];
    sys::read(fd, &mut bytes).map(|_| u64::from_le_bytes(bytes))
}

/// What procfs tells of a descriptor, without what changes by itself.
fn info(fd: i32) -> String {
    let text = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap_or_default();
    let varies = ["ino:", "mnt_id:", "eventfd-id:", "it_value:", "ticks:"];
    let lines = text.lines();
    lines
        .filter(|line| !varies.iter().any(|name| line.starts_with(name)))
        .collect::<Vec<_>>()
        .join("; ")
}

fn now(clock: i32) -> i64 {
    // SAFETY: zeros are a valid structure, which the call fills.
    let mut time: libc::timespec = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec
}

struct Timers {
    relative: i32,
    absolute: i32,
    boot: i32,
    date: i32,
    alarm: i32,
    periodic: i32,
    once: i32,
    stopped: i32,
}

fn timers() -> Timers {
    let absolute = libc::TFD_TIMER_ABSTIME;
    let cancel = absolute | libc::TFD_TIMER_CANCEL_ON_SET;
    let all = Timers {
        relative: timerfd(libc::CLOCK_MONOTONIC, CLOEXEC),
        absolute: timerfd(libc::CLOCK_MONOTONIC, 0),
        boot: timerfd(libc::CLOCK_BOOTTIME, NONBLOCK),
        date: timerfd(libc::CLOCK_REALTIME, 0),
        alarm: timerfd(libc::CLOCK_REALTIME_ALARM, 0),
        periodic: timerfd(libc::CLOCK_MONOTONIC, 0),
        once: timerfd(libc::CLOCK_REALTIME, NONBLOCK),
        stopped: timerfd(libc::CLOCK_MONOTONIC, NONBLOCK),
    };
    let moment = now(libc::CLOCK_MONOTONIC) + LATER;
    set(all.relative, 0, (LATER, 0), (7, 0));
    set(all.absolute, absolute, (moment, 0), (0, 0));
    set(all.boot, 0, (LATER, 0), (0, 0));
    set(all.date, cancel, (now(0) + LATER, 0), (3, 0));
    set(all.alarm, absolute, (now(0) + LATER, 0), (0, 0));
    set(all.periodic, 0, (0, 1_000_000), (0, 20_000_000));
    set(all.once, 0, (0, 1_000_000), (0, 0));
    std::thread::sleep(Duration::from_millis(150));
    all
}

fn verify_timers(timers: &Timers, date: i64) {
    let about = |what: &str, fd: i32, interval: i64| {
        let (left, every) = get(fd);
        check::same(&format!("interval of {what}"), &interval, &every);
        let near = (LATER - 600..=LATER).contains(&left);
        check::that(near, format!("{what}: {left} s are left"));
    };
    about("a relative timer", timers.relative, 7);
    about("an absolute timer", timers.absolute, 0);
    about("a timer of the time since boot", timers.boot, 0);
    check::same(
        "a timer that runs",
        &Err(Errno(libc::EAGAIN)),
        &take(timers.boot),
    );
    // The wall clock goes on between checkpoint and restart.
    for (fd, every) in [(timers.date, 3), (timers.alarm, 0)] {
        let (left, interval) = get(fd);
        let off = now(0) + left - date;
        check::that((-2..=2).contains(&off), format!("{off} s off the date"));
        check::same("interval of a date", &every, &interval);
    }
    let ticks = check::need("periodic", take(timers.periodic));
    check::that(ticks >= 7, format!("{ticks} expirations"));
    // It runs on.
    let more = check::need("periodic", take(timers.periodic));
    check::that(more >= 1, format!("{more} more"));
    check::same("one expiration", &Ok(1), &take(timers.once));
    check::same(
        "no second one",
        &Err(Errno(libc::EAGAIN)),
        &take(timers.once),
    );
    check::same("no timer", &(0, 0), &get(timers.stopped));
    check::same(
        "no expiration",
        &Err(Errno(libc::EAGAIN)),
        &take(timers.stopped),
    );
}

fn main() -> ExitCode {
    let life = Life::start();
    let plain = eventfd(3, 0);
    let semaphore = eventfd(2, libc::EFD_SEMAPHORE as usize | NONBLOCK | CLOEXEC);
    let large = eventfd(0, NONBLOCK);
    let most = u64::MAX - 1;
    check::need("write", sys::write(large, &most.to_le_bytes()));
    let twin = check::need("dup", sys::dup_to(plain, 60, 0)) as i32;
    check::need("F_SETFL", sys::fcntl(plain, libc::F_SETFL, NONBLOCK));

    let usr1 = 1u64 << (libc::SIGUSR1 - 1);
    let usr2 = 1u64 << (libc::SIGUSR2 - 1);
    let blocked = usr1 | usr2;
    let args = [0, (&raw const blocked) as usize, 0, 8];
    check::need("mask", sys::plain(libc::SYS_rt_sigprocmask, &args));
    let signals = signalfd(usr1 | 1 << 8, NONBLOCK | CLOEXEC);
    check::need("kill", sys::signal_self(libc::SIGUSR1));
    check::need("kill", sys::signal_self(libc::SIGUSR2));

    let timers = timers();
    let date = now(0) + get(timers.date).0;
    let table = || -> Vec<_> {
        let all = procfs::descriptors().into_iter();
        all.filter(|(_, fd)| fd.link.starts_with("anon_inode:"))
            .map(|(nr, fd)| (nr, fd.link, fd.flags, fd.cloexec, info(nr)))
            .collect()
    };
    let before = table();

    let back = life.checkpoint();

    check::same("descriptors", &before, &table());
    check::same("what a duplicate reads", &Ok(3), &take(twin));
    check::same("it is one counter", &Err(Errno(libc::EAGAIN)), &take(plain));
    check::same("semaphore", &Ok(1), &take(semaphore));
    check::same("semaphore", &Ok(1), &take(semaphore));
    check::same("semaphore", &Err(Errno(libc::EAGAIN)), &take(semaphore));
    check::same(
        "a full counter",
        &AGAIN,
        &sys::write(large, &1u64.to_le_bytes()),
    );
    check::same("a large counter", &Ok(most), &take(large));

    let mut info = [0; 128];
    check::same("signalfd", &Ok(128), &sys::read(signals, &mut info));
    check::same("signal", &libc::SIGUSR1.to_le_bytes()[..], &info[..4]);
    check::same("another signal", &AGAIN, &sys::read(signals, &mut info));
    verify_timers(&timers, date);
    check::detail(format!("{back:?}, {} descriptors", before.len()));
    check::verdict()
}
