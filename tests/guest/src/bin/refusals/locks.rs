// SPDX-License-Identifier: GPL-2.0

//! Locks and leases on files: refused with the descriptor.

use ckpt_guest::desk::Desk;
use ckpt_guest::life::c_path;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;

use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::with_data;
use crate::arrange::Place;
use crate::arrange::Thing;

const F_OFD_SETLK: usize = 37;

fn open(name: &str, flags: i32) -> Result<i32, String> {
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "locked").map_err(|e| e.to_string())?;
    had("open", sys::open(&c_path(&path), flags, 0))
}

fn flock(_: &Desk) -> Result<Place, String> {
    let fd = open("refusals-flock", libc::O_RDWR)?;
    let lock = libc::LOCK_EX as usize;
    had("flock", plain(libc::SYS_flock, &[fd as usize, lock]))?;
    Ok(Place::Fd(fd))
}

fn record(name: &str, command: usize) -> Result<Place, String> {
    let fd = open(name, libc::O_RDWR)?;
    // SAFETY: zeros are a valid flock structure: from the start to the end.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    let args = [fd as usize, command, 0, 0, 0, 0];
    had("fcntl", with_data(libc::SYS_fcntl, args, 2, &mut lock))?;
    Ok(Place::Fd(fd))
}

fn lease(_: &Desk) -> Result<Place, String> {
    let fd = open("refusals-lease", libc::O_RDONLY)?;
    had(
        "lease",
        sys::fcntl(fd, libc::F_SETLEASE, libc::F_RDLCK as usize),
    )?;
    Ok(Place::Fd(fd))
}

fn owner(_: &Desk) -> Result<Place, String> {
    let fd = open("refusals-owner", libc::O_RDONLY)?;
    had(
        "owner",
        sys::fcntl(fd, libc::F_SETOWN, sys::getpid() as usize),
    )?;
    Ok(Place::Fd(fd))
}

fn signal(_: &Desk) -> Result<Place, String> {
    const F_SETSIG: i32 = 10;
    let fd = open("refusals-signal", libc::O_RDONLY)?;
    had("signal", sys::fcntl(fd, F_SETSIG, libc::SIGUSR1 as usize))?;
    Ok(Place::Fd(fd))
}

/// Locks.
pub const THINGS: &[Thing] = &[
    thing("lock-flock", flock, &["lock"]),
    thing(
        "lock-posix",
        |_| record("refusals-posix", libc::F_SETLK as usize),
        &["lock"],
    ),
    thing(
        "lock-ofd",
        |_| record("refusals-ofd", F_OFD_SETLK),
        &["lock"],
    ),
    thing("lock-lease", lease, &["lease", "lock"]),
    thing("file-owner", owner, &["owner", "signal"]),
    thing("file-signal", signal, &["signal"]),
];
