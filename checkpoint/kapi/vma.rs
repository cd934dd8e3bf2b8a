// SPDX-License-Identifier: GPL-2.0

//! Mappings: listed for a checkpoint, made for a restart.

use super::file::FileRef;
use super::mm;
use super::walk;
use super::walk::Range;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

mod finish;

pub(crate) use finish::advise;
pub(crate) use finish::populate;
pub(crate) use finish::seal;
pub(crate) use finish::set_name;
pub(crate) use finish::tell_khugepaged;

/// What the kernel knows of one mapping.
pub(crate) struct Info {
    /// First address.
    pub(crate) start: u64,
    /// First address behind it.
    pub(crate) end: u64,
    /// Bits of the kernel, `1 << VMA_*_BIT`.
    pub(crate) flags: u64,
    /// Offset in the file, in pages.
    pub(crate) pgoff: u64,
    /// The mapped file.
    pub(crate) file: Option<FileRef>,
    /// Name of an anonymous mapping, may be empty.
    pub(crate) name: KVec<u8>,
    /// It has a name of no letters, which is not the same as none.
    pub(crate) empty_name: bool,
    /// The file is a shared memory object that no descriptor leads to.
    pub(crate) anon_shmem: bool,
    /// Made by the kernel, with neither a file nor plain memory behind it.
    pub(crate) special: bool,
    /// Contents that cannot be saved, and why.
    pub(crate) odd: Option<&'static str>,
    /// Guard ranges.
    pub(crate) guards: KVVec<Range>,
}

impl Info {
    fn has(&self, nr: u32) -> bool {
        self.flags & bit(nr) != 0
    }

    /// A shared mapping of a file that others can open as well.
    pub(crate) fn is_shared_file(&self) -> bool {
        self.file.is_some() && !self.anon_shmem && self.has(bindings::VMA_MAYSHARE_BIT)
    }
}

/// PROT_EXEC of mmap(2).
const PROT_EXEC: u64 = 4;

/// One bit of the kernel's mapping flags.
pub(crate) const fn bit(nr: u32) -> u64 {
    1 << nr
}

/// The first address of a mapping.
///
/// # Safety
///
/// The mmap lock is held.
pub(crate) unsafe fn start(vma: *mut bindings::vm_area_struct) -> u64 {
    // SAFETY: By the contract of this function the mapping stays.
    unsafe { (*vma).__bindgen_anon_1.__bindgen_anon_1.vm_start as u64 }
}

/// All mappings of the current task, in order, under one lock. Of a mapping with more than
/// `max_guards` guard ranges not all of them are listed.
pub(crate) fn list(lock: &mm::ReadLock, max_guards: usize) -> Result<KVVec<Info>> {
    let _ = lock;
    let mm = mm::current_mm();
    let mut list = KVVec::new();
    let mut addr = 0;
    loop {
        // SAFETY: The mmap lock is held, so that the mapping stays.
        let vma = unsafe { bindings::find_vma(mm, addr) };
        if vma.is_null() {
            return Ok(list);
        }
        // SAFETY: As above.
        let info = unsafe { look(mm, vma, max_guards)? };
        addr = info.end as c_ulong;
        list.push(info, GFP_KERNEL)?;
        super::sched::breathe()?;
    }
}

/// # Safety
///
/// The mmap lock is held, `vma` is a mapping of `mm`.
unsafe fn look(
    mm: *mut bindings::mm_struct,
    vma: *mut bindings::vm_area_struct,
    max_guards: usize,
) -> Result<Info> {
    // SAFETY: By the contract the mapping and its file stay; the name is a
    // string that lives as long as the mapping.
    unsafe {
        let range = (*vma).__bindgen_anon_1.__bindgen_anon_1;
        let flags = bindings::ckpt_vma_flags(vma) as u64;
        let mut name = KVec::new();
        let text = bindings::ckpt_vma_name(vma);
        if !text.is_null() {
            name.extend_from_slice(CStr::from_char_ptr(text).to_bytes(), GFP_KERNEL)?;
        }
        let empty_name = !text.is_null() && name.is_empty();
        let range = Range {
            start: range.vm_start as u64,
            end: range.vm_end as u64,
        };
        let file = if (*vma).vm_file.is_null() {
            None
        } else {
            let local = &*(*vma).vm_file.cast::<kernel::fs::file::LocalFile>();
            Some(FileRef::from(local))
        };
        let guards = if flags & bit(bindings::VMA_MAYBE_GUARD_BIT) != 0 {
            walk::guards(mm, range, max_guards)?
        } else {
            KVVec::new()
        };
        let special = file.is_none() && !(*vma).vm_ops.is_null();
        let shared = flags & bit(bindings::VMA_MAYSHARE_BIT) != 0;
        let held = (*vma).vm_file;
        let anon_shmem = shared
            && !held.is_null()
            && bindings::ckpt_vma_is_shmem(vma)
            && bindings::ckpt_file_is_anon_shmem(held);
        let odd = if bindings::ckpt_vma_is_secret(vma) {
            Some("secret memory is not supported")
        } else if bindings::ckpt_vma_has_policy(vma) {
            Some("a memory policy is not supported")
        } else if special {
            Some("a mapping made by the kernel is not supported")
        } else if !held.is_null()
            && bindings::ckpt_file_is_shmem(held)
            && !bindings::ckpt_vma_is_shmem(vma)
        {
            // The file is one of shared memory, what is mapped is not.
            Some("System V shared memory is not supported")
        } else {
            None
        };
        Ok(Info {
            start: range.start,
            end: range.end,
            flags,
            pgoff: (*vma).vm_pgoff as u64,
            file,
            name,
            empty_name,
            anon_shmem,
            special,
            odd,
            guards,
        })
    }
}

