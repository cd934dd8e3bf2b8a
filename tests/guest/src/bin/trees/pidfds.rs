// SPDX-License-Identifier: GPL-2.0

//! Victims that have pidfds of each other.

use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::family::act;
use crate::family::child;

/// PIDFD_THREAD
const THREAD: usize = libc::O_EXCL as usize;
const NONBLOCK: usize = libc::O_NONBLOCK as usize;
/// P_PIDFD
const PIDFD: usize = 3;

fn open(pid: i32, flags: usize) -> Result<usize, String> {
    sys::plain(libc::SYS_pidfd_open, &[pid as usize, flags]).map_err(|e| format!("pidfd: {e}"))
}

/// The exit code that waitid(2) tells; an error as a negative number.
fn wait(pidfd: usize) -> i32 {
    // SAFETY: an all-zero structure is a valid one, and the kernel fills it.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let args = [
        PIDFD,
        pidfd,
        (&raw mut info) as usize,
        libc::WEXITED as usize,
        0,
    ];
    match sys::plain(libc::SYS_waitid, &args) {
        // SAFETY: a child has ended.
        Ok(_) => unsafe { info.si_status() },
        Err(errno) => -errno.0,
    }
}

fn is_ready(pidfd: usize) -> bool {
    let mut fd = libc::pollfd {
        fd: pidfd as i32,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one structure of ours.
    unsafe { libc::poll(&mut fd, 1, 0) == 1 }
}

fn signal(pidfd: usize, signal: i32) -> sys::Ret {
    sys::plain(libc::SYS_pidfd_send_signal, &[pidfd, signal as usize, 0, 0])
}

/// Of itself, of a child that has ended, of one that lives and is watched by an epoll, and,
/// in that one, of its parent and its brother.
fn all(scene: &Scene) -> Result<(), String> {
    let ended = child(|| sys::exit(7))?;
    let ended = open(ended, 0)?;
    while !is_ready(ended) {
        scene.pause(1);
    }
    let itself = open(sys::getpid(), THREAD)?;
    let brother = child(|| {
        scene.wait();
        loop {
            scene.pause(1000);
        }
    })?;
    let brothers = open(brother, NONBLOCK)?;
    let living = child(|| {
        scene.wait();
        let parent = std::fs::read_to_string(format!("/proc/self/fdinfo/{itself}"));
        let parent = parent.unwrap_or_default();
        let mine = format!("Pid:\t{}\n", crate::family::parent());
        if !parent.contains(&mine) {
            return Err(format!("the parent: {parent:?}, without {mine:?}"));
        }
        signal(brothers, libc::SIGTERM).map_err(|e| format!("signal: {e}"))?;
        sys::exit(9)
    })?;
    let living = open(living, 0)?;
    let epoll = sys::plain(libc::SYS_epoll_create1, &[0]).map_err(|e| format!("epoll: {e}"))?;
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 5,
    };
    // SAFETY: a structure of ours.
    unsafe { libc::epoll_ctl(epoll as i32, libc::EPOLL_CTL_ADD, living as i32, &mut event) };
    scene.announce();
    scene.wait();
    if !is_ready(ended) || wait(ended) != 7 {
        return Err("the child that has ended".to_string());
    }
    signal(itself, 0).map_err(|e| format!("signal: {e}"))?;
    let mut told = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: a structure of ours.
    let found = unsafe { libc::epoll_wait(epoll as i32, &mut told, 1, 20_000) };
    if (found, { told.u64 }) != (1, 5) {
        return Err(format!("epoll: {found}"));
    }
    // That one does not wait: the signal may still be on its way.
    while !is_ready(brothers) {
        scene.pause(1);
    }
    match (wait(living), wait(brothers)) {
        (9, libc::SIGTERM) => Ok(()),
        other => Err(format!("the children ended with {other:?}")),
    }
}

/// Victims with pidfds.
pub const ACTS: &[Act] = &[act("pidfds", all).there()];
