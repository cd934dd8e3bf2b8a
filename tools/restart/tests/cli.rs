// SPDX-License-Identifier: GPL-2.0

//! The tool as a person uses it: arguments, images, reasons, exit status.

mod common;

use std::fs;
use std::fs::File;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::process::Command;
use std::process::Stdio;

use common::kernel::Answer;
use common::*;
use nix::libc;

#[test]
fn the_child_is_alone_with_the_image_and_reads_it_from_the_start() {
    let saved = Saved::new(4711);
    let bytes = saved.bytes.clone();
    let mut command = tool(&["--new-pids", "-i"]);
    command.arg(saved.path());
    let ran = run_with(command, move |call| {
        let numbers = fs::read_dir(format!("/proc/{}/fdinfo", call.pid)).unwrap();
        let (mut ours, mut callers) = (0, 0);
        for entry in numbers {
            let entry = entry.unwrap();
            let number: i32 = entry.file_name().to_str().unwrap().parse().unwrap();
            let info = fs::read_to_string(entry.path()).unwrap();
            let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).unwrap();
            let flags = i32::from_str_radix(flags.trim(), 8).unwrap();
            // What an exec would leave open is not ours.
            assert_eq!(number >= 1000, flags & libc::O_CLOEXEC != 0, "{number}");
            *if number >= 1000 {
                &mut ours
            } else {
                &mut callers
            } += 1;
        }
        // Image, log and status, where no image wants to have something.
        assert!(ours == 3 && callers >= 3);
        assert_eq!(status(call.pid, "Threads"), "1");
        let mut read = Vec::new();
        call.input(1).read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        Answer::Fail(libc::EBADMSG)
    });
    assert_eq!(ran.status, 1);
    assert!(ran.err.starts_with("restart: restart(2): "), "{}", ran.err);
    assert!(ran.err.contains("ckptinfo --verify"), "{}", ran.err);
}

#[test]
fn a_descriptor_of_the_caller_gets_through() {
    let mut command = Command::new("sh");
    command.args(["-c", "exec \"$0\" \"$@\" 7>/dev/null", TOOL, "--new-pids"]);
    command.stdin(File::open(Saved::new(1).path()).unwrap());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let ran = run_with(command, |call| {
        let seven = fs::read_link(format!("/proc/{}/fd/7", call.pid));
        assert_eq!(seven.unwrap().to_str(), Some("/dev/null"));
        Answer::Fail(libc::EIO)
    });
    assert_eq!(ran.status, 1);
}

#[test]
fn a_taken_id_is_named() {
    let me = std::process::id();
    let ran = run(Saved::new(me).tool(&[]));
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains(&format!(" id {me}")), "{}", ran.err);
    assert!(ran.err.contains("--new-pids"), "{}", ran.err);
    if privileged() {
        assert!(ran.err.contains("is taken by cli-"), "{}", ran.err);
        assert!(ran.err.contains("--pidns"), "{}", ran.err);
    }
}

#[test]
fn without_privileges_the_missing_one_is_named() {
    let saved = Saved::new(free_pid(200));
    let mut command = unprivileged(&["-i"]);
    command.arg(saved.path());
    let plain = command.spawn();
    let inside = command.arg("--pidns").spawn();
    let (Ok(plain), Ok(inside)) = (plain, inside) else {
        return;
    };
    let (plain, inside) = (end(plain), end(inside));
    if plain.err.starts_with("setpriv") {
        return;
    }
    assert_eq!((plain.status, inside.status), (1, 1));
    assert!(
        plain.err.contains("CAP_CHECKPOINT_RESTORE"),
        "{}",
        plain.err
    );
    assert!(inside.err.contains("CAP_SYS_ADMIN"), "{}", inside.err);
}

