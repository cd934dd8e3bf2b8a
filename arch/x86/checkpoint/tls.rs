// SPDX-License-Identifier: GPL-2.0

//! Thread-local storage descriptors.
//!
//! A kernel without 32-bit emulation has no call that sets them: then every
//! one is empty, and an image with another one is refused.

use crate::format::cpu::UserDesc;
use crate::format::cpu::NR_TLS;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

const _: () = assert!(size_of::<UserDesc>() == size_of::<bindings::user_desc>());

const BYTES: usize = size_of::<[UserDesc; NR_TLS]>();
const FIRST: u32 = bindings::GDT_ENTRY_TLS_MIN;

/// The descriptors of the current task; entries count from 0.
pub(crate) fn save() -> Result<[UserDesc; NR_TLS]> {
    let mut tls = [UserDesc::zeroed(); NR_TLS];
    // SAFETY: The array has the size given, and the layout of `user_desc`.
    match to_result(unsafe { bindings::ckpt_tls_get(tls.as_mut_ptr().cast(), BYTES) }) {
        Err(errno) if errno == ENOSYS => return Ok(empty()),
        done => done?,
    }
    for desc in &mut tls {
        desc.entry_number = desc.entry_number.wrapping_sub(FIRST);
        // Bit 7 and above are padding of the bit field.
        desc.flags &= 0x7f;
    }
    Ok(tls)
}

/// Descriptors that nobody has set, as get_thread_area(2) shows them.
fn empty() -> [UserDesc; NR_TLS] {
    let mut tls = [UserDesc::zeroed(); NR_TLS];
    for (nr, desc) in (0..).zip(&mut tls) {
        desc.entry_number = nr;
        // Read-only, not present.
        desc.flags = 1 << 3 | 1 << 5;
    }
    tls
}

/// Loads descriptors, with the checks of set_thread_area(2).
///
/// # Errors
///
/// EINVAL for descriptors that user code may not have.
pub(crate) fn load(tls: &[UserDesc; NR_TLS]) -> Result {
    let image = tls;
    let mut tls = *image;
    for desc in &mut tls {
        desc.entry_number = desc.entry_number.wrapping_add(FIRST);
    }
    // SAFETY: The array has the size given, and the layout of `user_desc`.
    match to_result(unsafe { bindings::ckpt_tls_set(tls.as_ptr().cast(), BYTES) }) {
        Err(errno) if errno == ENOSYS && *image == empty() => Ok(()),
        done => done,
    }
}
