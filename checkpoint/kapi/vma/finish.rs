// SPDX-License-Identifier: GPL-2.0

//! What mappings of the current task's new address space get when their pages are there.

use crate::kapi::mm;
use crate::kapi::pages::PAGE;
use crate::kapi::sched;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// madvise(2) on the current task's new address space.
pub(crate) fn advise(start: u64, end: u64, advice: u32) -> Result {
    // SAFETY: The function takes the locks it needs and checks the range.
    to_result(unsafe {
        bindings::do_madvise(
            mm::current_mm(),
            start as c_ulong,
            end.wrapping_sub(start) as usize,
            advice as i32,
        )
    })
}

/// Seals a range of the current task's new address space.
pub(crate) fn seal(start: u64, end: u64) -> Result {
    // SAFETY: The function takes the lock it needs and checks the range.
    to_result(unsafe { bindings::ckpt_mseal(start as c_ulong, end as c_ulong) })
}

/// Faults a locked mapping in, as mlock(2) does: a private one that is `writable` for
/// writing. But protection keys, which are the caller's, do not count. Failures show as
/// later faults.
///
/// # Errors
///
/// EINTR if killed.
pub(crate) fn populate(start: u64, end: u64, writable: bool) -> Result {
    let how = if writable {
        bindings::FOLL_WRITE
    } else {
        bindings::FOLL_FORCE
    };
    let mut next = start;
    while next < end {
        let nr = end.wrapping_sub(next) / PAGE;
        // SAFETY: No page is taken.
        let (got, held) = unsafe { mm::fault_in(next, nr as usize, how, core::ptr::null_mut())? };
        if sched::is_killed() {
            return Err(EINTR);
        }
        // None, and the lock lost: the page was waited for, and is there next time.
        if got < 0 || got == 0 && held {
            return Ok(());
        }
        next = next.wrapping_add((got as u64).min(nr).wrapping_mul(PAGE));
    }
    Ok(())
}

/// Tells khugepaged of the current task's address space if one of its mappings may have
/// huge pages, as making a mapping does when the address space allows them.
///
/// # Errors
///
/// EINTR if killed.
pub(crate) fn tell_khugepaged() -> Result {
    let lock = mm::ReadLock::current()?;
    let mm = mm::current_mm();
    let mut addr = 0;
    loop {
        // SAFETY: The mmap lock is held, so that the mapping stays.
        unsafe {
            let vma = bindings::find_vma(mm, addr);
            if vma.is_null() {
                drop(lock);
                return Ok(());
            }
            bindings::ckpt_khugepaged_enter(vma);
            addr = (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_end;
        }
        sched::breathe()?;
    }
}

/// Names an anonymous range of the current task's new address space.
///
/// # Errors
///
/// EINVAL for a name with characters that prctl(2) refuses.
pub(crate) fn set_name(start: u64, end: u64, name: &[u8]) -> Result {
    let valid = |c: &u8| (0x20..0x7f).contains(c) && !b"\\`$[]".contains(c);
    if name.is_empty() || name.len() > 79 || !name.iter().all(valid) {
        return Err(EINVAL);
    }
    let mut text = [0u8; 80];
    text.get_mut(..name.len())
        .ok_or(EINVAL)?
        .copy_from_slice(name);
    // SAFETY: `text` ends with a NUL; the name is reference-counted and the
    // mappings take references of their own.
    unsafe {
        let name = bindings::ckpt_name_alloc(text.as_ptr().cast());
        if name.is_null() {
            return Err(ENOMEM);
        }
        let done = bindings::ckpt_name_set(
            mm::current_mm(),
            start as c_ulong,
            end.wrapping_sub(start) as c_ulong,
            name,
        );
        bindings::ckpt_name_put(name);
        to_result(done)
    }
}
