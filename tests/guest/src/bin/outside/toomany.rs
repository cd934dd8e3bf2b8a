// SPDX-License-Identifier: GPL-2.0

//! Victims that have more of something than an image holds.

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::kills::Body;
use crate::refused::Play;
use crate::waits::made;

/// The most that an image has of each.
const MOST: usize = 1 << 20;
/// Above what a process may have by itself.
const NR_OPEN: &str = "/proc/sys/fs/nr_open";

/// Raises a limit of this process to a number that is enough.
fn raise(limit: libc::__rlimit_resource_t) -> Result<(), String> {
    let enough = 2 * MOST as libc::rlim_t;
    let limits = libc::rlimit {
        rlim_cur: enough,
        rlim_max: enough,
    };
    // SAFETY: the structure lives until the call returns.
    let set = sys::libc_result(unsafe { libc::setrlimit(limit, &limits) });
    set.map(drop).map_err(|e| format!("setrlimit: {e}"))
}

fn descriptors(scene: &Scene) -> Result<(), String> {
    raise(libc::RLIMIT_NOFILE)?;
    for _ in 0..=MOST {
        made(libc::SYS_dup, &[1])?;
    }
    scene.announce();
    scene.wait();
    Ok(())
}

fn signals(scene: &Scene) -> Result<(), String> {
    raise(libc::RLIMIT_SIGPENDING)?;
    let signal = libc::SIGRTMIN();
    // SAFETY: an empty set is all zeros, and lives until the calls return.
    let blocked = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&mut set, signal);
        libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut())
    };
    sys::libc_result(blocked).map_err(|e| format!("sigprocmask: {e}"))?;
    // SAFETY: an all-zero structure is a valid one.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    (info.si_signo, info.si_code) = (signal, libc::SI_QUEUE);
    let args = [
        sys::getpid() as usize,
        signal as usize,
        (&raw const info) as usize,
    ];
    for _ in 0..=MOST {
        made(libc::SYS_rt_sigqueueinfo, &args)?;
    }
    scene.announce();
    scene.wait();
    Ok(())
}

/// Every second page of a mapping.
fn guards(scene: &Scene) -> Result<(), String> {
    const MADV_GUARD_INSTALL: usize = 102;
    const PAGE: usize = 4096;
    let len = 2 * (MOST + 1) * PAGE;
    let (prot, flags) = (
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
    );
    let args = [0, len, prot as usize, flags as usize, usize::MAX, 0];
    let start = made(libc::SYS_mmap, &args)?;
    for nr in 0..=MOST {
        let page = start + 2 * nr * PAGE;
        made(libc::SYS_madvise, &[page, PAGE, MADV_GUARD_INSTALL])?;
    }
    scene.announce();
    scene.wait();
    Ok(())
}

/// It takes a while to have so many.
fn refused(name: &'static str, play: Play, errno: i32, word: &str) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(play)?;
    let mut left = 15_000 * pace::factor();
    while left > 0 && !victim.has_ended() && !scene.dir.join("there").exists() {
        scene.pause(10);
        left -= 1;
    }
    scene.until_there()?;
    let said = victim.refuses(errno, word)?;
    victim.unnoticed()?;
    // All of it is given back first.
    victim.ends_well(60_000)?;
    pass_with(said.trim())
}

fn too_many_descriptors() -> Case {
    let before = std::fs::read_to_string(NR_OPEN).map_err(|e| format!("nr_open: {e}"))?;
    let set = |text: &str| std::fs::write(NR_OPEN, text).map_err(|e| format!("nr_open: {e}"));
    set(&(2 * MOST).to_string())?;
    let word = "too many descriptors";
    let case = refused("refused-descriptors", descriptors, libc::EOPNOTSUPP, word);
    set(&before)?;
    case
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("refused-descriptors", too_many_descriptors),
    ("refused-signals", || {
        if pace::thinning() > 1 {
            return skip("a kernel with checkers takes four minutes to note a million signals");
        }
        let word = "too many signals are pending";
        refused("refused-signals", signals, libc::EOPNOTSUPP, word)
    }),
    ("refused-guards", || {
        let word = "too many guard ranges";
        refused("refused-guards", guards, libc::ETXTBSY, word)
    }),
];