#[test]
fn the_reason_goes_to_standard_error_and_to_the_log() {
    let saved = Saved::new(4711);
    let log = saved.dir.path().join("log");
    let line = "restart: pid 5: image offset 9: a file cannot be opened: /x [STR] (errno 2)";
    for args in [&["--new-pids"][..], &["--pidns"]] {
        if args == ["--pidns"] && !privileged() {
            continue;
        }
        let mut command = saved.tool(args);
        command.arg("--log").arg(&log);
        let flags = if args == ["--new-pids"] { 3 } else { 1 };
        let ran = run_with(command, move |call| {
            // RESTART_LOG, and RESTART_NEWPIDS where no ids are wanted.
            assert_eq!(call.args[2], flags);
            call.log(&format!("{line}\n"));
            Answer::Fail(libc::ENOENT)
        });
        assert_eq!(ran.status, 1);
        assert_eq!(ran.err.lines().next(), Some(line));
        assert!(ran.err.contains("bring it back"), "{}", ran.err);
        assert_eq!(logged(&log), ran.err);
        fs::remove_file(&log).unwrap();
    }
}

#[test]
fn without_the_call_the_message_says_what_is_missing() {
    let ran = run_with(Saved::new(1).tool(&["--new-pids"]), |_| {
        Answer::Fail(libc::ENOSYS)
    });
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("(ENOSYS)"), "{}", ran.err);
    assert!(ran.err.contains("CONFIG_CHECKPOINT"), "{}", ran.err);
}

#[test]
fn the_kernel_of_this_machine_has_the_call_or_says_so() {
    let saved = Saved::new(1);
    let ran = run(saved.tool(&["--new-pids"]));
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("(ENOSYS)") || ran.err.starts_with("restart: pid "));
}

#[test]
fn a_pipe_is_fed_and_ends() {
    let pid = if privileged() { free_pid(300) } else { 1 };
    let bytes = Saved::new(pid).bytes;
    for args in [&[][..], &["--new-pids"], &["--pidns"]] {
        if args != ["--new-pids"] && !privileged() {
            continue;
        }
        let expected = bytes.clone();
        let ran = run_with(piped(args, bytes.clone()), move |call| {
            let mut read = Vec::new();
            // Up to the end: nobody has the other end but the feeder.
            call.input(1).read_to_end(&mut read).unwrap();
            assert!(read == expected);
            Answer::Fail(libc::EIO)
        });
        assert_eq!(ran.status, 1, "{}", ran.err);
    }
}

#[test]
fn an_image_in_the_middle_of_a_file() {
    let saved = Saved::new(4711);
    fs::write(saved.path(), [b"before", &saved.bytes[..]].concat()).unwrap();
    let mut file = File::open(saved.path()).unwrap();
    file.seek(SeekFrom::Start(6)).unwrap();
    let mut command = tool(&["--new-pids"]);
    command.stdin(file);
    let ran = run_with(command, move |call| {
        let mut read = Vec::new();
        call.input(1).read_to_end(&mut read).unwrap();
        assert!(read == saved.bytes);
        Answer::Fail(libc::EIO)
    });
    assert_eq!(ran.status, 1);
}

#[test]
fn another_root_and_another_user() {
    if !privileged() {
        return;
    }
    let saved = Saved::new(1);
    let root = saved.dir.path().to_str().unwrap().to_string();
    let command = saved.tool(&["--new-pids", "--root", &root, "--user", "nobody"]);
    let ran = run_with(command, move |call| {
        let at = |what: &str| fs::read_link(format!("/proc/{}/{what}", call.pid)).unwrap();
        assert_eq!(at("root").to_str(), Some(&root[..]));
        assert_eq!(at("cwd").to_str(), Some(&root[..]));
        assert_eq!(status(call.pid, "Uid"), ["65534"; 4].join("\t"));
        assert_eq!(status(call.pid, "CapPrm"), "0".repeat(16));
        Answer::Fail(libc::EPERM)
    });
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("--user"), "{}", ran.err);
    let ran = run(saved.tool(&["--new-pids", "--root", "/no/such/directory"]));
    assert_eq!(ran.status, 1);
    let line = "the root directory cannot be changed to /no/such/directory: No such file";
    assert!(ran.err.contains(line), "{}", ran.err);
}

