// SPDX-License-Identifier: GPL-2.0

//! Victims with POSIX timers: of threads, and of children.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::thread;

use ckpt_guest::act::Act;
use ckpt_guest::cases::pass;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::timer;
use ckpt_guest::timer::bit;
use ckpt_guest::timer::gettid;
use ckpt_guest::timer::Signals;
use ckpt_guest::timer::MILLI;
use ckpt_guest::timer::SECOND;
use ckpt_guest::timer::SIGEV_SIGNAL;
use ckpt_guest::timer::SIGEV_THREAD_ID;
use ckpt_guest::timer::SI_TIMER;
use ckpt_guest::victim::Scene;

use crate::stress::Body;

/// How long the victims work, in milliseconds.
const TIME: u64 = 400;
/// Longest time without a signal, in seconds.
const SILENCE: u64 = 10;

/// The signal that all timers here send; it is blocked, and taken by waits.
fn signo() -> i32 {
    libc::SIGRTMIN() + 3
}

fn make(notify: i32, value: u64, tid: i32) -> Result<usize, String> {
    let signals = Signals {
        notify,
        signo: signo(),
        value,
        tid,
    };
    timer::create(libc::CLOCK_MONOTONIC, signals, 0).map_err(|e| format!("timer_create: {e}"))
}

fn start(id: usize, value: u64, interval: u64) -> Result<(), String> {
    let done = timer::set(id, 0, value, interval);
    done.map(|_| ()).map_err(|e| format!("timer_settime: {e}"))
}

/// Takes signals until the end and some more, since it may begin behind the end when it
/// is restarted: each is of this timer with this value.
fn listen(scene: &Scene, who: &str, id: usize, value: u64) -> Result<(), String> {
    let (mut signals, mut left) = (0, 3);
    while left > 0 {
        let Some(info) = timer::wait(bit(signo()), SILENCE) else {
            return Err(format!("{who}: silence behind {signals} signals"));
        };
        let (expected, got) = (
            (SI_TIMER, id as i32, value),
            (info.code, info.id, info.value),
        );
        if got != expected || info.overrun < 0 {
            return Err(format!("{who}: {info:?}, not {expected:?}"));
        }
        signals += 1;
        left -= i32::from(scene.finished());
    }
    Ok(())
}

/// A timer that runs long has not been set back, and not run out.
fn runs(who: &str, id: usize, most: u64) -> Result<(), String> {
    match timer::get(id) {
        Ok([left, interval]) if left <= most && left + 300 * SECOND > most && interval == 9 => {
            Ok(())
        }
        other => Err(format!("{who}: timer {id}: {other:?}")),
    }
}

/// Threads that hear of a timer each, made by the first one; the last hears of one that
/// it did not make and that expires once in a while.
fn threads(scene: &Scene) -> Result<(), String> {
    timer::block(bit(signo())).map_err(|e| format!("block: {e}"))?;
    let long = make(SIGEV_THREAD_ID, 0, gettid())?;
    start(long, 900 * SECOND, 9)?;
    thread::scope(|scope| {
        let others: Vec<_> = (1..4u64)
            .map(|nr| {
                let (tell, told) = mpsc::channel();
                let (give, given) = mpsc::channel();
                let other = scope.spawn(move || {
                    let _ = tell.send(gettid());
                    let id = given.recv().map_err(|_| "no timer")?;
                    listen(scene, &format!("thread {nr}"), id, 70 + nr)
                });
                let tid = told.recv().map_err(|_| "the thread is gone")?;
                let id = make(SIGEV_THREAD_ID, 70 + nr, tid)?;
                start(id, MILLI, [2, 5, 60][nr as usize - 1] * MILLI)?;
                let _ = give.send(id);
                Ok(other)
            })
            .collect::<Result<_, String>>()?;
        scene.announce();
        for other in others {
            other.join().map_err(|_| "it panicked")??;
        }
        runs("first thread", long, 900 * SECOND)
    })
}

/// Signals that were handled.
static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32) {
    HANDLED.fetch_add(1, Ordering::Relaxed);
}

