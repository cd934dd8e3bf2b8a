// SPDX-License-Identifier: GPL-2.0

//! How many pages of this process only memory holds: what an image must hold.

use std::os::unix::fs::FileExt;

use anyhow::Context;
use anyhow::Result;
use ckpt_guest::mem::PAGE;

/// Bits of an entry of /proc/PID/pagemap.
const PRESENT: u64 = 1 << 63;
const SWAPPED: u64 = 1 << 62;
const OF_A_FILE: u64 = 1 << 61;

/// Private pages in memory or swap that are not all zeros.
pub fn unique_pages() -> Result<u64> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let pagemap = std::fs::File::open("/proc/self/pagemap")?;
    let memory = std::fs::File::open("/proc/self/mem")?;
    let mut unique = 0;
    for line in maps.lines() {
        let (range, _) = line.split_once(' ').context("maps")?;
        let (start, end) = range.split_once('-').context("maps")?;
        let start = u64::from_str_radix(start, 16)?;
        let end = u64::from_str_radix(end, 16)?;
        let mut entries = vec![0; ((end - start) / PAGE as u64 * 8) as usize];
        // Above the task's addresses there is nothing of its own.
        if pagemap
            .read_exact_at(&mut entries, start / PAGE as u64 * 8)
            .is_err()
        {
            continue;
        }
        for (index, entry) in entries.chunks_exact(8).enumerate() {
            let entry = u64::from_le_bytes(entry.try_into()?);
            if entry & (PRESENT | SWAPPED) == 0 || entry & OF_A_FILE != 0 {
                continue;
            }
            let mut page = [0; PAGE];
            let read = memory.read_exact_at(&mut page, start + (index * PAGE) as u64);
            if read.is_ok() && page.iter().any(|b| *b != 0) {
                unique += 1;
            }
        }
    }
    Ok(unique)
}
