// SPDX-License-Identifier: GPL-2.0

//! Victims that sleep in a system call. None may see EINTR, none may sleep shorter
//! than it wanted, and a restarted one sleeps what was left.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::sys;
use ckpt_guest::sys::Errno;
use ckpt_guest::sys::Ret;

use ckpt_guest::act::Act;
use ckpt_guest::cases::Case;
use ckpt_guest::victim::Scene;

/// How long each sleeps, in milliseconds, where checkpoints are fast.
pub const SLEEP: u64 = 1500;
pub const ABSOLUTE: usize = libc::TIMER_ABSTIME as usize;

/// Sockets wait by a clock of jiffies, which may lag behind that which is read here: by some
/// ticks if the host has stopped the CPU that counts them.
pub const JIFFIES: Duration = Duration::from_millis(30);

pub type Time = [i64; 2];

/// The most times longer that a case is tried with.
pub const LONGEST: u64 = 12;

/// How many times longer than that, for a test that needs it.
pub static LONGER: AtomicU64 = AtomicU64::new(1);

/// How long each sleeps, in milliseconds.
pub fn duration() -> u64 {
    SLEEP * ckpt_guest::act::slowness() * LONGER.load(Ordering::Relaxed)
}

/// The victim of an image was not asleep yet.
pub const NO_SLEEP: &str = "no sleep";

/// A case whose victim must sleep until the test is done with it: on a machine that was
/// busy, once more with victims that sleep longer.
pub fn asleep_until_done(body: impl Fn() -> Case) -> Case {
    let mut done = body();
    for longer in [4, LONGEST] {
        match &done {
            Err(why) if why.contains("the task has ended") || why == NO_SLEEP => {}
            _ => break,
        }
        LONGER.store(longer, Ordering::Relaxed);
        done = body();
    }
    LONGER.store(1, Ordering::Relaxed);
    done
}

pub fn time(millis: u64) -> Time {
    [millis as i64 / 1000, millis as i64 % 1000 * 1_000_000]
}

pub fn now(clock: i32) -> Time {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes a structure of ours.
    unsafe { libc::clock_gettime(clock, &mut now) };
    [now.tv_sec, now.tv_nsec]
}

pub fn later(clock: i32, millis: u64) -> Time {
    let [sec, nsec] = now(clock);
    let nsec = nsec + millis as i64 * 1_000_000;
    [sec + nsec / 1_000_000_000, nsec % 1_000_000_000]
}

pub fn call(nr: libc::c_long, args: &[usize]) -> Ret {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    // SAFETY: pointers among the arguments are to structures of the callers, of the
    // size that the call expects.
    unsafe { sys::raw(nr as usize, all) }
}

/// The call must end with `want`, and not before its time. The clock of a restarted
/// victim has gone on, so that only too short a sleep can be seen here.
pub fn sleeps(want: Ret, body: impl FnOnce() -> Ret) -> Result<(), String> {
    let start = Instant::now();
    let ret = body();
    let passed = start.elapsed();
    if ret != want {
        return Err(format!("{ret:?}, not {want:?}, after {passed:?}"));
    }
    if passed + JIFFIES < Duration::from_millis(duration()) {
        return Err(format!("only {passed:?}"));
    }
    Ok(())
}

fn nanosleep(_: &Scene) -> Result<(), String> {
    let (time, mut rest) = (time(duration()), [0i64; 2]);
    sleeps(Ok(0), || {
        let rest = (&raw mut rest) as usize;
        call(libc::SYS_nanosleep, &[(&raw const time) as usize, rest])
    })
}

fn clock_nanosleep(clock: i32) -> Result<(), String> {
    let time = time(duration());
    let at = (&raw const time) as usize;
    sleeps(Ok(0), || {
        call(libc::SYS_clock_nanosleep, &[clock as usize, 0, at, 0])
    })
}

fn until(clock: i32) -> Result<(), String> {
    let time = later(clock, duration());
    let at = (&raw const time) as usize;
    sleeps(Ok(0), || {
        call(libc::SYS_clock_nanosleep, &[clock as usize, ABSOLUTE, at])
    })
}

fn poll(_: &Scene) -> Result<(), String> {
    sleeps(Ok(0), || call(libc::SYS_poll, &[0, 0, duration() as usize]))
}

fn ppoll(_: &Scene) -> Result<(), String> {
    block(OUTSIDE_OF_CALLS);
    let (mut time, mask) = (time(duration()), 1u64 << (libc::SIGUSR2 - 1));
    let args = [
        0,
        0,
        (&raw mut time) as usize,
        (&raw const mask) as usize,
        8,
    ];
    sleeps(Ok(0), || call(libc::SYS_ppoll, &args))?;
    blocked_as_before()
}

