// SPDX-License-Identifier: GPL-2.0

//! A deep stack: every frame is as it was, and the stack still grows.

use std::hint::black_box;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Back;
use ckpt_guest::life::Life;
use ckpt_guest::procfs;

const FRAME: usize = 4096;
const DEEP: usize = 700;
const DEEPER: usize = 500;

/// Recurses `depth` times, then calls `bottom`; checks each frame on the way back.
#[inline(never)]
fn descend(depth: usize, bottom: &mut dyn FnMut()) {
    let mut frame = [0u64; FRAME / 8];
    for (i, word) in frame.iter_mut().enumerate() {
        *word = (depth * 1000 + i) as u64;
    }
    black_box(&mut frame);
    if depth == 0 {
        bottom();
    } else {
        descend(depth - 1, bottom);
    }
    let good = black_box(&frame)
        .iter()
        .enumerate()
        .all(|(i, word)| *word == (depth * 1000 + i) as u64);
    check::that(good, format!("stack frame {depth} differs"));
}

fn stack_size() -> usize {
    let all = procfs::own_mappings();
    all.iter()
        .find(|m| m.name.ends_with("[stack]"))
        .map_or(0, |m| m.end - m.start)
}

fn main() -> ExitCode {
    let life = Life::start();
    let mut back = Back::Restarted;
    let mut sizes = (0, 0);
    descend(DEEP, &mut || {
        // Room for what is called from here: wherever in its page the stack is, it does not
        // grow for that.
        descend(8, &mut || {});
        sizes.0 = stack_size();
        back = life.checkpoint();
        check::same("size of the stack", &sizes.0, &stack_size());
        // Below the deepest point: the mapping must grow.
        descend(DEEPER, &mut || {});
        sizes.1 = stack_size();
    });
    check::that(
        sizes.1 >= sizes.0 + DEEPER / 2 * FRAME,
        format!("the stack did not grow: {sizes:?}"),
    );
    check::detail(format!(
        "{back:?}, {} KiB, then {} KiB",
        sizes.0 >> 10,
        sizes.1 >> 10
    ));
    check::verdict()
}
