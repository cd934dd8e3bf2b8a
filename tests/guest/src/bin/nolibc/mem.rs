// SPDX-License-Identifier: GPL-2.0

//! Without a C library these must come from somewhere.

use core::arch::asm;

/// # Safety
///
/// As for memset(3).
#[no_mangle]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("rep stosb", inout("rdi") to => _, in("al") value as u8, inout("rcx") len => _);
    }
    to
}

/// # Safety
///
/// As for memcpy(3).
#[no_mangle]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") len => _);
    }
    to
}
