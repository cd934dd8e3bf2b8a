// SPDX-License-Identifier: GPL-2.0

//! Locks on open files: looked at for a checkpoint, taken for a restart.
//!
//! A record lock belongs to a descriptor table, and all of them go when the table closes any
//! descriptor of the file. A lock of an open file, on a range or of flock(2), goes with that.
//! What waits for a lock is no lock: the call is issued again.

use super::file::FileRef;
use super::sharing::Table;
use super::task;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// Whose a lock is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// The descriptor table of the current task.
    Table,
    /// The open file, which has locked a range.
    Description,
    /// The open file, by flock(2).
    Flock,
}

/// A lock on an open file.
#[derive(Clone, Copy)]
pub(crate) struct Lock {
    pub(crate) owner: Owner,
    /// It excludes all others, and not only those that write.
    pub(crate) exclusive: bool,
    /// First byte.
    pub(crate) start: u64,
    /// Last byte; `i64::MAX` without an end.
    pub(crate) end: u64,
}

/// Does the file system of the file keep locks itself, and may another machine have some?
pub(crate) fn are_elsewhere(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file.
    unsafe { bindings::ckpt_file_has_own_locks(file.as_ptr()) }
}

/// Has anybody ever locked, or leased, what the file is open on?
pub(crate) fn may_be_locked(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file, its inode and the lock context.
    !unsafe { bindings::ckpt_lock_context(file.as_ptr()) }.is_null()
}

/// Has the open file a lease?
pub(crate) fn has_lease(file: &FileRef) -> bool {
    let mut found = false;
    each(file, &[List::Lease], |_, core| {
        // SAFETY: By the contract of each().
        found = unsafe { (*core).flc_file } == file.as_ptr();
        found
    });
    found
}

/// Has [`of`] any?
pub(crate) fn is_locked(file: &FileRef) -> bool {
    let mut found = false;
    each(file, &LOCKS, |list, core| {
        // SAFETY: By the contract of each().
        found = unsafe { owner(file, list, core) }.is_some();
        found
    });
    found
}

/// The locks that are the file's own, or the current task's descriptor table's by means of
/// it. Only those who have the file change them.
///
/// # Errors
///
/// E2BIG when there are more than `most`; ENOMEM; EINTR if killed.
pub(crate) fn of(file: &FileRef, most: usize) -> Result<KVVec<Lock>> {
    let mut locks = KVVec::new();
    loop {
        let mut nr = 0usize;
        // Nothing can be allocated under the lock of the lists.
        each(file, &LOCKS, |list, core| {
            // SAFETY: By the contract of each(); locks are in a `struct file_lock`.
            unsafe {
                if let Some(owner) = owner(file, list, core) {
                    let whole = kernel::container_of!(core, bindings::file_lock, c);
                    nr = nr.saturating_add(1);
                    let _ = locks.push_within_capacity(Lock {
                        owner,
                        exclusive: u32::from((*core).flc_type) == bindings::F_WRLCK,
                        start: (*whole).fl_start as u64,
                        end: (*whole).fl_end as u64,
                    });
                }
            }
            false
        });
        if nr == locks.len() {
            return Ok(locks);
        }
        if nr > most {
            return Err(E2BIG);
        }
        super::sched::breathe()?;
        locks.clear();
        locks.reserve(nr, GFP_KERNEL)?;
    }
}

/// A list of what an inode has.
#[derive(Clone, Copy, PartialEq, Eq)]
enum List {
    /// Locks of ranges.
    Range,
    /// Those of flock(2).
    Whole,
    Lease,
}

/// The lists of locks.
const LOCKS: [List; 2] = [List::Range, List::Whole];

/// Whose a lock is, if it is the file's own, or the current task's descriptor table's by
/// means of it.
///
/// # Safety
///
/// The lock is on its list, which is held.
unsafe fn owner(file: &FileRef, list: List, core: *mut bindings::file_lock_core) -> Option<Owner> {
    // SAFETY: By the contract; pointers are only compared.
    let (by, owner) = unsafe { ((*core).flc_file, (*core).flc_owner) };
    if by != file.as_ptr() {
        None
    } else if owner == task::files_ptr().cast() {
        Some(Owner::Table)
    } else if owner != file.as_ptr().cast() {
        None
    } else if list == List::Range {
        Some(Owner::Description)
    } else {
        Some(Owner::Flock)
    }
}

