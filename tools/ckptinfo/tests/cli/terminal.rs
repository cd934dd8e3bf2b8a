// SPDX-License-Identifier: GPL-2.0

//! What those see who wait at a terminal.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::thread::sleep;
use std::time::Duration;

use ckptfmt::build::Image;
use nix::fcntl::OFlag;
use nix::libc;
use nix::pty;

use super::*;

/// Runs the tool on an image that comes slowly; what is on a terminal that is its
/// standard error, or not.
fn slowly(args: &[&str], terminal: bool) -> (String, String) {
    let mut master = pty::posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY).unwrap();
    pty::grantpt(&master).unwrap();
    pty::unlockpt(&master).unwrap();
    let name = pty::ptsname_r(&master).unwrap();
    let mut how = File::options();
    let how = how.read(true).write(true).custom_flags(libc::O_NOCTTY);
    let slave = how.open(name).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckptinfo"));
    command.args(args).env("TERM", "xterm");
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    command.stderr(if terminal {
        Stdio::from(slave)
    } else {
        Stdio::piped()
    });
    let mut child = command.spawn().unwrap();
    drop(command);
    let mut input = child.stdin.take().unwrap();
    let bytes = Image::sample().bytes();
    let (begin, rest) = bytes.split_at(4096);
    let (middle, end) = rest.split_at(1024);
    for part in [begin, middle, end] {
        input.write_all(part).unwrap();
        sleep(Duration::from_millis(700));
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let mut seen = output.stderr;
    if terminal {
        // Ends with an error when nobody has the other end any more.
        let _ = master.read_to_end(&mut seen);
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&seen))
}

#[test]
fn who_verifies_at_a_terminal_sees_how_far_it_is() {
    let (out, seen) = slowly(&["--verify"], true);
    assert!(seen.contains("ckptinfo: standard input: "), "{seen}");
    assert!(seen.contains(" KiB checked, "), "{seen}");
    assert!(out.starts_with("standard input: correct: "), "{out}");
}

#[test]
fn nobody_else_does() {
    for (args, terminal) in [(&["--verify"][..], false), (&["--tree"], true)] {
        let (out, seen) = slowly(args, terminal);
        assert_eq!(seen, "");
        assert!(!out.contains("checked"), "{out}");
    }
}
