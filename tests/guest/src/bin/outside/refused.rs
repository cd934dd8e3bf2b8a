// SPDX-License-Identifier: GPL-2.0

//! Tasks that cannot be checkpointed from outside: each is named, and runs on.

use std::os::unix::process::CommandExt;
use std::process::Command;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::odd;
use ckpt_guest::pace;
use ckpt_guest::sys;

use crate::kills::Body;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

/// What a victim does.
pub type Play = fn(&Scene) -> Result<(), String>;

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

/// Its execve(2) has killed its other thread, and waits until that was looked at, which is
/// up to who traces it.
fn in_exec() -> Case {
    let scene = Scene::new("refused-exec");
    let victim = scene.start(|scene| {
        std::thread::spawn(|| loop {
            std::thread::park();
        });
        scene.announce();
        scene.wait();
        Err(Command::new("/bin/true").exec().to_string())
    })?;
    scene.until_there()?;
    let tasks = format!("/proc/{}/task", victim.pid);
    let ids = std::fs::read_dir(&tasks).map_err(|e| format!("{tasks}: {e}"))?;
    let mut ids = ids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    let thread = ids.find(|id| *id != victim.pid).ok_or("no thread")?;
    let args = [libc::PTRACE_SEIZE as usize, thread as usize, 0, 0];
    sys::plain(libc::SYS_ptrace, &args).map_err(|e| format!("ptrace: {e}"))?;
    scene.finish();
    let stat = format!("{tasks}/{thread}/stat");
    let killed = (0..1000 * pace::factor()).any(|_| {
        scene.pause(10);
        std::fs::read_to_string(&stat).is_ok_and(|line| line.contains(") Z "))
    });
    if !killed {
        return Err("execve has not killed the thread".to_string());
    }
    let said = victim.refuses(libc::EBUSY, "the task is in execve for 10 seconds")?;
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    unsafe { libc::waitpid(thread, &mut status, libc::__WALL) };
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

/// The number that the victim has its userfaultfd as.
const FAULTS: i32 = 70;

/// An ioctl of userfaultfd(2) on `words`, of which the kernel writes some.
fn faults(fd: i32, nr: usize, words: &mut [u64]) -> Result<(), String> {
    let size = std::mem::size_of_val(words);
    let request = 3 << 30 | size << 16 | 0xaa << 8 | nr;
    let args = [fd as usize, request, words.as_mut_ptr() as usize];
    let done = sys::plain(libc::SYS_ioctl, &args);
    done.map(|_| ())
        .map_err(|e| format!("userfaultfd {nr:#x}: {e}"))
}

/// It reads into a page that somebody else is to fill: the call cannot be left before.
fn in_the_kernel() -> Case {
    const API: usize = 0x3f;
    const REGISTER: usize = 0;
    const ZEROPAGE: usize = 4;
    let scene = Scene::new("refused-in-the-kernel");
    let victim = scene.start(|scene| {
        let fd = sys::plain(libc::SYS_userfaultfd, &[0]).map_err(|e| format!("uffd: {e}"))?;
        sys::dup_to(fd as i32, FAULTS, 0).map_err(|e| format!("dup: {e}"))?;
        faults(FAULTS, API, &mut [0xaa, 0, 0])?;
        let map = Map::anon(PAGE).map_err(|e| format!("mmap: {e}"))?;
        faults(FAULTS, REGISTER, &mut [map.addr as u64, PAGE as u64, 1, 0])?;
        let place = scene.dir.join("place");
        std::fs::write(place, map.addr.to_string()).map_err(|e| e.to_string())?;
        let ends = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
        sys::write(ends[1], b"word").map_err(|e| format!("write: {e}"))?;
        scene.announce();
        let args = [ends[0] as usize, map.addr, 4];
        match sys::plain(libc::SYS_read, &args) {
            Ok(4) if &map.bytes()[..5] == b"word\0" => Ok(()),
            other => Err(format!("{other:?}: {:?}", &map.bytes()[..5])),
        }
    })?;
    scene.until_there()?;
    scene.pause(50);
    // Whoever handles its faults is no part of the image.
    let fd = victim.descriptor(FAULTS)?;
    let said = victim.refuses(libc::EBUSY, "did not leave the kernel within 10 seconds");
    victim.unnoticed()?;
    let place = std::fs::read_to_string(scene.dir.join("place")).map_err(|e| e.to_string())?;
    let place = place.parse().map_err(|_| "no place")?;
    faults(fd, ZEROPAGE, &mut [place, PAGE as u64, 0, 0])?;
    let _ = sys::close(fd);
    victim.ends_well(0)?;
    pass_with(said?.trim())
}

/// Two wishes that exclude each other, and an unknown one.
fn flags() -> Case {
    let scene = Scene::new("flags");
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

/// A child that has its parent's memory, and is named itself.
fn vfork_child() -> Case {
    let scene = Scene::new("refused-vfork-child");
    let victim = scene.start(|scene| {
        let told = scene.dir.join("child");
        vfork(scene, &|| {
            let _ = std::fs::write(&told, sys::getpid().to_string());
            scene.wait();
        })
    })?;
    scene.until_there()?;
    let told = || {
        std::fs::read_to_string(scene.dir.join("child"))
            .ok()?
            .parse()
            .ok()
    };
    let mut pid = told();
    for _ in 0..500 * pace::factor() {
        if pid.is_none() {
            scene.pause(20);
            pid = told();
        }
    }
    let pid = pid.ok_or("the child has not told who it is")?;
    let child = Victim::other(pid, &scene);
    let word = "for 10 seconds the task is a child of vfork";
    let said = child.refuses(libc::EBUSY, word)?;
    victim.unnoticed()?;
    victim.ends_well(0)?;
    pass_with(said.trim())
}

/// The first process of the machine is neither killed nor stopped.
fn first_of_machine() -> Case {
    let scene = Scene::new("refused-first-of-machine");
    let init = Victim::other(1, &scene);
    for flag in [sys::KILL, sys::STOP] {
        match init.try_checkpoint("refused", flag) {
            Err((errno, said)) if errno.0 == libc::EPERM && said.contains("of the machine") => {}
            other => return Err(format!("with {flag}: {other:?}")),
        }
    }
    pass_with("killed, stopped")
}

/// A program whose file is gone, as after an upgrade.
fn program_removed() -> Case {
    let scene = Scene::new("refused-program-removed");
    let program = scene.dir.join("sleeps");
    std::fs::copy("/bin/sleep", &program).map_err(|e| format!("copy: {e}"))?;
    let started = std::process::Command::new(&program).arg("1000").spawn();
    let mut child = started.map_err(|e| format!("start: {e}"))?;
    let removed = std::fs::remove_file(&program);
    let victim = Victim::other(child.id() as i32, &scene);
    let word = "the file has been unlinked: ";
    let said = removed
        .map_err(|e| format!("remove: {e}"))
        .and_then(|()| victim.refuses(libc::ETXTBSY, word));
    let lives = child.try_wait();
    let _ = child.kill();
    let _ = child.wait();
    let said = said?;
    if !matches!(lives, Ok(None)) {
        return Err(format!("it did not go on: {lives:?}"));
    }
    if !said.contains("/sleeps") {
        return Err(format!("does not say which file: {said}"));
    }
    pass_with(said.trim())
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
    ("refused-vfork-child", vfork_child),
    ("refused-io-uring", io_uring),
    ("refused-traced", traced),
    ("refused-exec", in_exec),
    ("refused-kernel-thread", || {
        pid("refused-kernel-thread", 2, libc::EOPNOTSUPP, "kernel")
    }),
    ("refused-no-task", || {
        pid("refused-no-task", 4_000_000, libc::ESRCH, "no such task")
    }),
    ("refused-zombie", zombie),
    ("refused-program-removed", program_removed),
    ("refused-first-of-machine", first_of_machine),
    ("refused-in-the-kernel", in_the_kernel),
    ("refused-memory-of-before", memory_of_before),
    ("refused-sleep-by-another-clock", sleep_by_another_clock),
    ("flags", flags),
];
