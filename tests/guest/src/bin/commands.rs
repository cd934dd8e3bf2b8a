// SPDX-License-Identifier: GPL-2.0

//! The commands `checkpoint` and `restart`, on a shell that knows nothing of them.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::life;
use ckpt_guest::pace;
use ckpt_guest::sys;

/// Counts until it may end; prints its pid as it knew it and as the kernel has it.
const SCRIPT: &str = "i=0; while [ ! -e finish ]; do i=$((i + 1)); done; \
                      read -r pid rest < /proc/self/stat; echo \"$$ $pid\"; exit 7";

struct Scene {
    dir: PathBuf,
}

impl Scene {
    fn new(name: &str) -> Self {
        // In memory, with everything that the program has open.
        let dir = std::env::temp_dir().join("commands").join(name);
        let _ = std::fs::remove_dir_all(&dir);
        let _ = std::fs::create_dir_all(&dir);
        Self { dir }
    }

    fn start(&self) -> Result<Child, String> {
        let out = File::create(self.dir.join("out")).map_err(|e| e.to_string())?;
        self.start_on(Stdio::null(), out)
    }

    fn start_on(&self, input: impl Into<Stdio>, out: File) -> Result<Child, String> {
        let err = out.try_clone().map_err(|e| e.to_string())?;
        let child = Command::new("/bin/bash")
            .args(["--norc", "-c", SCRIPT])
            .env_clear()
            .current_dir(&self.dir)
            .stdin(input)
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|e| format!("bash: {e}"))?;
        std::thread::sleep(Duration::from_millis(300 * pace::factor()));
        Ok(child)
    }

    /// Runs a command line, the commands on its path, and ends it if it hangs.
    fn shell(&self, line: &str) -> Result<Output, String> {
        let path = format!("{}:/usr/bin:/bin:/sbin", life::variable("CKPT_BIN"));
        Command::new("/usr/bin/timeout")
            .args(["-k", "5", &(30 * pace::factor()).to_string()])
            .args(["/bin/bash", "-o", "pipefail", "-c", line])
            .env("PATH", path)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("bash: {e}"))
    }

    fn succeeds(&self, line: &str, status: i32) -> Result<String, String> {
        let output = self.shell(line)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(status) {
            return Err(format!("{line}: {}: {text}", output.status));
        }
        Ok(text)
    }

    fn finish(&self) {
        let _ = std::fs::write(self.dir.join("finish"), "");
    }

    /// The two pids that the script prints at its end.
    fn pids(&self) -> Result<(i32, i32), String> {
        let start = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.dir.join("out")).unwrap_or_default();
            let mut words = text.split_whitespace().map(str::parse);
            if let (Some(Ok(a)), Some(Ok(b))) = (words.next(), words.next()) {
                return Ok((a, b));
            }
            if start.elapsed() > Duration::from_secs(20 * pace::factor()) {
                return Err(format!("it has printed: {text}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn ended(mut child: Child) -> Result<String, String> {
    child
        .wait()
        .map(|s| s.to_string())
        .map_err(|e| e.to_string())
}

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

/// From one command to the other, without a file.
fn streamed() -> Case {
    let scene = Scene::new("streamed");
    let child = scene.start()?;
    let pid = child.id() as i32;
    // Long after the image was taken.
    let later = 3 * pace::factor();
    let line = format!(
        "(sleep {later}; touch finish) & \
         checkpoint {pid} -o - --kill | restart --new-pids --wait"
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
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    scene.finish();
    scene.succeeds(&format!("kill -CONT {pid}"), 0)?;
    let how = ended(child)?;
    if !stat.contains(") T ") || how != "exit status: 7" {
        return Err(format!("{stat}; {how}"));
    }
    pass_with(how)
}

/// What cannot be saved: exit status 1, the reason, and no file.
fn refused() -> Case {
    let scene = Scene::new("refused");
    // inotify is not supported.
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
    let start = Instant::now();
    while !has_it() {
        if start.elapsed() > Duration::from_secs(20 * pace::factor()) {
            return Err("python3 does not open an inotify".to_string());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let said = scene.succeeds(&format!("checkpoint {pid} -o image"), 1)?;
    scene.succeeds(&format!("kill -9 -{pid}"), 0)?;
    let _ = ended(child)?;
    if scene.dir.join("image").exists() || !said.contains("inotify") {
        return Err(said);
    }
    pass_with(said.lines().next().unwrap_or_default())
}

/// The two ends of a new terminal.
fn terminal() -> Result<(OwnedFd, File), String> {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: two ints of ours; no names and no settings are asked for. Both descriptors
    // are new, and nobody else's.
    unsafe {
        let null = std::ptr::null_mut();
        let ret = libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast());
        sys::libc_result(ret).map_err(|e| format!("openpty: {e}"))?;
        libc::fcntl(master, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(slave, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok((
            OwnedFd::from_raw_fd(master),
            OwnedFd::from_raw_fd(slave).into(),
        ))
    }
}

/// On a terminal that is gone when it is restarted: another file takes its place.
fn terminal_gone() -> Case {
    let scene = Scene::new("terminal");
    let (master, slave) = terminal()?;
    let name = std::fs::read_link(format!("/proc/self/fd/{}", slave.as_raw_fd()))
        .map_err(|e| e.to_string())?;
    let name = name.display();
    let other = slave.try_clone().map_err(|e| e.to_string())?;
    let child = scene.start_on(other, slave)?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let _ = ended(child)?;
    drop(master);
    scene.finish();
    let gone = scene.succeeds("restart -i image --wait", 1)?;
    if !gone.contains(&name.to_string()) {
        return Err(format!("does not name {name}: {gone}"));
    }
    for (inherit, status, word) in [
        ("0=77", 2, "descriptor 77 is not open"),
        ("77=5", 1, "its first process has no descriptor 77"),
        ("/no/such=5", 1, "no open file is /no/such"),
    ] {
        let line = format!("restart -i image --wait --inherit {inherit} 5<>out");
        let said = scene.succeeds(&line, status)?;
        if !said.contains(word) {
            return Err(format!("{inherit}: does not say {word}: {said}"));
        }
    }
    for line in [
        "restart -i image --wait --inherit 1=5 5<>out".to_string(),
        format!("cat image | restart --wait --inherit {name}=5 5<>out"),
    ] {
        std::fs::write(scene.dir.join("out"), "").map_err(|e| e.to_string())?;
        scene.succeeds(&line, 7)?;
        match scene.pids()? {
            (a, b) if a == pid && b == pid => {}
            other => return Err(format!("pid {pid}, and it prints {other:?}")),
        }
    }
    pass_with(format!("{name} became a file"))
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    for (name, case) in [
        ("killed-and-restarted", killed_and_restarted as fn() -> Case),
        ("left-running", left_running),
        ("streamed", streamed),
        ("pid-namespace", pid_namespace),
        ("stopped", stopped),
        ("terminal-gone", terminal_gone),
        ("refused", refused),
    ] {
        cases.run(name, case);
    }
    cases.verdict()
}
