// SPDX-License-Identifier: GPL-2.0

//! Locks that would be lost, leases, and signals on input and output: refused with the
//! descriptor.

use ckpt_guest::desk::Desk;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;

use crate::arrange::busy;
use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::Place;
use crate::arrange::Thing;

fn open(name: &str, flags: i32) -> Result<i32, String> {
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, "locked").map_err(|e| e.to_string())?;
    had("open", sys::open(&c_path(&path), flags, 0))
}

fn flock(fd: i32) -> Result<(), String> {
    let lock = libc::LOCK_EX as usize;
    had("flock", plain(libc::SYS_flock, &[fd as usize, lock])).map(|_| ())
}

/// The host has the file, and its locks.
fn elsewhere(desk: &Desk) -> Result<Place, String> {
    let path = desk.dir.join("refusals-elsewhere");
    let flags = libc::O_RDWR | libc::O_CREAT;
    let fd = had("open", sys::open(&c_path(&path), flags, 0o600))?;
    flock(fd)?;
    Ok(Place::Fd(fd))
}

/// A child has locked by an open file of its parent, which is looked at first.
fn by_a_child(desk: &Desk) -> Result<Place, String> {
    let path = desk.dir.join("refusals-by-a-child");
    let flags = libc::O_RDWR | libc::O_CREAT;
    let fd = had("open", sys::open(&c_path(&path), flags, 0o600))?;
    let [reader, writer] = had("pipe", sys::pipe(0))?;
    if had("fork", sys::fork())? == 0 {
        let _ = sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
        // SAFETY: zeros are a valid structure: from the start to the end.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = libc::F_WRLCK as i16;
        // SAFETY: the kernel reads the structure.
        let done = sys::libc_result(unsafe { libc::fcntl(fd, libc::F_SETLK, &raw const lock) });
        let _ = sys::write(writer, &[u8::from(done.is_ok())]);
        loop {
            // SAFETY: waits.
            unsafe { libc::pause() };
        }
    }
    let mut locked = [0];
    had("read", sys::read(reader, &mut locked))?;
    if locked != [1] {
        return Err("the child has no lock".to_string());
    }
    Ok(Place::Fd(fd))
}

/// Closed, and still mapped, which keeps the open file and its lock.
fn mapped(_: &Desk) -> Result<Place, String> {
    // What is below an overlay is mapped in place of the file that is open.
    let path = std::path::Path::new("/dev/shm/refusals-mapped");
    std::fs::write(path, [1; PAGE]).map_err(|e| e.to_string())?;
    let fd = had("open", sys::open(&c_path(path), libc::O_RDWR, 0))?;
    flock(fd)?;
    let spec = Spec {
        flags: libc::MAP_PRIVATE,
        fd,
        ..Spec::default()
    };
    let map = had("mmap", Map::new(spec))?;
    had("close", sys::close(fd))?;
    Ok(Place::Address(map.addr))
}

fn image(desk: &Desk) -> Result<Place, String> {
    flock(desk.image)?;
    Ok(Place::Fd(desk.image))
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
    thing(
        "lock-elsewhere",
        elsewhere,
        &["a file system that keeps locks itself"],
    ),
    thing(
        "lock-elsewhere-by-a-child",
        by_a_child,
        &["a file system that keeps locks itself"],
    ),
    busy(
        "lock-mapped",
        mapped,
        &["an open file that no descriptor has"],
    ),
    thing("lock-image", image, &["a lock is held on the image"]),
    thing("lock-lease", lease, &["a lease is held"]),
    thing("file-owner", owner, &["owner", "signal"]),
    thing("file-signal", signal, &["signal"]),
];
