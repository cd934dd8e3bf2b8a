// SPDX-License-Identifier: GPL-2.0

//! What a task can set on itself: limits, priority, name, and the values of prctl.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Back;
use ckpt_guest::life::Life;
use ckpt_guest::sys;
use ckpt_guest::sys::prctl;

const NO_NEW_PRIVS: i32 = libc::PR_SET_NO_NEW_PRIVS;
const SCHED_BATCH: u32 = 3;
/// PR_MCE_KILL_EARLY: not the default.
const EARLY: usize = 1;
const ADDR_NO_RANDOMIZE: usize = 0x004_0000;

fn limits() -> Vec<(u64, u64)> {
    (0..16)
        .map(|which| {
            let mut limit = [0u64; 2];
            let to = limit.as_mut_ptr() as usize;
            // SAFETY: the kernel writes two words.
            let _ = unsafe { sys::raw(libc::SYS_prlimit64 as usize, [0, which, 0, to, 0, 0]) };
            (limit[0], limit[1])
        })
        .collect()
}

fn set_limit(which: usize, soft: u64, hard: u64) {
    let limit = [soft, hard];
    let from = limit.as_ptr() as usize;
    // SAFETY: the kernel reads two words.
    let ret = unsafe { sys::raw(libc::SYS_prlimit64 as usize, [0, which, from, 0, 0, 0]) };
    check::need("prlimit", ret);
}

/// struct sched_attr, as far as it is of use.
#[repr(C)]
struct Attr {
    size: u32,
    policy: u32,
    flags: u64,
    nice: i32,
    priority: u32,
    runtime: u64,
    more: [u64; 3],
}

/// Nanoseconds that the scheduler gives the task at once.
fn slice() -> u64 {
    // SAFETY: zeros are a valid one.
    let mut attr: Attr = unsafe { std::mem::zeroed() };
    let to = (&raw mut attr) as usize;
    // SAFETY: the kernel writes the structure, which is as long as it is told.
    let ret = unsafe { sys::raw(libc::SYS_sched_getattr as usize, [0, to, 56, 0, 0, 0]) };
    check::need("sched_getattr", ret);
    attr.runtime
}

/// A value that prctl writes to memory.
fn prctl_out(option: i32) -> u32 {
    let mut value = 0u32;
    let to = (&raw mut value) as usize;
    // SAFETY: the options used write an int.
    let _ = unsafe { sys::raw(libc::SYS_prctl as usize, [option as usize, to, 0, 0, 0, 0]) };
    value
}

fn file(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/self/{name}")).unwrap_or_default();
    text.trim().to_string()
}

/// Everything by its name.
fn state() -> BTreeMap<&'static str, String> {
    let number = |ret: sys::Ret| format!("{ret:?}");
    let get = |option| number(prctl(option, &[0, 0, 0, 0]));
    // SAFETY: zeros are a valid sched_param.
    let mut param: libc::sched_param = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes the structure.
    unsafe { libc::sched_getparam(0, &mut param) };
    BTreeMap::from([
        ("limits", format!("{:?}", limits())),
        ("nice", number(sys::plain(libc::SYS_getpriority, &[0, 0]))),
        (
            "policy",
            number(sys::plain(libc::SYS_sched_getscheduler, &[0])),
        ),
        (
            "I/O priority",
            number(sys::plain(libc::SYS_ioprio_get, &[1, 0])),
        ),
        ("slice", slice().to_string()),
        ("real-time priority", param.sched_priority.to_string()),
        (
            "personality",
            number(sys::plain(libc::SYS_personality, &[0xffff_ffff])),
        ),
        ("comm", file("comm")),
        ("dumpable", get(libc::PR_GET_DUMPABLE)),
        ("no_new_privs", get(libc::PR_GET_NO_NEW_PRIVS)),
        ("timer slack", get(libc::PR_GET_TIMERSLACK)),
        ("huge pages disabled", get(libc::PR_GET_THP_DISABLE)),
        ("memory failure policy", get(libc::PR_MCE_KILL_GET)),
        (
            "subreaper",
            prctl_out(libc::PR_GET_CHILD_SUBREAPER).to_string(),
        ),
        (
            "parent-death signal",
            prctl_out(libc::PR_GET_PDEATHSIG).to_string(),
        ),
        ("keep capabilities", get(libc::PR_GET_KEEPCAPS)),
        ("oom_score_adj", file("oom_score_adj")),
        ("coredump filter", file("coredump_filter")),
        ("command line", file("cmdline")),
        ("environment", file("environ")),
        (
            "program",
            format!("{:?}", std::fs::read_link("/proc/self/exe")),
        ),
        (
            "auxiliary vector",
            format!("{:x?}", std::fs::read("/proc/self/auxv")),
        ),
        ("credentials", credentials()),
    ])
}

