// SPDX-License-Identifier: GPL-2.0

//! The smallest program: it comes back, with its memory and its variables.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;

static mut GLOBAL: u64 = 0x1122_3344_5566_7788;

fn main() -> ExitCode {
    let life = Life::start();
    let local = std::hint::black_box(42u32);
    let heap: Vec<u32> = (0..1000).collect();
    // SAFETY: one thread, no reference.
    unsafe { (&raw mut GLOBAL).write(99) };

    let back = life.checkpoint();

    check::same("a variable on the stack", &42, &local);
    check::that(
        heap.iter().enumerate().all(|(i, v)| i as u32 == *v),
        "the heap differs",
    );
    // SAFETY: one thread, no reference.
    let global = unsafe { (&raw const GLOBAL).read() };
    check::same("a global variable", &99, &global);
    check::detail(format!("{back:?}"));
    check::verdict()
}
