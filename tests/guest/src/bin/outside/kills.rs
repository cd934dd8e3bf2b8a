// SPDX-License-Identifier: GPL-2.0

//! Who is killed or interrupted, and when: nobody else is harmed.

use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

use ckpt_guest::victim::Scene;

/// CHECKPOINT_STOP.
const STOP: usize = 4;

/// A case.
pub type Body = fn() -> Case;

/// Waits for its end, with 8 MiB of memory in use.
fn sleeper(scene: &Scene) -> Result<(), String> {
    let memory = vec![5u8; 8 << 20];
    scene.wait();
    if std::hint::black_box(&memory).iter().any(|b| *b != 5) {
        return Err("memory differs".to_string());
    }
    Ok(())
}

/// Never ends by itself.
fn endless(_: &Scene) -> Result<(), String> {
    let memory = vec![6u8; 8 << 20];
    loop {
        std::hint::black_box(&memory);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn killed_when_complete() -> Case {
    let scene = Scene::new("killed-when-complete");
    let victim = scene.start(sleeper)?;
    scene.pause(100);
    let image = victim.checkpoint("image", sys::KILL)?;
    match sys::wait_for(victim.pid, 10) {
        Ended::Signal(libc::SIGKILL) => {}
        other => return Err(format!("the victim ended with {other:?}")),
    }
    scene.finish();
    scene.restart(&image, 900)?;
    pass()
}

fn stopped_when_complete() -> Case {
    let scene = Scene::new("stopped-when-complete");
    let victim = scene.start(sleeper)?;
    scene.pause(100);
    let image = victim.checkpoint("image", STOP)?;
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    unsafe { libc::waitpid(victim.pid, &mut status, libc::WUNTRACED) };
    if !libc::WIFSTOPPED(status) || libc::WSTOPSIG(status) != libc::SIGSTOP {
        return Err(format!("not stopped: {status:#x}"));
    }
    victim.signal(libc::SIGCONT);
    victim.ends_well(900)?;
    scene.restart(&image, 900)?;
    pass()
}

/// A pipe; nobody reads from it until somebody does.
fn pipe() -> Result<[i32; 2], String> {
    let mut ends = [0; 2];
    // SAFETY: two ints of ours.
    sys::libc_result(unsafe { libc::pipe(ends.as_mut_ptr()) }).map_err(|e| e.to_string())?;
    Ok(ends)
}

/// A child that checkpoints `pid` into a pipe, and ends with the errno.
fn caller(pid: i32, ends: [i32; 2]) -> Result<i32, String> {
    let caller = sys::fork().map_err(|e| e.to_string())?;
    if caller == 0 {
        let _ = sys::close(ends[0]);
        sys::exit(match sys::checkpoint(pid, ends[1], 0, 0) {
            Ok(_) => 0,
            Err(errno) => errno.0,
        });
    }
    Ok(caller)
}

/// The caller is killed at a random moment, most of them while the pipe is full.
fn caller_killed() -> Case {
    let scene = Scene::new("caller-killed");
    let victim = scene.start(sleeper)?;
    let mut rng = Rng::new(11);
    let rounds = 60 / pace::thinning();
    for round in 0..rounds {
        let ends = pipe()?;
        let caller = caller(victim.pid, ends)?;
        std::thread::sleep(Duration::from_micros(rng.below(12_000)));
        let _ = sys::plain(libc::SYS_kill, &[caller as usize, libc::SIGKILL as usize]);
        let ended = sys::wait_for(caller, 10);
        let _ = (sys::close(ends[0]), sys::close(ends[1]));
        if ended != Ended::Signal(libc::SIGKILL) {
            return Err(format!("round {round}: the caller ended with {ended:?}"));
        }
        victim.unnoticed()?;
    }
    victim.ends_well(900)?;
    pass_with(format!("{rounds} callers"))
}

/// The victim is killed while it waits for somebody to take its image.
fn victim_killed() -> Case {
    let scene = Scene::new("victim-killed");
    let mut rng = Rng::new(12);
    let rounds = 40 / pace::thinning();
    for round in 0..rounds {
        let victim = scene.start(endless)?;
        let ends = pipe()?;
        let caller = caller(victim.pid, ends)?;
        std::thread::sleep(Duration::from_micros(rng.below(12_000)));
        let start = Instant::now();
        if victim.end() != Ended::Signal(libc::SIGKILL) {
            return Err(format!("round {round}: the victim does not die"));
        }
        if start.elapsed() > Duration::from_secs(8 * pace::factor()) {
            return Err(format!("round {round}: dead after {:?}", start.elapsed()));
        }
        // Now somebody reads: the caller learns of it.
        let _ = sys::close(ends[1]);
        let mut buf = vec![0; 1 << 16];
        while matches!(sys::read(ends[0], &mut buf), Ok(n) if n > 0) {}
        let _ = sys::close(ends[0]);
        match sys::wait_for(caller, 10) {
            Ended::Exit(libc::ESRCH | libc::EINTR) => {}
            other => return Err(format!("round {round}: the caller ended with {other:?}")),
        }
    }
    pass_with(format!("{rounds} victims"))
}

/// Nobody wants the image any more.
fn reader_gone() -> Case {
    let scene = Scene::new("reader-gone");
    let victim = scene.start(sleeper)?;
    let ends = pipe()?;
    let caller = caller(victim.pid, ends)?;
    let _ = sys::close(ends[1]);
    scene.pause(50);
    let _ = sys::close(ends[0]);
    match sys::wait_for(caller, 10) {
        Ended::Signal(libc::SIGPIPE) | Ended::Exit(libc::EPIPE) => {}
        other => return Err(format!("the caller ended with {other:?}")),
    }
    victim.unnoticed()?;
    victim.ends_well(900)?;
    pass()
}

/// Two at once: each gets a whole image.
fn two_callers() -> Case {
    let scene = Scene::new("two-callers");
    let victim = scene.start(sleeper)?;
    scene.pause(50);
    let checkpoint = |name: &str| match victim.checkpoint(name, 0) {
        Ok(_) => 0,
        Err(why) => {
            println!("{why}");
            1
        }
    };
    let other = sys::fork().map_err(|e| e.to_string())?;
    if other == 0 {
        sys::exit(checkpoint("other"));
    }
    let one = victim.checkpoint("one", 0)?;
    if sys::wait_for(other, 20) != Ended::Exit(0) {
        return Err("the other caller has failed".to_string());
    }
    victim.ends_well(900)?;
    scene.restart(&one, 900)?;
    scene.restart(&scene.dir.join("other.img"), 900)?;
    pass()
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("killed-when-complete", killed_when_complete),
    ("stopped-when-complete", stopped_when_complete),
    ("caller-killed", caller_killed),
    ("victim-killed", victim_killed),
    ("reader-gone", reader_gone),
    ("two-callers", two_callers),
];
