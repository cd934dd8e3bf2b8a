// SPDX-License-Identifier: GPL-2.0

//! Whose process group and session the first process is in after a restart.

use std::fs::File;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use ckpt_guest::cases::pass;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::pace;
use ckpt_guest::sys;

use crate::scene::ended;
use crate::scene::is_stopped;
use crate::scene::until;
use crate::scene::until_stopped;
use crate::scene::Scene;
use crate::trees::orphans;

/// Signals its group by its own id; prints the ids of its group and its session.
const SCRIPT: &str = "echo $$ > pid; : > begun; heard=8; trap 'heard=7' USR1; \
                      until [ -e finish ]; do :; done; kill -USR1 -- -$$ 2> /dev/null; \
                      read -r pid name state parent group session rest < /proc/self/stat; \
                      echo $group $session; exit $heard";

/// A shell, alone in its group, or in its session; its id, with its image.
fn image(scene: &Scene, leads: &[&str]) -> Result<i32, String> {
    let out = File::create(scene.dir.join("out")).map_err(|e| e.to_string())?;
    let line = [leads, &["/bin/bash", "--norc", "-c", SCRIPT]].concat();
    let mut command = Command::new(line[0]);
    command.args(&line[1..]);
    let child = scene.start_command(command, Stdio::null(), out)?;
    scene.until_begun("begun")?;
    let pid = std::fs::read_to_string(scene.dir.join("pid")).map_err(|e| e.to_string())?;
    let pid = pid.trim();
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let _ = ended(child)?;
    orphans();
    pid.parse().map_err(|e| format!("pid {pid}: {e}"))
}

/// A program that has led its group signals it by its own id.
pub fn leads_its_group() -> Case {
    let scene = Scene::new("group");
    let pid = image(&scene, &[])?;
    scene.finish();
    for (options, inside) in [("", false), ("--pidns", true)] {
        std::fs::write(scene.dir.join("out"), "").map_err(|e| e.to_string())?;
        // The tests may have a terminal.
        scene.succeeds(
            &format!("setsid --wait restart -i image --wait {options}"),
            7,
        )?;
        // The session is that of the command, and outside of the namespace.
        let (group, session) = scene.pids()?;
        if group != pid || session == pid || inside != (session == 0) {
            let ids = (group, session);
            return Err(format!("{pid} {options}: group and session {ids:?}"));
        }
    }
    pass_with(format!("group {pid}"))
}

/// A program that has led its session does so again.
pub fn leads_its_session() -> Case {
    let scene = Scene::new("session");
    let pid = image(&scene, &["/usr/bin/setsid", "--wait"])?;
    scene.finish();
    scene.succeeds("setsid --wait restart -i image --wait", 7)?;
    match scene.pids()? {
        ids if ids == (pid, pid) => pass_with(format!("session {pid}")),
        ids => Err(format!("group and session {ids:?}, not {pid}")),
    }
}

/// At a terminal it is with the command that waits for it.
pub fn at_a_terminal() -> Case {
    let scene = Scene::new("at-a-terminal");
    let pid = image(&scene, &[])?;
    scene.finish();
    // Nobody has its group: its signal does not come.
    let line = "script -qec 'restart -i image --wait' /dev/null < /dev/null";
    scene.succeeds(line, 8)?;
    let (group, session) = scene.pids()?;
    if group == pid || session == pid {
        return Err(format!("pid {pid} leads group {group}, session {session}"));
    }
    // Without somebody who waits it leads its group at once.
    std::fs::write(scene.dir.join("out"), "").map_err(|e| e.to_string())?;
    let line = "script -qec 'restart -i image' /dev/null < /dev/null";
    scene.succeeds(line, 0)?;
    match scene.pids()? {
        (group, session) if group == pid && session != pid => pass(),
        ids => Err(format!("pid {pid}: group and session {ids:?}")),
    }
}

fn signal(pid: i32, signal: i32) {
    let _ = sys::plain(libc::SYS_kill, &[pid as usize, signal as usize]);
}

/// The command stops with the program when a terminal has stopped that, so that a shell sees
/// a stopped job, and continues it; whoever stops the program by its id continues it.
pub fn stops_along() -> Case {
    let scene = Scene::new("stops-along");
    let child = scene.start()?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let _ = ended(child)?;
    let mut command = Command::new(Path::new(&life::variable("CKPT_BIN")).join("restart"));
    command.args(["-i", "image", "--wait"]);
    let out = File::create(scene.dir.join("out")).map_err(|e| e.to_string())?;
    let waiting = scene.start_command(command, Stdio::null(), out)?;
    let name = || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    until(|| name() == "bash\n", "it is not restarted")?;

    signal(pid, libc::SIGSTOP);
    until_stopped(pid as u32)?;
    std::thread::sleep(Duration::from_millis(100 * pace::factor()));
    if is_stopped(waiting.id()) {
        return Err("the command has stopped with SIGSTOP of another one".to_string());
    }
    signal(pid, libc::SIGCONT);

    signal(pid, libc::SIGTSTP);
    until_stopped(pid as u32)?;
    until_stopped(waiting.id())?;
    // As a shell does it: to the group of the command alone.
    signal(-(waiting.id() as i32), libc::SIGCONT);
    scene.finish();
    match ended(waiting)?.as_str() {
        "exit status: 7" => pass(),
        how => Err(format!("the command has ended with {how}")),
    }
}
