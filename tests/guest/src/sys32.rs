// SPDX-License-Identifier: GPL-2.0

//! System calls through the 32-bit entry, as a 64-bit program can make them, too.

use crate::sys::in_child;
use crate::sys::Ended;
use crate::sys::Errno;
use crate::sys::Ret;

const GETPID: u32 = 20;

/// A call with four arguments that are no addresses, or addresses below 4 GiB.
///
/// A kernel without 32-bit emulation ends the program with SIGSEGV: ask
/// [`available`] first.
pub fn call(nr: u32, args: [u32; 4]) -> Ret {
    let ret: i32;
    // SAFETY: the entry keeps all registers but rax and, on old kernels, r8 to r11;
    // rbx cannot be named, so that it is exchanged around the call. What the call
    // does to memory is in the low 4 GiB, at addresses that the tests mapped.
    unsafe {
        std::arch::asm!(
            "xchg {first:r}, rbx",
            "int 0x80",
            "xchg {first:r}, rbx",
            first = inout(reg) u64::from(args[0]) => _,
            inlateout("eax") nr as i32 => ret,
            in("ecx") args[1],
            in("edx") args[2],
            in("esi") args[3],
            out("r8") _,
            out("r9") _,
            out("r10") _,
            out("r11") _,
        );
    }
    usize::try_from(ret).map_err(|_| Errno(-ret))
}

/// Whether the kernel has the 32-bit entry.
pub fn available() -> bool {
    let ended = in_child(5, || i32::from(call(GETPID, [0; 4]).is_err()));
    ended == Ended::Exit(0)
}
