// SPDX-License-Identifier: GPL-2.0

//! Victims that share descriptors, directories, memory and handlers by clone(2).

use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use ckpt_guest::act::Act;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::sys;
use ckpt_guest::timer;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

use crate::family::act;
use crate::family::ends_well;

const FILES: i32 = libc::CLONE_FILES;
const FS: i32 = libc::CLONE_FS;
const VM: i32 = libc::CLONE_VM;
const HANDLERS: i32 = libc::CLONE_SIGHAND;

/// Descriptors that nobody has.
const ASKED: i32 = 90;
const ANSWERED: i32 = 91;
/// How often one waits for another one, 2 ms each time.
const PATIENCE: u32 = 10_000;

/// As fork(2), but for what is shared.
fn clone(flags: i32, body: impl FnOnce() -> Result<(), String>) -> Result<i32, String> {
    let args = [(flags | libc::SIGCHLD) as usize, 0, 0, 0, 0];
    let pid = sys::plain(libc::SYS_clone, &args).map_err(|e| format!("clone: {e}"))?;
    if pid == 0 {
        let done = body();
        if let Err(why) = &done {
            println!("{why}");
        }
        sys::exit(i32::from(done.is_err()));
    }
    Ok(pid as i32)
}

fn until(scene: &Scene, what: &str, mut there: impl FnMut() -> bool) -> Result<(), String> {
    for _ in 0..PATIENCE {
        if there() {
            return Ok(());
        }
        scene.pause(2);
    }
    Err(format!("{what} never came"))
}

fn is_open(fd: i32) -> bool {
    sys::fcntl(fd, libc::F_GETFD, 0).is_ok()
}

fn closes_on_exec(fd: i32) -> bool {
    sys::fcntl(fd, libc::F_GETFD, 0) == Ok(libc::FD_CLOEXEC as usize)
}

/// Opens a descriptor for the others and waits until one of them has answered.
fn ask(scene: &Scene) -> Result<(), String> {
    sys::dup_to(1, ASKED, 0).map_err(|e| format!("dup: {e}"))?;
    until(scene, "the answer", || is_open(ANSWERED))?;
    if !closes_on_exec(ASKED) {
        return Err("the descriptor does not close on exec".to_string());
    }
    Ok(())
}

/// Waits for the descriptor of another one, marks it and answers.
fn answer(scene: &Scene) -> Result<(), String> {
    until(scene, "the descriptor", || is_open(ASKED))?;
    let flag = libc::FD_CLOEXEC as usize;
    sys::fcntl(ASKED, libc::F_SETFD, flag).map_err(|e| format!("fcntl: {e}"))?;
    sys::dup_to(1, ANSWERED, 0).map_err(|e| format!("dup: {e}"))?;
    Ok(())
}

/// A table that two processes have, and a third one has not.
fn descriptors(scene: &Scene) -> Result<(), String> {
    let other = clone(0, || {
        scene.wait();
        scene.pause(50);
        match is_open(ASKED) {
            true => Err("a descriptor of others".to_string()),
            false => Ok(()),
        }
    })?;
    let with = clone(FILES, || {
        scene.wait();
        answer(scene)
    })?;
    scene.wait();
    ask(scene)?;
    ends_well(with)?;
    ends_well(other)
}

fn here() -> Vec<u8> {
    let here = std::env::current_dir().unwrap_or_default();
    here.as_os_str().as_bytes().to_vec()
}

fn umask(mask: u32) -> u32 {
    // SAFETY: no memory is involved.
    unsafe { libc::umask(mask) }
}

