// SPDX-License-Identifier: GPL-2.0

//! The process that comes back: its id, its namespace, its signals, its status.

mod common;

use std::fs;
use std::fs::File;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread::sleep;
use std::time::Duration;

use common::kernel;
use common::kernel::Answer;
use common::*;
use nix::libc;
use nix::sys::signal::Signal;

#[test]
fn without_wait_the_tool_ends_when_the_process_goes_on() {
    let saved = Saved::new(4711);
    let (child, process) = start(saved.tool(&["--new-pids"]));
    let process = process.recv().unwrap();
    let ran = end(child);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert_eq!(ran.err, format!("restart: process {process} goes on\n"));
    send(process, Signal::SIGKILL);
    let (child, process) = start(saved.tool(&["--new-pids", "--quiet"]));
    assert_eq!((end(child).status), 0);
    send(process.recv().unwrap(), Signal::SIGKILL);
}

#[test]
fn the_process_gets_its_id() {
    if !privileged() {
        return;
    }
    let pid = free_pid(100);
    let (child, process) = start(Saved::new(pid).tool(&[]));
    assert_eq!(process.recv().unwrap(), pid);
    assert_eq!(end(child).status, 0);
    send(pid, Signal::SIGKILL);
}

#[test]
fn what_follows_the_image_does_not_hold_the_tool() {
    if !privileged() {
        return;
    }
    let mut bytes = Saved::new(free_pid(400)).bytes;
    bytes.extend(vec![7; 8 << 20]);
    let (child, process) = start(piped(&[], bytes));
    assert_eq!(end(child).status, 0);
    send(process.recv().unwrap(), Signal::SIGKILL);
}

#[test]
fn with_wait_signals_go_to_the_process_and_its_status_comes_back() {
    for (signal, expected) in [(Signal::SIGTERM, 143), (Signal::SIGINT, 130)] {
        let (child, process) = start(Saved::new(1).tool(&["--new-pids", "--wait"]));
        let process = process.recv().unwrap();
        stands_by(child.id());
        // The stand-in's process has it blocked: there it is for all to see.
        send(child.id(), Signal::SIGUSR1);
        let pending = || u64::from_str_radix(&status(process, "ShdPnd"), 16).unwrap();
        let usr1 = 1 << (Signal::SIGUSR1 as u32 - 1);
        assert!((0..500).any(|_| {
            sleep(Duration::from_millis(10));
            pending() & usr1 != 0
        }));
        send(child.id(), signal);
        let ran = end(child);
        assert_eq!((ran.status, ran.err.as_str()), (expected, ""));
    }
}

#[test]
fn with_wait_an_end_of_the_process_is_an_end_of_the_tool() {
    let command = Saved::new(1).tool(&["--new-pids", "--wait"]);
    // What the child says then reaches nobody: it just ends.
    let ran = run_with(command, succeed(|_| Answer::Fail(libc::EIO)));
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
}

#[test]
fn the_tool_does_not_stop_by_sigstop() {
    let (child, process) = start(Saved::new(1).tool(&["--new-pids", "--wait"]));
    let process = process.recv().unwrap();
    stands_by(child.id());
    // Who continues a process that was saved with --stop does not think of the tool.
    send(process, Signal::SIGSTOP);
    assert!(reaches(process, "T"));
    send(process, Signal::SIGCONT);
    assert!(reaches(process, "S"));
    assert!(reaches(child.id(), "S"));
    send(child.id(), Signal::SIGHUP);
    assert_eq!(end(child).status, 129);
}

#[test]
fn a_signal_before_the_restart_is_complete() {
    for (args, pid) in [
        (&["--new-pids"][..], 4711),
        (&["--pidns"], 4711),
        (&["--pidns"], 1),
    ] {
        if args == ["--pidns"] && !privileged() {
            continue;
        }
        for (signal, expected) in [(Signal::SIGTERM, 3), (Signal::SIGKILL, 1)] {
            let (tell, told) = mpsc::channel();
            let child = kernel::start(Saved::new(pid).tool(args), move |call| {
                tell.send(call.pid).unwrap();
                Answer::Never
            });
            let process = told.recv().unwrap();
            let to = if expected == 3 { child.id() } else { process };
            send(to, signal);
            let ran = end(child);
            assert_eq!(ran.status, expected, "{}", ran.err);
            let line = format!("restart: {signal} came before the restart was complete\n");
            assert!(ran.err.starts_with(&line), "{}", ran.err);
        }
    }
}

#[test]
fn who_kills_the_tool_gets_no_process() {
    for args in ["--new-pids", "--pidns"] {
        if args == "--pidns" && !privileged() {
            continue;
        }
        let (tell, told) = mpsc::channel();
        let mut child = kernel::start(Saved::new(4711).tool(&[args]), move |call| {
            tell.send(call.pid).unwrap();
            Answer::Never
        });
        let process = told.recv().unwrap();
        send(child.id(), Signal::SIGKILL);
        child.wait().unwrap();
        let there = || status(process, "State");
        let gone = (0..500).any(|_| {
            sleep(Duration::from_millis(10));
            there().is_empty() || there().starts_with('Z')
        });
        if !gone {
            send(process, Signal::SIGKILL);
        }
        assert!(gone, "{args}");
    }
}

