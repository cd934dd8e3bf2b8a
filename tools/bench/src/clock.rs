// SPDX-License-Identifier: GPL-2.0

//! The clock, and pages that the same bytes go through again and again.

use anyhow::Context;
use anyhow::Result;
use ckpt_guest::mem::Map;
use ckpt_guest::sys;
use std::ffi::CStr;

/// Bytes of one read(2) or write(2) of a baseline.
pub const PIECE: usize = 1 << 20;

/// Nanoseconds of CLOCK_MONOTONIC, which are instructions here.
pub fn now() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is ours.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    (time.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(time.tv_nsec as u64)
}

/// Nanoseconds of CPU of `who` (RUSAGE_*), in user and kernel mode.
pub fn cpu(who: i32) -> u64 {
    // SAFETY: an all-zero structure is a valid one, and the kernel fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(who, &mut usage);
        usage
    };
    let micros = |t: libc::timeval| t.tv_sec as u64 * 1_000_000 + t.tv_usec as u64;
    (micros(usage.ru_utime) + micros(usage.ru_stime)) * 1000
}

/// How long `what` takes.
pub fn timed<T>(what: impl FnOnce() -> T) -> (u64, T) {
    let from = now();
    let value = what();
    (now().wrapping_sub(from), value)
}

/// Opens a new, empty file.
pub fn fresh(path: &CStr) -> Result<i32> {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    sys::open(path, flags, 0o644)
        .ok()
        .with_context(|| format!("cannot create {path:?}"))
}

/// Writes all of a mapping in pieces; what it took. `before` is called for each piece.
pub fn write_map(map: &Map, path: &CStr, before: impl Fn(&[u8])) -> Result<u64> {
    let fd = fresh(path)?;
    let (took, good) = timed(|| {
        map.bytes().chunks(PIECE).all(|piece| {
            before(piece);
            sys::write(fd, piece) == Ok(piece.len())
        })
    });
    let _ = sys::close(fd);
    good.then_some(took).context("a write was short")
}

/// Reads a file to its end into one piece of memory; what it took.
pub fn read_file(path: &CStr, buf: &mut [u8]) -> Result<u64> {
    let fd = sys::open(path, libc::O_RDONLY, 0).ok().context("open")?;
    let (took, good) = timed(|| loop {
        match sys::read(fd, buf) {
            Ok(0) => break true,
            Ok(_) => {}
            Err(_) => break false,
        }
    });
    let _ = sys::close(fd);
    good.then_some(took).context("a read failed")
}
