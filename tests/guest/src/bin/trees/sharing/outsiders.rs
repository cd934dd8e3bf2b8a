// SPDX-License-Identifier: GPL-2.0

//! Children that share something with us, who are not in the image.

use std::sync::atomic::Ordering::SeqCst;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::sys;
use ckpt_guest::timer;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

use super::clone;
use super::memory::start_beside;
use super::memory::STOP;
use super::nap;
use super::FILES;
use super::FS;
use super::HANDLERS;
use super::VM;
use crate::family::ends_well;

/// A child shares something with us, and we are not in its image.
pub fn outsiders() -> Case {
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
pub fn ended_outsider() -> Case {
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
pub fn io_context() -> Case {
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