/// Of the stand-in only with an init in between: it does not take the signal from the image
/// that the kernel takes from there.
#[test]
fn who_kills_the_tool_later_leaves_the_process_alone() {
    if !privileged() {
        return;
    }
    let (mut child, process) = start(Saved::new(4711).tool(&["--pidns", "--wait"]));
    let process = process.recv().unwrap();
    stands_by(child.id());
    send(child.id(), Signal::SIGKILL);
    child.wait().unwrap();
    sleep(Duration::from_millis(200));
    let state = status(process, "State");
    send(process, Signal::SIGKILL);
    assert!(!state.is_empty() && !state.starts_with('Z'), "{state}");
}

/// The tool behind a command, killed inside of its restart: its status and what it says.
fn killed_inside(before: &[&str]) -> Ran {
    let saved = Saved::new(4711);
    let mut command = Command::new("unshare");
    command.args(before).args([TOOL, "--new-pids"]);
    command.stdin(File::open(saved.path()).unwrap());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let (tell, told) = mpsc::channel();
    let child = kernel::start(command, move |call| {
        tell.send(call.pid).unwrap();
        Answer::Never
    });
    send(told.recv().unwrap(), Signal::SIGKILL);
    end(child)
}

#[test]
fn without_a_proc_of_its_own_a_killed_restart_is_none() {
    if !privileged() {
        return;
    }
    // None at all, and one that shows the processes of another namespace.
    let none = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
    for before in [&["-m", "sh", "-c", none][..], &["-p", "-f"]] {
        let ran = killed_inside(before);
        assert_eq!(ran.status, 1, "{before:?}: {}", ran.err);
        let line = "restart: SIGKILL came before the restart was complete\n";
        assert!(ran.err.starts_with(line), "{before:?}: {}", ran.err);
    }
}

#[test]
fn without_a_proc_a_process_goes_on_as_well() {
    if !privileged() {
        return;
    }
    let mut command = Command::new("unshare");
    command.args(["-p", "-f", TOOL, "--new-pids", "--wait"]);
    command.stdin(File::open(Saved::new(1).path()).unwrap());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    // It ends at once, with a status of its own.
    let ran = run_with(command, succeed(|_| Answer::Fail(libc::EIO)));
    assert_eq!((ran.status, ran.err.as_str()), (1, ""));
}

#[test]
fn a_namespace_has_the_id_and_a_proc_of_its_own() {
    if !privileged() {
        return;
    }
    // Taken outside; free inside.
    let me = std::process::id();
    let (child, process) = start(Saved::new(me).tool(&["--pidns"]));
    let process = process.recv().unwrap();
    let ids = status(process, "NSpid");
    assert_eq!(ids, format!("{process}\t{me}"));
    let init: u32 = status(process, "PPid").parse().unwrap();
    assert_eq!(status(init, "NSpid"), format!("{init}\t1"));
    let root = format!("/proc/{process}/root");
    let inside = |path: &str| format!("{root}/proc/{path}");
    assert!(fs::exists(inside("1/comm")).unwrap());
    assert!(!fs::exists(inside(&format!("{init}"))).unwrap() || init == me);
    assert!(fs::exists(format!("/proc/{init}")).unwrap());
    // The init does not hold what the caller waits for.
    let ran = end(child);
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(
        ran.err.contains(&format!("process {me} goes on")),
        "{}",
        ran.err
    );
    assert_eq!(status(init, "Name"), "restart-init");
    let open = fs::read_dir(format!("/proc/{init}/fd")).unwrap().count();
    assert_eq!(open, 4);
    send(process, Signal::SIGKILL);
    assert!((0..500).any(|_| {
        sleep(Duration::from_millis(10));
        let state = status(init, "State");
        state.is_empty() || state.starts_with('Z')
    }));
}

#[test]
fn a_namespace_hands_signals_in_and_the_status_out() {
    if !privileged() {
        return;
    }
    let (child, process) = start(Saved::new(77).tool(&["--pidns", "--wait"]));
    let process = process.recv().unwrap();
    let init = status(process, "PPid").parse().unwrap();
    stands_by(init);
    send(stands_by(child.id()), Signal::SIGTERM);
    let ran = end(child);
    assert_eq!((ran.status, ran.err.as_str()), (143, ""));
}

#[test]
fn what_was_an_init_is_one_again() {
    if !privileged() {
        return;
    }
    let (child, process) = start(Saved::new(1).tool(&["--pidns", "--wait"]));
    let process = process.recv().unwrap();
    assert_eq!(status(process, "NSpid"), format!("{process}\t1"));
    send(stands_by(child.id()), Signal::SIGHUP);
    // An init has no default actions.
    send(process, Signal::SIGKILL);
    assert_eq!(end(child).status, 137);
}

#[test]
fn a_terminal_reaches_the_process_once() {
    let (mut master, name) = terminal();
    let slave = File::options().read(true).write(true).open(name).unwrap();
    let saved = Saved::new(1);
    let mut command = tool(&["--new-pids", "--wait", "-i"]);
    command.arg(saved.path()).stdin(slave);
    // SAFETY: Two system calls on numbers.
    unsafe {
        command.pre_exec(|| {
            nix::unistd::setsid()?;
            libc::ioctl(0, libc::TIOCSCTTY, 0);
            Ok(())
        })
    };
    let (child, process) = start(command);
    let process = process.recv().unwrap();
    stands_by(child.id());
    master.write_all(b"\x03").unwrap();
    assert_eq!(end(child).status, 130);
    assert_eq!(status(process, "State"), "");
}
