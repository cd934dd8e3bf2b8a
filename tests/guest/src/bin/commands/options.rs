// SPDX-License-Identifier: GPL-2.0

//! What the commands refuse and where they say so; their options.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::sys;

use crate::scene::ended;
use crate::scene::until;
use crate::scene::Scene;

/// A process that cannot be saved: inotify is not supported.
pub fn with_inotify() -> Result<Child, String> {
    let child = Command::new("python3")
        .args([
            "-c",
            "import ctypes, time; e = ctypes.CDLL(None).inotify_init(); time.sleep(100)",
        ])
        .process_group(0)
        .spawn()
        .map_err(|e| e.to_string())?;
    let pid = child.id();
    let has_it = || {
        let fds = std::fs::read_dir(format!("/proc/{pid}/fd"));
        fds.into_iter().flatten().flatten().any(|fd| {
            let target = std::fs::read_link(fd.path());
            target.is_ok_and(|target| target.to_string_lossy().contains("inotify"))
        })
    };
    until(has_it, "python3 does not open an inotify")?;
    Ok(child)
}

/// What cannot be saved: exit status 1, the reason, and no file.
pub fn refused() -> Case {
    let scene = Scene::new("refused");
    let child = with_inotify()?;
    let pid = child.id();
    let said = scene.succeeds(&format!("checkpoint {pid} -o image"), 1)?;
    scene.succeeds(&format!("kill -9 -{pid}"), 0)?;
    let _ = ended(child)?;
    if scene.dir.join("image").exists() || !said.contains("inotify") {
        return Err(said);
    }
    pass_with(said.lines().next().unwrap_or_default())
}

/// A wait that stands in the way, and a limit for it: exit status 3, no file, and the
/// process goes on.
pub fn timeout() -> Case {
    let scene = Scene::new("timeout");
    scene.succeeds("mkfifo fifo", 0)?;
    // The child of vfork opens the FIFO before it calls exec, and its parent waits.
    let script = "import os\n\
                  to = [(os.POSIX_SPAWN_OPEN, 0, 'fifo', os.O_RDONLY, 0)]\n\
                  child = os.posix_spawn('/bin/true', ['true'], {}, file_actions=to)\n\
                  os._exit(7 if os.waitpid(child, 0)[1] == 0 else 1)";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script]);
    let null = File::options().write(true).open("/dev/null");
    let null = null.map_err(|e| e.to_string())?;
    let child = scene.start_command(command, Stdio::null(), null)?;
    let pid = child.id();
    // Of the ways to make a child, vfork's takes until it has called exec.
    let makes = [libc::SYS_clone3, libc::SYS_clone, libc::SYS_vfork];
    let waits = || {
        let call = std::fs::read_to_string(format!("/proc/{pid}/syscall"));
        let number = call.unwrap_or_default();
        let number = number.split(' ').next().and_then(|word| word.parse().ok());
        number.is_some_and(|number| makes.contains(&number))
    };
    until(waits, "python3 does not start a program")?;
    let start = Instant::now();
    let said = scene.succeeds(&format!("checkpoint {pid} -o image --timeout 2"), 3)?;
    let took = start.elapsed();
    let in_the_way = child_of(pid)?;
    let expected = format!(
        "checkpoint: pid {pid}: {in_the_way}: killed while a child of vfork, for which the task \
         waits, has not called exec (errno 4)\n\
         checkpoint: process {pid}: ended by --timeout 2; there is no image\n"
    );
    if said != expected || took < Duration::from_secs(2) {
        return Err(format!("after {took:?}: {said}, not {expected}"));
    }
    let left = scene.succeeds("[ \"$(ls -A)\" = fifo ] || { ls -A >&2; false; }", 0);
    left.map_err(|e| format!("files are left: {e}"))?;
    scene.succeeds(": > fifo", 0)?;
    let how = ended(child)?;
    if how != "exit status: 7" {
        return Err(format!("it has ended with {how}"));
    }
    pass_with(said)
}

