// SPDX-License-Identifier: GPL-2.0

//! What those see who wait at a terminal, and only they.

mod common;

use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use common::kernel;
use common::kernel::Answer;
use common::kernel::Call;
use common::*;
use nix::libc;

const LONG: Duration = Duration::from_millis(900);

/// Runs the tool with a terminal as its standard error; what is on it then.
fn on_terminal(
    mut command: Command,
    answer: impl FnMut(&Call) -> Answer + Send + 'static,
) -> String {
    let (mut master, name) = terminal();
    let mut how = File::options();
    let how = how.read(true).write(true).custom_flags(libc::O_NOCTTY);
    command.stderr(how.open(name).unwrap()).env("TERM", "xterm");
    assert_eq!(end(kernel::start(command, answer)).status, 1);
    let mut seen = Vec::new();
    // Ends with an error when nobody has the other end any more.
    let _ = master.read_to_end(&mut seen);
    String::from_utf8_lossy(&seen).into_owned()
}

/// The tool with an image of which a part is read, and then nothing for long.
fn half(args: &[&str]) -> (Command, impl FnMut(&Call) -> Answer + Send + 'static) {
    let saved = Saved::new(1);
    let mut file = File::open(saved.path()).unwrap();
    let mut command = tool(args);
    command.stdin(file.try_clone().unwrap());
    let slow = move |_: &Call| {
        // The open file is the one that the tool has, and its position, too.
        file.seek(SeekFrom::Start(2048)).unwrap();
        sleep(LONG);
        Answer::Fail(libc::EIO)
    };
    (command, slow)
}

#[test]
fn of_a_file_it_is_told_how_much_is_read() {
    let (command, slow) = half(&["--new-pids"]);
    let seen = on_terminal(command, slow);
    let part = "restart: standard input: ";
    assert!(seen.contains(part), "{seen}");
    assert!(seen.contains(" 2.00 KiB of "), "{seen}");
    assert!(seen.contains(" KiB read, "), "{seen}");
    // The reason stands alone: the line has gone away.
    let (_, behind) = seen.rsplit_once("\x1b[").unwrap();
    assert!(behind.contains("restart: restart(2): "), "{seen}");
}

#[test]
fn the_process_has_nothing_of_it() {
    if !privileged() {
        return;
    }
    for args in [&["--new-pids"][..], &["--pidns"]] {
        let (command, mut slow) = half(args);
        on_terminal(command, move |call| {
            let ours = std::fs::read_dir(format!("/proc/{}/fd", call.pid)).unwrap();
            let number = |name: std::ffi::OsString| name.to_str().unwrap().parse::<i32>();
            let ours = ours.filter(|fd| {
                let name = fd.as_ref().unwrap().file_name();
                number(name).unwrap() >= 1000
            });
            // Image, log and status.
            assert_eq!(ours.count(), 3);
            assert_eq!(status(call.pid, "Threads"), "1");
            slow(call)
        });
    }
}

#[test]
fn of_a_pipe_it_is_told_how_much_is_fed() {
    if !privileged() {
        return;
    }
    let bytes = Saved::new(free_pid(500)).bytes;
    let seen = on_terminal(piped(&[], bytes), |call| {
        call.input(1).read_to_end(&mut Vec::new()).unwrap();
        sleep(LONG);
        Answer::Fail(libc::EIO)
    });
    assert!(seen.contains(" KiB read, "), "{seen}");
    assert!(!seen.contains(" of "), "{seen}");
}

#[test]
fn there_is_none_without_a_terminal_and_none_that_is_not_wanted() {
    let (command, slow) = half(&["--new-pids"]);
    let ran = run_with(command, slow);
    assert!(!ran.err.contains('\x1b') && !ran.err.contains("KiB"));
    let (command, slow) = half(&["--new-pids", "--quiet"]);
    let seen = on_terminal(command, slow);
    assert!(!seen.contains('\x1b') && !seen.contains("KiB"), "{seen}");
    // What the kernel reads from a pipe by itself is not known.
    let bytes = Saved::new(1).bytes;
    let seen = on_terminal(piped(&["--new-pids"], bytes), |_| {
        sleep(LONG);
        Answer::Fail(libc::EIO)
    });
    assert!(!seen.contains('\x1b') && !seen.contains("KiB"), "{seen}");
}