/// Lines of /proc/self/status about who the task is.
fn credentials() -> String {
    let text = file("status");
    let wanted = [
        "Uid",
        "Gid",
        "Groups",
        "Cap",
        "NoNewPrivs",
        "Seccomp:",
        "THP_enabled",
        "SigIgn",
    ];
    let lines = text
        .lines()
        .filter(|l| wanted.iter().any(|w| l.starts_with(w)));
    lines.collect::<Vec<_>>().join(" ")
}

fn arrange() {
    for (which, soft, hard) in [
        (libc::RLIMIT_CORE, 4096, 1 << 20),
        (libc::RLIMIT_NOFILE, 200, 900),
        (libc::RLIMIT_FSIZE, 1 << 32, u64::MAX),
        (libc::RLIMIT_MSGQUEUE, 4000, 8000),
    ] {
        set_limit(which as usize, soft, hard);
    }
    let plain = |what, nr, args: &[usize]| check::need(what, sys::plain(nr, args));
    plain("setpriority", libc::SYS_setpriority, &[0, 0, 5]);
    plain("personality", libc::SYS_personality, &[ADDR_NO_RANDOMIZE]);
    let attr = Attr {
        size: 56,
        policy: SCHED_BATCH,
        flags: 0,
        nice: 5,
        priority: 0,
        runtime: 2_345_678,
        more: [0; 3],
    };
    let from = (&raw const attr) as usize;
    // SAFETY: the kernel reads the structure.
    let ret = unsafe { sys::raw(libc::SYS_sched_setattr as usize, [0, from, 0, 0, 0, 0]) };
    check::need("sched_setattr", ret);
    check::same("slice", &2_345_678, &slice());
    // Best effort, 6.
    plain("ioprio_set", libc::SYS_ioprio_set, &[1, 0, 2 << 13 | 6]);
    let set = |what, option, value| check::need(what, prctl(option, &[value, 0, 0, 0]));
    set("no_new_privs", NO_NEW_PRIVS, 1);
    set("timer slack", libc::PR_SET_TIMERSLACK, 123_456);
    set("subreaper", libc::PR_SET_CHILD_SUBREAPER, 1);
    set("pdeathsig", libc::PR_SET_PDEATHSIG, libc::SIGUSR2 as usize);
    set("huge pages", libc::PR_SET_THP_DISABLE, 1);
    let mce = [libc::PR_MCE_KILL_SET as usize, EARLY, 0, 0];
    check::need("memory failure policy", prctl(libc::PR_MCE_KILL, &mce));
    check::same(
        "memory failure policy",
        &Ok(EARLY),
        &prctl(libc::PR_MCE_KILL_GET, &[0; 4]),
    );
    let name = c"a new name";
    let to = name.as_ptr() as usize;
    // SAFETY: the kernel reads a C string of at most 16 bytes.
    let ret = unsafe {
        sys::raw(
            libc::SYS_prctl as usize,
            [libc::PR_SET_NAME as usize, to, 0, 0, 0, 0],
        )
    };
    check::need("name", ret);
    for (name, value) in [("oom_score_adj", "300"), ("coredump_filter", "0x11")] {
        check::need(name, std::fs::write(format!("/proc/self/{name}"), value));
    }
}

fn main() -> ExitCode {
    let life = Life::start();
    arrange();
    let ids = || [libc::SYS_getpgrp, libc::SYS_getppid].map(|call| sys::plain(call, &[]));
    let (before, pid) = (state(), sys::getpid());

    let back = life.checkpoint();

    let after = state();
    for (name, was) in &before {
        check::same(name, was, after.get(name).unwrap_or(&String::new()));
    }
    if back == Back::Restarted {
        // The runner gives each process a group of its own.
        check::same("process group", &Ok(sys::getpid() as usize), &ids()[0]);
    } else {
        check::same("process id", &pid, &sys::getpid());
    }
    check::detail(format!("{back:?}, {} values", before.len()));
    check::verdict()
}
