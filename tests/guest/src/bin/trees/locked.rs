// SPDX-License-Identifier: GPL-2.0

//! Victims that have locks on files together, or wait for one.

use std::path::Path;

use ckpt_guest::act::Act;
use ckpt_guest::life::c_path;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::family::act;
use crate::family::child;
use crate::family::ends_well;

/// A new file below /tmp, where the system keeps the locks.
fn new_file(name: &str) -> Result<i32, String> {
    let path = Path::new("/tmp").join(name);
    let flags = libc::O_RDWR | libc::O_CREAT;
    sys::open(&c_path(&path), flags, 0o600).map_err(|e| format!("open: {e}"))
}

fn flock(fd: i32, operation: i32) -> sys::Ret {
    sys::plain(libc::SYS_flock, &[fd as usize, operation as usize])
}

/// A record lock on all of the file.
fn record(fd: i32, command: i32, kind: i32) -> Result<i32, sys::Errno> {
    // SAFETY: zeros are a valid structure: from the start to the end.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = kind as i16;
    // SAFETY: the kernel reads the structure.
    sys::libc_result(unsafe { libc::fcntl(fd, command, &raw mut lock) })
}

/// A file that parent and child have open, and have locked: who gives it back does so for
/// both.
fn together(scene: &Scene) -> Result<(), String> {
    let fd = new_file("trees-locked-together")?;
    flock(fd, libc::LOCK_EX).map_err(|e| format!("flock: {e}"))?;
    let [reader, writer] = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    let pid = child(|| {
        let read = sys::read(reader, &mut [0]);
        let given = flock(fd, libc::LOCK_UN);
        if read != Ok(1) || given.is_err() {
            return Err(format!("read: {read:?}, unlock: {given:?}"));
        }
        Ok(())
    })?;
    scene.announce();
    scene.wait();
    let other = new_file("trees-locked-together")?;
    let before = flock(other, libc::LOCK_EX | libc::LOCK_NB);
    if before != Err(sys::Errno(libc::EWOULDBLOCK)) {
        return Err(format!("the file is not locked: {before:?}"));
    }
    sys::write(writer, b"x").map_err(|e| format!("write: {e}"))?;
    ends_well(pid)?;
    let after = flock(other, libc::LOCK_EX | libc::LOCK_NB);
    after.map_err(|e| format!("given back by the child: {e}"))?;
    let _ = sys::close(fd);
    Ok(())
}

/// Children that wait for locks of their parent, and get them.
fn waited_for(scene: &Scene) -> Result<(), String> {
    let (range, whole) = (
        new_file("trees-locked-range")?,
        new_file("trees-locked-whole")?,
    );
    record(range, libc::F_SETLK, libc::F_WRLCK).map_err(|e| format!("fcntl: {e}"))?;
    flock(whole, libc::LOCK_EX).map_err(|e| format!("flock: {e}"))?;
    let ranged = child(|| {
        let own = new_file("trees-locked-range")?;
        let got = record(own, libc::F_SETLKW, libc::F_WRLCK);
        got.map_err(|e| format!("F_SETLKW: {e}")).map(|_| ())
    })?;
    let wholly = child(|| {
        let own = new_file("trees-locked-whole")?;
        let got = flock(own, libc::LOCK_EX);
        got.map_err(|e| format!("flock: {e}")).map(|_| ())
    })?;
    scene.announce();
    scene.wait();
    // One that has got a lock has the time to end.
    scene.pause(100 * pace::factor());
    for pid in [ranged, wholly] {
        // SAFETY: looks at a child of ours, and stores nothing.
        let ended = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::WNOHANG) };
        if ended != 0 {
            return Err(format!("child {pid} did not wait: {ended}"));
        }
    }
    record(range, libc::F_SETLK, libc::F_UNLCK).map_err(|e| format!("fcntl: {e}"))?;
    flock(whole, libc::LOCK_UN).map_err(|e| format!("flock: {e}"))?;
    ends_well(ranged)?;
    ends_well(wholly)
}

/// Victims with locks.
pub const ACTS: &[Act] = &[
    act("locked-together", together).there(),
    act("locks-waited-for", waited_for).there(),
];
