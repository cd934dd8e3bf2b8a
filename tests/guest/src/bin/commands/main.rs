// SPDX-License-Identifier: GPL-2.0

//! The commands `checkpoint`, `restart` and `ckptinfo`, on a shell that knows nothing of them.

mod clocks;
mod groups;
mod info;
mod options;
mod scene;
mod terminals;
mod trees;

use std::process::ExitCode;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::pace;
use ckpt_guest::sys;

use crate::scene::ended;
use crate::scene::Scene;

/// Killed with its image complete, and restarted under its pid.
fn killed_and_restarted() -> Case {
    let scene = Scene::new("killed");
    let child = scene.start()?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let how = ended(child)?;
    if !how.contains("signal: 9") {
        return Err(format!("it has ended with {how}"));
    }
    let left: Vec<_> = std::fs::read_dir(&scene.dir)
        .map_err(|e| e.to_string())?
        .flatten()
        .map(|entry| entry.file_name())
        .filter(|name| name != "image" && name != "out")
        .collect();
    if !left.is_empty() {
        return Err(format!("files are left: {left:?}"));
    }
    scene.finish();
    scene.succeeds("restart -i image --wait", 7)?;
    match scene.pids()? {
        (a, b) if a == pid && b == pid => pass_with(format!("pid {pid}, exit status 7")),
        other => Err(format!("pid {pid}, and it prints {other:?}")),
    }
}

/// Goes on after its checkpoint; the image is restarted beside it.
fn left_running() -> Case {
    let scene = Scene::new("running");
    let mut child = scene.start()?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image"), 0)?;
    if child.try_wait().map_err(|e| e.to_string())?.is_some() {
        return Err("it has ended".to_string());
    }
    let said = scene.succeeds("restart -i image", 1)?;
    if !said.contains(&pid.to_string()) {
        return Err(format!("does not name pid {pid}: {said}"));
    }
    scene.succeeds("restart -i image --new-pids", 0)?;
    scene.finish();
    let how = ended(child)?;
    if how != "exit status: 7" {
        return Err(format!("it has ended with {how}"));
    }
    pass_with(said.lines().next().unwrap_or_default())
}

/// From one command to the other, without a file, which may be said or not.
fn streamed() -> Case {
    let named = stream("")?;
    stream("-i -")?;
    Ok(named)
}

fn stream(input: &str) -> Case {
    let scene = Scene::new("streamed");
    let child = scene.start()?;
    let pid = child.id() as i32;
    // Long after the image was taken.
    let later = 10 * pace::factor();
    let line = format!(
        "(sleep {later}; touch finish) & \
         checkpoint {pid} -o - --kill | restart {input} --new-pids --wait"
    );
    scene.succeeds(&line, 7)?;
    let how = ended(child)?;
    match scene.pids()? {
        (a, b) if a == pid && b != pid && how.contains("signal: 9") => {
            pass_with(format!("pid {a} became {b}"))
        }
        other => Err(format!("pid {pid}, {how}, and it prints {other:?}")),
    }
}

/// Restarted while its parent has yet to wait for the one that was killed.
fn restarted_at_once() -> Case {
    let scene = Scene::new("at-once");
    let child = scene.start()?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let parent = std::thread::spawn(|| {
        std::thread::sleep(std::time::Duration::from_millis(300));
        ended(child)
    });
    scene.finish();
    scene.succeeds("restart -i image --wait", 7)?;
    let how = parent.join().map_err(|_| "the parent has panicked")??;
    match scene.pids()? {
        (a, b) if a == pid && b == pid && how.contains("signal: 9") => pass_with(how),
        other => Err(format!("pid {pid}, {how}, and it prints {other:?}")),
    }
}

/// In a pid namespace of its own.
fn pid_namespace() -> Case {
    let scene = Scene::new("namespace");
    let child = scene.start()?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image"), 0)?;
    scene.finish();
    let _ = ended(child)?;
    std::fs::write(scene.dir.join("out"), "").map_err(|e| e.to_string())?;
    scene.succeeds("restart -i image --pidns --wait", 7)?;
    match scene.pids()? {
        (a, b) if a == pid && b == pid => pass_with(format!("pid {pid} inside")),
        other => Err(format!("pid {pid}, and it prints {other:?}")),
    }
}

/// Stopped when its image is complete; SIGCONT lets it go on.
fn stopped() -> Case {
    let scene = Scene::new("stopped");
    let child = scene.start()?;
    let pid = child.id();
    scene.succeeds(&format!("checkpoint {pid} -o image --stop"), 0)?;
    // The signal was sent, and it stops when it runs again.
    scene::until_stopped(pid)?;
    scene.finish();
    scene.succeeds(&format!("kill -CONT {pid}"), 0)?;
    let how = ended(child)?;
    if how != "exit status: 7" {
        return Err(how);
    }
    pass_with(how)
}

fn main() -> ExitCode {
    // Whoever is left by a case comes to it.
    if let Err(errno) = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]) {
        println!("prctl: {errno}");
        return ExitCode::FAILURE;
    }
    let mut cases = Cases::new();
    for (name, case) in [
        ("killed-and-restarted", killed_and_restarted as fn() -> Case),
        ("restarted-at-once", restarted_at_once),
        ("left-running", left_running),
        ("streamed", streamed),
        ("pid-namespace", pid_namespace),
        ("clocks", clocks::go_on),
        ("stopped", stopped),
        ("leads-its-group", groups::leads_its_group),
        ("leads-its-session", groups::leads_its_session),
        ("stops-along", groups::stops_along),
        ("at-a-terminal", groups::at_a_terminal),
        ("terminal-gone", terminals::terminal_gone),
        ("terminal-handed-over", terminals::terminal_handed_over),
        ("tree-killed-and-restarted", trees::killed_and_restarted),
        ("tree-pid-namespace", trees::pid_namespace),
        ("tree-new-pids", trees::new_pids),
        ("tree-signalled", trees::signalled),
        ("ids-of-ended", trees::ids_of_ended),
        ("info", info::shows),
        ("info-error", info::explains),
        ("refused", options::refused),
        ("timeout", options::timeout),
        ("log", options::log),
        ("root", options::root),
    ] {
        cases.run(name, case);
    }
    let _ = std::fs::remove_dir_all(std::env::temp_dir().join("commands"));
    cases.verdict()
}
