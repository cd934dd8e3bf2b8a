// SPDX-License-Identifier: GPL-2.0

//! CHECKPOINT_KILL and CHECKPOINT_STOP of many: none of them goes on behind its image. A
//! checkpoint that fails ends and stops nobody.

use std::collections::BTreeSet;
use std::os::unix::net::UnixListener;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
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
use crate::killed::reap;
use crate::stops::is_stopped;
use crate::stress::all_there;
use crate::stress::Body;

/// Children that count, beside two threads of the first process.
const CHILDREN: u64 = 6;
const COUNTERS: u64 = CHILDREN + 2;

/// A number in a file, which no image has.
fn shared(scene: &Scene, nr: u64) -> Result<&'static AtomicU64, String> {
    let path = scene.dir.join(format!("{nr}.count"));
    let create = libc::O_RDWR | libc::O_CREAT;
    let fd = sys::open(&life::c_path(&path), create, 0o600).map_err(|e| format!("count: {e}"))?;
    let args = [fd as usize, PAGE];
    sys::plain(libc::SYS_ftruncate, &args).map_err(|e| format!("ftruncate: {e}"))?;
    let map = Map::new(Spec {
        len: PAGE,
        flags: libc::MAP_SHARED,
        fd,
        ..Spec::default()
    });
    let map = map.map_err(|e| format!("mmap: {e}"))?;
    let _ = sys::close(fd);
    // SAFETY: the mapping stays as long as the process, and only atomics access it.
    Ok(unsafe { &*(map.addr as *const AtomicU64) })
}

/// Counts in memory of its own, which the image has, and in the file: whoever has gone on
/// behind its image finds more in the file than it remembers.
fn counts(scene: &Scene, nr: u64) -> Result<(), String> {
    let shared = shared(scene, nr)?;
    let mut mine = shared.load(Relaxed);
    scene.announce();
    loop {
        for _ in 0..1000 {
            let there = shared.load(Relaxed);
            if there != mine {
                return Err(format!(
                    "counter {nr} was at {mine}, and the file has {there}"
                ));
            }
            mine += 1;
            shared.store(mine, Relaxed);
        }
        if scene.finished() {
            return Ok(());
        }
    }
}

fn all_count(scene: &Scene) -> Result<(), String> {
    let children = (0..CHILDREN).map(|nr| child(|| counts(scene, nr)));
    let children = children.collect::<Result<Vec<_>, _>>()?;
    thread::scope(|scope| {
        let other = scope.spawn(|| counts(scene, CHILDREN));
        let done = counts(scene, CHILDREN + 1);
        other.join().map_err(|_| "it panicked".to_string())??;
        done
    })?;
    children.into_iter().try_for_each(ends_well)
}

/// One of them cannot be saved.
fn one_listens(scene: &Scene) -> Result<(), String> {
    let pid = child(|| {
        let _listener = UnixListener::bind(scene.dir.join("socket")).map_err(|e| e.to_string())?;
        counts(scene, COUNTERS)
    })?;
    all_count(scene)?;
    ends_well(pid)
}

/// What all have counted so far.
fn counted(scene: &Scene) -> Result<Vec<u64>, String> {
    let numbers = (0..COUNTERS).map(|nr| {
        let path = scene.dir.join(format!("{nr}.count"));
        let bytes = std::fs::read(path).map_err(|e| format!("count: {e}"))?;
        let first = bytes.first_chunk().ok_or("there is no count")?;
        Ok(u64::from_ne_bytes(*first))
    });
    numbers.collect()
}

