// SPDX-License-Identifier: GPL-2.0

//! Owner, group and permissions of what an open file is open on.

use super::file::FileRef;
use super::path::PathRef;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// Owner and group, as the task sees them.
pub(crate) fn owner(file: &FileRef) -> (u32, u32) {
    // SAFETY: The reference keeps the file and its inode.
    unsafe {
        let inode = bindings::ckpt_file_inode(file.as_ptr());
        let ns = bindings::ckpt_user_ns();
        (
            bindings::from_kuid_munged(ns, (*inode).i_uid),
            bindings::from_kgid_munged(ns, (*inode).i_gid),
        )
    }
}

/// Changes owner and group, with the rules of chown(2).
pub(crate) fn set_owner(file: &FileRef, uid: u32, gid: u32) -> Result {
    let path = PathRef::of(file);
    // SAFETY: The location is held.
    to_result(unsafe { bindings::ckpt_chown(path.as_ptr(), uid, gid) })
}

/// Changes permissions, with the rules of chmod(2).
pub(crate) fn set_mode(file: &FileRef, mode: u16) -> Result {
    let path = PathRef::of(file);
    // SAFETY: The location is held.
    to_result(unsafe { bindings::ckpt_chmod(path.as_ptr(), mode) })
}

/// Has extended attributes of the user.
///
/// # Errors
///
/// Those of listxattr(2).
pub(crate) fn has_user_xattrs(file: &FileRef) -> Result<bool> {
    // SAFETY: The reference keeps the file; without room, only the length is told.
    let len = unsafe { bindings::ckpt_list_xattrs(file.as_ptr(), core::ptr::null_mut(), 0) };
    to_result(len.min(0) as i32)?;
    let mut names: KVVec<u8> = KVVec::from_elem(0, len as usize, GFP_KERNEL)?;
    // SAFETY: The reference keeps the file; there is room for as much as is told.
    let len = unsafe {
        bindings::ckpt_list_xattrs(file.as_ptr(), names.as_mut_ptr().cast(), names.len())
    };
    to_result(len.min(0) as i32)?;
    let names = names.get(..len as usize).unwrap_or_default();
    Ok(names
        .split(|byte| *byte == 0)
        .any(|name| name.starts_with(b"user.")))
}
