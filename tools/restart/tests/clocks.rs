// SPDX-License-Identifier: GPL-2.0

//! Clocks that go on from where they were, and those that do not.

mod common;

use std::fs;
use std::time::Duration;

use ckptfmt::build::Image;
use common::*;
use nix::sys::signal::Signal;
use nix::time::clock_gettime;
use nix::time::ClockId;

const NS_PER_S: u64 = 1_000_000_000;

/// What a clock shows to this program, in seconds.
fn now(clock: ClockId) -> i64 {
    clock_gettime(clock).unwrap().tv_sec()
}

/// An image whose clocks were so far ahead of those of this machine, or behind them.
fn ahead(monotonic: i64, boottime: i64) -> Vec<u8> {
    let show = |clock, by: i64| (now(clock) + by) as u64 * NS_PER_S;
    let mut image = Image::sample();
    image.head.monotonic_ns = show(ClockId::CLOCK_MONOTONIC, monotonic);
    image.head.boottime_ns = show(ClockId::CLOCK_BOOTTIME, boottime);
    image.bytes()
}

/// The offsets of the time namespace of a process, in seconds.
fn offsets(pid: u32) -> Vec<i64> {
    let text = fs::read_to_string(format!("/proc/{pid}/timens_offsets")).unwrap();
    let line = |line: &str| line.split_whitespace().nth(1).unwrap().parse().unwrap();
    text.lines().map(line).collect()
}

fn namespace(pid: u32) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/time")).unwrap();
    link.to_str().unwrap().to_string()
}

/// Whether clocks may be moved, and choosing ids is allowed.
fn may_move() -> bool {
    const CAP_SYS_TIME: u32 = 25;
    let effective = status(std::process::id(), "CapEff");
    let effective = u64::from_str_radix(&effective, 16).unwrap_or(0);
    let known = fs::exists("/proc/self/timens_offsets").unwrap_or(false);
    privileged() && known && effective >> CAP_SYS_TIME & 1 == 1
}

#[test]
fn clocks_go_on_in_a_namespace() {
    if !may_move() {
        return;
    }
    // From a pipe, whose feeder is a thread that is made behind the process; and a child of
    // an init.
    for args in [&["--timens", "--new-pids"][..], &["--timens", "--pidns"]] {
        let (child, process) = start(piped(args, ahead(5000, -2)));
        let process = process.recv().unwrap();
        assert_ne!(namespace(process), namespace(std::process::id()));
        let offsets = offsets(process);
        assert!((4900..=5000).contains(&offsets[0]), "{offsets:?}");
        assert!((-102..=-2).contains(&offsets[1]), "{offsets:?}");
        let ran = end(child);
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert!(!ran.err.contains("behind"), "{}", ran.err);
        send(process, Signal::SIGKILL);
    }
}

#[test]
fn without_it_a_clock_that_is_behind_is_told() {
    if !privileged() {
        return;
    }
    for (by, args, told) in [
        (5000, &["--quiet"][..], false),
        (5000, &[], true),
        (-1, &[], false),
    ] {
        let mut image = Image::sample();
        let pid = free_pid(600);
        (image.tree[0].pid, image.tree[0].tgid) = (pid, pid);
        let seconds = now(ClockId::CLOCK_MONOTONIC) + by;
        image.head.monotonic_ns = Duration::from_secs(seconds as u64).as_nanos() as u64;
        let (child, process) = start(piped(args, image.bytes()));
        let process = process.recv().unwrap();
        assert_eq!(namespace(process), namespace(std::process::id()));
        let ran = end(child);
        assert_eq!(ran.status, 0, "{}", ran.err);
        assert_eq!(ran.err.contains("s behind that of"), told, "{}", ran.err);
        assert_eq!(ran.err.contains("--timens"), told, "{}", ran.err);
        send(process, Signal::SIGKILL);
    }
}

#[test]
fn clocks_that_cannot_be() {
    if !may_move() {
        return;
    }
    let mut image = Image::sample();
    image.head.monotonic_ns = u64::MAX;
    let ran = run(piped(&["--timens", "--new-pids"], image.bytes()));
    assert_eq!(ran.status, 1);
    assert!(
        ran.err.contains("no time namespace can show"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("ckptinfo --verify"), "{}", ran.err);
}

#[test]
fn without_the_right_to_it() {
    if !may_move() {
        return;
    }
    let saved = Saved::new(4711);
    let mut command = unprivileged(&["--new-pids", "--timens", "-i"]);
    command.arg(saved.path());
    let Ok(child) = command.spawn() else {
        return;
    };
    let ran = end(child);
    if ran.err.starts_with("setpriv") {
        return;
    }
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains("CAP_SYS_TIME"), "{}", ran.err);
}
