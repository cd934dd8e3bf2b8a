// SPDX-License-Identifier: GPL-2.0

//! A program that goes back in time: it restarts its own image, more than once.
//!
//! What must outlive the rollback is in a file: all of memory is rolled back.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::c_path;
use ckpt_guest::life::Life;
use ckpt_guest::sys;

const ROUNDS: usize = 5;

fn count(life: &Life) -> usize {
    let text = std::fs::read_to_string(life.file("count")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn main() -> ExitCode {
    let life = Life::start();
    check::need("write", std::fs::write(life.file("count"), "0"));
    let mut progress = 1;
    // The image that the runner restarts: what follows happens anew each time.
    let back = life.checkpoint();
    check::need("write", std::fs::write(life.file("count"), "0"));
    if life.dry() {
        check::skip("needs the system calls");
    }
    let path = c_path(&life.file("own.img"));
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    let image = check::need("open", sys::open(&path, flags, 0o644));
    progress += 1;
    let again = life.returned(sys::checkpoint(0, image, sys::LOG, 2));
    let rounds = count(&life);
    check::same("progress in memory", &2, &std::hint::black_box(progress));
    if rounds < ROUNDS {
        progress += 100;
        std::hint::black_box(&mut progress);
        check::need(
            "write",
            std::fs::write(life.file("count"), (rounds + 1).to_string()),
        );
        check::need("lseek", sys::lseek(image, 0, libc::SEEK_SET));
        let errno = sys::restart(0, image, sys::LOG, 2);
        check::fail(format!("restart: {errno}"));
    }
    check::detail(format!("{back:?}, then {again:?}, {rounds} times back"));
    check::verdict()
}
