// SPDX-License-Identifier: GPL-2.0

//! Threads that wait in one call with a timeout, again and again, and verify each time
//! what it returns and how long it took. The calls are made without the C library,
//! which would hide an EINTR.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::act::slowness;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;
use ckpt_guest::sys::Ret;

/// Most are short, so that many are interrupted at their edges; in milliseconds.
pub const SHORT: u64 = 5;

/// A long one is interrupted many times.
pub fn long() -> u64 {
    2000 * slowness()
}

/// An epoll that watches nothing, made by the first process.
static EPOLL: AtomicUsize = AtomicUsize::new(0);
/// A semaphore that nobody raises, made by the test, which outlives all restarts.
pub static SEMAPHORE: AtomicUsize = AtomicUsize::new(0);

/// A call.
pub fn call(nr: libc::c_long, args: &[usize]) -> Ret {
    let mut all = [0; 6];
    all[..args.len()].copy_from_slice(args);
    // SAFETY: pointers among the arguments are to structures of the callers, of the
    // size that the call expects.
    unsafe { sys::raw(nr as usize, all) }
}

fn time(millis: u64) -> [i64; 2] {
    [millis as i64 / 1000, millis as i64 % 1000 * 1_000_000]
}

/// nanosleep(2).
pub fn nap(millis: u64) -> Ret {
    let time = time(millis);
    call(libc::SYS_nanosleep, &[(&raw const time) as usize, 0])
}

fn poll(millis: u64) -> Ret {
    call(libc::SYS_poll, &[0, 0, millis as usize])
}

fn futex(millis: u64) -> Ret {
    let (word, time) = (7u32, time(millis));
    let op = (libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG) as usize;
    let time = (&raw const time) as usize;
    call(libc::SYS_futex, &[(&raw const word) as usize, op, 7, time])
}

fn epoll(millis: u64) -> Ret {
    let mut event = [0u8; 12];
    let at = event.as_mut_ptr() as usize;
    let epoll = EPOLL.load(Ordering::Relaxed);
    call(libc::SYS_epoll_wait, &[epoll, at, 1, millis as usize])
}

fn signal(millis: u64) -> Ret {
    let (set, time) = (1u64 << (libc::SIGALRM - 1), time(millis));
    let time = (&raw const time) as usize;
    let set = (&raw const set) as usize;
    call(libc::SYS_rt_sigtimedwait, &[set, 0, time, 8])
}

fn semaphore(millis: u64) -> Ret {
    let (down, time) = ([0i16, -1, 0], time(millis));
    let (down, time) = (down.as_ptr() as usize, (&raw const time) as usize);
    let id = SEMAPHORE.load(Ordering::Relaxed);
    call(libc::SYS_semtimedop, &[id, down, 1, time])
}

/// A call, and what it returns when its time is over.
struct Kind {
    name: &'static str,
    wait: fn(u64) -> Ret,
    over: Ret,
}

const fn kind(name: &'static str, wait: fn(u64) -> Ret, over: Ret) -> Kind {
    Kind { name, wait, over }
}

const KINDS: &[Kind] = &[
    kind("nanosleep", nap, Ok(0)),
    kind("poll", poll, Ok(0)),
    kind("futex", futex, Err(Errno(libc::ETIMEDOUT))),
    kind("epoll_wait", epoll, Ok(0)),
    kind("rt_sigtimedwait", signal, Err(Errno(libc::EAGAIN))),
    kind("semtimedop", semaphore, Err(Errno(libc::EAGAIN))),
];

/// What one thread has done.
pub struct Tally {
    name: &'static str,
    millis: u64,
    turns: u64,
    slept: Duration,
}

impl Kind {
    /// No call may return anything else than that its time is over, nor before that.
    fn turns(&self, millis: u64, stop: &AtomicU64) -> Result<Tally, String> {
        let (mut turns, mut slept) = (0, Duration::ZERO);
        let asked = Duration::from_millis(millis);
        while turns == 0 || stop.load(Ordering::Relaxed) == 0 {
            let start = Instant::now();
            let ret = (self.wait)(millis);
            let passed = start.elapsed();
            let fault = |what: String| Err(format!("{}, turn {turns}: {what}", self.name));
            if ret != self.over {
                return fault(format!("{ret:?}, not {:?}, after {passed:?}", self.over));
            }
            if passed < asked {
                return fault(format!("{passed:?}, not {asked:?}"));
            }
            turns += 1;
            slept += passed;
        }
        Ok(Tally {
            name: self.name,
            millis,
            turns,
            slept,
        })
    }
}

impl Tally {
    /// A wait that began anew at each stop, rather than to go on, would be over after
    /// the last stop only: one turn, or a few, for all of the time. On a busy machine
    /// half of what was asked for may come on top, and one stop, at whose end it is seen
    /// that the time is over.
    fn drifts(&self, longest: Duration) -> Result<(), String> {
        let each = Duration::from_millis(self.millis * 3 / 2) + longest;
        let most = each * u32::try_from(self.turns).unwrap_or(u32::MAX);
        if self.slept <= most {
            return Ok(());
        }
        Err(format!(
            "{}: {} turns of {} ms took {:?}, with stops of {longest:?} at most",
            self.name, self.turns, self.millis, self.slept
        ))
    }
}

/// Runs until `until` is over: two threads for each kind of call, for short waits and for
/// long ones. The number of calls. `longest` tells how long they were stopped at most;
/// nobody knows that after a restart.
pub fn threads(
    stop: &AtomicU64,
    until: impl FnOnce(),
    longest: impl FnOnce() -> Option<Duration>,
) -> Result<u64, String> {
    let alarm = 1u64 << (libc::SIGALRM - 1);
    let made = |what: &str, ret: Ret| ret.map_err(|e| format!("{what}: {e}"));
    let args = [0, (&raw const alarm) as usize, 0, 8];
    made("mask", call(libc::SYS_rt_sigprocmask, &args))?;
    let epoll = made("epoll", call(libc::SYS_epoll_create1, &[0]))?;
    EPOLL.store(epoll, Ordering::Relaxed);
    let tallies = std::thread::scope(|scope| {
        let all: Vec<_> = KINDS
            .iter()
            .flat_map(|kind| [(kind, SHORT), (kind, long())])
            .map(|(kind, millis)| scope.spawn(move || kind.turns(millis, stop)))
            .collect();
        until();
        let done = all
            .into_iter()
            .map(|one| one.join().unwrap_or(Err("it panicked".to_string())));
        done.collect::<Result<Vec<_>, String>>()
    })?;
    if let Some(longest) = longest() {
        let mut long = tallies.iter().filter(|tally| tally.millis > SHORT);
        long.try_for_each(|tally| tally.drifts(longest))?;
    }
    Ok(tallies.iter().map(|tally| tally.turns).sum())
}
