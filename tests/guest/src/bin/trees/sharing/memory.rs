// SPDX-License-Identifier: GPL-2.0

//! Processes on the same memory, with the same handlers or not.

use std::sync::atomic::AtomicI32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use ckpt_guest::sys;
use ckpt_guest::timer;
use ckpt_guest::victim::Scene;

use super::nap;
use super::until;
use super::FILES;
use super::FS;
use super::HANDLERS;
use super::VM;
use crate::family::ends_well;
use crate::stops::is_stopped;

/// What processes with the same memory say to each other.
static ROUNDS: AtomicU64 = AtomicU64::new(0);
pub static STOP: AtomicI32 = AtomicI32::new(0);
static DUMPABLE: AtomicI32 = AtomicI32::new(9);
static SEEN: AtomicUsize = AtomicUsize::new(0);
/// How many have found the descriptor, and the umask, of the first process.
static FOUND_NUMBER: AtomicUsize = AtomicUsize::new(0);
static FOUND_UMASK: AtomicUsize = AtomicUsize::new(0);

/// The descriptor that the first process opens, and its umask, at the end.
const NUMBER: usize = 200;
const UMASK: usize = 0o137;
/// Processes that share memory with the first one.
const OTHERS: usize = 2;

/// The address that handles a signal.
fn handler_of(signal: i32) -> usize {
    let mut action = [0usize; 4];
    let args = [signal as usize, 0, action.as_mut_ptr() as usize, 8];
    // The kernel writes to `action`, which lives as long as this.
    let done = sys::plain(libc::SYS_rt_sigaction, &args);
    done.map_or(0, |_| std::hint::black_box(action)[0])
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
    // To look and to change is one call: had only the others something in common, one of
    // them would find what another one has left.
    let free = sys::plain(libc::SYS_fcntl, &[1, libc::F_DUPFD as usize, NUMBER]);
    FOUND_NUMBER.fetch_add(usize::from(free != Ok(NUMBER)), SeqCst);
    let umask = sys::plain(libc::SYS_umask, &[UMASK]);
    FOUND_UMASK.fetch_add(usize::from(umask == Ok(UMASK)), SeqCst);
    // Of its own: SIGUSR1 waits since before.
    let mut pending = 0u64;
    let args = [(&raw mut pending) as usize, 8];
    let _ = sys::plain(libc::SYS_rt_sigpending, &args);
    let waits = std::hint::black_box(pending) & timer::bit(libc::SIGUSR1) != 0;
    libc::c_int::from(!waits)
}

pub fn start_beside(flags: i32) -> Result<i32, String> {
    start_on_memory(beside, flags)
}

/// What a process on the same memory runs.
type Body = extern "C" fn(*mut libc::c_void) -> libc::c_int;

/// Starts a process that shares memory, and runs this on a stack of its own.
pub fn start_on_memory(body: Body, flags: i32) -> Result<i32, String> {
    let stack: &mut [u64] = Box::leak(vec![0; 16384].into_boxed_slice());
    // SAFETY: the child has a stack of its own that is never freed.
    let pid = unsafe {
        let top = stack.as_mut_ptr().add(stack.len()).cast();
        libc::clone(body, top, flags | libc::SIGCHLD, std::ptr::null_mut())
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
pub fn stopped(scene: &Scene) -> Result<(), String> {
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
    scene.announce();
    scene.wait();
    is_stopped(last, 1)?;
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

/// How many of the others have found what the first process has changed at the end: all of
/// them if it is shared, or else none. What they open, it has too, or not.
fn found(flags: i32) -> Result<(), String> {
    let wanted = |flag: i32| if flags & flag != 0 { OTHERS } else { 0 };
    let opened = (NUMBER + 1..=NUMBER + OTHERS)
        .filter(|number| sys::fcntl(*number as i32, libc::F_GETFD, 0).is_ok())
        .count();
    for (what, found, wanted) in [
        ("its descriptor", FOUND_NUMBER.load(SeqCst), wanted(FILES)),
        ("its umask", FOUND_UMASK.load(SeqCst), wanted(FS)),
        ("a descriptor of theirs", opened, wanted(FILES)),
    ] {
        if found != wanted {
            return Err(format!("{what}: {found} times, not {wanted}"));
        }
    }
    Ok(())
}

/// Processes on the same memory, with the same handlers, descriptors and umask or not.
pub fn on_memory(scene: &Scene, flags: i32) -> Result<(), String> {
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
    scene.announce();
    scene.wait();
    let rounds = ROUNDS.load(SeqCst);
    until(scene, "a round", || ROUNDS.load(SeqCst) > rounds + 4)?;
    timer::handler(libc::SIGUSR2, ADDRESS as u64).map_err(|e| format!("handler: {e}"))?;
    // Whoever has this memory must not be traced any more.
    sys::prctl(libc::PR_SET_DUMPABLE, &[0]).map_err(|e| format!("prctl: {e}"))?;
    sys::dup_to(1, NUMBER as i32, 0).map_err(|e| format!("dup: {e}"))?;
    sys::plain(libc::SYS_umask, &[UMASK]).map_err(|e| format!("umask: {e}"))?;
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
        0 => found(flags),
        dumpable => Err(format!("another one may be traced: {dumpable}")),
    }
}
