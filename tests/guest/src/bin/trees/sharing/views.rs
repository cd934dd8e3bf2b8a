// SPDX-License-Identifier: GPL-2.0

//! Descriptors, directories and masks that several processes or threads have.

use std::os::unix::ffi::OsStrExt;
use std::thread;

use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use super::clone;
use super::until;
use super::FILES;
use super::FS;
use crate::family::ends_well;

/// Descriptors that nobody has.
const ASKED: i32 = 90;
const ANSWERED: i32 = 91;

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
pub fn descriptors(scene: &Scene) -> Result<(), String> {
    let asked = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    let other = clone(0, || {
        // Nobody else is left to write when the first process fails.
        let _ = sys::close(asked[1]);
        scene.announce();
        // By then the others have it.
        sys::read(asked[0], &mut [0]).map_err(|e| format!("read: {e}"))?;
        match is_open(ASKED) {
            true => Err("a descriptor of others".to_string()),
            false => Ok(()),
        }
    })?;
    let with = clone(FILES, || {
        scene.announce();
        scene.wait();
        answer(scene)
    })?;
    scene.announce();
    scene.wait();
    ask(scene)?;
    sys::write(asked[1], b"x").map_err(|e| format!("write: {e}"))?;
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
pub fn directories(scene: &Scene) -> Result<(), String> {
    let below = scene.dir.join("below");
    std::fs::create_dir_all(&below).map_err(|e| format!("mkdir: {e}"))?;
    umask(0o022);
    let with = clone(FS, || {
        let third = clone(FILES, || {
            scene.announce();
            scene.wait();
            let mask = umask(0);
            if mask != 0o022 {
                return Err(format!("the mask of others, {mask:o}"));
            }
            answer(scene)
        })?;
        scene.announce();
        scene.wait();
        until(scene, "the directory", || here().ends_with(b"/below"))?;
        ask(scene)?;
        umask(0o027);
        ends_well(third)
    })?;
    scene.announce();
    scene.wait();
    std::env::set_current_dir(&below).map_err(|e| format!("chdir: {e}"))?;
    ends_well(with)?;
    match (umask(0), is_open(ASKED)) {
        (0o027, false) => Ok(()),
        other => Err(format!("mask and descriptor: {other:?}")),
    }
}

/// A thread with descriptors and a directory of its own, which it shares with a child.
pub fn of_a_thread(scene: &Scene) -> Result<(), String> {
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
                scene.announce();
                scene.wait();
                answer(scene)?;
                until(scene, "the directory", || !here().ends_with(b"/own"))
            })?;
            scene.announce();
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
            scene.announce();
            scene.wait();
            match umask(0) {
                0o011 => Ok(()),
                mask => Err(format!("the mask {mask:o}")),
            }
        });
        scene.announce();
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
