// SPDX-License-Identifier: GPL-2.0

//! Tasks that cannot be checkpointed from outside: each is named, and runs on.

use std::os::unix::process::CommandExt;
use std::process::Command;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::odd;
use ckpt_guest::sys;

use crate::kills::Body;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

type Play = fn(&Scene) -> Result<(), String>;

fn idle(scene: &Scene) -> Result<(), String> {
    scene.wait();
    Ok(())
}

/// What a child does while its parent waits.
type InVfork<'a> = &'a dyn Fn();

extern "C" fn run_in_vfork(body: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent waits, and what it points to is on its stack.
    unsafe { (*body.cast::<InVfork<'_>>())() };
    0
}

/// Waits, as vfork(2) does, for a child that takes its time.
fn vfork(scene: &Scene, body: InVfork<'_>) -> Result<(), String> {
    let mut body: InVfork<'_> = &|| {
        scene.announce();
        body();
    };
    let mut stack = vec![0u64; 8192];
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    // SAFETY: the child has a stack of its own, and the parent waits in the kernel
    // until the child has ended.
    let child = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast();
        libc::clone(run_in_vfork, top, flags, (&raw mut body).cast())
    };
    // The child, which has ended, is still one.
    scene.wait();
    match sys::wait_for(child, 10) {
        sys::Ended::Exit(0) => Ok(()),
        other => Err(format!("its child ended with {other:?}")),
    }
}

fn refused(name: &'static str, play: Play, errno: i32, word: &str) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(play)?;
    scene.until_there()?;
    let said = victim.refuses(errno, word)?;
    victim.unnoticed()?;
    victim.ends_well(0)?;
    pass_with(said.trim())
}

/// It waits in io_uring_enter(2) for what never comes, and is not waited for.
fn io_uring() -> Case {
    const GETEVENTS: usize = 1;
    let scene = Scene::new("refused-io-uring");
    let victim = scene.start(|scene| {
        let ring = odd::io_uring().map_err(|e| format!("io_uring_setup: {e}"))?;
        scene.announce();
        let ret = sys::plain(libc::SYS_io_uring_enter, &[ring, 0, 1, GETEVENTS, 0, 0]);
        Err(format!("something came: {ret:?}"))
    })?;
    scene.until_there()?;
    scene.pause(50);
    let said = victim.refuses(libc::EOPNOTSUPP, "io_uring")?;
    victim.unnoticed()?;
    let gone = victim.has_ended();
    victim.end();
    if gone {
        return Err(format!("it did not go on: {}", scene.said()));
    }
    pass_with(said.trim())
}

fn traced() -> Case {
    let scene = Scene::new("refused-traced");
    let victim = scene.start(idle)?;
    let ptrace = |request: libc::c_uint| {
        let args = [request as usize, victim.pid as usize, 0, 0];
        sys::plain(libc::SYS_ptrace, &args).map_err(|e| format!("ptrace: {e}"))
    };
    ptrace(libc::PTRACE_SEIZE)?;
    let said = victim.refuses(libc::EBUSY, "traced")?;
    ptrace(libc::PTRACE_INTERRUPT)?;
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    unsafe { libc::waitpid(victim.pid, &mut status, libc::__WALL) };
    ptrace(libc::PTRACE_DETACH)?;
    victim.ends_well(0)?;
    pass_with(said.trim())
}

/// A pid without a victim of ours.
fn pid(name: &'static str, pid: i32, errno: i32, word: &str) -> Case {
    let scene = Scene::new(name);
    let said = Victim::other(pid, &scene).refuses(errno, word)?;
    pass_with(said.trim())
}

fn zombie() -> Case {
    let scene = Scene::new("refused-zombie");
    let victim = scene.start(|_| Ok(()))?;
    victim.until_ended();
    let said = victim.refuses(libc::ESRCH, "")?;
    victim.ends_well(0)?;
    pass_with(said.trim())
}

