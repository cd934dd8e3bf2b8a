// SPDX-License-Identifier: GPL-2.0

//! Prices of everyday calls, to be compared between two kernels.
//!
//! Each batch is short enough to fit between two ticks of the timer, and the
//! cheapest of many is free of interrupts.

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use serde_json::json;

use crate::clock;

/// Batches of each.
const BATCHES: usize = 300;
/// Calls in a batch.
const CALLS: usize = 100;

/// A worker: prints a line for each kind of call.
pub fn main() -> Result<()> {
    let path = c_path(&std::env::current_dir()?.join("plain"));
    let file = clock::fresh(&path)?;
    ensure!(sys::write(file, &[1; PAGE]) == Ok(PAGE), "write");
    let map = Map::anon(CALLS * PAGE).ok().context("mmap")?;

    series("getpid", CALLS, || {
        (0..CALLS).for_each(|_| {
            sys::getpid();
        });
        true
    })?;
    series("read", CALLS, || {
        let mut byte = [0; 64];
        (0..CALLS).all(|_| sys::pread(file, &mut byte, 0) == Ok(64))
    })?;
    series("open and close", CALLS, || {
        (0..CALLS)
            .all(|_| sys::open(&path, libc::O_RDONLY, 0).is_ok_and(|fd| sys::close(fd).is_ok()))
    })?;
    series("page fault", CALLS, || {
        let bytes = map.bytes_mut();
        (0..CALLS).for_each(|page| bytes[page * PAGE] = 1);
        map.advise(libc::MADV_DONTNEED).is_ok()
    })?;
    series("fork, exit and wait", 1, || match sys::fork() {
        Ok(0) => sys::exit(0),
        Ok(pid) => {
            let mut status = 0;
            // SAFETY: `status` is an int of ours.
            unsafe { libc::waitpid(pid, &mut status, 0) == pid }
        }
        Err(_) => false,
    })
}

fn series(what: &str, calls: usize, batch: impl Fn() -> bool) -> Result<()> {
    let mut values = Vec::new();
    for turn in 0..=BATCHES {
        let (took, good) = clock::timed(&batch);
        ensure!(good, "{what}: a call failed");
        if turn != 0 {
            values.push(took);
        }
    }
    println!(
        "{}",
        json!({"kind": "idle", "what": what, "calls": calls, "values": values})
    );
    Ok(())
}
