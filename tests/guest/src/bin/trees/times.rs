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
/// Bytes that a process has for a moment.
const LARGE: usize = 48 << 20;

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
    burn_for(BURNT)
}

fn burn_for(time: u64) -> u64 {
    let begin = clock(libc::CLOCK_THREAD_CPUTIME_ID);
    let mut rounds = 0u64;
    while clock(libc::CLOCK_THREAD_CPUTIME_ID) < begin + time {
        rounds = std::hint::black_box(rounds + 1);
    }
    rounds
}

fn be_large() {
    let all = std::hint::black_box(vec![1u8; LARGE]);
    drop(all);
}

/// Numbers of a file in /proc, those behind these names, or all.
fn numbers(path: &str, names: &[&str]) -> Vec<u64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let wanted = |line: &&str| names.is_empty() || names.iter().any(|n| line.starts_with(n));
    text.lines()
        .filter(wanted)
        .filter_map(|line| line.split_whitespace().nth(1)?.parse().ok())
        .collect()
}

/// Most memory at a time, in KiB: in memory, the same as /proc shows it, and mapped.
fn peaks() -> Result<[u64; 3], String> {
    let status = numbers("/proc/self/status", &["VmPeak:", "VmHWM:"]);
    match status[..] {
        [mapped, resident] => Ok([usage(libc::RUSAGE_SELF).1, resident, mapped]),
        _ => Err(format!("status: {status:?}")),
    }
}

/// User time, system time, faults of either kind, switches of either kind, blocks; and
/// memory, which the kernel only knows roughly.
fn usage(who: libc::c_int) -> ([u64; 8], u64) {
    // SAFETY: an all-zero structure is a valid one, and the kernel fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &mut usage);
        usage
    };
    (counts(&usage), usage.ru_maxrss as u64)
}

fn counts(usage: &libc::rusage) -> [u64; 8] {
    let micros = |time: libc::timeval| time.tv_sec as u64 * 1_000_000 + time.tv_usec as u64;
    [
        micros(usage.ru_utime),
        micros(usage.ru_stime),
        usage.ru_minflt as u64,
        usage.ru_majflt as u64,
        usage.ru_nvcsw as u64,
        usage.ru_nivcsw as u64,
        usage.ru_inblock as u64,
        usage.ru_oublock as u64,
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
        all.extend(usage(who).0);
    }
    all
}

/// Bytes and calls of the process and of this thread. Not while somebody may take an image:
/// the second file cannot be open then.
fn io() -> Vec<u64> {
    let files = ["/proc/self/io", "/proc/thread-self/io"];
    files.map(|file| numbers(file, &[])).concat()
}

/// Looks until the end, and some more, since it may begin behind it when restarted.
fn never_less(scene: &Scene) -> Result<(), String> {
    let (mut before, mut left) = (seen(), 3);
    if before.len() != 2 + 3 * 8 {
        return Err(format!("{} numbers", before.len()));
    }
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
        be_large();
        sys::exit(i32::from(burn() == 0));
    }
    ends_well(child)?;
    be_large();
    let used = clock(libc::CLOCK_PROCESS_CPUTIME_ID);
    let (waited_for, largest) = usage(libc::RUSAGE_CHILDREN);
    if used < BURNT || waited_for[0] + waited_for[1] == 0 {
        return Err(format!("{used} ns, children {waited_for:?}"));
    }
    let io_before = io();
    let before = [&peaks()?[..], &[largest]].concat();
    if before.iter().any(|peak| *peak < LARGE as u64 >> 10) {
        return Err(format!("peaks {before:?}"));
    }
    // Its own file in procfs, which it had open, is none that an image can have.
    scene.announce();
    thread::scope(|scope| {
        let others = [(); 2].map(|()| scope.spawn(|| (burn(), never_less(scene)).1));
        never_less(scene)?;
        for other in others {
            other.join().map_err(|_| "it panicked")??;
        }
        Ok::<_, String>(())
    })?;
    let io_now = io();
    let less = std::iter::zip(&io_before, &io_now).any(|(before, now)| now < before);
    if less || (io_before.len(), io_now.len()) != (14, 14) {
        return Err(format!("io {io_now:?}, before {io_before:?}"));
    }
    let now = [&peaks()?[..], &[usage(libc::RUSAGE_CHILDREN).1]].concat();
    // The kernel counts pages for each CPU, and adds them up now and then.
    if std::iter::zip(&before, &now).any(|(before, now)| now + 1024 < *before) {
        return Err(format!("peaks {now:?}, before {before:?}"));
    }
    Ok(())
}