/// All that is said goes to a file as well, to its end.
pub fn log() -> Case {
    let scene = Scene::new("log");
    // Behind the times.
    let log = || -> String {
        let text = std::fs::read_to_string(scene.dir.join("log")).unwrap_or_default();
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines.map(|(_, line)| format!("{line}\n")).collect()
    };
    let child = with_inotify()?;
    let pid = child.id();
    let mut all = scene.succeeds(&format!("checkpoint {pid} -o image --log log"), 1)?;
    scene.succeeds(&format!("kill -9 -{pid}"), 0)?;
    let _ = ended(child)?;
    if !all.contains("inotify") || log() != all {
        return Err(format!("{all}, and the log has: {}", log()));
    }
    let child = scene.start()?;
    let pid = child.id() as i32;
    let line = format!("checkpoint {pid} -o image --kill --log log");
    all += &scene.succeeds(&line, 0)?;
    let _ = ended(child)?;
    // A file of the process is gone: that is what the kernel says, not the command.
    scene.succeeds("mv out away", 0)?;
    let said = scene.succeeds("restart -i image --log log", 1)?;
    let place = scene.dir.join("out").display().to_string();
    if !said.starts_with("restart: pid ") || !said.contains(&place) {
        return Err(format!("does not name {place}: {said}"));
    }
    scene.succeeds("mv away out", 0)?;
    scene.finish();
    all += &said;
    all += &scene.succeeds("restart -i image --log log", 0)?;
    if log() != all || !all.ends_with(&format!("restart: process {pid} goes on\n")) {
        return Err(format!("{all}, and the log has: {}", log()));
    }
    let _ = scene.pids()?;
    pass_with(said.lines().next().unwrap_or_default())
}

/// A shell that lives below a root directory is restarted below it; one that has a file
/// elsewhere is not.
pub fn root() -> Case {
    let mut said = String::new();
    for outside in [false, true] {
        let scene = Scene::new("root");
        // Copies: a mount would go wherever the directory of a case is removed.
        scene.succeeds(
            "mkdir root; touch root/in root/out; cp -L --parents /bin/bash \
             $(LD_TRACE_LOADED_OBJECTS=1 /bin/bash | grep -o '/[^ ]*') root",
            0,
        )?;
        let dir = scene.dir.join("root");
        let open = |path: &Path| {
            let file = File::options().read(true).write(true).open(path);
            file.map_err(|e| format!("{}: {e}", path.display()))
        };
        let input = if outside {
            open(Path::new("/dev/null"))?
        } else {
            open(&dir.join("in"))?
        };
        let script = ": > /begun; until [ -e /finish ]; do :; done; echo /*; exit 7";
        let mut command = Command::new("/usr/sbin/chroot");
        command
            .arg(&dir)
            .args(["/bin/bash", "--norc", "-c", script]);
        // What the test was started with is elsewhere.
        // SAFETY: one system call, which touches no memory.
        unsafe {
            command.pre_exec(|| {
                const CLOEXEC: usize = 4;
                let args = [3, u32::MAX as usize, CLOEXEC];
                let done = sys::plain(libc::SYS_close_range, &args);
                done.map(|_| ())
                    .map_err(|e| std::io::Error::from_raw_os_error(e.0))
            })
        };
        let child = scene.start_command(command, input, open(&dir.join("out"))?)?;
        scene.until_begun("root/begun")?;
        let pid = child.id() as i32;
        scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
        let _ = ended(child)?;
        scene.succeeds("touch root/finish", 0)?;
        if outside {
            said = scene.succeeds("restart -i image --wait --root root", 1)?;
            if !said.contains("a path is outside of the caller's root: /dev/null") {
                return Err(format!("does not name /dev/null: {said}"));
            }
        } else {
            scene.succeeds("restart -i image --wait --root root", 7)?;
        }
        let out = std::fs::read_to_string(dir.join("out")).unwrap_or_default();
        let inside = out.contains("/finish") && out.contains("/in") && !out.contains("/proc");
        if inside == outside {
            return Err(format!("it has printed: {out}"));
        }
    }
    pass_with(said.lines().next().unwrap_or_default())
}

/// The only child of a process.
fn child_of(parent: u32) -> Result<u32, String> {
    let all = std::fs::read_dir("/proc").map_err(|e| e.to_string())?;
    let numbers = all
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is_child = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Behind the name in brackets: the state, and the parent.
        let rest = stat.rsplit(") ").next().unwrap_or_default();
        rest.split(' ').nth(1) == Some(&parent.to_string())
    };
    let mut children = numbers.filter(is_child);
    match (children.next(), children.next()) {
        (Some(child), None) => Ok(child),
        other => Err(format!("children of {parent}: {other:?}")),
    }
}
