// SPDX-License-Identifier: GPL-2.0

//! Trees under stress: callers that are killed at any moment, restarts that fail, and
//! many tasks.

use std::path::Path;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::format;
use ckpt_guest::image::spans;
use ckpt_guest::life;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

use crate::census::described;
use crate::census::newcomers;
use crate::census::processes;
use crate::family::child;
use crate::family::ends_well;
use crate::storm::counter;

/// Tasks in an image, also those that have ended.
pub fn tasks_of(image: &Path) -> Result<usize, String> {
    let bytes = std::fs::read(image).map_err(|e| e.to_string())?;
    let spans = spans(&bytes)?;
    Ok(spans
        .iter()
        .filter(|span| span.kind == format::TREE)
        .count())
}

/// Waits until so many tasks have said that they are there, also on a busy machine.
pub fn all_there(scene: &Scene, count: u64) -> Result<(), String> {
    const TRIES: u32 = 6;
    if (1..TRIES).any(|_| scene.until_all_there(count).is_ok()) {
        return Ok(());
    }
    scene.until_all_there(count)
}

/// A small tree that works: threads that count, children that wait, one of them in a group
/// whose leader is gone, and one that has ended. All of them end with the first process.
pub fn small(scene: &Scene) -> Result<(), String> {
    let dies_with_us = || {
        sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize])
            .map_err(|e| format!("prctl: {e}"))
    };
    let zombie = child(|| sys::exit(3))?;
    let into = |pid: i32, group: i32| {
        let args = [pid as usize, group as usize];
        sys::plain(libc::SYS_setpgid, &args).map_err(|e| format!("setpgid: {e}"))
    };
    let gone = child(|| {
        dies_with_us()?;
        while !scene.dir.join("joined").exists() {
            scene.pause(1);
        }
        Ok(())
    })?;
    into(gone, gone)?;
    let ready = |nr: i32| scene.dir.join(format!("ready.{nr}"));
    let waiting = (0..3).map(|nr| {
        child(|| {
            dies_with_us()?;
            if nr == 0 {
                into(0, gone)?;
            }
            let _ = std::fs::write(ready(nr), "");
            scene.wait();
            Ok(())
        })
    });
    let waiting = waiting.collect::<Result<Vec<_>, _>>()?;
    while !(0..3).all(|nr| ready(nr).exists()) {
        scene.pause(1);
    }
    let _ = std::fs::write(scene.dir.join("joined"), "");
    ends_well(gone)?;
    let _ = std::fs::write(scene.dir.join("complete"), "");
    std::thread::scope(|scope| {
        for nr in 0..3u64 {
            scope.spawn(move || {
                let mut sum = nr;
                while !scene.finished() {
                    (0..500).for_each(|x| sum = std::hint::black_box(sum.wrapping_mul(3) + x));
                    std::thread::sleep(Duration::from_micros(300));
                }
            });
        }
        scene.wait();
    });
    match sys::wait_for(zombie, 10) {
        Ended::Exit(3) => {}
        other => return Err(format!("the child that has ended: {other:?}")),
    }
    let group = sys::plain(libc::SYS_getpgid, &[waiting[0] as usize]);
    if group != Ok(gone as usize) {
        return Err(format!("the group without a leader: {group:?}, not {gone}"));
    }
    waiting.into_iter().try_for_each(ends_well)
}

/// Starts such a tree, with more to it perhaps, and waits until it is complete.
pub fn complete(
    scene: &Scene,
    play: fn(&Scene) -> Result<(), String>,
) -> Result<Victim<'_>, String> {
    let victim = scene.start(play)?;
    while !scene.dir.join("complete").exists() {
        victim.unnoticed()?;
        scene.pause(1);
    }
    // The child that ends has ended.
    scene.pause(100 * pace::factor());
    Ok(victim)
}

