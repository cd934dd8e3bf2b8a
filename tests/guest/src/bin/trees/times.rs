// SPDX-License-Identifier: GPL-2.0

//! Victims that look at what they have used: none of it may ever become less.

use std::sync::mpsc;
use std::thread;

use ckpt_guest::act::slowness;
use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::timer;
use ckpt_guest::victim::Scene;

use crate::family::act;
use crate::family::child;
use crate::family::ends_well;

/// Nanoseconds that each burns before it ends.
const BURNT: u64 = 60 * timer::MILLI;

fn clock(id: libc::clockid_t) -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: a structure of ours.
    unsafe { libc::clock_gettime(id, &mut time) };
    time.tv_sec as u64 * timer::SECOND + time.tv_nsec as u64
}

fn burn() -> u64 {
    let begin = clock(libc::CLOCK_THREAD_CPUTIME_ID);
    let mut rounds = 0u64;
    while clock(libc::CLOCK_THREAD_CPUTIME_ID) < begin + BURNT {
        rounds = std::hint::black_box(rounds + 1);
    }
    rounds
}

/// User time, system time, faults of either kind, switches of either kind.
fn usage(who: libc::c_int) -> [u64; 6] {
    // SAFETY: an all-zero structure is a valid one, and the kernel fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    [
        micros(usage.ru_utime),
        micros(usage.ru_stime),
        usage.ru_minflt as u64,
        usage.ru_majflt as u64,
        usage.ru_nvcsw as u64,
        usage.ru_nivcsw as u64,
    ]
}

/// All that a thread sees of what was used.
fn seen() -> Vec<u64> {
    let mut all = vec![
        clock(libc::CLOCK_THREAD_CPUTIME_ID),
        clock(libc::CLOCK_PROCESS_CPUTIME_ID),
    ];
    for who in [
        libc::RUSAGE_THREAD,
        libc::RUSAGE_SELF,
        libc::RUSAGE_CHILDREN,
    ] {
        all.extend(usage(who));
    }
    all
}

/// Looks until the end, and some more, since it may begin behind it when restarted.
fn never_less(scene: &Scene) -> Result<(), String> {
    let (mut before, mut left) = (seen(), 3);
    while left > 0 {
        let now = seen();
        if let Some(at) = (0..now.len()).find(|at| now[*at] < before[*at]) {
            return Err(format!("number {at}: {} behind {}", now[at], before[at]));
        }
        before = now;
        scene.pause(1);
        left -= i32::from(scene.finished());
    }
    Ok(())
}

/// A thread that has ended and a child that was waited for have used most.
fn times(scene: &Scene) -> Result<(), String> {
    thread::spawn(burn).join().map_err(|_| "it panicked")?;
    let child = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if child == 0 {
        sys::exit(i32::from(burn() == 0));
    }
    ends_well(child)?;
    let used = clock(libc::CLOCK_PROCESS_CPUTIME_ID);
    let waited_for = usage(libc::RUSAGE_CHILDREN);
    if used < BURNT || waited_for[0] + waited_for[1] == 0 {
        return Err(format!("{used} ns, children {waited_for:?}"));
    }
    thread::scope(|scope| {
        let others = [(); 2].map(|()| scope.spawn(|| (burn(), never_less(scene)).1));
        never_less(scene)?;
        for other in others {
            other.join().map_err(|_| "it panicked")??;
        }
        Ok(())
    })
}

/// The clock of the time of a thread of ours, see clock_getcpuclockid(3).
fn clock_of(tid: i32) -> libc::clockid_t {
    (!tid << 3) | 6
}

/// Timers of such times, also of another thread's, have what was left, on top of what was
/// used before. A clock may run on without them while a restart is made; they without it
/// only while the task saves itself, which is on its own account.
fn timers(scene: &Scene) -> Result<(), String> {
    const LEFT: u64 = 3000 * timer::SECOND;
    burn();
    let (tell, told) = mpsc::channel();
    let (end, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            burn();
            let _ = tell.send(timer::gettid());
            let done = never_less(scene);
            let _ = over.recv();
            done
        });
        let tid = told.recv().map_err(|_| "the thread is gone")?;
        let signals = timer::Signals {
            notify: timer::SIGEV_NONE,
            signo: 0,
            value: 0,
            tid: 0,
        };
        let clocks = [
            libc::CLOCK_PROCESS_CPUTIME_ID,
            libc::CLOCK_THREAD_CPUTIME_ID,
            clock_of(tid),
        ];
        let armed = clocks.map(|clock_id| {
            let id = timer::create(clock_id, signals, 0)?;
            let at = clock(clock_id) + LEFT;
            timer::set(id, 0, LEFT, 0).map(|_| (id, at))
        });
        let limit = libc::rlimit {
            rlim_cur: 5000,
            rlim_max: 6000,
        };
        // SAFETY: reads a structure of ours.
        unsafe { libc::setrlimit(libc::RLIMIT_CPU, &limit) };
        never_less(scene)?;
        let saving = 2 * timer::SECOND * slowness();
        for (nr, armed) in armed.into_iter().enumerate() {
            let (id, at) = armed.map_err(|e| format!("timer {nr}: {e}"))?;
            let (left, now) = (timer::get(id), clock(clocks[nr]));
            match left {
                Ok([left, 0]) if left + now + saving >= at => {}
                other => return Err(format!("timer {nr}: {other:?}, {now}, not {at}")),
            }
        }
        drop(end);
        other.join().map_err(|_| "it panicked")?
    })
}

/// The same of a child, which is no caller of restart(2).
fn timers_of_a_child(scene: &Scene) -> Result<(), String> {
    let child = child(|| timers(scene))?;
    never_less(scene)?;
    ends_well(child)
}

/// Victims that look at their times.
pub const ACTS: &[Act] = &[
    act("times", times),
    act("times-of-timers", timers),
    act("times-of-a-child", timers_of_a_child),
];
