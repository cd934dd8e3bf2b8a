// SPDX-License-Identifier: GPL-2.0

//! Callers who may not choose process ids, or not make the calls at all.

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::unharmed::Unharmed;

use crate::privileges::user;
use crate::privileges::SYS_ADMIN;
use crate::rights::become_user;
use crate::rights::drop_caps;
use crate::rights::prctl;

const SYS_PTRACE: u64 = 1 << 19;
const CHECKPOINT_RESTORE: u64 = 1 << 40;
/// RESTART_NEW_PIDS
const NEW_PIDS: usize = 2;
const SYSCTL: &str = "/proc/sys/kernel/checkpoint_restart";

/// Waits until nobody of an image is left: its process ids are free again.
fn reap() {
    // SAFETY: waits for children of ours, and stores nothing.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
}

/// An image of two processes, who have no more rights than the caller will have.
fn make_family(desk: &Desk, lose: fn()) -> Result<(), String> {
    // Whoever loses a parent comes to us.
    prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]);
    desk.make(|| {
        lose();
        let parent = sys::getpid() as usize;
        if sys::fork() == Ok(0) {
            prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
            // It may have ended before.
            if sys::plain(libc::SYS_getppid, &[]) != Ok(parent) {
                sys::exit(0);
            }
            loop {
                std::thread::park();
            }
        }
    })?;
    reap();
    Ok(())
}

fn may_not_choose(name: &str, lose: fn()) -> Case {
    let desk = Desk::open(name);
    make_family(&desk, lose)?;
    lose();
    let (errno, said) = desk.refuses()?;
    let reason = "to choose process ids needs CAP_CHECKPOINT_RESTORE";
    if errno.0 != libc::EPERM || !said.contains(reason) {
        return Err(format!("{errno}: {said}"));
    }
    // Any ids will do.
    let ended = sys::in_child(30, || {
        let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
        sys::restart(0, desk.image, sys::LOG | NEW_PIDS, desk.log);
        1
    });
    reap();
    if ended != Ended::Exit(RESTARTED) {
        return Err(format!("with new ids: {ended:?}; {}", desk.said()));
    }
    pass_with(said)
}

/// Each of two rights is enough.
fn may_choose(name: &str, lose: fn()) -> Case {
    let desk = Desk::open(name);
    make_family(&desk, lose)?;
    lose();
    desk.restarts()?;
    reap();
    pass_with("restarted")
}

/// checkpoint(2) of a task that may not be dumped, by itself.
fn undumpable(lose: fn()) -> Case {
    let desk = Desk::open("creds-undumpable");
    lose();
    let mut caller = Unharmed::take([desk.image, desk.log]);
    let ret = desk.checkpoint();
    caller.check()?;
    let said = desk.said();
    if ret != Err(sys::Errno(libc::EPERM)) || !said.contains("the task is not dumpable") {
        return Err(format!("{ret:?}: {said}"));
    }
    prctl(libc::PR_SET_DUMPABLE, &[1]);
    desk.checkpoint().map_err(|e| format!("dumpable: {e}"))?;
    pass_with(said)
}

/// checkpoint(2), and restart(2) of a good image, of a caller of these rights: both are
/// refused, or none is.
fn calls(lose: fn(), allowed: bool) -> Result<(), String> {
    let desk = Desk::open("creds-sysctl");
    let before = std::fs::read_to_string(SYSCTL).unwrap_or_default();
    std::fs::write(SYSCTL, "2").map_err(|e| e.to_string())?;
    let made = desk.make(lose);
    std::fs::write(SYSCTL, before).map_err(|e| e.to_string())?;
    made?;
    lose();
    if allowed {
        desk.restarts()?;
        let done = desk.checkpoint().map_err(|e| format!("checkpoint: {e}"));
        return done.map(|_| ());
    }
    let (errno, said) = desk.refuses()?;
    let mut caller = Unharmed::take([desk.image, desk.log]);
    let ret = desk.checkpoint();
    caller.check()?;
    let reason = "not allowed by kernel.checkpoint_restart";
    if errno.0 != libc::EPERM || ret != Err(errno) || !said.contains(reason) {
        return Err(format!("{errno}, {ret:?}: {said}"));
    }
    Ok(())
}

/// kernel.checkpoint_restart, and callers of all rights, of one of two, of none.
fn sysctl() -> Case {
    let Ok(before) = std::fs::read_to_string(SYSCTL) else {
        return skip("there is no kernel.checkpoint_restart");
    };
    let all: fn() = || ();
    let none: fn() = || drop_caps(SYS_ADMIN | CHECKPOINT_RESTORE);
    let tries = [
        ("0", all, false),
        ("1", all, true),
        ("1", || drop_caps(SYS_ADMIN), true),
        ("1", || drop_caps(CHECKPOINT_RESTORE), true),
        ("1", none, false),
        ("1", user, false),
        ("2", none, true),
        ("2", user, true),
    ];
    let mut wrong = Vec::new();
    for (nr, (value, lose, allowed)) in tries.into_iter().enumerate() {
        let set = std::fs::write(SYSCTL, value);
        let ended = sys::in_child(60, || match calls(lose, allowed) {
            Ok(()) => 0,
            Err(why) => {
                println!("sysctl {value}, caller {nr}: {why}");
                1
            }
        });
        let reset = std::fs::write(SYSCTL, before.trim());
        if set.is_err() || reset.is_err() || ended != Ended::Exit(0) {
            wrong.push(format!("{value}, caller {nr}: {ended:?}"));
        }
    }
    if wrong.is_empty() {
        return pass_with(format!("{} callers", tries.len()));
    }
    Err(wrong.join("; "))
}

/// Runs them all.
pub fn run(cases: &mut Cases) {
    let none: fn() = || drop_caps(SYS_ADMIN | CHECKPOINT_RESTORE);
    cases.run_in_child("ids", 60, || may_not_choose("creds-ids", none));
    cases.run_in_child("ids-allowed", 60, || {
        may_choose("creds-ids-one", || drop_caps(SYS_ADMIN))
    });
    cases.run_in_child("ids-allowed-to-an-administrator", 60, || {
        may_choose("creds-ids-other", || drop_caps(CHECKPOINT_RESTORE))
    });
    cases.run_in_child("undumpable-user", 60, || undumpable(|| become_user(1000)));
    cases.run_in_child("undumpable-root", 60, || {
        undumpable(|| {
            prctl(libc::PR_SET_DUMPABLE, &[0]);
            drop_caps(SYS_PTRACE);
        })
    });
    cases.run("sysctl-and-rights", sysctl);
}
