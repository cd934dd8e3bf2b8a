// SPDX-License-Identifier: GPL-2.0

//! Threads and processes with filters of system calls, and callers that have some.

mod acts;
mod callers;
mod continued;

use std::process::ExitCode;

use ckpt_guest::act::play;
use ckpt_guest::act::seed;
use ckpt_guest::bpf;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::sys;

use crate::acts::ACTS;
use crate::callers::again;
use crate::callers::bad_program;
use crate::callers::caller_with_another;
use crate::callers::caller_with_more;
use crate::callers::caller_with_the_same;
use crate::callers::no_right;
use crate::callers::strict_image;
use crate::callers::too_long;
use crate::continued::behind_a_filter;
use crate::continued::not_behind_a_filter;
use crate::continued::not_behind_a_look;
use crate::continued::not_round_a_filter;
use crate::continued::only_once;

const PARENT: libc::c_long = libc::SYS_getppid;
const GROUP: libc::c_long = libc::SYS_getpgrp;
const USER: libc::c_long = libc::SYS_getuid;

fn add(nr: libc::c_long, errno: i32, flags: usize) -> Result<usize, String> {
    bpf::install(&bpf::failing(&[(nr, errno)]), flags).map_err(|e| format!("seccomp: {e}"))
}

/// The errnos of three calls, or 0.
fn seen() -> [i32; 3] {
    [PARENT, GROUP, USER].map(|nr| sys::plain(nr, &[]).err().map_or(0, |errno| errno.0))
}

fn sees(who: &str, wanted: [i32; 3]) -> Result<(), String> {
    let seen = seen();
    if seen == wanted {
        return Ok(());
    }
    Err(format!("{who}: {seen:?}, not {wanted:?}"))
}

/// How many filters the caller has.
fn count() -> usize {
    let text = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp_filters:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(99)
}

fn no_new_privs() {
    let _ = sys::prctl(libc::PR_SET_NO_NEW_PRIVS, &[1, 0, 0, 0]);
}

fn main() -> ExitCode {
    let seed = seed();
    let mut cases = Cases::new();
    for act in ACTS {
        cases.run(act.name, || play(act, seed));
    }
    let mut run = |name: &str, case: fn() -> Case| cases.run_in_child(name, 60, case);
    run("caller-with-another", caller_with_another);
    run("caller-with-the-same", caller_with_the_same);
    run("caller-with-more", caller_with_more);
    run("again", again);
    run("strict-image", strict_image);
    run("no-right", no_right);
    run("bad-program", bad_program);
    run("too-long", too_long);
    run("continued-once", only_once);
    run("continued-not-round", not_round_a_filter);
    run("continued-filtered", behind_a_filter);
    run("continued-not-filtered", not_behind_a_filter);
    run("continued-not-looked-at", not_behind_a_look);
    cases.verdict()
}
