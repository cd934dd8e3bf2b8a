// SPDX-License-Identifier: GPL-2.0

//! The tool as a person uses it: arguments, where the image goes, reasons.

mod common;

use std::fs;
use std::io::Read;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use common::kernel;
use common::kernel::Answer;
use common::*;
use nix::libc;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

#[test]
fn a_file_and_its_summary() {
    for (option, flags, then) in [
        ("--leave-running", 1, "goes on"),
        ("--kill", 3, "was killed"),
        ("--stop", 5, "is stopped"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        let path = path.to_str().unwrap();
        let ran = run_with(&["4194304", option, "-o", path], move |call| {
            assert_eq!((call.args[0], call.args[2]), (4194304, flags));
            write_image(call)
        });
        let bytes = sample();
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(
            ran.err.contains("image 7") && ran.err.contains(then),
            "{}",
            ran.err
        );
        assert_eq!(ran.err.lines().count(), 1);
        assert_eq!(fs::read(path).unwrap(), bytes);
        assert_eq!(names(dir.path()), ["a.ckpt"]);
        assert!(ran.out.is_empty());
    }
}

#[test]
fn standard_output_is_the_default_and_gets_nothing_else() {
    for args in [
        &["4194304"][..],
        &["4194304", "-o", "-"],
        &["4194304", "-q"],
    ] {
        let ran = run_with(args, write_image);
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(ran.out, sample());
        assert_eq!(ran.err.is_empty(), args.contains(&"-q"));
    }
}

#[test]
fn the_reason_goes_to_standard_error_and_to_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name| dir.path().join(name).to_str().unwrap().to_string();
    fs::write(at("a.ckpt"), "old").unwrap();
    let ran = run_with(
        &["4194304", "-o", &at("a.ckpt"), "--log", &at("log")],
        |call| {
            call.output(1).write_all(b"half an image").unwrap();
            call.log("checkpoint: pid 4194304: fd 6: sockets are not supported (errno 95)\n");
            Answer::Fail(libc::EOPNOTSUPP)
        },
    );
    assert_eq!(ran.status, 1);
    let mut lines = ran.err.lines();
    assert_eq!(
        lines.next(),
        Some("checkpoint: pid 4194304: fd 6: sockets are not supported (errno 95)")
    );
    assert!(lines.next().unwrap().contains("cannot hold this"));
    assert_eq!(logged(Path::new(&at("log"))), ran.err);
    fs::remove_file(at("log")).unwrap();
    // What was there before is still there, and nothing else.
    assert_eq!(names(dir.path()), ["a.ckpt"]);
    assert_eq!(fs::read(at("a.ckpt")).unwrap(), b"old");
}

#[test]
fn a_name_that_is_not_on_the_disk_yet_is_no_failure() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.ckpt");
    let ran = run_with(&["4194304", "-q", "-o", path.to_str().unwrap()], |call| {
        // The directory cannot be opened then.
        call.limit_files_of_parent(3);
        write_image(call)
    });
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.err.contains("is in its place, but"), "{}", ran.err);
    assert_eq!(fs::read(path).unwrap(), sample());
}

#[test]
fn a_name_that_cannot_be_taken_is_found_before_the_call() {
    // A mount point; then a file of somebody else in a directory for all.
    let mounted = "mount --bind \"$3\" \"$3\" || exit 77; exec \"$0\" \"$@\"";
    let sticky = "exec setpriv --reuid=1 --clear-groups \"$0\" \"$@\"";
    for (before, why) in [(mounted, "mount point"), (sticky, "sticky bit")] {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let (path, own) = (dir.path().join("a.ckpt"), dir.path().join("tool"));
        fs::write(&path, "old").unwrap();
        // The other one may not look into the directory that the tool is in. Not copied by
        // this process: children of other tests would hold the file open for writing.
        let copied = Command::new("cp").arg(TOOL).arg(&own).status().unwrap();
        assert!(copied.success());
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", before]).arg(own);
        command.args(["4194304", "-o"]).arg(&path).arg("--kill");
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        if said.contains("unshare: ") || ran.status.code() == Some(77) {
            return;
        }
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(said.contains(why), "{said}");
        assert_eq!(names(dir.path()).len(), 2);
    }
}

#[test]
fn a_standard_output_that_keeps_nothing_is_refused() {
    for close in [">&-", ">/dev/null"] {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec \"$0\" 4194304 {close}"), TOOL]);
        let ran = command.output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(2), "{said}");
        assert!(said.contains("-o FILE"), "{said}");
    }
}

#[test]
fn whoever_ignores_children_gets_an_answer_as_well() {
    let ignoring = |args: &[&str]| {
        let mut command = Command::new("env");
        command.args(["--ignore-signal=CHLD", TOOL]);
        command.args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let ran = end(kernel::start(ignoring(&["4194304"]), write_image));
    assert_eq!((ran.status, ran.out), (0, sample()), "{}", ran.err);
    let ran = end(kernel::start(ignoring(&["4194304"]), |call| {
        call.log("checkpoint: pid 4194304: fd 6: sockets are not supported (errno 95)\n");
        Answer::Fail(libc::EOPNOTSUPP)
    }));
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("sockets are not supported"), "{}", ran.err);
}

