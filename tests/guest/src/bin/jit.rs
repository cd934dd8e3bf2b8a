// SPDX-License-Identifier: GPL-2.0

//! Code that the program writes itself, in a page that is writable and executable,
//! and in one that changes from one to the other.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::mem::RW;

const RX: i32 = libc::PROT_READ | libc::PROT_EXEC;

/// `mov eax, VALUE; ret`
fn emit(map: &Map, at: usize, value: u32) {
    let code = &mut map.bytes_mut()[at..at + 6];
    code[0] = 0xb8;
    code[1..5].copy_from_slice(&value.to_le_bytes());
    code[5] = 0xc3;
}

fn call(map: &Map, at: usize) -> u32 {
    let code = map.addr + at;
    // SAFETY: `emit` has put a function there that follows the C calling convention.
    unsafe { std::mem::transmute::<usize, extern "C" fn() -> u32>(code)() }
}

/// A function that counts its calls in its own code: `inc dword [rip - 6 + 1]` in
/// front of `mov eax, COUNT; ret`.
fn emit_counter(map: &Map, at: usize) {
    let code = [
        0xff, 0x05, 0x01, 0, 0, 0, // inc dword ptr [rip + 1]
        0xb8, 0, 0, 0, 0,    // mov eax, count
        0xc3, // ret
    ];
    map.bytes_mut()[at..at + code.len()].copy_from_slice(&code);
}

fn main() -> ExitCode {
    let life = Life::start();
    let open = Spec {
        prot: RW | libc::PROT_EXEC,
        len: 2 * PAGE,
        ..Spec::default()
    };
    let both = check::need("writable and executable memory", Map::new(open));
    let strict = check::need("mmap", Map::anon(PAGE));
    emit(&both, 0, 1);
    emit_counter(&both, 256);
    emit(&both, PAGE, 2);
    emit(&strict, 0, 3);
    check::need("mprotect", strict.protect(RX));
    check::same(
        "calls before",
        &(1, 2, 3),
        &(call(&both, 0), call(&both, PAGE), call(&strict, 0)),
    );
    for count in 1..=5 {
        check::same("count before", &count, &call(&both, 256));
    }

    let back = life.checkpoint();

    check::same(
        "calls after",
        &(1, 2, 3),
        &(call(&both, 0), call(&both, PAGE), call(&strict, 0)),
    );
    check::same("the code that changes itself", &6, &call(&both, 256));
    emit(&both, 0, 100);
    check::same("new code in old memory", &100, &call(&both, 0));
    check::need("mprotect", strict.protect(RW));
    emit(&strict, 0, 300);
    check::need("mprotect", strict.protect(RX));
    check::same(
        "new code in memory that changed its rights",
        &300,
        &call(&strict, 0),
    );
    check::detail(format!("{back:?}"));
    check::verdict()
}
