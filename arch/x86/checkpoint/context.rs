// SPDX-License-Identifier: GPL-2.0

//! Architecture part of an address space: LDT, protection keys, vDSO.

use crate::format::cpu::UserDesc;
use crate::kapi::mm::current_mm;
use crate::kapi::sched::crc32c;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// A descriptor of the LDT as modify_ldt(2) would take it.
///
/// Follows fill_user_desc() of arch/x86/kernel/tls.c.
fn decode(entry_number: u32, raw: u64) -> UserDesc {
    let bits = |shift: u32, width: u32| (raw >> shift & !(u64::MAX << width)) as u32;
    let kind = bits(40, 4);
    let flags = bits(54, 1) // seg_32bit
        | (kind >> 2) << 1 // contents
        | (kind >> 1 & 1 ^ 1) << 3 // read_exec_only
        | bits(55, 1) << 4 // limit_in_pages
        | (bits(47, 1) ^ 1) << 5 // seg_not_present
        | bits(52, 1) << 6; // useable
    UserDesc {
        entry_number,
        base_addr: bits(16, 24) | bits(56, 8) << 24,
        limit: bits(0, 16) | bits(48, 4) << 16,
        flags,
    }
}

/// The entries of the current task's LDT that are in use.
pub(crate) fn ldt() -> Result<KVVec<UserDesc>> {
    let mm = current_mm();
    let mut entries = KVVec::new();
    // SAFETY: The task keeps its address space; the table does not change
    // while the context lock is held.
    unsafe {
        bindings::ckpt_ldt_lock(mm);
        let mut done = Ok(());
        for nr in 0..bindings::ckpt_ldt_size(mm) {
            let raw = bindings::ckpt_ldt_entry(mm, nr);
            if raw != 0 {
                done = entries.push(decode(nr, raw), GFP_KERNEL);
                if done.is_err() {
                    break;
                }
            }
        }
        bindings::ckpt_ldt_unlock(mm);
        done?;
    }
    Ok(entries)
}

/// Sets one LDT entry of the current, new address space.
///
/// # Errors
///
/// Those of modify_ldt(2).
pub(crate) fn set_ldt_entry(desc: &UserDesc) -> Result {
    // SAFETY: The layouts are the same; the call checks the contents.
    to_result(unsafe { bindings::ldt_set_entry(core::ptr::from_ref(desc).cast(), 0) })
}

/// Allocated protection keys, and the one of execute-only mappings or 0.
pub(crate) fn pkeys() -> (u32, u32) {
    let mm = current_mm();
    // SAFETY: The task keeps its address space; each is one word.
    unsafe {
        let exec_only = bindings::ckpt_pkey_exec_only(mm);
        (
            bindings::ckpt_pkey_map(mm),
            u32::try_from(exec_only).unwrap_or(0),
        )
    }
}

/// Sets what [`pkeys`] returns, in the current, new address space.
///
/// # Errors
///
/// EOPNOTSUPP when the machine has no protection keys but the image has.
pub(crate) fn set_pkeys(map: u32, exec_only: u32) -> Result {
    // SAFETY: The address space is new: only the current task knows it.
    unsafe {
        if !bindings::ckpt_has_pkeys() {
            return if map & !1 == 0 {
                Ok(())
            } else {
                Err(EOPNOTSUPP)
            };
        }
        let exec_only = if exec_only == 0 { -1 } else { exec_only as i32 };
        bindings::ckpt_pkey_set(current_mm(), map | 1, exec_only);
    }
    Ok(())
}

/// Bytes of the kernel's own data before the vDSO's code.
pub(crate) const VVAR_BYTES: u64 = bindings::__VDSO_PAGES as u64 * 4096;

/// Address of the current task's vDSO code, or 0.
pub(crate) fn vdso() -> u64 {
    // SAFETY: The task keeps its address space; it is one word.
    unsafe { bindings::ckpt_vdso(current_mm()) as u64 }
}

fn vdso_image() -> &'static [u8] {
    // SAFETY: The image is set up at boot and never changes after.
    unsafe {
        let image = &raw const bindings::vdso64_image;
        core::slice::from_raw_parts((*image).data.cast(), (*image).size)
    }
}

/// Size and checksum of the kernel's vDSO for 64-bit tasks.
pub(crate) fn vdso_identity() -> (u32, u32) {
    let image = vdso_image();
    (image.len() as u32, crc32c(0, image))
}

/// Does the current task have another vDSO than the one for 64-bit tasks?
pub(crate) fn has_foreign_vdso() -> bool {
    // SAFETY: Compares pointers only.
    unsafe {
        bindings::ckpt_vdso(current_mm()) != 0
            && bindings::ckpt_vdso_image(current_mm()) != &raw const bindings::vdso64_image
    }
}

/// Makes the new address space of the current task that of a 64-bit program: one
/// that has the vsyscall page, if the kernel has it.
pub(crate) fn set_64bit() {
    // SAFETY: Sets an atomic flag of an address space that only this task uses.
    unsafe { bindings::ckpt_mm_set_64bit(current_mm()) };
}

/// Maps the vDSO with its code at `addr` in the empty, new address space.
///
/// # Errors
///
/// EEXIST when the kernel chose another place.
pub(crate) fn map_vdso(addr: u64) -> Result {
    let start = addr.checked_sub(VVAR_BYTES).ok_or(EINVAL)?;
    // SAFETY: Acts on the current address space and takes its lock.
    to_result(unsafe {
        bindings::map_vdso_once(&raw const bindings::vdso64_image, start as c_ulong)
    })?;
    if vdso() != addr {
        return Err(EEXIST);
    }
    Ok(())
}

#[cfg(CONFIG_CHECKPOINT_KUNIT_TEST)]
#[kunit_tests(checkpoint_arch_context)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_data_segment_is_decoded() {
        // Base 0x12345678, limit 0xabcde pages, writable data, 32 bits.
        let raw = 0x12ca_f334_5678_bcde;
        let desc = decode(5, raw);
        assert_eq!(desc.entry_number, 5);
        assert_eq!(desc.base_addr, 0x1234_5678);
        assert_eq!(desc.limit, 0xa_bcde);
        assert_eq!(desc.flags, 0b001_0001);
    }

    #[test]
    fn an_absent_code_segment_is_decoded() {
        // Not present, execute-only code, 16 bits, available bit set.
        let raw = 0x0010_7800_0000_ffff;
        let desc = decode(0, raw);
        assert_eq!(desc.limit, 0xffff);
        assert_eq!(desc.flags, 0b110_1100);
    }
}
