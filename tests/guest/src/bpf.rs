// SPDX-License-Identifier: GPL-2.0

//! Filters of system calls, in classic BPF.

use crate::sys;

/// SECCOMP_FILTER_FLAG_TSYNC
pub const TSYNC: usize = 1;
/// SECCOMP_FILTER_FLAG_LOG
pub const LOG: usize = 2;
/// Longest filter.
pub const LONGEST: usize = 4096;

const ALLOW: u64 = 0x7fff_0000;
const ASK: u64 = 0x7fc0_0000;
const ERRNO: u64 = 0x0005_0000;
/// Loads the number of the system call.
const LOAD: u64 = 0x20;
const RETURN: u64 = 0x06;

/// A filter that lets these calls fail with these errnos, and allows all others.
pub fn failing(calls: &[(libc::c_long, i32)]) -> Vec<u64> {
    let mut code = vec![LOAD];
    for (nr, errno) in calls {
        // Equal: the next instruction; not: the one behind it.
        code.push(0x15 | 1 << 24 | (*nr as u64) << 32);
        code.push(RETURN | (ERRNO | *errno as u64) << 32);
    }
    code.push(RETURN | ALLOW << 32);
    code
}

/// A filter that has whoever listens answer this call, and allows all others.
pub fn asking(nr: libc::c_long) -> Vec<u64> {
    vec![
        LOAD,
        0x15 | 1 << 24 | (nr as u64) << 32,
        RETURN | ASK << 32,
        RETURN | ALLOW << 32,
    ]
}

/// A filter that lets a call fail whose argument of this number has this value.
pub fn failing_with(nr: libc::c_long, argument: u64, value: u64, errno: i32) -> Vec<u64> {
    vec![
        LOAD,
        // Another call: the last instruction.
        0x15 | 3 << 24 | (nr as u64) << 32,
        // Behind number, architecture and instruction pointer.
        LOAD | (16 + 8 * argument) << 32,
        0x15 | 1 << 24 | value << 32,
        RETURN | (ERRNO | errno as u64) << 32,
        RETURN | ALLOW << 32,
    ]
}

/// The longest filter there is, which allows everything.
pub fn longest() -> Vec<u64> {
    let mut code = vec![LOAD; LONGEST];
    code[LONGEST - 1] = RETURN | ALLOW << 32;
    code
}

/// Installs a filter for the calling thread.
pub fn install(code: &[u64], flags: usize) -> sys::Ret {
    let program = [code.len(), code.as_ptr() as usize];
    // SECCOMP_SET_MODE_FILTER
    let args = [1, flags, (&raw const program) as usize, 0, 0, 0];
    // SAFETY: the kernel reads the program.
    unsafe { sys::raw(libc::SYS_seccomp as usize, args) }
}
