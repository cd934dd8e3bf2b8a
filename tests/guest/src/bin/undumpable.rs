// SPDX-License-Identifier: GPL-2.0

//! A task that may not be dumped stays so. Its own user may save it with CAP_SYS_PTRACE only.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::sys;
use ckpt_guest::sys::prctl;

fn dumpable() -> sys::Ret {
    prctl(libc::PR_GET_DUMPABLE, &[])
}

fn main() -> ExitCode {
    let life = Life::start();
    check::need("prctl", prctl(libc::PR_SET_DUMPABLE, &[0]));
    if life.dry() {
        check::skip("needs the system calls");
    }
    let ret = sys::checkpoint(0, life.image(), life.flags(), 2);
    check::same("dumpable", &Ok(0), &dumpable());
    let back = life.returned(ret);
    check::detail(format!("{back:?}"));
    check::verdict()
}