#[test]
fn a_name_does_not_drive_the_terminal() {
    let odd = "/no/such/\x1b[2J";
    for args in [
        &["-i", odd][..],
        &["--user", odd],
        &["--log", odd],
        &["--new-pids", "-i", &format!("{odd}\n")],
    ] {
        let ran = run(tool(args));
        assert_eq!(ran.status, 2);
        assert!(!ran.err.contains('\x1b'), "{args:?}: {}", ran.err);
        assert!(ran.err.contains("/no/such/\\u{1b}[2J"), "{}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    }
}

#[test]
fn a_user_has_no_capabilities_wherever_they_came_from() {
    if !privileged() {
        return;
    }
    const HEIR: &str = "--inh-caps=+setuid,+setgid";
    const SERVICE: [&str; 5] = [
        "--reuid=1",
        "--regid=1",
        "--clear-groups",
        HEIR,
        "--ambient-caps=+setuid,+setgid",
    ];
    // A service that is not root has them by name; root may have some to hand down.
    const CALLERS: [(&[&str], &str, bool); 3] = [
        (&SERVICE, "nobody", false),
        (&[HEIR], "nobody", false),
        (&[HEIR], "root", true),
    ];
    for (caller, to, left) in CALLERS {
        let saved = Saved::new(1);
        let mut command = Command::new("setpriv");
        command.args(caller);
        command.args([TOOL, "--new-pids", "--user", to]);
        command.stdin(File::open(saved.path()).unwrap());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let ran = run_with(command, move |call| {
            for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
                let caps = u64::from_str_radix(&status(call.pid, set), 16).unwrap();
                let expected = left && set != "CapAmb";
                assert_eq!(caps != 0, expected, "{caller:?} {to}: {set}");
            }
            Answer::Fail(libc::EPERM)
        });
        assert!(ran.err.contains("restart(2): Operation not"), "{}", ran.err);
    }
}

#[test]
fn what_is_no_image() {
    let saved = Saved::new(1);
    fs::write(saved.path(), "#!/bin/sh\n").unwrap();
    let mut command = tool(&["-i"]);
    command.arg(saved.path());
    let ran = run(command);
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("a.ckpt: "), "{}", ran.err);
    let ran = run(tool(&[]));
    assert_eq!(ran.status, 1);
    assert_eq!(
        ran.err,
        "restart: standard input: the image ends too early\n"
    );
}

#[test]
fn wrong_usage() {
    for args in [
        &["--new-pids", "--pidns"][..],
        &["-i", "/no/such/image"],
        &["--user", "no-such-user-anywhere"],
        &["--log", "/no/such/directory/file"],
        &["--inherit", "0=1", "--inherit", "0=2"],
        &["a.ckpt"],
    ] {
        let ran = run(tool(args));
        assert_eq!(ran.status, 2, "{args:?}: {}", ran.err);
        assert!(!ran.err.is_empty());
    }
}

#[test]
fn a_completion_script_on_a_full_disk() {
    let mut command = tool(&["--completion", "bash"]);
    command.stdout(fs::File::create("/dev/full").unwrap());
    let ran = end(command.spawn().unwrap());
    let line = "restart: standard output: No space left on device (os error 28)\n";
    assert_eq!((ran.status, ran.err.as_str()), (1, line));
}

#[test]
fn help_version_and_completion() {
    let out = |args: &[&str]| {
        let output = tool(args).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let help = out(&["--help"]);
    for part in [
        "Exit status",
        "Examples",
        "--pidns",
        "CAP_CHECKPOINT_RESTORE",
    ] {
        assert!(help.contains(part), "{help}");
    }
    assert!(out(&["-V"]).starts_with("restart 0."));
    for shell in ["bash", "zsh", "fish"] {
        assert!(out(&["--completion", shell]).contains("new-pids"));
    }
}