/// All of them count on.
fn go_on(scene: &Scene) -> Result<(), String> {
    let before = counted(scene)?;
    let start = Instant::now();
    loop {
        let now = counted(scene)?;
        if now.iter().zip(&before).all(|(now, before)| now > before) {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(10 * pace::factor()) {
            return Err(format!("{before:?}, and later {now:?}"));
        }
        scene.pause(1);
    }
}

/// Waits until all that have come since have gone; they come to us.
fn gone(before: &BTreeSet<i32>) -> Result<(), String> {
    let start = Instant::now();
    loop {
        reap();
        let left = newcomers(before);
        if left.is_empty() {
            return Ok(());
        }
        if start.elapsed() > Duration::from_secs(10 * pace::factor()) {
            return Err(format!("still there: {}", described(&left)));
        }
        thread::sleep(Duration::from_millis(1));
    }
}

fn kill(pid: i32, signal: i32) {
    let _ = sys::plain(libc::SYS_kill, &[pid as usize, signal as usize]);
}

/// All processes of the victim have stopped, and count no more.
fn all_stopped(scene: &Scene, victim: &Victim<'_>, members: &[i32]) -> Result<(), String> {
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    unsafe { libc::waitpid(victim.pid, &mut status, libc::WUNTRACED) };
    if !libc::WIFSTOPPED(status) || libc::WSTOPSIG(status) != libc::SIGSTOP {
        return Err(format!(
            "its parent is not told that it has stopped: {status:#x}"
        ));
    }
    if members.len() as u64 != CHILDREN + 1 {
        return Err(format!("there are {}", described(members)));
    }
    all_stand(scene, victim.pid, members)
}

/// They stand still.
fn all_stand(scene: &Scene, first: i32, members: &[i32]) -> Result<(), String> {
    for pid in members {
        is_stopped(*pid, 1 + usize::from(*pid == first))?;
    }
    let before = counted(scene)?;
    scene.pause(50);
    let now = counted(scene)?;
    if now != before {
        return Err(format!("they go on: {before:?}, {now:?}"));
    }
    Ok(())
}

/// One image with such a flag; then all are killed, and go on from it.
fn once(scene: &Scene, flag: usize, rng: &mut Rng) -> Result<(), String> {
    for name in ["there", "finish"] {
        let _ = std::fs::write(scene.dir.join(name), "");
    }
    let _ = std::fs::remove_file(scene.dir.join("finish"));
    let before = processes();
    let victim = scene.start(all_count)?;
    all_there(scene, COUNTERS)?;
    thread::sleep(Duration::from_micros(rng.below(20_000)));
    let image = victim.checkpoint("image", flag)?;
    let members = newcomers(&before);
    if flag == sys::STOP {
        all_stopped(scene, &victim, &members)?;
        members.iter().for_each(|pid| kill(*pid, libc::SIGKILL));
    }
    match sys::wait_for(victim.pid, 10) {
        Ended::Signal(libc::SIGKILL) => {}
        other => return Err(format!("it ended with {other:?}")),
    }
    gone(&before)?;
    scene.finish();
    scene.restart(&image, 900)
}

/// Each goes on with the very next number.
fn exact(name: &'static str, flag: usize) -> Case {
    let scene = Scene::new(name);
    let mut rng = Rng::new(23);
    let rounds = 16 / pace::thinning();
    for round in 0..rounds {
        once(&scene, flag, &mut rng).map_err(|why| format!("round {round}: {why}"))?;
    }
    pass_with(format!("{rounds} images of {} tasks", CHILDREN + 2))
}

/// Those that were stopped with their image go on when they are told to.
fn continued() -> Case {
    let scene = Scene::new("tree-stopped-continued");
    let before = processes();
    let victim = scene.start(all_count)?;
    all_there(&scene, COUNTERS)?;
    victim.checkpoint("image", sys::STOP)?;
    let members = newcomers(&before);
    all_stopped(&scene, &victim, &members)?;
    members.iter().for_each(|pid| kill(*pid, libc::SIGCONT));
    go_on(&scene)?;
    // To stop what is stopped changes nothing.
    victim.checkpoint("image", sys::STOP)?;
    all_stopped(&scene, &victim, &members)?;
    victim.checkpoint("image", sys::STOP)?;
    members.iter().for_each(|pid| kill(*pid, libc::SIGSTOP));
    let image = victim.checkpoint("image", sys::STOP)?;
    all_stand(&scene, victim.pid, &members)?;
    members.iter().for_each(|pid| kill(*pid, libc::SIGKILL));
    sys::wait_for(victim.pid, 10);
    gone(&before)?;
    // That image has them stopped.
    let first = child(|| {
        let fd = sys::open(&life::c_path(&image), libc::O_RDONLY, 0).unwrap_or(-1);
        Err(format!("restart: {}", sys::restart(0, fd, 0, 0)))
    })?;
    while newcomers(&before).len() < members.len() && !sys::has_ended(first) {
        scene.pause(1);
    }
    let again = newcomers(&before);
    all_stand(&scene, first, &again)?;
    again.iter().for_each(|pid| kill(*pid, libc::SIGCONT));
    go_on(&scene)?;
    scene.finish();
    ends_well(first)?;
    pass_with(format!("{} processes", members.len()))
}

/// Has those who lose their parent come to us meanwhile.
fn adopting(body: impl FnOnce() -> Case) -> Case {
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]).map_err(|e| format!("prctl: {e}"))?;
    let done = body();
    let _ = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[0]);
    done
}

/// A checkpoint that fails at its start or at its end, with any flag.
fn failed() -> Case {
    let scene = Scene::new("tree-failed-checkpoint");
    let victim = scene.start(one_listens)?;
    all_there(&scene, COUNTERS + 1)?;
    for flag in [0, sys::KILL, sys::STOP] {
        match victim.try_checkpoint("refused", flag) {
            Err((errno, said)) if errno.0 == libc::EOPNOTSUPP && said.contains("socket") => {}
            other => return Err(format!("with {flag}: {other:?}")),
        }
        victim.unnoticed()?;
        go_on(&scene).map_err(|why| format!("with {flag}: {why}"))?;
    }
    victim.ends_well(900)?;

    let scene = Scene::new("tree-reader-gone");
    let victim = scene.start(all_count)?;
    all_there(&scene, COUNTERS)?;
    let whole = victim.checkpoint("whole", 0)?;
    let half = std::fs::metadata(whole).map_or(0, |meta| meta.len()) / 2;
    for flag in [0, sys::KILL, sys::STOP] {
        let ends = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
        let reader = child(|| {
            let _ = sys::close(ends[1]);
            // It goes when it has had half of the image.
            let (mut left, mut room) = (half as usize, [0; PAGE]);
            while left > 0 {
                let most = left.min(room.len());
                let got =
                    sys::read(ends[0], &mut room[..most]).map_err(|e| format!("read: {e}"))?;
                left = if got == 0 { 0 } else { left - got };
            }
            Ok(())
        })?;
        let _ = sys::close(ends[0]);
        let done = sys::checkpoint(victim.pid, ends[1], flag, 0);
        let _ = sys::close(ends[1]);
        ends_well(reader)?;
        if done != Err(sys::Errno(libc::EPIPE)) {
            return Err(format!("reader gone, with {flag}: {done:?}"));
        }
        victim.unnoticed()?;
        go_on(&scene).map_err(|why| format!("reader gone, with {flag}: {why}"))?;
    }
    victim.ends_well(900)?;
    pass_with("EOPNOTSUPP, EPIPE")
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("killed-exactly", || {
        adopting(|| exact("tree-killed-exactly", sys::KILL))
    }),
    ("stopped-exactly", || {
        adopting(|| exact("tree-stopped-exactly", sys::STOP))
    }),
    ("stopped-continued", || adopting(continued)),
    ("failed-kills-nobody", failed),
];
