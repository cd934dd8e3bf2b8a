// SPDX-License-Identifier: GPL-2.0

//! The commands on several processes and threads, and their signals.

use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;

use crate::scene::ended;
use crate::scene::until;
use crate::scene::Scene;

/// Two threads and a child that wait for a file; prints its pid, and how the child ended.
const SCRIPT: &str = "import os, threading, time
def waits():
    while not os.path.exists('finish'): time.sleep(0.005)
child = os.fork()
if child == 0:
    waits()
    os._exit(3)
threads = [threading.Thread(target=waits) for _ in range(2)]
for thread in threads: thread.start()
open('begun', 'w').close()
for thread in threads: thread.join()
print(os.getpid(), os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
os._exit(7)
";

/// Waits for those below a process that was killed: they keep their ids until then.
pub fn orphans() {
    // SAFETY: waits for children of this process, and stores nothing.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
}

/// Starts the script; its output is in `out`.
fn start(scene: &Scene) -> Result<Child, String> {
    let out = std::fs::File::options()
        .create(true)
        .append(true)
        .open(scene.dir.join("out"))
        .map_err(|e| e.to_string())?;
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SCRIPT]);
    let child = scene.start_command(command, Stdio::null(), out)?;
    scene.until_begun("begun")?;
    Ok(child)
}

/// Killed with its image complete; restarted with these options, under its pid.
fn restarted(name: &str, options: &str) -> Case {
    let scene = Scene::new(name);
    let child = start(&scene)?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let how = ended(child)?;
    if !how.contains("signal: 9") {
        return Err(format!("it has ended with {how}"));
    }
    orphans();
    scene.finish();
    scene.succeeds(&format!("restart -i image --wait {options}"), 7)?;
    match scene.pids()? {
        (who, 3) if who == pid => pass_with(format!("pid {pid}, its child with status 3")),
        other => Err(format!("pid {pid}, and it prints {other:?}")),
    }
}

pub fn killed_and_restarted() -> Case {
    restarted("tree-killed", "")
}

pub fn pid_namespace() -> Case {
    restarted("tree-namespace", "--pidns")
}

/// Beside the original, which goes on.
pub fn new_pids() -> Case {
    let scene = Scene::new("tree-new-pids");
    let child = start(&scene)?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image"), 0)?;
    let said = scene.succeeds("restart -i image --new-pids", 0)?;
    scene.finish();
    let how = ended(child)?;
    if how != "exit status: 7" {
        return Err(format!("it has ended with {how}"));
    }
    let number = |word: &str| word.parse::<i32>().ok();
    let other = said
        .split_whitespace()
        .find_map(number)
        .ok_or(said.clone())?;
    // Both write to the end of one file.
    let printed = || std::fs::read_to_string(scene.dir.join("out")).unwrap_or_default();
    let both = || {
        let text = printed();
        [pid, other]
            .iter()
            .all(|pid| text.lines().any(|line| line == format!("{pid} 3")))
    };
    until(both, "not both print").map_err(|e| format!("{e} {pid}, {other}: {}", printed()))?;
    pass_with(said.trim())
}

/// A signal for the command is one for the restarted program.
pub fn signalled() -> Case {
    for options in ["", "--pidns"] {
        let scene = Scene::new("tree-signalled");
        let out = std::fs::File::create(scene.dir.join("out")).map_err(|e| e.to_string())?;
        let script = "trap 'kill $!; wait; echo 1 2; exit 9' TERM; sleep 1000 & : > there; \
                      until [ -e finish ]; do { echo >&5; sleep 0.05; } 5> alive; done";
        let child = scene.start_script(script, Stdio::null(), out)?;
        let pid = child.id() as i32;
        // It has a child to wait for.
        scene.until_begun("there")?;
        scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
        let _ = ended(child)?;
        orphans();
        // Not removed: as a rule it is open in the image.
        let line = format!(
            ": > alive; restart -i image --wait {options} & r=$!; \
             until [ -s alive ]; do sleep 0.01; done; kill -TERM $r; wait $r"
        );
        scene.succeeds(&line, 9)?;
        if scene.pids()? != (1, 2) {
            return Err("its trap has not run".to_string());
        }
    }
    pass_with("exit status 9, twice")
}

/// A shell remembers its jobs by their ids; none of its new ones gets such an id, although
/// all are free in a new namespace.
pub fn ids_of_ended() -> Case {
    let scene = Scene::new("ids-of-ended");
    let out = std::fs::File::create(scene.dir.join("out")).map_err(|e| e.to_string())?;
    let script = "(exit 5) & job=$!; for ((i = 0; i < 50; i++)); do (:); done; : > there; \
                  until [ -e finish ]; do :; done; (:) & echo $job $!; wait $job";
    let child = scene.start_script(script, Stdio::null(), out)?;
    let pid = child.id() as i32;
    scene.until_begun("there")?;
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let _ = ended(child)?;
    scene.finish();
    scene.succeeds("restart -i image --pidns --wait", 5)?;
    match scene.pids()? {
        (job, next) if next > job + 50 => pass_with(format!("{job}, then {next}")),
        other => Err(format!("its first job and its last one are {other:?}")),
    }
}