#[test]
fn the_end_of_a_killed_process_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.ckpt");
    let mut process = Command::new("sleep").arg("600").spawn().unwrap();
    let pid = Pid::from_raw(process.id() as i32);
    let args = [&pid.to_string(), "--kill", "-o", path.to_str().unwrap()];
    let ran = run_with(&args, move |call| {
        let answer = write_image(call);
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(500));
            kill(pid, Signal::SIGKILL).unwrap();
        });
        answer
    });
    assert_eq!(ran.status, 0, "{}", ran.err);
    let ended = process.try_wait().unwrap();
    let _ = process.kill();
    assert!(ended.is_some());
}

#[test]
fn the_image_stays_when_its_name_is_taken() {
    for (option, then, left) in [
        ("--kill", "process 4194304 was killed; ", 2),
        ("--stop", "process 4194304 is stopped; ", 2),
        ("--leave-running", "process 4194304 goes on; ", 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        let taken = path.clone();
        let args = ["4194304", option, "-o", path.to_str().unwrap()];
        let ran = run_with(&args, move |call| {
            fs::create_dir(&taken).unwrap();
            write_image(call)
        });
        assert_eq!(ran.status, 1, "{}", ran.err);
        assert!(ran.err.contains(then), "{}", ran.err);
        assert_eq!(ran.err.contains("the image stays in"), left == 2);
        assert_eq!(names(dir.path()).len(), left, "{option}");
    }
}

#[test]
fn without_the_call_the_message_says_what_is_missing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.ckpt");
    let ran = run_with(&["4194304", "-o", path.to_str().unwrap()], |_| {
        Answer::Fail(libc::ENOSYS)
    });
    assert_eq!(ran.status, 1);
    assert!(ran
        .err
        .starts_with("checkpoint: process 4194304: Function not implemented (ENOSYS)\n"));
    assert!(ran.err.contains("CONFIG_CHECKPOINT"));
    assert!(names(dir.path()).is_empty());
}

#[test]
fn the_kernel_of_this_machine_has_the_call_or_says_so() {
    // A process id that no kernel gives.
    let ran = run(&["2147483647"]);
    assert_eq!(ran.status, 1);
    assert!(ran.out.is_empty());
    assert!(
        ran.err.contains("(ENOSYS)") || ran.err.contains("no such task"),
        "{}",
        ran.err
    );
}

/// The image would have the tool in it, and the file that it writes to.
#[test]
fn who_is_above_the_tool_is_not_saved_by_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.ckpt");
    let own = std::process::id().to_string();
    let ran = run_with(&[&own, "-o", path.to_str().unwrap()], |_| panic!("a call"));
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(ran.err.contains("is above this program"), "{}", ran.err);
    assert!(names(dir.path()).is_empty());
}

/// A restarted copy of the tool, if there ever is one, touches nothing.
#[test]
fn the_answer_of_a_restart_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.ckpt");
    fs::write(&path, "old").unwrap();
    let ran = run_with(&["4194304", "-o", path.to_str().unwrap()], |_| {
        Answer::Return(0)
    });
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert_eq!(fs::read(&path).unwrap(), b"old");
    assert_eq!(names(dir.path()), ["a.ckpt"]);
}

#[test]
fn wrong_usage() {
    for args in [
        &[][..],
        &["0"],
        &["1", "--kill", "--stop"],
        &["1", "-o", "/"],
        &["1", "-o", "/no/such/directory/file"],
        &["1", "-o", "/tmp/no-such-directory/"],
        // There would be no process and no image.
        &["1", "--kill"],
        &["1", "--log", "/no/such/directory/file"],
    ] {
        let ran = run(args);
        assert_eq!(ran.status, 2, "{args:?}: {}", ran.err);
        assert!(!ran.err.is_empty());
    }
}

#[test]
fn a_completion_script_on_a_full_disk() {
    let mut command = tool(&["--completion", "bash"]);
    command.stdout(fs::File::create("/dev/full").unwrap());
    let ran = end(command.spawn().unwrap());
    let line = "checkpoint: standard output: No space left on device (os error 28)\n";
    assert_eq!((ran.status, ran.err.as_str()), (1, line));
}

#[test]
fn help_version_and_completion() {
    let help = run(&["--help"]);
    assert_eq!(help.status, 0);
    let text = String::from_utf8(help.out).unwrap();
    for part in ["Exit status", "Examples", "restart -i job.ckpt"] {
        assert!(text.contains(part), "{text}");
    }
    assert!(String::from_utf8(run(&["-V"]).out)
        .unwrap()
        .starts_with("checkpoint 0."));
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["--completion", shell]);
        assert_eq!(ran.status, 0);
        assert!(String::from_utf8(ran.out)
            .unwrap()
            .contains("leave-running"));
    }
}

#[test]
fn a_pipe_whose_reader_is_gone() {
    let mut child = kernel::start(tool(&["4194304"]), |call| {
        call.log("checkpoint: pid 4194304: the image cannot be written (errno 32)\n");
        Answer::Fail(libc::EPIPE)
    });
    drop(child.stdout.take());
    let mut err = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut err)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1));
    assert!(
        err.contains("what should read the image has ended"),
        "{err}"
    );
}