/// The caller of checkpoint(2) is killed at a random moment: the tree always lives.
fn caller_killed() -> Case {
    let scene = Scene::new("tree-caller-killed");
    let victim = complete(&scene, small)?;
    let mut rng = Rng::new(21);
    let rounds = 200 / pace::thinning();
    // Half of them are killed in the middle of their first image.
    let start = Instant::now();
    victim.checkpoint("undisturbed", 0)?;
    let whole = start.elapsed().as_micros() as u64 * 2;
    // Images that are complete, and the errno of one that is not.
    let (complete, failed) = (counter()?, counter()?);
    for round in 0..rounds {
        let caller = sys::fork().map_err(|e| e.to_string())?;
        if caller == 0 {
            let image = scene.dir.join("image");
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
            let fd = sys::open(&life::c_path(&image), flags, 0o644).unwrap_or(-1);
            loop {
                // Each is complete, or ends with the caller.
                match sys::checkpoint(victim.pid, fd, 0, 0) {
                    Ok(_) => complete.fetch_add(1, SeqCst),
                    Err(errno) => failed.swap(errno.0 as u64, SeqCst),
                };
            }
        }
        std::thread::sleep(Duration::from_micros(rng.below(whole)));
        let _ = sys::plain(libc::SYS_kill, &[caller as usize, libc::SIGKILL as usize]);
        let ended = sys::wait_for(caller, 10);
        if ended != Ended::Signal(libc::SIGKILL) {
            return Err(format!("round {round}: the caller ended with {ended:?}"));
        }
        victim.unnoticed()?;
    }
    victim.ends_well(900)?;
    let (complete, failed) = (complete.load(SeqCst), failed.load(SeqCst));
    if failed != 0 || complete == 0 {
        return Err(format!("{complete} images are complete; errno {failed}"));
    }
    pass_with(format!("{rounds} callers, {complete} complete images"))
}

/// Two at once, again and again: both get whole images.
fn two_callers() -> Case {
    let scene = Scene::new("tree-two-callers");
    let victim = complete(&scene, small)?;
    let rounds = 16 / pace::thinning();
    let checkpoints =
        |name: &str| (0..rounds).try_for_each(|_| victim.checkpoint(name, 0).map(drop));
    let other = child(|| checkpoints("other"))?;
    checkpoints("one")?;
    ends_well(other)?;
    victim.unnoticed()?;
    victim.ends_well(900)?;
    for name in ["one.img", "other.img"] {
        scene.restart(&scene.dir.join(name), 900)?;
    }
    pass_with(format!("twice {rounds} images"))
}

/// A restart that fails at its end: the caller is what it was, and nobody is left.
fn restart_fails() -> Case {
    let scene = Scene::new("tree-restart-fails");
    let victim = complete(&scene, small)?;
    let image = victim.checkpoint("image", 0)?;
    victim.ends_well(900)?;
    let mut bytes = std::fs::read(&image).map_err(|e| e.to_string())?;
    // The checksum of the trailer.
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    let bad = scene.dir.join("bad.img");
    std::fs::write(&bad, &bytes).map_err(|e| e.to_string())?;
    let before = processes();
    let rounds = 40 / pace::thinning();
    for round in 0..rounds {
        let fd = sys::open(&life::c_path(&bad), libc::O_RDONLY, 0).map_err(|e| e.to_string())?;
        let errno = sys::restart(0, fd, 0, 0);
        let _ = sys::close(fd);
        if errno.0 != libc::EBADMSG {
            return Err(format!("round {round}: {errno}"));
        }
        let left = newcomers(&before);
        if !left.is_empty() {
            return Err(format!("round {round}: still there: {}", described(&left)));
        }
    }
    scene.restart(&image, 900)?;
    pass_with(format!("{rounds} restarts"))
}

/// As many tasks as `size` says, beside the first one: all of them are there before the
/// image is made, in the image, and end well after a restart of it.
fn crowd(name: &'static str, play: fn(&Scene) -> Result<(), String>, size: u64) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(play)?;
    all_there(&scene, size)?;
    let start = Instant::now();
    let image = victim.checkpoint("image", 0)?;
    let saved = start.elapsed();
    victim.unnoticed()?;
    victim.ends_well(60_000)?;
    let tasks = tasks_of(&image)?;
    if tasks as u64 != size + 1 {
        return Err(format!("{tasks} tasks in the image"));
    }
    let start = Instant::now();
    scene.restart(&image, 60_000)?;
    let bytes = std::fs::metadata(&image).map_or(0, |m| m.len());
    pass_with(format!(
        "{tasks} tasks, {} KiB, saved in {saved:.1?}, restarted and ended in {:.1?}",
        bytes / 1024,
        start.elapsed()
    ))
}

/// A case.
pub type Body = fn() -> Case;

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("caller-killed", caller_killed),
    ("two-callers", two_callers),
    ("restart-killed", crate::killed::restart_killed),
    ("restart-fails", restart_fails),
    ("rounds", crate::rounds::rounds),
    ("fork-storm", crate::storm::caught),
    ("execs-by-threads", crate::execs::by_threads),
    ("execs-by-children", crate::execs::by_children),
    ("thousand-processes", || {
        crowd("thousand-processes", crate::family::thousand, 1000)
    }),
    ("thousand-threads", || {
        crowd("thousand-threads", crate::threads::thousand, 1000)
    }),
];
