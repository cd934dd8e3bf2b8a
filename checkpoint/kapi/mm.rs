// SPDX-License-Identifier: GPL-2.0

//! The fields of an address space.

use super::file;
use super::file::FileRef;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// The address space of the current task.
pub(crate) fn current_mm() -> *mut bindings::mm_struct {
    // SAFETY: The current task is a user task inside a system call: it has an
    // address space, and only itself changes the pointer.
    unsafe { (*super::task::current_ptr()).mm }
}

/// The mmap lock, held for reading.
pub(crate) struct ReadLock(*mut bindings::mm_struct);

impl ReadLock {
    /// Takes the lock of the current task's address space; EINTR if killed. The task keeps
    /// the address space until the lock is dropped.
    pub(crate) fn current() -> Result<Self> {
        // SAFETY: The task uses it. Where it is replaced, in `mmswitch`, no lock is held.
        unsafe { Self::of(current_mm()) }
    }

    /// Takes the lock of an address space; EINTR if killed.
    ///
    /// # Safety
    ///
    /// The address space stays until the lock is dropped.
    pub(super) unsafe fn of(mm: *mut bindings::mm_struct) -> Result<Self> {
        // SAFETY: By the function's rule.
        to_result(unsafe { bindings::ckpt_mmap_read_lock(mm) })?;
        Ok(Self(mm))
    }
}

impl Drop for ReadLock {
    fn drop(&mut self) {
        // SAFETY: The lock is held by this value.
        unsafe { bindings::ckpt_mmap_read_unlock(self.0) };
    }
}

/// The mmap lock, held for writing.
pub(crate) struct WriteLock(*mut bindings::mm_struct);

impl WriteLock {
    /// Takes the lock of the current task's address space; EINTR if killed. The task keeps
    /// the address space until the lock is dropped.
    pub(crate) fn current() -> Result<Self> {
        // SAFETY: The task uses it. Where it is replaced, in `mmswitch`, no lock is held.
        unsafe { Self::of(current_mm()) }
    }

    /// Takes the lock of an address space; EINTR if killed.
    ///
    /// # Safety
    ///
    /// The address space stays until the lock is dropped.
    pub(super) unsafe fn of(mm: *mut bindings::mm_struct) -> Result<Self> {
        // SAFETY: By the function's rule.
        to_result(unsafe { bindings::ckpt_mmap_write_lock(mm) })?;
        Ok(Self(mm))
    }
}

impl Drop for WriteLock {
    fn drop(&mut self) {
        // SAFETY: The lock is held by this value.
        unsafe { bindings::ckpt_mmap_write_unlock(self.0) };
    }
}

/// Faults `nr` pages from `start` of the current task's address space in; `how` has FOLL_*.
/// Protection keys, which are the caller's, do not count. Pages that are there go to `pages`,
/// each with a reference, unless it is null.
///
/// Gives what get_user_pages_remote() does, a number of pages or an errno, and whether
/// nothing had to be waited for without the lock.
///
/// # Errors
///
/// EINTR if killed while it waits for the lock.
///
/// # Safety
///
/// `pages` is null or has room for `nr` pointers.
pub(super) unsafe fn fault_in(
    start: u64,
    nr: usize,
    how: u32,
    pages: *mut *mut bindings::page,
) -> Result<(c_long, bool)> {
    let mm = current_mm();
    let mut locked = 1;
    // SAFETY: The task keeps its address space, and the caller has room. The lock is taken
    // first; the call lets go of it where it waits for whoever serves a file, so that a fatal
    // signal ends that, and says whether it has it again.
    unsafe {
        to_result(bindings::ckpt_mmap_read_lock(mm))?;
        let got = bindings::get_user_pages_remote(
            mm,
            start as c_ulong,
            nr as c_ulong,
            how,
            pages,
            &mut locked,
        );
        if locked != 0 {
            bindings::ckpt_mmap_read_unlock(mm);
        }
        Ok((got as c_long, locked != 0))
    }
}

/// The plain fields of an address space.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fields {
    pub(crate) code: (u64, u64),
    pub(crate) data: (u64, u64),
    pub(crate) brk: (u64, u64),
    pub(crate) start_stack: u64,
    pub(crate) arg: (u64, u64),
    pub(crate) env: (u64, u64),
    pub(crate) mmap_base: u64,
    /// Most pages at a time: in memory, and mapped.
    pub(crate) hiwater: (u64, u64),
    pub(crate) flags: u64,
    /// Flags that future mappings get.
    pub(crate) def_flags: u64,
}

/// Reads the fields; the lock makes them consistent with each other.
pub(crate) fn fields(lock: &ReadLock) -> Fields {
    let mm = lock.0;
    // SAFETY: The mmap lock is held for reading, and the argument lock for
    // the fields that prctl changes under it.
    unsafe {
        bindings::ckpt_arg_lock(mm);
        let m = &(*mm).__bindgen_anon_1;
        let fields = Fields {
            code: (m.start_code as u64, m.end_code as u64),
            data: (m.start_data as u64, m.end_data as u64),
            brk: (m.start_brk as u64, m.brk as u64),
            start_stack: m.start_stack as u64,
            arg: (m.arg_start as u64, m.arg_end as u64),
            env: (m.env_start as u64, m.env_end as u64),
            mmap_base: m.mmap_base as u64,
            hiwater: (
                bindings::ckpt_hiwater_rss(mm) as u64,
                m.hiwater_vm.max(m.total_vm) as u64,
            ),
            flags: bindings::ckpt_mm_flags(mm) as u64,
            def_flags: bindings::ckpt_mm_def_flags(mm) as u64,
        };
        bindings::ckpt_arg_unlock(mm);
        fields
    }
}