/// A directory and a mask that two processes have, one of which shares its descriptors
/// with a third one.
fn directories(scene: &Scene) -> Result<(), String> {
    let below = scene.dir.join("below");
    std::fs::create_dir_all(&below).map_err(|e| format!("mkdir: {e}"))?;
    umask(0o022);
    let with = clone(FS, || {
        let third = clone(FILES, || {
            scene.wait();
            let mask = umask(0);
            if mask != 0o022 {
                return Err(format!("the mask of others, {mask:o}"));
            }
            answer(scene)
        })?;
        scene.wait();
        until(scene, "the directory", || here().ends_with(b"/below"))?;
        ask(scene)?;
        umask(0o027);
        ends_well(third)
    })?;
    scene.wait();
    std::env::set_current_dir(&below).map_err(|e| format!("chdir: {e}"))?;
    ends_well(with)?;
    match (umask(0), is_open(ASKED)) {
        (0o027, false) => Ok(()),
        other => Err(format!("mask and descriptor: {other:?}")),
    }
}

/// A thread with descriptors and a directory of its own, which it shares with a child.
fn of_a_thread(scene: &Scene) -> Result<(), String> {
    let unshare = |flags: i32| {
        sys::plain(libc::SYS_unshare, &[flags as usize]).map_err(|e| format!("unshare: {e}"))
    };
    let below = scene.dir.join("own");
    std::fs::create_dir_all(&below).map_err(|e| format!("mkdir: {e}"))?;
    thread::scope(|scope| {
        let own = scope.spawn(|| {
            unshare(FILES | FS)?;
            std::env::set_current_dir(&below).map_err(|e| format!("chdir: {e}"))?;
            sys::dup_to(1, 80, libc::O_CLOEXEC).map_err(|e| format!("dup: {e}"))?;
            let child = clone(FILES | FS, || {
                scene.wait();
                answer(scene)?;
                until(scene, "the directory", || !here().ends_with(b"/own"))
            })?;
            scene.wait();
            if !here().ends_with(b"/own") || !closes_on_exec(80) {
                return Err("the thread has lost what it had".to_string());
            }
            ask(scene)?;
            std::env::set_current_dir("/").map_err(|e| format!("chdir: {e}"))?;
            ends_well(child)
        });
        let other = scope.spawn(|| {
            unshare(FS)?;
            umask(0o011);
            scene.wait();
            match umask(0) {
                0o011 => Ok(()),
                mask => Err(format!("the mask {mask:o}")),
            }
        });
        scene.wait();
        for thread in [own, other] {
            thread.join().map_err(|_| "it panicked")??;
        }
        if is_open(80) || is_open(ASKED) || here() == b"/" || umask(0) == 0o011 {
            return Err("the first thread has what is not its own".to_string());
        }
        Ok(())
    })
}

/// What processes with the same memory say to each other.
static ROUNDS: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicI32 = AtomicI32::new(0);
static DUMPABLE: AtomicI32 = AtomicI32::new(9);
static SEEN: AtomicUsize = AtomicUsize::new(0);

/// The address that handles a signal.
fn handler_of(signal: i32) -> usize {
    let mut action = [0usize; 4];
    let args = [signal as usize, 0, action.as_mut_ptr() as usize, 8];
    // The kernel writes to `action`, which lives as long as this.
    let done = sys::plain(libc::SYS_rt_sigaction, &args);
    done.map_or(0, |_| std::hint::black_box(action)[0])
}

fn nap() {
    let time = [0u64, 2_000_000];
    let _ = sys::plain(libc::SYS_nanosleep, &[time.as_ptr() as usize, 0]);
}

/// Runs beside its parent on the same memory: no library may be used that has
/// thread-local memory.
extern "C" fn beside(_: *mut libc::c_void) -> libc::c_int {
    while STOP.load(SeqCst) == 0 {
        ROUNDS.fetch_add(1, SeqCst);
        nap();
    }
    SEEN.store(handler_of(libc::SIGUSR2), SeqCst);
    let dumpable = sys::plain(libc::SYS_prctl, &[libc::PR_GET_DUMPABLE as usize]);
    DUMPABLE.store(dumpable.unwrap_or(9) as i32, SeqCst);
    // Of its own: SIGUSR1 waits since before.
    let mut pending = 0u64;
    let args = [(&raw mut pending) as usize, 8];
    let _ = sys::plain(libc::SYS_rt_sigpending, &args);
    let waits = std::hint::black_box(pending) & timer::bit(libc::SIGUSR1) != 0;
    libc::c_int::from(!waits)
}

