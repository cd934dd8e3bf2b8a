// SPDX-License-Identifier: GPL-2.0

//! FPU and vector registers, in the non-compacted XSAVE layout.
//!
//! Save follows xstateregs_get(), restore the slow path of sigreturn: the
//! registers go to memory, are replaced there by the kernel's own checked
//! copy, and are loaded on the way back to user mode.

use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// PKRU is state component 9.
const PKRU: u32 = 9;

/// Bytes of the FPU record on this machine.
pub(crate) fn size() -> u32 {
    // SAFETY: Set once at boot.
    unsafe { bindings::ckpt_xstate_size() }
}

/// User state components on this machine, as bits of XCR0.
pub(crate) fn features() -> u64 {
    // SAFETY: Set once at boot.
    unsafe { bindings::ckpt_xstate_features() }
}

/// Offsets of the state components 2 to 9 in the record, in units of 64 bytes.
pub(crate) fn offsets() -> [u16; 8] {
    let mut offsets = [0; 8];
    for (nr, offset) in (2u32..).zip(&mut offsets) {
        if features() >> nr & 1 == 1 {
            *offset = (super::machine::cpuid(0xd, nr)[1] / 64) as u16;
        }
    }
    offsets
}

/// The registers of the current task.
pub(crate) fn save() -> Result<KVec<u8>> {
    let mut state = KVec::from_elem(0u8, size() as usize, GFP_KERNEL)?;
    // SAFETY: Acts on the current task; the buffer has the size that the
    // kernel asked for.
    unsafe {
        bindings::ckpt_pkru_sync();
        bindings::ckpt_xstate_save(state.as_mut_ptr().cast(), state.len());
    }
    Ok(state)
}

/// The former registers, until the restart is certain.
pub(crate) struct Loaded {
    former: KVec<u8>,
    pkru: u32,
    former_pkru: u32,
    committed: bool,
}

/// Loads registers from an FPU record.
///
/// Dropping the result brings the former ones back; [`Loaded::commit`] keeps
/// the new ones.
///
/// # Errors
///
/// EINVAL when the kernel refuses the state: unknown or supervisor
/// components, the compacted format, reserved bits of MXCSR.
pub(crate) fn load(state: &[u8]) -> Result<Loaded> {
    if state.len() != size() as usize {
        return Err(EINVAL);
    }
    let former = save()?;
    // SAFETY: Acts on the current task.
    unsafe { bindings::ckpt_xstate_begin() };
    let former_pkru = pkru_of(&former);
    let mut loaded = Loaded {
        former,
        pkru: former_pkru,
        former_pkru,
        committed: false,
    };
    // SAFETY: The buffer has the size of a record; its contents are checked.
    // On an error the value is dropped, which brings the former ones back.
    to_result(unsafe { bindings::ckpt_xstate_load(state.as_ptr().cast()) })?;
    loaded.pkru = pkru_of(state);
    Ok(loaded)
}

/// The protection key rights in a record; 0, all allowed, when absent.
fn pkru_of(state: &[u8]) -> u32 {
    let word = |at: usize| {
        state
            .get(at..)
            .and_then(|s| s.first_chunk::<4>())
            .map_or(0, |b| u32::from_le_bytes(*b))
    };
    // The first word of the XSAVE header says which components are not in
    // their initial state; that of PKRU is 0.
    if word(512) >> PKRU & 1 == 0 {
        return 0;
    }
    word(usize::from(offsets()[7]) * 64)
}

impl Loaded {
    /// Keeps the new registers. Cannot fail.
    pub(crate) fn commit(mut self) {
        // SAFETY: Writes a register of the current task; a machine without
        // protection keys ignores it.
        unsafe { bindings::ckpt_write_pkru(self.pkru) };
        self.committed = true;
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        if !self.committed {
            // SAFETY: The buffer came from the kernel, which accepts it.
            unsafe {
                bindings::ckpt_xstate_load(self.former.as_ptr().cast());
                bindings::ckpt_write_pkru(self.former_pkru);
            }
        }
    }
}
