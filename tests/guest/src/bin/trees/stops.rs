// SPDX-License-Identifier: GPL-2.0

//! Victims that are stopped by signals, and parents that are told so, or not yet.

use std::thread;

use ckpt_guest::act::slowness;
use ckpt_guest::act::Act;
use ckpt_guest::cases::pass;
use ckpt_guest::cases::Case;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::family::act;
use crate::family::child;
use crate::family::ends_well;
use crate::stress::Body;

/// What waitpid(2) tells at once, if there is anything.
fn told(pid: i32, options: i32) -> Option<i32> {
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    let got = unsafe { libc::waitpid(pid, &mut status, options | libc::WNOHANG) };
    (got == pid).then_some(status)
}

/// Waits until waitid(2) would tell something of a child, which it does later, too.
fn would_tell(pid: i32, options: i32) {
    // SAFETY: zeros are a valid structure, which the kernel fills.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        let options = options | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, options);
    }
}

fn wait_told(scene: &Scene, pid: i32, options: i32) -> Result<i32, String> {
    for _ in 0..20_000 {
        if let Some(status) = told(pid, options) {
            return Ok(status);
        }
        scene.pause(1);
    }
    Err(format!("nothing is told of child {pid}"))
}

fn signal(pid: i32, signal: i32) -> Result<(), String> {
    sys::plain(libc::SYS_kill, &[pid as usize, signal as usize])
        .map(|_| ())
        .map_err(|e| format!("kill: {e}"))
}

/// The letters of /proc/PID/task/*/stat that tell what each thread does.
fn states(pid: i32) -> String {
    let dir = std::fs::read_dir(format!("/proc/{pid}/task"));
    let state = |entry: std::fs::DirEntry| {
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        stat.rsplit(") ").next()?.chars().next()
    };
    dir.into_iter()
        .flatten()
        .flatten()
        .filter_map(state)
        .collect()
}

/// A moment after a checkpoint a task is on its way back to where it stood.
pub fn is_stopped(pid: i32, threads: usize) -> Result<(), String> {
    let mut now = String::new();
    for _ in 0..20_000 {
        now = states(pid);
        if now.len() == threads && now.chars().all(|c| c == 'T') {
            return Ok(());
        }
        thread::sleep(std::time::Duration::from_millis(1));
    }
    Err(format!("the states of child {pid} are {now}"))
}

/// Sleeps in a call that is stopped and goes on, and counts how long that takes.
fn sleeper(until: impl Fn() -> bool) -> Result<(), String> {
    while !until() {
        let start = std::time::Instant::now();
        let time = [0i64, 20_000_000];
        let args = [(&raw const time) as usize, 0];
        sys::plain(libc::SYS_nanosleep, &args).map_err(|e| format!("nanosleep: {e}"))?;
        if start.elapsed().as_millis() < 20 {
            return Err(format!("slept only {:?}", start.elapsed()));
        }
    }
    Ok(())
}

/// A child that sleeps until it is ended.
fn never() -> bool {
    false
}

/// Ends such a child, which has found everything as it should be until then.
fn end(pid: i32) -> Result<(), String> {
    signal(pid, libc::SIGTERM)?;
    match sys::wait_for(pid, 20) {
        sys::Ended::Signal(libc::SIGTERM) => Ok(()),
        other => Err(format!("child {pid} ended with {other:?}")),
    }
}

