// SPDX-License-Identifier: GPL-2.0

//! Shared memory objects: unlinked files that live in memory.
//!
//! An object is known by its inode; an open file of it, which somebody holds,
//! keeps it. Other processes may write to it at any moment, so that its pages
//! are copied before they are looked at twice.

use super::file;
use super::file::FileRef;
use super::pages::PageBatch;
use super::pages::PAGE;
use core::ptr;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// Lookups of one batch at most.
const STEPS: usize = 4096;

fn inode(file: &FileRef) -> *mut bindings::inode {
    // SAFETY: The reference keeps the file and its inode.
    unsafe { bindings::ckpt_file_inode(file.as_ptr()) }
}

/// The address of the object: its identity while a file of it is held.
pub(crate) fn identity(file: &FileRef) -> usize {
    inode(file) as usize
}

/// Size in bytes.
pub(crate) fn size(file: &FileRef) -> u64 {
    // SAFETY: The reference keeps the inode.
    unsafe { bindings::ckpt_inode_size(inode(file)) as u64 }
}

/// No swap space is reserved for the object as a whole.
pub(crate) fn is_noreserve(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the inode, which is one of shared memory.
    unsafe { bindings::ckpt_shmem_noreserve(inode(file)) }
}

/// Somebody has set a memory policy for a part of the object.
pub(crate) fn has_policy(file: &FileRef) -> bool {
    // SAFETY: As in is_noreserve(); only looks whether there is one.
    unsafe { bindings::ckpt_shmem_has_policy(inode(file)) }
}

/// The next range at or behind `start` that is no hole; none up to `end`.
///
/// Pages in swap count as well.
pub(crate) fn next_data(file: &FileRef, start: u64, end: u64) -> Option<(u64, u64)> {
    let seek = |from: u64, whence: u32| {
        // SAFETY: The reference keeps the file and its mapping. The position
        // of the file is neither used nor changed.
        let at = unsafe {
            bindings::ckpt_shmem_seek(file.as_ptr(), from as i64, end as i64, whence as i32)
        };
        u64::try_from(at).ok().filter(|at| *at < end)
    };
    let from = seek(start, bindings::SEEK_DATA)?;
    Some((from, seek(from, bindings::SEEK_HOLE).unwrap_or(end)))
}

/// What a lookup has told: a page, or none.
///
/// # Errors
///
/// Those of the lookup: a page that swap does not give back comes without a folio, as a
/// hole does, and is none.
fn is_there(done: Result, found: bool) -> Result<bool> {
    match done {
        Ok(()) => Ok(found),
        // Somebody else has made the object smaller meanwhile.
        Err(EINVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Copies pages of the object at the offsets `start` to `end` to `batch`, until that
/// is full. Holes stay holes; pages in swap are brought back. Returns where to go on.
///
/// # Errors
///
/// EIO for a page that the memory has lost, or that swap does not give back; ENOMEM.
pub(crate) fn gather(batch: &mut PageBatch, file: &FileRef, start: u64, end: u64) -> Result<u64> {
    let mut at = start;
    let mut steps = 0;
    while at < end && batch.room() != 0 && steps < STEPS {
        steps = steps.saturating_add(1);
        let index = at / PAGE;
        let mut folio = ptr::null_mut();
        // SAFETY: The reference keeps the inode; a folio that is found comes
        // locked and with a reference for us.
        let errno = unsafe {
            bindings::shmem_get_folio(
                inode(file),
                index as c_ulong,
                0,
                &mut folio,
                bindings::sgp_type_SGP_READ,
            )
        };
        if !is_there(to_result(errno), !folio.is_null())? {
            at = at.saturating_add(PAGE);
            continue;
        }
        // SAFETY: We hold the folio, whose lock is given back at once: others
        // may write to it through their mappings in any case.
        let (last, lost) = unsafe {
            bindings::folio_unlock(folio);
            (
                bindings::ckpt_folio_end(folio) as u64,
                bindings::ckpt_folio_is_lost(folio),
            )
        };
        let mut done = if lost { Err(EIO) } else { Ok(()) };
        let stop = last.saturating_mul(PAGE).min(end);
        while done.is_ok() && at < stop && batch.room() != 0 {
            // SAFETY: The folio has this page, and we hold it.
            done = unsafe {
                let page = bindings::ckpt_folio_page(folio, (at / PAGE) as c_ulong);
                batch.push_copy(page, at)
            };
            at = at.saturating_add(PAGE);
        }
        // SAFETY: Gives our reference back.
        unsafe { bindings::ckpt_folio_put(folio) };
        done?;
    }
    Ok(at)
}

/// Makes pages at these offsets of a new object, all in its size.
///
/// The contents are zeros; the caller fills them.
///
/// # Errors
///
/// EINVAL behind the end of the object; ENOMEM, ENOSPC.
pub(crate) fn create_pages(batch: &mut PageBatch, file: &FileRef, offsets: &[u64]) -> Result {
    batch.clear();
    for at in offsets {
        if batch.room() == 0 {
            return Err(EINVAL);
        }
        // SAFETY: The reference keeps the file and its mapping; a page comes
        // with a reference, which goes to the batch.
        unsafe {
            let page = bindings::ckpt_shmem_page(file.as_ptr(), (at / PAGE) as c_ulong);
            batch.adopt(from_err_ptr(page)?, *at);
        }
        super::sched::breathe()?;
    }
    Ok(())
}

/// A new object for shared anonymous memory, as mmap(2) makes it.
///
/// # Errors
///
/// ENOMEM also when the memory may not be promised.
pub(crate) fn new_anonymous(size: u64, noreserve: bool) -> Result<FileRef> {
    let size = i64::try_from(size).map_err(|_| EINVAL)?;
    // SAFETY: The call returns a file with one reference, or an error.
    unsafe {
        let file = from_err_ptr(bindings::ckpt_shmem_new(size, noreserve))?;
        file::adopt(file).ok_or(ENOMEM)
    }
}

#[cfg(CONFIG_CHECKPOINT_KUNIT_TEST)]
#[kunit_tests(checkpoint_kapi_shmem)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_no_hole() {
        assert_eq!(is_there(Ok(()), true), Ok(true));
        assert_eq!(is_there(Ok(()), false), Ok(false));
        assert_eq!(is_there(Err(EINVAL), false), Ok(false));
        for errno in [ENOMEM, EIO] {
            assert_eq!(is_there(Err(errno), false), Err(errno));
        }
    }
}