/// As ppoll, with the mask in a structure.
fn pselect(_: &Scene) -> Result<(), String> {
    block(OUTSIDE_OF_CALLS);
    let (mut time, mask) = (time(duration()), 1u64 << (libc::SIGUSR2 - 1));
    let mask = [(&raw const mask) as usize, 8];
    let args = [0, 0, 0, 0, (&raw mut time) as usize, mask.as_ptr() as usize];
    sleeps(Ok(0), || call(libc::SYS_pselect6, &args))?;
    blocked_as_before()
}

/// Blocked before a call that has a mask of its own, and behind it.
const OUTSIDE_OF_CALLS: u64 = 1 << (libc::SIGURG - 1);

fn block(mask: u64) {
    let args = [libc::SIG_SETMASK as usize, (&raw const mask) as usize, 0, 8];
    let _ = call(libc::SYS_rt_sigprocmask, &args);
}

fn blocked_as_before() -> Result<(), String> {
    match blocked() {
        OUTSIDE_OF_CALLS => Ok(()),
        other => Err(format!("signals {other:#x} are blocked behind the call")),
    }
}

/// The signals that are blocked.
pub fn blocked() -> u64 {
    let mut blocked = 0u64;
    let at = (&raw mut blocked) as usize;
    let _ = call(libc::SYS_rt_sigprocmask, &[0, 0, at, 8]);
    blocked
}

/// The mask of a call is gone with the call.
pub fn nothing_is_blocked() -> Result<(), String> {
    let blocked = blocked();
    if blocked != 0 {
        return Err(format!("signals {blocked:#x} are left blocked"));
    }
    Ok(())
}

fn select(_: &Scene) -> Result<(), String> {
    let mut time = [0i64, duration() as i64 * 1000];
    let at = (&raw mut time) as usize;
    sleeps(Ok(0), || call(libc::SYS_select, &[0, 0, 0, 0, at]))
}

fn futex(op: i32, time: &Time) -> Result<(), String> {
    let word = 17u32;
    let args = [
        (&raw const word) as usize,
        op as usize,
        17,
        std::ptr::from_ref(time) as usize,
        0,
        usize::MAX,
    ];
    sleeps(Err(Errno(libc::ETIMEDOUT)), || call(libc::SYS_futex, &args))
}

fn futex_private(_: &Scene) -> Result<(), String> {
    futex(
        libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
        &time(duration()),
    )
}

fn futex_shared(_: &Scene) -> Result<(), String> {
    futex(libc::FUTEX_WAIT, &time(duration()))
}

fn futex_wall_clock(_: &Scene) -> Result<(), String> {
    futex(
        libc::FUTEX_WAIT_BITSET | libc::FUTEX_PRIVATE_FLAG | libc::FUTEX_CLOCK_REALTIME,
        &later(libc::CLOCK_REALTIME, duration()),
    )
}

/// Until one of two words changes, or the time has come.
fn futex_waitv(_: &Scene) -> Result<(), String> {
    let words = [17u32, 18];
    // Value, address, flags: 32 bits, private.
    let waiters = words.each_ref().map(|word| {
        let at = std::ptr::from_ref(word) as u64;
        [u64::from(*word), at, 0x82]
    });
    let time = later(libc::CLOCK_MONOTONIC, duration());
    let args = [
        waiters.as_ptr() as usize,
        2,
        0,
        (&raw const time) as usize,
        libc::CLOCK_MONOTONIC as usize,
    ];
    sleeps(Err(Errno(libc::ETIMEDOUT)), || {
        call(libc::SYS_futex_waitv, &args)
    })
}

/// Many short sleeps, so that many are interrupted at their edges.
fn naps(scene: &Scene) -> Result<(), String> {
    let nap = time(1);
    let mut i = 0;
    while !scene.finished() {
        i += 1;
        let ret = call(libc::SYS_nanosleep, &[(&raw const nap) as usize, 0]);
        if ret != Ok(0) {
            return Err(format!("nap {i}: {ret:?}"));
        }
    }
    Ok(())
}

pub const fn act(name: &'static str, play: fn(&Scene) -> Result<(), String>) -> Act {
    Act {
        name,
        play,
        waits: SLEEP,
        there: 0,
    }
}

/// Victims that sleep.
pub const ACTS: &[Act] = &[
    act("nanosleep", nanosleep),
    act("sleep-monotonic", |_| {
        clock_nanosleep(libc::CLOCK_MONOTONIC)
    }),
    act("sleep-boottime", |_| clock_nanosleep(libc::CLOCK_BOOTTIME)),
    act("sleep-tai", |_| clock_nanosleep(libc::CLOCK_TAI)),
    act("sleep-until-monotonic", |_| until(libc::CLOCK_MONOTONIC)),
    act("sleep-until-realtime", |_| until(libc::CLOCK_REALTIME)),
    act("poll", poll),
    act("ppoll", ppoll),
    act("select", select),
    act("pselect", pselect),
    act("futex-private", futex_private),
    act("futex-shared", futex_shared),
    act("futex-wall-clock", futex_wall_clock),
    act("futex-waitv", futex_waitv),
    act("naps", naps),
];