fn start_beside(flags: i32) -> Result<i32, String> {
    let stack: &mut [u64] = Box::leak(vec![0; 16384].into_boxed_slice());
    // SAFETY: the child has a stack of its own that is never freed.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast();
        libc::clone(beside, top, flags | libc::SIGCHLD, std::ptr::null_mut())
    };
    match pid {
        -1 => Err(format!("clone: {}", sys::last())),
        pid => Ok(pid),
    }
}

static HANDLED: AtomicU64 = AtomicU64::new(0);

extern "C" fn handle(_: libc::c_int) {
    HANDLED.fetch_add(1, SeqCst);
}

/// One that shares handlers is stopped, and a signal for one of these waits until it goes
/// on.
fn stopped(scene: &Scene) -> Result<(), String> {
    timer::block(timer::bit(libc::SIGUSR1)).map_err(|e| format!("mask: {e}"))?;
    let handler: extern "C" fn(libc::c_int) = handle;
    // SAFETY: The handler only counts.
    unsafe { libc::signal(libc::SIGUSR2, handler as libc::sighandler_t) };
    let flags = VM | HANDLERS;
    let pids = [start_beside(flags)?, start_beside(flags)?];
    let send = |pid: i32, signal: i32| {
        let args = [pid as usize, signal as usize];
        sys::plain(libc::SYS_kill, &args).map_err(|e| format!("kill: {e}"))
    };
    for pid in pids {
        send(pid, libc::SIGUSR1)?;
    }
    let [_, last] = pids;
    send(last, libc::SIGSTOP)?;
    let mut status = 0;
    // SAFETY: an int of ours.
    unsafe { libc::waitpid(last, &mut status, libc::WUNTRACED) };
    send(last, libc::SIGUSR2)?;
    scene.wait();
    if HANDLED.load(SeqCst) != 0 {
        return Err("the signal did not wait".to_string());
    }
    send(last, libc::SIGCONT)?;
    until(scene, "the signal", || HANDLED.load(SeqCst) == 1)?;
    // For all that share it.
    timer::handler(libc::SIGUSR2, 0x1234).map_err(|e| format!("handler: {e}"))?;
    STOP.store(1, SeqCst);
    for pid in pids {
        ends_well(pid)?;
    }
    match SEEN.load(SeqCst) {
        0x1234 => Ok(()),
        seen => Err(format!("the handler {seen:#x}")),
    }
}

/// Processes on the same memory, with the same handlers or not.
fn on_memory(scene: &Scene, flags: i32) -> Result<(), String> {
    const ADDRESS: usize = 0x1234;
    ROUNDS.store(0, SeqCst);
    timer::block(timer::bit(libc::SIGUSR1)).map_err(|e| format!("mask: {e}"))?;
    let pids = [start_beside(flags)?, start_beside(flags)?];
    for pid in pids {
        let args = [pid as usize, libc::SIGUSR1 as usize];
        sys::plain(libc::SYS_kill, &args).map_err(|e| format!("kill: {e}"))?;
    }
    // A thread is one more user of the memory.
    let thread = thread::spawn(|| {
        while STOP.load(SeqCst) == 0 {
            nap();
        }
    });
    scene.wait();
    let rounds = ROUNDS.load(SeqCst);
    until(scene, "a round", || ROUNDS.load(SeqCst) > rounds + 4)?;
    timer::handler(libc::SIGUSR2, ADDRESS as u64).map_err(|e| format!("handler: {e}"))?;
    // Whoever has this memory must not be traced any more.
    sys::prctl(libc::PR_SET_DUMPABLE, &[0]).map_err(|e| format!("prctl: {e}"))?;
    STOP.store(1, SeqCst);
    thread.join().map_err(|_| "it panicked")?;
    for pid in pids {
        ends_well(pid)?;
    }
    let seen = SEEN.load(SeqCst);
    let wanted = if flags & HANDLERS != 0 { ADDRESS } else { 0 };
    if seen != wanted {
        return Err(format!("the handler {seen:#x}, not {wanted:#x}"));
    }
    match DUMPABLE.load(SeqCst) {
        0 => Ok(()),
        dumpable => Err(format!("another one may be traced: {dumpable}")),
    }
}

