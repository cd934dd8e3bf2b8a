// SPDX-License-Identifier: GPL-2.0

//! A process that may make no memory writable and executable (PR_SET_MDWE): it still
//! may not, and keeps what it had before, and so do children that do not inherit it.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::mem::RW;
use ckpt_guest::sys;
use ckpt_guest::sys::prctl;
use ckpt_guest::sys::Errno;

const EXEC: i32 = libc::PROT_READ | libc::PROT_EXEC;
/// PR_MDWE_REFUSE_EXEC_GAIN and PR_MDWE_NO_INHERIT
const BOTH: usize = 3;
/// mov eax, edi; inc eax; ret
const CODE: [u8; 5] = [0x89, 0xf8, 0xff, 0xc0, 0xc3];

/// Two pages: the tries change the second one.
fn of(prot: i32) -> Result<Map, Errno> {
    Map::new(Spec {
        len: 2 * PAGE,
        prot,
        ..Spec::default()
    })
}

/// What is tried each time, on the second page of mappings that were made before.
fn tries(data: &Map, code: &Map) -> [sys::Ret; 5] {
    [
        prctl(libc::PR_GET_MDWE, &[0; 4]),
        data.part(1, 1).protect(EXEC),
        data.part(1, 1).protect(RW | libc::PROT_EXEC),
        // What may be executed already can stay so.
        code.part(1, 1).protect(EXEC),
        of(RW | libc::PROT_EXEC).map(|map| map.addr),
    ]
}

fn call(code: &Map) -> i32 {
    // SAFETY: the page holds a function of this type, and may be executed.
    let add: extern "C" fn(i32) -> i32 = unsafe { std::mem::transmute(code.addr) };
    add(41)
}

fn main() -> ExitCode {
    let life = Life::start();
    let data = check::need("mmap", of(RW));
    let both = check::need("mmap", of(RW | libc::PROT_EXEC));
    let code = check::need("mmap", of(RW));
    for map in [&both, &code] {
        map.bytes_mut()[..CODE.len()].copy_from_slice(&CODE);
    }
    check::need("mprotect", code.protect(EXEC));
    if let Err(errno) = prctl(libc::PR_SET_MDWE, &[BOTH, 0, 0, 0]) {
        check::skip(&format!("PR_SET_MDWE: {errno}"));
    }
    let denied = Err(Errno(libc::EACCES));
    let wanted = [Ok(BOTH), denied, denied, Ok(0), denied];
    check::same("before", &wanted, &tries(&data, &code));

    let back = life.checkpoint();

    check::same("what is allowed", &wanted, &tries(&data, &code));
    check::same("a function", &42, &call(&code));
    check::same("a function in memory that is both", &42, &call(&both));
    both.bytes_mut()[PAGE] = 7;
    check::that(
        prctl(libc::PR_SET_MDWE, &[1, 0, 0, 0]).is_err(),
        "it is set anew",
    );
    let child = sys::in_child(10, || {
        let [value, first, second, ..] = tries(&data, &code);
        i32::from(value != Ok(0)) | i32::from(first.is_err() || second.is_err()) << 1
    });
    check::same(
        "a child that does not inherit it",
        &sys::Ended::Exit(0),
        &child,
    );
    check::detail(format!("{back:?}"));
    check::verdict()
}