/// Visits what is on lists of what a file is open on, whoever has it, until `visit` wants no
/// more. It gets an entry that stays as it is, since the lock of the lists is held: it may
/// not sleep, nor allocate.
fn each(
    file: &FileRef,
    lists: &[List],
    mut visit: impl FnMut(List, *mut bindings::file_lock_core) -> bool,
) {
    // SAFETY: The reference keeps the file, its inode and the lock context.
    let ctx = unsafe { bindings::ckpt_lock_context(file.as_ptr()) };
    if ctx.is_null() {
        return;
    }
    // SAFETY: As above. The lists are walked under flc_lock.
    unsafe {
        bindings::ckpt_flc_lock(ctx);
        'lists: for list in lists {
            let head = match list {
                List::Range => &raw mut (*ctx).flc_posix,
                List::Whole => &raw mut (*ctx).flc_flock,
                List::Lease => &raw mut (*ctx).flc_lease,
            };
            let mut at = (*head).next;
            while at != head {
                let core = kernel::container_of!(at, bindings::file_lock_core, flc_list);
                if visit(*list, core) {
                    break 'lists;
                }
                at = (*at).next;
            }
        }
        bindings::ckpt_flc_unlock(ctx);
    }
}

/// Locks a file for itself, or for `table`, which has it: the lock goes when that closes it.
/// `process` is who others are told has it. Does not wait.
///
/// Follows `fcntl_setlk()` and flock(2).
///
/// # Errors
///
/// EAGAIN when another lock is in the way; EBADF when the file is not open for what the lock
/// is for; EOPNOTSUPP when its file system keeps locks itself; those of security modules;
/// ENOMEM.
pub(crate) fn take(file: &FileRef, table: &Table, process: i32, wanted: &Lock) -> Result {
    let may = match (wanted.owner, wanted.exclusive) {
        (Owner::Flock, _) => super::file::may_read(file) || super::file::may_write(file),
        (_, false) => super::file::may_read(file),
        (_, true) => super::file::may_write(file),
    };
    if !may {
        return Err(EBADF);
    }
    if are_elsewhere(file) {
        return Err(EOPNOTSUPP);
    }
    let kind = if wanted.exclusive {
        bindings::F_WRLCK
    } else {
        bindings::F_RDLCK
    };
    let (owner, flags) = match wanted.owner {
        Owner::Table => (table.as_ptr().cast(), bindings::ckpt_value_CKPT_FL_POSIX),
        Owner::Description => (
            file.as_ptr().cast(),
            bindings::ckpt_value_CKPT_FL_POSIX | bindings::ckpt_value_CKPT_FL_OFDLCK,
        ),
        Owner::Flock => (file.as_ptr().cast(), bindings::ckpt_value_CKPT_FL_FLOCK),
    };
    // SAFETY: The new lock is ours until it is freed: the calls copy it. The references keep
    // the file and the table, whose pointers are only compared.
    unsafe {
        to_result(bindings::ckpt_security_file_lock(file.as_ptr(), kind))?;
        let new = bindings::locks_alloc_lock();
        if new.is_null() {
            return Err(ENOMEM);
        }
        let core = &raw mut (*new).c;
        (*core).flc_file = file.as_ptr();
        (*core).flc_owner = owner;
        (*core).flc_flags = flags;
        (*core).flc_type = kind as u8;
        (*core).flc_pid = process;
        (*new).fl_start = wanted.start as bindings::loff_t;
        (*new).fl_end = wanted.end as bindings::loff_t;
        let ret = if wanted.owner == Owner::Flock {
            bindings::locks_lock_inode_wait(bindings::ckpt_file_inode(file.as_ptr()), new)
        } else {
            bindings::vfs_lock_file(file.as_ptr(), bindings::F_SETLK, new, core::ptr::null_mut())
        };
        bindings::locks_free_lock(new);
        // What a lock of a range is short of is memory.
        to_result(ret).map_err(|errno| if errno == ENOLCK { ENOMEM } else { errno })
    }
}