/// Writes the plain fields of the current, new address space.
pub(crate) fn set_fields(fields: &Fields) -> Result {
    let mm = current_mm();
    let _lock = WriteLock::current()?;
    // SAFETY: The mmap lock is held for writing, and the argument lock.
    unsafe {
        bindings::ckpt_arg_lock(mm);
        let m = &raw mut (*mm).__bindgen_anon_1;
        (*m).start_code = fields.code.0 as c_ulong;
        (*m).end_code = fields.code.1 as c_ulong;
        (*m).start_data = fields.data.0 as c_ulong;
        (*m).end_data = fields.data.1 as c_ulong;
        (*m).start_brk = fields.brk.0 as c_ulong;
        (*m).brk = fields.brk.1 as c_ulong;
        (*m).start_stack = fields.start_stack as c_ulong;
        (*m).arg_start = fields.arg.0 as c_ulong;
        (*m).arg_end = fields.arg.1 as c_ulong;
        (*m).env_start = fields.env.0 as c_ulong;
        (*m).env_end = fields.env.1 as c_ulong;
        (*m).mmap_base = fields.mmap_base as c_ulong;
        bindings::ckpt_arg_unlock(mm);
        bindings::ckpt_mm_set_def_flags(mm, fields.def_flags as c_ulong);
        let (rss, vm) = fields.hiwater;
        bindings::ckpt_raise_hiwater(mm, rss as c_ulong, vm as c_ulong);
    }
    Ok(())
}

/// Is this bit of the address space's flags set, `MMF_*`?
pub(crate) fn has_flag(bit: u32) -> bool {
    // SAFETY: The task keeps its address space; one word.
    let flags = unsafe { bindings::ckpt_mm_flags(current_mm()) as u64 };
    flags >> bit & 1 == 1
}

/// Sets or clears one bit of the address space's flags, `MMF_*`.
pub(crate) fn set_flag(bit: u32, on: bool) {
    let mm = current_mm();
    // SAFETY: The operations are atomic.
    unsafe {
        if on {
            bindings::ckpt_mm_flag_set(mm, bit as i32);
        } else {
            bindings::ckpt_mm_flag_clear(mm, bit as i32);
        }
    }
}

/// The auxiliary vector, without trailing empty entries.
pub(crate) fn auxv(_lock: &ReadLock) -> Result<KVec<u64>> {
    // SAFETY: The vector changes only by prctl of the current task.
    let saved = unsafe { &(*current_mm()).__bindgen_anon_1.saved_auxv };
    let mut auxv = KVec::with_capacity(saved.len(), GFP_KERNEL)?;
    for word in saved {
        let _ = auxv.push_within_capacity(*word as u64);
    }
    Ok(auxv)
}

/// Writes the auxiliary vector of the current, new address space.
///
/// # Errors
///
/// EINVAL when it is longer than the kernel's.
pub(crate) fn set_auxv(auxv: &[u64]) -> Result {
    // SAFETY: The address space is new: only the current task knows it.
    let saved = unsafe { &mut (*current_mm()).__bindgen_anon_1.saved_auxv };
    let room = saved.get_mut(..auxv.len()).ok_or(EINVAL)?;
    for (to, from) in room.iter_mut().zip(auxv) {
        *to = *from as c_ulong;
    }
    // The last pair ends the vector, whatever the image says.
    if let Some(end) = saved.last_chunk_mut::<2>() {
        *end = [0; 2];
    }
    Ok(())
}

/// The program's file.
pub(crate) fn exe_file() -> Option<FileRef> {
    // SAFETY: The call takes a reference, which we adopt.
    unsafe { file::adopt(bindings::get_mm_exe_file(current_mm())) }
}

/// Makes `file` the program's file of the current, new address space.
pub(crate) fn set_exe_file(file: &FileRef) -> Result {
    // SAFETY: The call takes a reference of its own.
    to_result(unsafe { bindings::set_mm_exe_file(current_mm(), file.as_ptr()) })
}

/// State of an address space that is not supported, if there is any.
pub(crate) fn unsupported() -> Option<&'static str> {
    let mm = current_mm();
    // SAFETY: The task keeps its address space; all are single-word reads.
    unsafe {
        if bindings::ckpt_mm_has_aio(mm) {
            Some("asynchronous I/O contexts are not supported")
        } else if bindings::ckpt_mm_membarrier(mm) != 0 {
            Some("registrations with membarrier are not supported")
        } else if bindings::ckpt_futex_hash_is_chosen() {
            Some("a hash of futexes that the process has chosen is not supported")
        } else if bindings::ckpt_lam(mm) != 0 {
            Some("address masking is not supported")
        } else {
            None
        }
    }
}
