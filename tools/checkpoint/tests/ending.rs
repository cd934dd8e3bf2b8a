// SPDX-License-Identifier: GPL-2.0

//! Work that takes long: who watches it, and who ends it.

mod common;

use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;
use std::time::Instant;

use common::kernel;
use common::kernel::Answer;
use common::kernel::Call;
use common::*;
use nix::fcntl::OFlag;
use nix::libc;
use nix::pty::grantpt;
use nix::pty::posix_openpt;
use nix::pty::ptsname_r;
use nix::pty::unlockpt;
use nix::pty::PtyMaster;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Starts a call that never ends, and waits until it is made.
fn stuck(args: &[&str], before: fn(&Call)) -> Child {
    let (made, wait) = mpsc::channel();
    let child = kernel::start(tool(args), move |call| {
        before(call);
        made.send(()).unwrap();
        Answer::Never
    });
    wait.recv().unwrap();
    child
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(child.id() as i32), signal).unwrap();
}

/// A new terminal: the end that sees what is written, and the name of the other.
fn terminal() -> (PtyMaster, String) {
    let master = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname_r(&master).unwrap();
    (master, name)
}

fn open(terminal: &str) -> File {
    let mut how = File::options();
    let how = how.read(true).write(true).custom_flags(libc::O_NOCTTY);
    how.open(terminal).unwrap()
}

#[test]
fn a_signal_leaves_nothing_behind() {
    for s in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        let child = stuck(&["4194304", "-o", path.to_str().unwrap()], |call| {
            call.output(1).write_all(b"half an image").unwrap();
        });
        assert_eq!(names(dir.path()).len(), 1);
        assert!(!path.exists());
        signal(&child, s);
        let ran = end(child);
        assert_eq!(ran.status, 3);
        let line = format!("checkpoint: process 4194304: ended by {s}; there is no image\n");
        assert_eq!(ran.err, line);
        assert!(names(dir.path()).is_empty());
    }
}

#[test]
fn the_time_is_over() {
    let begin = Instant::now();
    let ran = end(stuck(&["4194304", "--timeout", "1"], |_| {}));
    assert_eq!(ran.status, 3);
    assert!(ran.err.contains("ended by --timeout 1"), "{}", ran.err);
    assert!(ran.err.contains("no complete image"), "{}", ran.err);
    assert!(begin.elapsed() >= Duration::from_secs(1));
}

#[test]
fn a_signal_does_not_take_a_complete_image_away() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.ckpt");
    let child = stuck(
        &["4194304", "--kill", "-o", path.to_str().unwrap()],
        |call| {
            call.output(1).write_all(&sample()).unwrap();
        },
    );
    signal(&child, Signal::SIGINT);
    let ran = end(child);
    assert_eq!(ran.status, 3);
    assert!(ran.err.contains("is complete"), "{}", ran.err);
    assert_eq!(fs::read(path).unwrap(), sample());
}

/// Has the tool lose the answer to a call.
type Break = fn(&Call);

#[test]
fn a_call_without_an_answer_does_not_take_a_complete_image_away() {
    let killed = |call: &Call| kill(Pid::from_raw(call.pid as i32), Signal::SIGKILL).unwrap();
    // poll(2) of more descriptors than a process may have fails when it goes on.
    let deaf = |call: &Call| {
        call.limit_files_of_parent(1);
        kernel::rouse(call.parent());
    };
    let breaks: [(Break, &str); 2] = [(killed, "killed by SIGKILL"), (deaf, "Invalid argument")];
    for (broken, why) in breaks {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        let ran = run_with(
            &["4194304", "--kill", "-o", path.to_str().unwrap()],
            move |call| {
                call.output(1).write_all(&sample()).unwrap();
                broken(call);
                Answer::Never
            },
        );
        assert_eq!(ran.status, 1, "{}", ran.err);
        assert!(ran.err.contains(why), "{}", ran.err);
        assert!(ran.err.contains("a.ckpt is complete"), "{}", ran.err);
        assert!(
            ran.err.contains("process 4194304 still runs"),
            "{}",
            ran.err
        );
        assert_eq!(fs::read(path).unwrap(), sample());
        assert_eq!(names(dir.path()), ["a.ckpt"]);
    }
}

#[test]
fn nohup_holds() {
    let mut command = Command::new("nohup");
    command.args([TOOL, "4194304", "--timeout", "2"]);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (made, wait) = mpsc::channel();
    let child = kernel::start(command, move |_| {
        made.send(()).unwrap();
        Answer::Never
    });
    wait.recv().unwrap();
    signal(&child, Signal::SIGHUP);
    let ran = end(child);
    assert_eq!(ran.status, 3);
    assert!(ran.err.contains("ended by --timeout 2"), "{}", ran.err);
}

#[test]
fn no_terminal_stops_it() {
    let mut command = tool(&["4194304", "--timeout", "3"]);
    // As a job of a shell: of a group whose parents are elsewhere nobody is stopped.
    command.process_group(0);
    let (made, wait) = mpsc::channel();
    let child = kernel::start(command, move |_| {
        made.send(()).unwrap();
        Answer::Never
    });
    wait.recv().unwrap();
    let state = || fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    for stop in [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
        signal(&child, stop);
        std::thread::sleep(Duration::from_millis(100));
        let stopped = state().contains(") T ");
        signal(&child, Signal::SIGCONT);
        assert!(!stopped, "{stop}");
    }
    let ran = end(child);
    assert_eq!(ran.status, 3, "{}", ran.err);
}

#[test]
fn somebody_kills_the_process_that_makes_the_call() {
    let ran = run_with(&["4194304"], |call| {
        kill(Pid::from_raw(call.pid as i32), Signal::SIGKILL).unwrap();
        Answer::Never
    });
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("killed by SIGKILL"), "{}", ran.err);
}

#[test]
fn a_terminal_is_refused() {
    let (_master, terminal) = terminal();
    for args in [
        &["4194304"][..],
        &["4194304", "-o", "-"],
        &["4194304", "-o", &terminal],
    ] {
        let mut command = tool(args);
        command.stdout(open(&terminal));
        let ran = end(command.spawn().unwrap());
        assert_eq!(ran.status, 2);
        assert!(ran.err.contains("is a terminal"), "{}", ran.err);
    }
}

#[test]
fn progress_is_for_terminals_only() {
    let slow = |call: &Call| {
        let answer = write_image(call);
        std::thread::sleep(Duration::from_millis(900));
        answer
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.ckpt");
    let args = ["4194304", "-o", path.to_str().unwrap()];
    let ran = run_with(&args, slow);
    assert_eq!(ran.status, 0);
    assert!(!ran.err.contains('\x1b'));
    let (mut master, terminal) = terminal();
    let mut command = tool(&args);
    command.stderr(open(&terminal));
    command.env("TERM", "xterm");
    assert_eq!(end(kernel::start(command, slow)).status, 0);
    let mut seen = Vec::new();
    // Ends with an error when nobody has the other end any more.
    let _ = master.read_to_end(&mut seen);
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("KiB written"), "{seen}");
}
