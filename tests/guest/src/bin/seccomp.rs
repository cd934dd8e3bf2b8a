// SPDX-License-Identifier: GPL-2.0

//! A process with filters of system calls.

use std::process::ExitCode;

use ckpt_guest::bpf;
use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;

fn call(nr: libc::c_long) -> sys::Ret {
    sys::plain(nr, &[])
}

fn status() -> String {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let wanted = ["NoNewPrivs", "Seccomp"];
    let lines = text
        .lines()
        .filter(|line| wanted.iter().any(|w| line.starts_with(w)));
    lines.collect::<Vec<_>>().join(" ")
}

fn main() -> ExitCode {
    let life = Life::start();
    check::need(
        "no_new_privs",
        sys::prctl(libc::PR_SET_NO_NEW_PRIVS, &[1, 0, 0, 0]),
    );
    let first = bpf::failing(&[(libc::SYS_getppid, 42)]);
    let second = bpf::failing(&[(libc::SYS_getpgrp, 43), (libc::SYS_getppid, 44)]);
    check::need("seccomp", bpf::install(&first, 0));
    check::need("seccomp", bpf::install(&second, bpf::LOG));
    check::need("seccomp", bpf::install(&bpf::longest(), 0));
    let before = status();

    let back = life.checkpoint();

    check::same("status", &before, &status());
    // The last one that has something to say about it.
    check::same("getppid", &Err(Errno(44)), &call(libc::SYS_getppid));
    check::same("getpgrp", &Err(Errno(43)), &call(libc::SYS_getpgrp));
    check::that(call(libc::SYS_gettid).is_ok(), "gettid");
    let more = bpf::failing(&[(libc::SYS_getuid, 45)]);
    check::need("seccomp", bpf::install(&more, 0));
    check::same("getuid", &Err(Errno(45)), &call(libc::SYS_getuid));
    check::same("getpgrp", &Err(Errno(43)), &call(libc::SYS_getpgrp));
    let child = sys::in_child(20, || i32::from(call(libc::SYS_getppid) != Err(Errno(44))));
    check::same("child", &sys::Ended::Exit(0), &child);
    check::detail(format!("{back:?}"));
    check::verdict()
}