/// What a child that has ended, and that nobody has waited for, has used.
fn left_by(child: i32, options: i32) -> Result<([u64; 8], u64), String> {
    // SAFETY: all-zero structures are valid ones, and the kernel fills them.
    let (done, usage) = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let mut usage: libc::rusage = std::mem::zeroed();
        let done = libc::syscall(
            libc::SYS_waitid,
            libc::P_PID,
            child,
            &raw mut info,
            libc::WEXITED | options,
            &raw mut usage,
        );
        (done, usage)
    };
    if done == 0 {
        Ok((counts(&usage), usage.ru_maxrss as u64))
    } else {
        Err(format!("waitid: {}", std::io::Error::last_os_error()))
    }
}

/// Of a child that has ended, with a thread and a child of its own.
fn ended(scene: &Scene) -> Result<(), String> {
    let child = child(|| {
        thread::spawn(burn).join().map_err(|_| "it panicked")?;
        let child = child(|| {
            be_large();
            burn();
            Ok(())
        })?;
        ends_well(child)
    })?;
    let (before, largest) = left_by(child, libc::WNOWAIT)?;
    if largest < LARGE as u64 >> 10 || before[0] + before[1] < BURNT / 1000 {
        return Err(format!("{before:?}, {largest} KiB"));
    }
    scene.announce();
    scene.wait();
    let children = usage(libc::RUSAGE_CHILDREN).0;
    let (now, largest_now) = left_by(child, 0)?;
    if std::iter::zip(&before, &now).any(|(b, n)| n < b) || largest_now < largest {
        return Err(format!(
            "{now:?}, {largest_now} KiB, before {before:?}, {largest} KiB"
        ));
    }
    // It was handed on.
    let handed_on = usage(libc::RUSAGE_CHILDREN).0;
    if (0..8).any(|at| handed_on[at] < children[at] + before[at]) {
        return Err(format!("children {handed_on:?}, before {children:?}"));
    }
    Ok(())
}

/// The clock of the time of a thread of ours, see clock_getcpuclockid(3).
fn clock_of(tid: i32) -> libc::clockid_t {
    (!tid << 3) | 6
}

/// Timers of such times, also of another thread's, have what was left, on top of what was
/// used before. A clock may run on without them while a restart is made, but they not
/// without it, or they would expire too early: by as much as the clock says that was used
/// before, if they are started first.
fn timers(scene: &Scene) -> Result<(), String> {
    const LEFT: u64 = 3000 * timer::SECOND;
    // Times are counted by the tick where many look at them.
    let tick = 20 * timer::MILLI * slowness();
    burn_for(5 * tick);
    let (tell, told) = mpsc::channel();
    let (end, over) = mpsc::channel::<()>();
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            burn_for(5 * tick);
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
        scene.announce();
        never_less(scene)?;
        for (nr, armed) in armed.into_iter().enumerate() {
            let (id, at) = armed.map_err(|e| format!("timer {nr}: {e}"))?;
            let (left, now) = (timer::get(id), clock(clocks[nr]));
            match left {
                Ok([left, 0]) if left + now + tick >= at => {}
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
    act("times", times).there(),
    act("times-of-the-ended", ended).there(),
    act("times-of-timers", timers).there(),
    act("times-of-a-child", timers_of_a_child).there(),
];
