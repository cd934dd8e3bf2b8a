// SPDX-License-Identifier: GPL-2.0
#![allow(dead_code)] // Each test program uses its part.

//! The tool, images for it, and a kernel on which a restart succeeds.
//!
//! A restart "succeeds" when the stand-in takes all descriptors from the caller, as
//! the kernel does, and lets its call go on for ever: then the caller stands for the
//! restarted process, and can be killed.

#[path = "../../../checkpoint/tests/kernel/mod.rs"]
pub mod kernel;

use std::fs;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::sync::mpsc::Receiver;
use std::thread::sleep;
use std::time::Duration;

use ckptfmt::build::Image;
use kernel::Answer;
use kernel::Call;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::libc;
use nix::pty;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

pub const TOOL: &str = env!("CARGO_BIN_EXE_restart");

/// A file with an image of a process with this id.
pub struct Saved {
    pub dir: tempfile::TempDir,
    pub bytes: Vec<u8>,
}

impl Saved {
    pub fn new(pid: u32) -> Self {
        let mut image = Image::sample();
        image.tree[0].pid = pid;
        image.tree[0].tgid = pid;
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.ckpt"), image.bytes()).unwrap();
        let bytes = image.bytes();
        Self { dir, bytes }
    }

    pub fn path(&self) -> PathBuf {
        self.dir.path().join("a.ckpt")
    }

    /// The tool with the image on its standard input.
    pub fn tool(&self, args: &[&str]) -> Command {
        let mut command = tool(args);
        command.stdin(File::open(self.path()).unwrap());
        command
    }
}

pub struct Ran {
    pub status: i32,
    pub err: String,
}

pub fn tool(args: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    command.args(args).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// The tool without any privileges; where it cannot be had, what it says begins with
/// "setpriv".
pub fn unprivileged(args: &[&str]) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-all", "--inh-caps=-all", TOOL]);
    command.args(args).stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Waits for the end of the tool, and of everything that has its standard output.
pub fn end(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    assert!(output.stdout.is_empty());
    Ran {
        status: output.status.code().expect("killed by a signal"),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn run(mut command: Command) -> Ran {
    end(command.spawn().unwrap())
}

/// Runs the tool on a kernel that answers so.
pub fn run_with(command: Command, answer: impl FnMut(&Call) -> Answer + Send + 'static) -> Ran {
    end(kernel::start(command, answer))
}

/// A restart that succeeds; then the process does what `then` answers.
pub fn succeed(mut then: impl FnMut(&Call) -> Answer) -> impl FnMut(&Call) -> Answer {
    let mut begins = true;
    move |call| {
        assert_eq!(call.nr, kernel::NR_RESTART);
        if std::mem::take(&mut begins) {
            call.close_all()
        } else {
            then(call)
        }
    }
}

/// Starts the tool; its restart succeeds. Tells who the process is.
pub fn start(command: Command) -> (Child, Receiver<u32>) {
    let (tell, told) = mpsc::channel();
    let child = kernel::start(
        command,
        succeed(move |call| {
            tell.send(call.pid).unwrap();
            Answer::Never
        }),
    );
    (child, told)
}

/// Sends a signal to a process, if it is still there: the stand-in's ends with the tool, which
/// it has been told to, and which no image has changed.
pub fn send(pid: u32, signal: Signal) {
    match kill(Pid::from_raw(pid as i32), signal) {
        Ok(()) | Err(Errno::ESRCH) => {}
        Err(errno) => panic!("{pid}: {errno}"),
    }
}

/// A line of /proc/PID/status.
pub fn status(pid: u32, key: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|l| l.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or("").trim().to_string()
}

/// Waits until a process is in this state.
pub fn reaches(pid: u32, state: &str) -> bool {
    (0..500).any(|_| {
        sleep(Duration::from_millis(10));
        status(pid, "State").starts_with(state)
    })
}

/// Is this test allowed to choose process ids and to make namespaces?
pub fn privileged() -> bool {
    let caps = u64::from_str_radix(&status(std::process::id(), "CapEff"), 16);
    let all = (1 << 21) | (1 << 40);
    caps.is_ok_and(|caps| caps & all == all)
}

/// Waits until the tool, or an init of it, stands by its process: it waits for one
/// thing only then. Returns its id.
pub fn stands_by(tool: u32) -> u32 {
    let call = format!("{} 0x", libc::SYS_poll);
    let waits = || {
        let line = fs::read_to_string(format!("/proc/{tool}/syscall")).unwrap();
        line.starts_with(&call) && line.split(' ').nth(2) == Some("0x1")
    };
    assert!((0..500).any(|_| {
        sleep(Duration::from_millis(10));
        waits()
    }));
    tool
}

/// A new terminal: the end that sees what is written, and the name of the other.
pub fn terminal() -> (pty::PtyMaster, String) {
    let master = pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
    pty::grantpt(&master).unwrap();
    pty::unlockpt(&master).unwrap();
    let name = pty::ptsname_r(&master).unwrap();
    (master, name)
}

/// A process id that nobody has.
pub fn free_pid(from_end: u32) -> u32 {
    let max = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap();
    let max: u32 = max.trim().parse().unwrap();
    let free = |pid: &u32| !fs::exists(format!("/proc/{pid}")).unwrap();
    (1..max - from_end).rev().find(free).unwrap()
}

/// The tool with a pipe on its standard input, and what writes into it.
pub fn piped(args: &[&str], bytes: Vec<u8>) -> Command {
    let (reader, mut writer) = std::io::pipe().unwrap();
    std::thread::spawn(move || writer.write_all(&bytes));
    let mut command = tool(args);
    command.stdin(reader);
    command
}

/// What a log has, without the times.
pub fn logged(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split_once(' ').unwrap().1);
    lines.map(|line| format!("{line}\n")).collect()
}
