// SPDX-License-Identifier: GPL-2.0

//! Capabilities that a caller gives up.

use crate::sys;

/// Any user ids.
pub const SETUID: u64 = 1 << 7;
/// Nice values, real-time policies and I/O priorities.
pub const SYS_NICE: u64 = 1 << 23;
/// Much, among it real-time I/O priorities.
pub const SYS_ADMIN: u64 = 1 << 21;

/// What who restarts others needs: to choose process ids.
pub const CHECKPOINT_RESTORE: u64 = 1 << 40;

/// Gives capabilities up, for good.
pub fn give_up(gone: u64) -> sys::Ret {
    let (mut header, mut data) = ([0x2008_0522u32, 0], [0u32; 6]);
    let at = [header.as_mut_ptr() as usize, data.as_mut_ptr() as usize];
    let args = [at[0], at[1], 0, 0, 0, 0];
    // SAFETY: the kernel writes two structures of three numbers.
    unsafe { sys::raw(libc::SYS_capget as usize, args) }?;
    for (i, word) in data.iter_mut().enumerate() {
        *word &= !((gone >> (i / 3 * 32)) as u32);
    }
    // SAFETY: the kernel reads two structures of three numbers.
    unsafe { sys::raw(libc::SYS_capset as usize, args) }
}

/// Has these capabilities, effective and permitted, and no others from here on.
pub fn have_only(effective: u64, permitted: u64) -> sys::Ret {
    let header = [0x2008_0522u32, 0];
    let word = |shift: u32| [effective, permitted, 0].map(|set| (set >> shift) as u32);
    let data = [word(0), word(32)];
    let args = [header.as_ptr() as usize, data.as_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: the kernel reads two structures of three numbers.
    unsafe { sys::raw(libc::SYS_capset as usize, args) }
}
