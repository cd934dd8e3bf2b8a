// SPDX-License-Identifier: GPL-2.0

//! The heap of brk(2): contents, and growth and shrinking afterwards.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;

const SIZE: usize = 1 << 20;

/// Sets the end of the heap, or asks for it with 0.
fn brk(end: usize) -> usize {
    // SAFETY: the C library copes with a heap that others extend; only what this
    // test has added is given back.
    unsafe { sys::raw(libc::SYS_brk as usize, [end, 0, 0, 0, 0, 0]) }.unwrap_or(0)
}

fn fill(map: &Map, seed: u64) {
    for page in 0..map.pages() {
        map.fill_page(page, seed + page as u64);
    }
}

fn holds(map: &Map, seed: u64) -> bool {
    (0..map.pages()).all(|page| map.page_is(page, seed + page as u64))
}

fn main() -> ExitCode {
    let life = Life::start();
    let start = brk(0).next_multiple_of(PAGE);
    check::that(
        brk(start + SIZE) == start + SIZE,
        "the heap cannot grow at all",
    );
    let old = Map {
        addr: start,
        len: SIZE,
    };
    fill(&old, 100);

    let back = life.checkpoint();

    check::same("end of the heap", &(start + SIZE), &brk(0));
    check::that(holds(&old, 100), "the heap's contents differ");
    check::same(
        "end after growing",
        &(start + 2 * SIZE),
        &brk(start + 2 * SIZE),
    );
    let new = Map {
        addr: start + SIZE,
        len: SIZE,
    };
    check::that(
        (0..new.pages()).all(|p| new.page_is_zero(p)),
        "new heap is not zero",
    );
    fill(&new, 5000);
    check::that(holds(&new, 5000), "new heap does not hold what is written");
    check::same(
        "end after shrinking",
        &(start + SIZE / 2),
        &brk(start + SIZE / 2),
    );
    check::same(
        "end after growing again",
        &(start + SIZE),
        &brk(start + SIZE),
    );
    let tail = old.part(old.pages() / 2, old.pages() / 2);
    check::that(
        (0..tail.pages()).all(|p| tail.page_is_zero(p)),
        "heap that was given back is not zero",
    );
    // What the C library takes from the same heap still works.
    let many: Vec<String> = (0..10_000).map(|i| i.to_string()).collect();
    check::that(many[9999] == "9999", "allocating afterwards");
    check::detail(format!("{back:?}"));
    check::verdict()
}