/// Children that are stopped: one of which the parent has been told, one of which it
/// has not, one with threads, and one that has been continued.
fn children(scene: &Scene) -> Result<(), String> {
    let asked = child(|| sleeper(never))?;
    let unasked = child(|| sleeper(never))?;
    let mut ends = [0i32; 2];
    let args = [ends.as_mut_ptr() as usize, 0];
    sys::plain(libc::SYS_pipe2, &args).map_err(|e| format!("pipe: {e}"))?;
    let threads = child(|| {
        thread::scope(|scope| {
            let others = [(); 2].map(|()| {
                scope.spawn(|| {
                    sys::write(ends[1], b"x").map_err(|e| format!("write: {e}"))?;
                    sleeper(never)
                })
            });
            sleeper(never)?;
            others
                .into_iter()
                .try_for_each(|other| other.join().map_err(|_| "it panicked")?)
        })
    })?;
    let continued = child(|| sleeper(never))?;
    for _ in 0..2 {
        sys::read(ends[0], &mut [0]).map_err(|e| format!("read: {e}"))?;
    }
    let how = [
        (asked, libc::SIGSTOP),
        (unasked, libc::SIGTSTP),
        (threads, libc::SIGTTIN),
        (continued, libc::SIGSTOP),
    ];
    for (pid, number) in how {
        signal(pid, number)?;
    }
    for (pid, number) in [how[0], how[2], how[3]] {
        let status = wait_told(scene, pid, libc::WUNTRACED)?;
        if !libc::WIFSTOPPED(status) || libc::WSTOPSIG(status) != number {
            return Err(format!("child {pid} has the status {status:#x}"));
        }
    }
    would_tell(unasked, libc::WSTOPPED);
    // One that comes while it is stopped waits.
    signal(asked, libc::SIGUSR1).and(signal(continued, libc::SIGCONT))?;
    would_tell(continued, libc::WCONTINUED);
    scene.announce();
    scene.wait();
    // A second time, as long as nobody else has asked.
    is_stopped(asked, 1)?;
    is_stopped(unasked, 1)?;
    is_stopped(threads, 3)?;
    for pid in [asked, threads] {
        if let Some(status) = told(pid, libc::WUNTRACED) {
            return Err(format!("child {pid} is told of again: {status:#x}"));
        }
    }
    match told(unasked, libc::WUNTRACED) {
        Some(status) if libc::WIFSTOPPED(status) && libc::WSTOPSIG(status) == libc::SIGTSTP => {}
        other => return Err(format!("the stop that nobody asked for: {other:x?}")),
    }
    match told(continued, libc::WCONTINUED) {
        Some(status) if libc::WIFCONTINUED(status) => {}
        other => return Err(format!("the one that was continued: {other:x?}")),
    }
    for pid in [unasked, threads] {
        signal(pid, libc::SIGCONT)?;
        let status = wait_told(scene, pid, libc::WCONTINUED)?;
        if !libc::WIFCONTINUED(status) {
            return Err(format!("child {pid} has the status {status:#x}"));
        }
    }
    for pid in [unasked, threads, continued] {
        end(pid)?;
    }
    signal(asked, libc::SIGCONT)?;
    match sys::wait_for(asked, 20) {
        sys::Ended::Signal(libc::SIGUSR1) => Ok(()),
        other => Err(format!("the signal that waited: {other:?}")),
    }
}

/// Children that are stopped and continued all the time, by a third one.
fn often(scene: &Scene) -> Result<(), String> {
    let sleepers = [(); 3].map(|()| child(|| sleeper(never)));
    let mut pids = Vec::new();
    for pid in sleepers {
        pids.push(pid?);
    }
    let mut rounds = 0;
    while rounds == 0 || !scene.finished() {
        for pid in &pids {
            signal(*pid, libc::SIGSTOP)?;
        }
        scene.pause(rounds % 3);
        for pid in &pids {
            signal(*pid, libc::SIGCONT)?;
        }
        rounds += 1;
    }
    pids.into_iter().try_for_each(end)
}

/// The first process itself is stopped: its image is, too, and goes on with SIGCONT.
fn first() -> Case {
    let scene = Scene::new("tree-stopped");
    let victim = scene.start(|scene| sleeper(|| scene.finished()))?;
    victim.signal(libc::SIGSTOP);
    wait_told(&scene, victim.pid, libc::WUNTRACED)?;
    let images = ["a", "b"].map(|name| victim.checkpoint(name, 0));
    is_stopped(victim.pid, 1)?;
    victim.unnoticed()?;
    victim.signal(libc::SIGCONT);
    // A stop of a moment ago, and its end.
    if let Some(status) = told(victim.pid, libc::WUNTRACED) {
        return Err(format!("its parent is told of {status:#x}"));
    }
    wait_told(&scene, victim.pid, libc::WCONTINUED)?;
    victim.ends_well(0)?;
    for image in images {
        let image = image?;
        let open = sys::open(&ckpt_guest::life::c_path(&image), libc::O_RDONLY, 0);
        let fd = open.map_err(|e| format!("open: {e}"))?;
        let back = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if back == 0 {
            sys::restart(0, fd, 0, 0);
            sys::exit(99);
        }
        let _ = sys::close(fd);
        for _ in 0..2000 * slowness() {
            if states(back) == "T" {
                break;
            }
            scene.pause(1);
        }
        is_stopped(back, 1)?;
        signal(back, libc::SIGCONT)?;
        ends_well(back)?;
    }
    pass()
}

/// Victims with children that are stopped.
pub const ACTS: &[Act] = &[
    act("stopped-children", children).there(),
    act("stopped-often", often),
];

/// Cases.
pub const CASES: &[(&str, Body)] = &[("stopped", first)];