/// The files of which something may not be on the disk, and where they are mapped: shared
/// ones, which the current task may have written to, and those with what anybody has written.
pub(crate) fn unwritten_files(lock: &mm::ReadLock) -> Result<KVVec<(Range, FileRef)>> {
    let _ = lock;
    let mm = mm::current_mm();
    let mut list = KVVec::new();
    let mut addr = 0;
    loop {
        // SAFETY: The mmap lock is held, so that the mapping and its file stay.
        unsafe {
            let vma = bindings::find_vma(mm, addr);
            if vma.is_null() {
                return Ok(list);
            }
            let range = (*vma).__bindgen_anon_1.__bindgen_anon_1;
            addr = range.vm_end;
            let file = (*vma).vm_file;
            let shared = bindings::ckpt_vma_flags(vma) as u64 & bit(bindings::VMA_SHARED_BIT) != 0;
            if !file.is_null()
                && !bindings::ckpt_file_is_anon_shmem(file)
                && (shared || bindings::ckpt_file_is_dirty(file))
            {
                let range = Range {
                    start: range.vm_start as u64,
                    end: range.vm_end as u64,
                };
                let file = &*file.cast::<kernel::fs::file::LocalFile>();
                list.push((range, FileRef::from(file)), GFP_KERNEL)?;
            }
        }
        super::sched::breathe()?;
    }
}

/// Pieces of a mapping of the current task that have page tables.
pub(crate) fn populated(start: u64, end: u64) -> Result<KVVec<Range>> {
    let mm = mm::current_mm();
    let _lock = mm::ReadLock::current()?;
    // SAFETY: The mmap lock is held.
    unsafe { walk::populated(mm, Range { start, end }) }
}

/// What a new mapping looks like.
pub(crate) struct Wanted<'a> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// PROT_*.
    pub(crate) prot: u64,
    /// MAP_*.
    pub(crate) map: u64,
    /// Bits of the kernel that no MAP_* flag stands for.
    pub(crate) extra: u64,
    /// Charge the mapping as if it were writable: it was once.
    pub(crate) account: bool,
    pub(crate) pgoff: u64,
    pub(crate) file: Option<&'a FileRef>,
}

/// Makes a mapping in the current task's new address space.
///
/// Goes through the checks of mmap(2): limits, the file's mode, security.
///
/// # Errors
///
/// EEXIST when something is mapped there already; those of mmap(2).
pub(crate) fn map(wanted: &Wanted<'_>) -> Result {
    let file = wanted
        .file
        .map_or(core::ptr::null_mut(), |file| file.as_ptr());
    let len = wanted.end.wrapping_sub(wanted.start);
    // The same two questions that mmap(2) asks.
    // SAFETY: `file` is held by the caller.
    unsafe {
        let (prot, map) = (wanted.prot as c_ulong, wanted.map as c_ulong);
        to_result(bindings::ckpt_security_mmap_file(file, prot, map))?;
        if !file.is_null() {
            let at = wanted.pgoff.wrapping_mul(super::pages::PAGE) as i64;
            to_result(bindings::ckpt_fsnotify_mmap(file, prot, at, len as usize))?;
        }
    }
    // An execute-only mapping: mmap would allocate a protection key for the
    // caller, so that it gets its bit directly.
    let exec_only = wanted.prot == PROT_EXEC;
    let mm = mm::current_mm();
    let _lock = mm::WriteLock::current()?;
    let mut extra = wanted.extra;
    if exec_only {
        extra |= bit(bindings::VMA_EXEC_BIT);
    }
    let pages = (len / super::pages::PAGE) as c_long;
    if wanted.account {
        // The unmapping of an accounted mapping gives the charge back.
        // SAFETY: Charges the current task's address space.
        to_result(unsafe { bindings::ckpt_charge(mm, pages) })?;
        extra |= bit(bindings::VMA_ACCOUNT_BIT);
    }
    let mut populate: c_ulong = 0;
    // SAFETY: The mmap lock is held for writing; `file` is held.
    let at = unsafe {
        bindings::do_mmap(
            file,
            wanted.start as c_ulong,
            len as c_ulong,
            if exec_only { 0 } else { wanted.prot as c_ulong },
            wanted.map as c_ulong,
            bindings::vma_flags_t {
                __vma_flags: [extra as c_ulong],
            },
            wanted.pgoff as c_ulong,
            &mut populate,
            core::ptr::null_mut(),
        )
    };
    let errno = at as isize;
    if (-4095..0).contains(&errno) {
        if wanted.account {
            // SAFETY: Gives back what was charged above.
            unsafe { bindings::ckpt_uncharge(pages) };
        }
        return Err(to_result(errno as i32).err().unwrap_or(EINVAL));
    }
    if at as u64 != wanted.start {
        return Err(EEXIST);
    }
    Ok(())
}

/// Whether the current task may run code of this file that was changed in its memory.
///
/// A mapping that was written to and made executable later passes mprotect(2) with its
/// security hook. Here it is executable from the beginning, and the hook would see no
/// change: it is asked what mmap(2) asks for a mapping that is both.
///
/// # Errors
///
/// Those of the security modules.
pub(crate) fn may_run_changed(file: &FileRef) -> Result {
    let prot = bindings::PROT_READ | bindings::PROT_WRITE | bindings::PROT_EXEC;
    // SAFETY: `file` is held by the caller.
    to_result(unsafe {
        bindings::ckpt_security_mmap_file(
            file.as_ptr(),
            prot as c_ulong,
            bindings::MAP_PRIVATE as c_ulong,
        )
    })
}