/// Victims that share.
pub const ACTS: &[Act] = &[
    act("shared-descriptors", descriptors),
    act("shared-directories", directories),
    act("shared-by-a-thread", of_a_thread),
    act("shared-memory", |scene| on_memory(scene, VM)),
    act("shared-handlers", |scene| on_memory(scene, VM | HANDLERS)),
    act("shared-handlers-stopped", stopped),
    act("shared-all", |scene| {
        on_memory(scene, VM | HANDLERS | FILES | FS)
    }),
];

/// A child shares something with us, and we are not in its image.
fn outsiders() -> Case {
    let scene = Scene::new("refused-shared");
    for (flags, word) in [
        (FILES, "a descriptor table shared with a process outside"),
        (FS, "a file system view shared with a process outside"),
        (VM, "memory shared with a process outside"),
        (VM | HANDLERS, "memory shared with a process outside"),
    ] {
        STOP.store(0, SeqCst);
        let pid = if flags & VM != 0 {
            timer::block(timer::bit(libc::SIGUSR1)).map_err(|e| format!("mask: {e}"))?;
            start_beside(flags)?
        } else {
            clone(flags, || loop {
                nap();
            })?
        };
        let victim = Victim::other(pid, &scene);
        let refused = victim.refuses(libc::EOPNOTSUPP, word);
        victim.end();
        refused?;
    }
    pass_with("memory, descriptors, directories")
}

/// One that has ended had our handlers, and nobody waits for it.
fn ended_outsider() -> Case {
    let scene = Scene::new("shared-with-the-ended");
    STOP.store(0, SeqCst);
    timer::block(timer::bit(libc::SIGUSR1)).map_err(|e| format!("mask: {e}"))?;
    let adopts = |on: usize| sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[on]);
    adopts(1).map_err(|e| format!("prctl: {e}"))?;
    let [told, tell] = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    let first = clone(0, || {
        let pid = start_beside(VM | HANDLERS)?;
        let sent = sys::write(tell, &pid.to_ne_bytes());
        sent.map(|_| ()).map_err(|e| e.to_string())
    })?;
    let mut bytes = [0; 4];
    sys::read(told, &mut bytes).map_err(|e| format!("read: {e}"))?;
    for fd in [told, tell] {
        let _ = sys::close(fd);
    }
    Victim::other(first, &scene).until_ended();
    let second = Victim::other(i32::from_ne_bytes(bytes), &scene);
    let saved = second.checkpoint("shared-with-the-ended", 0);
    let alive = !second.has_ended();
    second.end();
    let _ = adopts(0);
    ends_well(first)?;
    saved?;
    if !alive {
        return Err("it did not go on".into());
    }
    pass_with("handlers")
}

/// Two threads that share what the I/O scheduler knows of them.
fn io_context() -> Case {
    let scene = Scene::new("refused-io-context");
    // IOPRIO_WHO_PROCESS, best effort 3.
    let args = [1, 0, 2 << 13 | 3];
    sys::plain(libc::SYS_ioprio_set, &args).map_err(|e| format!("ioprio: {e}"))?;
    let pid = clone(libc::CLONE_IO, || loop {
        nap();
    })?;
    let victim = Victim::other(pid, &scene);
    let refused = victim.refuses(libc::EOPNOTSUPP, "an I/O context shared");
    victim.end();
    pass_with(refused?.trim())
}

/// Sharing with those who are not in the image.
pub const CASES: &[(&str, crate::stress::Body)] = &[
    ("refused-shared", outsiders),
    ("shared-with-the-ended", ended_outsider),
    ("refused-io-context", io_context),
];