/// Somebody else's task.
fn not_ours() -> Case {
    let scene = Scene::new("refused-not-ours");
    let victim = scene.start(idle)?;
    let ended = sys::in_child(20, || {
        // SAFETY: changes the identity of this child only.
        unsafe {
            libc::setgid(1234);
            libc::setuid(1234);
        }
        match sys::checkpoint(victim.pid, 1, 0, 0) {
            Err(errno) => errno.0,
            Ok(_) => 0,
        }
    });
    victim.ends_well(0)?;
    match ended {
        sys::Ended::Exit(libc::EPERM) => pass_with("EPERM"),
        other => Err(format!("{other:?}")),
    }
}

/// The mappings that it had before an execve(2), through a file that stays open.
fn memory_of_before() -> Case {
    let scene = Scene::new("refused-memory-of-before");
    let victim = scene.start(|scene| {
        let opened = sys::open(c"/proc/self/maps", libc::O_RDONLY, 0);
        opened.map_err(|e| format!("maps: {e}"))?;
        scene.announce();
        let why = Command::new("sleep").arg("1000").exec();
        Err(format!("exec: {why}"))
    })?;
    scene.until_there()?;
    let comm = format!("/proc/{}/comm", victim.pid);
    while std::fs::read_to_string(&comm).is_ok_and(|name| name.trim() != "sleep")
        && !victim.has_ended()
    {
        scene.pause(5);
    }
    let said = victim.refuses(libc::EOPNOTSUPP, "other memory than")?;
    let gone = victim.has_ended();
    victim.end();
    if gone {
        return Err("it did not go on".into());
    }
    pass_with(said.trim())
}

/// It sleeps until its parent, which is not in the image, has spent time on a processor.
fn sleep_by_another_clock() -> Case {
    let scene = Scene::new("refused-sleep-by-another-clock");
    let victim = scene.start(|scene| {
        let parent = sys::plain(libc::SYS_getppid, &[]).map_err(|e| e.to_string())?;
        let (clock, time) = (!parent << 3 | 2, crate::calls::time(1_000_000));
        scene.announce();
        let at = (&raw const time) as usize;
        let ret = sys::plain(libc::SYS_clock_nanosleep, &[clock, 0, at, 0]);
        Err(format!("it woke up: {ret:?}"))
    })?;
    scene.until_there()?;
    let call = format!("/proc/{}/syscall", victim.pid);
    // Once stopped, it sleeps on in restart_syscall(2).
    let calls = [libc::SYS_clock_nanosleep, libc::SYS_restart_syscall].map(|nr| format!("{nr} "));
    let asleep = || {
        std::fs::read_to_string(&call)
            .is_ok_and(|now| calls.iter().any(|nr| now.starts_with(nr.as_str())))
    };
    while !asleep() && !victim.has_ended() {
        scene.pause(5);
    }
    let said = victim.refuses(libc::EOPNOTSUPP, "system call of this kind")?;
    victim.unnoticed()?;
    while !asleep() && !victim.has_ended() {
        scene.pause(5);
    }
    let woken = victim.has_ended();
    victim.end();
    if woken {
        return Err(format!("it does not sleep on: {}", scene.said()));
    }
    pass_with(said.trim())
}

/// Two wishes that exclude each other, and an unknown one.
fn flags() -> Case {
    let scene = Scene::new("refused-flags");
    let victim = scene.start(idle)?;
    for flags in [2 | 4, 8, 1 << 40] {
        match victim.try_checkpoint("flags", flags) {
            Err((errno, _)) if errno.0 == libc::EINVAL => {}
            other => return Err(format!("flags {flags:#x}: {other:?}")),
        }
    }
    victim.ends_well(0)?;
    pass_with("EINVAL")
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("refused-vfork", || {
        refused(
            "refused-vfork",
            |scene| vfork(scene, &|| scene.wait()),
            libc::EBUSY,
            "for 10 seconds a child of vfork",
        )
    }),
    ("refused-io-uring", io_uring),
    ("refused-traced", traced),
    ("refused-kernel-thread", || {
        pid("refused-kernel-thread", 2, libc::EOPNOTSUPP, "kernel")
    }),
    ("refused-no-task", || {
        pid("refused-no-task", 4_000_000, libc::ESRCH, "no such task")
    }),
    ("refused-zombie", zombie),
    ("refused-not-ours", not_ours),
    ("refused-memory-of-before", memory_of_before),
    ("refused-sleep-by-another-clock", sleep_by_another_clock),
    ("refused-flags", flags),
];
