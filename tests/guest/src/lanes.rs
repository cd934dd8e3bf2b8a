// SPDX-License-Identifier: GPL-2.0

//! Pieces of work that do not mind each other, on all processors at once.
//!
//! A lane is a process that takes one piece after the other. Images have process ids in
//! them, and two that run at the same time may have the same ones: so each lane is the first
//! process of a PID namespace, with a /proc of its own. Those who lose their parents come to
//! it.

use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use crate::mem::Map;
use crate::mem::Spec;
use crate::mem::PAGE;
use crate::pace;
use crate::sys;
use crate::sys::Ended;

/// Exit status of a lane whose work was all as it should be.
const GOOD: i32 = 0;
/// Exit status of a lane where some was not, which it has told.
const BAD: i32 = 1;

/// Carries out `count` pieces of work in lanes; whether all returned true.
///
/// The pieces are begun in their order: long ones should be the first. An error if a lane
/// could not be made, or did not come to its end.
pub fn run(count: usize, work: impl Fn(usize) -> bool) -> Result<bool, String> {
    let text = |what: &str, errno: sys::Errno| format!("lanes: {what}: {errno}");
    let shared = Map::new(Spec {
        flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        ..Spec::default()
    });
    let shared = shared.map_err(|e| text("shared page", e))?;
    assert!(shared.addr.is_multiple_of(align_of::<AtomicUsize>()) && PAGE <= shared.len);
    // SAFETY: the page is mapped as long as this function runs, and nothing else uses it.
    let next = unsafe { &*(shared.addr as *const AtomicUsize) };
    // A kernel with every checker on has nothing to spare: whoever is beside somebody is late.
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let lanes = if pace::factor() == 1 { processors } else { 1 };
    let mut pids = Vec::new();
    for _ in 0..lanes.min(count) {
        match sys::fork().map_err(|e| text("fork", e))? {
            0 => sys::exit(outer(|| {
                let mut good = true;
                loop {
                    let piece = next.fetch_add(1, Ordering::Relaxed);
                    if piece >= count {
                        break good;
                    }
                    good &= work(piece);
                }
            })),
            pid => pids.push(pid),
        }
    }
    let mut good = true;
    for pid in pids {
        match ended(pid) {
            Ended::Exit(GOOD) => {}
            Ended::Exit(BAD) => good = false,
            other => return Err(format!("a lane did not come to its end: {other:?}")),
        }
    }
    shared.unmap().map_err(|e| text("shared page", e))?;
    Ok(good)
}

/// Waits for a lane without a limit: the runner has one for the whole program.
fn ended(pid: i32) -> Ended {
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    while unsafe { libc::waitpid(pid, &mut status, 0) } != pid {
        if sys::last() != sys::Errno(libc::EINTR) {
            return Ended::Exit(-1);
        }
    }
    if libc::WIFEXITED(status) {
        Ended::Exit(libc::WEXITSTATUS(status))
    } else {
        Ended::Signal(libc::WTERMSIG(status))
    }
}

/// Makes the namespaces and the lane in them; its exit status.
fn outer(work: impl FnOnce() -> bool) -> i32 {
    let spaces = (libc::CLONE_NEWPID | libc::CLONE_NEWNS) as usize;
    let made = sys::plain(libc::SYS_unshare, &[spaces]).and_then(|_| sys::fork());
    match made {
        Ok(0) => {
            let status = match arrive() {
                Ok(()) if work() => GOOD,
                Ok(()) => BAD,
                Err(errno) => {
                    println!("FAILED: lanes: /proc: {errno}");
                    2
                }
            };
            sys::exit(status)
        }
        Ok(pid) => match ended(pid) {
            Ended::Exit(status) => status,
            Ended::Signal(signal) => 128 + signal,
            Ended::Hung => 2,
        },
        Err(errno) => {
            println!("FAILED: lanes: {errno}");
            2
        }
    }
}

/// In the first process of the namespace: it ends with the one outside, its session is one
/// that has an id here, and its /proc shows what is here.
fn arrive() -> Result<(), sys::Errno> {
    sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize])?;
    sys::plain(libc::SYS_setsid, &[])?;
    let private = (libc::MS_REC | libc::MS_PRIVATE) as usize;
    let root = c"/".as_ptr() as usize;
    let (proc, at) = (c"proc".as_ptr() as usize, c"/proc".as_ptr() as usize);
    sys::plain(libc::SYS_mount, &[proc, root, 0, private, 0])?;
    sys::plain(libc::SYS_mount, &[proc, at, proc, 0, 0])?;
    Ok(())
}
