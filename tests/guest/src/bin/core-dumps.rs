// SPDX-License-Identifier: GPL-2.0

//! A restarted program that crashes leaves a core dump, as it would have before.

use std::fs;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::sys;

const PATTERN: &str = "/proc/sys/kernel/core_pattern";
/// What a core dump is as an ELF file: e_type, ET_CORE.
const ET_CORE: u8 = 4;

/// A child that aborts: whether it has dumped, as wait(2) tells it.
fn dumps() -> bool {
    let child = check::need("fork", sys::fork());
    if child == 0 {
        let limit = [libc::RLIM_INFINITY; 2];
        let args = [0, libc::RLIMIT_CORE as usize, limit.as_ptr() as usize, 0];
        let _ = sys::plain(libc::SYS_prlimit64, &args);
        std::hint::black_box(limit);
        // SAFETY: ends this child.
        unsafe { libc::abort() };
    }
    let mut status = 0;
    // SAFETY: an int of ours.
    let got = sys::libc_result(unsafe { libc::waitpid(child, &mut status, 0) });
    check::same("waitpid", &Ok(child), &got);
    check::same("the signal", &libc::SIGABRT, &libc::WTERMSIG(status));
    libc::WCOREDUMP(status)
}

fn main() -> ExitCode {
    let life = Life::start();
    let core = life.file("core");
    let back = life.checkpoint();
    // It is the machine's, which may have been another one before.
    let before = check::need("core_pattern", fs::read(PATTERN));
    let _ = fs::remove_file(&core);
    check::need(
        "core_pattern",
        fs::write(PATTERN, core.to_string_lossy().as_bytes()),
    );
    check::same("dumped", &true, &dumps());
    let dump = check::need("the dump", fs::read(&core));
    let kind = dump.get(16).copied();
    check::same(
        "kind of the file",
        &(true, Some(ET_CORE)),
        &(dump.starts_with(b"\x7fELF"), kind),
    );
    let _ = fs::remove_file(&core);
    check::need("core_pattern", fs::write(PATTERN, before));
    check::detail(format!("{back:?}, {} KiB", dump.len() / 1024));
    check::verdict()
}
