// SPDX-License-Identifier: GPL-2.0

//! The session of the 2008 document, with its own two programs.
//!
//! The image and the changed file stay in the test's directory, which is on the host:
//! after a reboot of the guest the image is restarted once more, as in the session.

use std::fs::File;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::life;
use ckpt_guest::pace;
use ckpt_guest::sys;

/// Seconds that a program may take.
const LIMIT: u64 = 30;
const OUT: &str = "/tmp/cr-rest.out";
/// A copy of it for after the reboot: /tmp of the guest is gone by then.
const KEPT: &str = "cr-rest.out";

/// A program in the background, killed in the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    /// Waits for the program's last line, which tells what the call returned.
    fn result(&mut self) -> Result<u32, String> {
        let start = Instant::now();
        while start.elapsed() < limit() {
            let text = contents();
            let line = text.lines().nth(2).and_then(|l| l.strip_prefix("(ret = "));
            if let Some(number) = line.and_then(|l| l.strip_suffix(')')) {
                let number = number.parse().map_err(|_| text.clone())?;
                let expected = format!("hello, world!\nworld, hello!\n(ret = {number})\n");
                return if text == expected {
                    Ok(number)
                } else {
                    Err(format!("the file is {text:?}"))
                };
            }
            if let Ok(Some(status)) = self.0.try_wait() {
                return Err(format!("{status}; the file is {text:?}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(format!("time is over; the file is {:?}", contents()))
    }

    fn comm(&self) -> String {
        let path = format!("/proc/{}/comm", self.0.id());
        std::fs::read_to_string(path)
            .unwrap_or_default()
            .trim()
            .to_string()
    }

    /// Ctrl-c ends it.
    fn interrupt(mut self) -> Result<(), String> {
        let pid = self.0.id() as usize;
        let _ = sys::plain(libc::SYS_kill, &[pid, libc::SIGINT as usize]);
        let start = Instant::now();
        while start.elapsed() < limit() {
            if let Ok(Some(_)) = self.0.try_wait() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err("ctrl-c does not end the program".to_string())
    }
}

fn limit() -> Duration {
    Duration::from_secs(LIMIT * pace::factor())
}

fn contents() -> String {
    std::fs::read_to_string(OUT).unwrap_or_default()
}

fn file(name: &str) -> PathBuf {
    PathBuf::from(life::variable(life::DIR)).join(name)
}

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

/// Starts a shell command line, with the samples on its path.
fn start(line: &str, out: &str) -> Result<Running, String> {
    let path = format!("{}:/usr/bin:/bin", life::variable("CKPT_BIN"));
    let child = Command::new("/bin/sh")
        .args(["-c", line])
        .env("PATH", path)
        .current_dir(life::variable(life::DIR))
        .stdin(Stdio::null())
        .stdout(text(File::create(file(out)))?)
        .stderr(Stdio::inherit())
        .spawn();
    Ok(Running(text(child)?))
}

fn checkpoint() -> Result<u32, String> {
    let _ = std::fs::remove_file(OUT);
    let mut program = start("exec ckpt", "out.1")?;
    let result = program.result()?;
    program.interrupt()?;
    Ok(result)
}

/// What the document's user does with sed.
fn change() -> Result<(), String> {
    text(std::fs::write(
        OUT,
        contents().replace("world, hello!", "xxxx"),
    ))
}

fn session() -> Case {
    let (first, second) = (checkpoint()?, checkpoint()?);
    if second != first + 1 {
        return Err(format!("(ret = {first}), then (ret = {second})"));
    }
    change()?;
    if contents() != format!("hello, world!\nxxxx\n(ret = {second})\n") {
        return Err(format!("after sed: {:?}", contents()));
    }
    text(std::fs::copy(OUT, file(KEPT)))?;
    restart()?;
    pass_with(format!("(ret = {first}), (ret = {second}), (ret = 0)"))
}

/// The document's restart, and all that it shows of it.
fn restart() -> Result<(), String> {
    let mut program = start("exec rstr < out.1", "rstr.out")?;
    let result = wait_for_restart(&mut program)?;
    if result != 0 {
        return Err(format!("after the restart (ret = {result})"));
    }
    if program.comm() != "ckpt" {
        return Err(format!(
            "the restarted program is named {:?}",
            program.comm()
        ));
    }
    shared_position(&program)?;
    // Neither an error nor "should not reach here !".
    let said = text(std::fs::read_to_string(file("rstr.out")))?;
    if !said.is_empty() {
        return Err(format!("rstr printed {said:?}"));
    }
    program.interrupt()
}

/// The session's last image, in a guest that has booted since.
fn after_reboot() -> Case {
    if !file("out.1").exists() {
        return Err("there is no image".to_string());
    }
    text(std::fs::copy(file(KEPT), OUT))?;
    let before = contents();
    if !before.starts_with("hello, world!\nxxxx\n(ret = ") {
        return Err(format!("the file that was kept is {before:?}"));
    }
    restart()?;
    pass_with("(ret = 0)")
}

/// The file still ends as before the restart until the program has written.
fn wait_for_restart(program: &mut Running) -> Result<u32, String> {
    let start = Instant::now();
    while !contents().contains("(ret = 0)") && start.elapsed() < limit() {
        if let Ok(Some(status)) = program.0.try_wait() {
            let said = std::fs::read_to_string(file("rstr.out")).unwrap_or_default();
            return Err(format!("rstr ended with {status}: {said:?}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    program.result()
}

/// Descriptors 0 and 2 of the program are one open file: moving one moves the other.
fn shared_position(program: &Running) -> Result<(), String> {
    let pid = program.0.id() as usize;
    let pidfd = text(sys::plain(libc::SYS_pidfd_open, &[pid, 0]))?;
    let get = |fd| text(sys::plain(libc::SYS_pidfd_getfd, &[pidfd, fd, 0]));
    let (zero, two) = (get(0)? as i32, get(2)? as i32);
    let moved = sys::lseek(zero, 3, libc::SEEK_SET);
    let seen = sys::lseek(two, 0, libc::SEEK_CUR);
    for fd in [zero, two, pidfd as i32] {
        let _ = sys::close(fd);
    }
    if moved == Ok(3) && seen == Ok(3) {
        return Ok(());
    }
    Err(format!(
        "descriptors 0 and 2 do not share a position: {moved:?}, {seen:?}"
    ))
}

fn through_a_pipe() -> Case {
    let _ = std::fs::remove_file(OUT);
    let mut program = start("ckpt | cat > out.2", "null")?;
    let result = program.result()?;
    kill_named("ckpt");
    program.interrupt()?;
    change()?;
    let mut program = start("cat out.2 | rstr", "rstr.out")?;
    let restarted = wait_for_restart(&mut program)?;
    kill_named("ckpt");
    drop(program);
    let said = text(std::fs::read_to_string(file("rstr.out")))?;
    if restarted != 0 || !said.is_empty() {
        return Err(format!("(ret = {restarted}), rstr printed {said:?}"));
    }
    pass_with(format!("(ret = {result}), (ret = 0)"))
}

/// Ends the programs of this name below this one's group: a shell started them.
fn kill_named(name: &str) {
    let own = sys::plain(libc::SYS_getpgrp, &[]).unwrap_or(0).to_string();
    let Ok(dir) = std::fs::read_dir("/proc") else {
        return;
    };
    for pid in dir.filter_map(|e| e.ok()?.file_name().to_str()?.parse::<usize>().ok()) {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((head, rest)) = stat.rsplit_once(") ") else {
            continue;
        };
        let group = rest.split(' ').nth(2).unwrap_or("");
        if head.ends_with(&format!("({name}")) && group == own {
            let _ = sys::plain(libc::SYS_kill, &[pid, libc::SIGKILL as usize]);
        }
    }
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    if life::variable(life::PHASE) == "first" {
        cases.run("session", session);
        cases.run("through-a-pipe", through_a_pipe);
    } else {
        cases.run("after-a-reboot", after_reboot);
    }
    cases.verdict()
}
