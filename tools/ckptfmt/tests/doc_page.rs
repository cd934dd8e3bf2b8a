// SPDX-License-Identifier: GPL-2.0

//! The format page is up to date with the record sources.

use std::fs;

use ckptfmt::docs::page;
use ckptfmt::docs::source;

#[test]
fn the_generated_part_is_up_to_date() {
    let old = fs::read_to_string(page::path()).unwrap();
    let new = page::renew(&old, &source::read().unwrap()).unwrap();
    assert!(
        old == new,
        "{} is out of date; run: cargo run -p ckptfmt --bin ckpt-doc",
        page::path().display()
    );
}

#[test]
fn times_and_identifiers_are_listed_as_varying() {
    let page = fs::read_to_string(page::path()).unwrap();
    for field in [
        "hdr_head.crid",
        "hdr_head.realtime_ns",
        "hdr_head.monotonic_ns",
        "hdr_task.utime",
        "hdr_task.nvcsw",
        "hdr_restart_block.remaining_ns",
        "itimer.value",
        "hdr_timer.value",
        "hdr_timer.overrun",
    ] {
        assert!(page.contains(&format!("* ``cr_{field}``\n")), "{field}");
    }
}