/// A timer of the process, whose signal the first thread blocks and the second one
/// handles. It expires while all of them stand still.
fn process(scene: &Scene) -> Result<(), String> {
    HANDLED.store(0, Ordering::Relaxed);
    // SAFETY: the handler touches an atomic only.
    unsafe { libc::signal(signo(), count as *const () as usize) };
    thread::scope(|scope| {
        let (end, over) = mpsc::channel::<()>();
        scope.spawn(move || over.recv());
        timer::block(bit(signo())).map_err(|e| format!("block: {e}"))?;
        let id = make(SIGEV_SIGNAL, 0, 0)?;
        start(id, MILLI, MILLI)?;
        scene.announce();
        let mut left = 3;
        while left > 0 {
            // By its own time: the clock goes on where there is only an image.
            let (before, mut pauses) = (HANDLED.load(Ordering::Relaxed), 0);
            while HANDLED.load(Ordering::Relaxed) == before {
                if pauses > SILENCE * 1000 {
                    return Err(format!("silence behind {before} signals"));
                }
                pauses += 1;
                scene.pause(1);
            }
            left -= i32::from(scene.finished());
        }
        drop(end);
        timer::delete(id).map_err(|e| format!("timer_delete: {e}"))?;
        Ok(())
    })
}

/// Parent and child have timers with the same ids.
fn children(scene: &Scene) -> Result<(), String> {
    timer::block(bit(signo())).map_err(|e| format!("block: {e}"))?;
    let one = |who: &str, value: u64, millis: u64| {
        let long = make(SIGEV_SIGNAL, 0, 0)?;
        start(long, (800 + value) * SECOND, 9)?;
        let id = make(SIGEV_SIGNAL, value, 0)?;
        if (long, id) != (0, 1) {
            return Err(format!("{who}: timers {long} and {id}"));
        }
        start(id, MILLI, millis * MILLI)?;
        scene.announce();
        listen(scene, who, id, value)?;
        runs(who, long, (800 + value) * SECOND)
    };
    let child = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if child == 0 {
        let done = one("child", 5, 3);
        if let Err(why) = &done {
            println!("{why}");
        }
        sys::exit(i32::from(done.is_err()));
    }
    one("parent", 6, 4)?;
    // It may have another id than before.
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    match unsafe { libc::waitpid(-1, &mut status, 0) } {
        pid if pid > 0 && status == 0 => Ok(()),
        pid => Err(format!("child {pid} ended with {status:#x}")),
    }
}

/// A child whose threads have timers.
fn threads_of_a_child(scene: &Scene) -> Result<(), String> {
    let child = crate::family::child(|| threads(scene))?;
    threads(scene)?;
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    match unsafe { libc::waitpid(-1, &mut status, 0) } {
        pid if pid > 0 && status == 0 => Ok(()),
        pid => Err(format!("child {child}, now {pid}, ended with {status:#x}")),
    }
}

/// The threads get other ids than in the image, and their timers with them.
fn new_ids() -> Case {
    let scene = Scene::new("timers-new-ids");
    let victim = scene.start(threads_of_a_child)?;
    // Whoever has asked for an id, and has no timer yet, would ask for that of another.
    scene.until_all_there(2)?;
    scene.pause(TIME / 4);
    let image = victim.checkpoint("image", 0)?;
    let log = scene.dir.join("log");
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    const NEW_PIDS: usize = 2;
    scene.finish();
    // The victim has all its ids until it has ended.
    let ended = sys::in_child(60, || {
        let fd = sys::open(&life::c_path(&image), libc::O_RDONLY, 0).unwrap_or(-1);
        let log = sys::open(&life::c_path(&log), flags, 0o644).unwrap_or(-1);
        sys::restart(0, fd, sys::LOG | NEW_PIDS, log).0
    });
    victim.ends_well(TIME)?;
    if ended != Ended::Exit(0) {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        let out = std::fs::read_to_string(scene.dir.join("victim.out")).unwrap_or_default();
        return Err(format!("with new ids: {ended:?}: {said}; {out}"));
    }
    pass()
}

const fn act(name: &'static str, play: fn(&Scene) -> Result<(), String>) -> Act {
    Act {
        name,
        play,
        waits: TIME,
        there: 0,
    }
}

/// Victims with timers.
pub const ACTS: &[Act] = &[
    act("timers-of-threads", threads).there(),
    act("timers-of-a-process", process).there(),
    act("timers-of-children", children).all_there(2),
    act("timers-of-threads-of-children", threads_of_a_child).all_there(2),
];

/// Cases.
pub const CASES: &[(&str, Body)] = &[("timers-new-ids", new_ids)];
