// SPDX-License-Identifier: GPL-2.0

//! A process that has huge pages only where it has asked for them
//! (PR_THP_DISABLE_EXCEPT_ADVISED): it still has, and so have its children.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::sys;
use ckpt_guest::sys::prctl;

/// PR_THP_DISABLE_EXCEPT_ADVISED, and with the bit that says that there are none.
const FLAG: usize = 2;
const WANTED: sys::Ret = Ok(1 | FLAG);

fn get() -> sys::Ret {
    prctl(libc::PR_GET_THP_DISABLE, &[0; 4])
}

fn main() -> ExitCode {
    let life = Life::start();
    if let Err(errno) = prctl(libc::PR_SET_THP_DISABLE, &[1, FLAG, 0, 0]) {
        check::skip(&format!("PR_THP_DISABLE_EXCEPT_ADVISED: {errno}"));
    }
    check::same("before", &WANTED, &get());

    let back = life.checkpoint();

    check::same("after", &WANTED, &get());
    let child = sys::in_child(10, || i32::from(get() != WANTED));
    check::same("a child", &sys::Ended::Exit(0), &child);
    check::need(
        "PR_SET_THP_DISABLE",
        prctl(libc::PR_SET_THP_DISABLE, &[0; 4]),
    );
    check::same("huge pages everywhere again", &Ok(0), &get());
    check::detail(format!("{back:?}"));
    check::verdict()
}
