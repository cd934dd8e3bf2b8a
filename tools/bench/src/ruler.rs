// SPDX-License-Identifier: GPL-2.0

//! The ruler measures itself: a thing against itself, and with one copy more.

use anyhow::Context;
use anyhow::Result;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::Map;
use serde_json::json;

use crate::clock;
use crate::place::Place;

const BYTES: usize = 16 << 20;
const TURNS: usize = 5;

/// Prints three series that take turns: twice the same, and with a copy.
pub fn run(place: &Place) -> Result<()> {
    let map = Map::anon(BYTES).ok().context("mmap")?;
    map.bytes_mut().fill(0x5a);
    let side = Map::anon(clock::PIECE).ok().context("mmap")?;
    side.bytes_mut().fill(1);
    let path = c_path(&place.dir.join("plain"));
    let mut series = [Vec::new(), Vec::new(), Vec::new()];
    for turn in 0..=TURNS {
        let took = [
            clock::write_map(&map, &path, |_| {})?,
            clock::write_map(&map, &path, |_| {})?,
            clock::write_map(&map, &path, |piece| copy(piece, &side))?,
        ];
        if turn != 0 {
            series
                .iter_mut()
                .zip(took)
                .for_each(|(all, one)| all.push(one));
        }
    }
    let [base, same, copied] = series;
    let _ = (map.unmap(), side.unmap());
    println!(
        "{}",
        json!({"kind": "ruler", "bytes": BYTES, "base": base, "same": same, "copied": copied})
    );
    Ok(())
}

/// Copies as the kernel does, one byte an iteration, each of which is counted.
fn copy(piece: &[u8], side: &Map) {
    let to = side.bytes_mut();
    let len = piece.len().min(to.len());
    // SAFETY: both are valid for `len` bytes, and the direction flag is clear.
    unsafe {
        std::arch::asm!(
            "rep movsb",
            inout("rcx") len => _,
            inout("rsi") piece.as_ptr() => _,
            inout("rdi") to.as_mut_ptr() => _,
            options(nostack, preserves_flags),
        );
    }
}
