// SPDX-License-Identifier: GPL-2.0

//! 64 MiB of memory: dense, with huge pages, and sparse; holes stay holes.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Back;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::procfs;

const MIB: usize = 1 << 20;
const HUGE: usize = 2 * MIB;
const MADV_GUARD_INSTALL: i32 = 102;
const DENSE: usize = 24 * MIB;
const SPARSE: usize = 40 * MIB;
/// One page of this many is touched in the sparse part.
const STEP: usize = 37;

/// Two words per page tell pages apart, at the price of two writes.
fn mark(map: &Map, page: usize) {
    let at = page * PAGE;
    let bytes = map.bytes_mut();
    bytes[at..at + 8].copy_from_slice(&(page as u64 + 1).to_le_bytes());
    bytes[at + PAGE - 8..at + PAGE].copy_from_slice(&(!(page as u64)).to_le_bytes());
}

fn marked(map: &Map, page: usize) -> bool {
    let bytes = map.page(page);
    bytes[..8] == (page as u64 + 1).to_le_bytes()
        && bytes[PAGE - 8..] == (!(page as u64)).to_le_bytes()
        && bytes[8..PAGE - 8].iter().all(|b| *b == 0)
}

/// kB of a kind in the mapping.
fn kib(map: &Map, what: &str) -> usize {
    procfs::own_mappings()
        .iter()
        .filter(|m| m.start < map.end() && map.addr < m.end)
        .filter_map(|m| m.numbers.get(what))
        .sum()
}

fn main() -> ExitCode {
    let life = Life::start();
    let dense = check::need("mmap", Map::anon(DENSE + HUGE));
    let first = (dense.addr.next_multiple_of(HUGE) - dense.addr) / PAGE;
    let dense = dense.part(first, DENSE / PAGE);
    // Huge pages in one half, where the kernel has them.
    let _ = dense.part(0, DENSE / 2 / PAGE).advise(libc::MADV_HUGEPAGE);
    (0..dense.pages()).for_each(|page| mark(&dense, page));
    // Part of a huge page is given back: the rest is no longer mapped as one.
    let torn = dense.part(HUGE / PAGE + 5, 3);
    check::need("madvise", torn.advise(libc::MADV_DONTNEED));
    // The mapping is searched for guards, which leaves its huge pages whole.
    let guarded = torn.part(1, 1).advise(MADV_GUARD_INSTALL).is_ok();

    let sparse = check::need("mmap", Map::anon(SPARSE));
    (0..sparse.pages())
        .step_by(STEP)
        .for_each(|page| mark(&sparse, page));
    // Reading maps the zero page, which need not be stored.
    (1..sparse.pages()).step_by(STEP).for_each(|page| {
        check::that(sparse.page_is_zero(page), "new memory is not zero");
    });
    let touched = kib(&sparse, "Rss");
    let huge = kib(&dense, "AnonHugePages");

    let back = life.checkpoint();

    if back == Back::Restarted {
        let rss = kib(&sparse, "Rss");
        check::that(
            rss <= touched,
            format!("holes became pages: {touched} kB, now {rss} kB"),
        );
    }
    if back != Back::Restarted {
        let now = kib(&dense, "AnonHugePages");
        check::same("kB in huge pages", &huge, &now);
    }
    for page in 0..dense.pages() {
        if guarded && page == HUGE / PAGE + 6 {
            continue;
        }
        let hole = (HUGE / PAGE + 5..HUGE / PAGE + 8).contains(&page);
        let good = if hole {
            dense.page_is_zero(page)
        } else {
            marked(&dense, page)
        };
        check::that(good, format!("dense page {page}"));
    }
    for page in 0..sparse.pages() {
        let good = if page % STEP == 0 {
            marked(&sparse, page)
        } else {
            sparse.page_is_zero(page)
        };
        check::that(good, format!("sparse page {page}"));
    }
    if let Ok(end) = ckpt_guest::sys::lseek(life.image(), 0, libc::SEEK_CUR) {
        let most = DENSE + SPARSE / STEP + 4 * MIB;
        check::that(
            end <= most,
            format!("the image of {end} bytes holds what it need not"),
        );
    }
    check::detail(format!("{back:?}, {huge} kB in huge pages"));
    check::verdict()
}
