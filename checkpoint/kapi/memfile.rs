// SPDX-License-Identifier: GPL-2.0

//! Files that live in memory and have no name any more: memfd, unlinked tmpfs.

use super::file;
use super::file::FileRef;
use super::path::PathRef;
use kernel::bindings;
use kernel::cred::Credential;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// Longest name of a directory entry, with its NUL.
const NAME: usize = 256;

/// An open file of such an object.
pub(crate) fn is_one(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file and its inode.
    unsafe { bindings::ckpt_file_is_unlinked_shmem(file.as_ptr()) }
}

/// The object was made by memfd_create(2).
pub(crate) fn is_memfd(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file, its inode and its directory entry,
    // which has been unlinked and is not renamed any more.
    unsafe { bindings::ckpt_file_is_memfd(file.as_ptr()) }
}

/// It was opened with O_TMPFILE, and linkat(2) can still give it a name.
pub(crate) fn is_linkable(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the inode; the flags are one word.
    unsafe { bindings::ckpt_file_is_linkable(file.as_ptr()) }
}

/// It has attributes (xattr(7), chattr(1)) or a list of access rights.
pub(crate) fn has_attributes(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the inode, which is one of tmpfs.
    unsafe { bindings::ckpt_shmem_has_attributes((*file.as_ptr()).f_inode) }
}

/// The name in the directory entry.
pub(crate) fn name(file: &FileRef) -> Result<KVec<u8>> {
    let mut buf = [0u8; NAME];
    let text = last_name(file, &mut buf).ok_or(ENAMETOOLONG)?;
    let mut name = KVec::new();
    name.extend_from_slice(text, GFP_KERNEL)?;
    Ok(name)
}

/// Is this the name in the directory entry? Needs no memory.
pub(crate) fn is_called(file: &FileRef, name: &[u8]) -> bool {
    last_name(file, &mut [0u8; NAME]) == Some(name)
}

fn last_name<'a>(file: &FileRef, buf: &'a mut [u8; NAME]) -> Option<&'a [u8]> {
    // SAFETY: The reference keeps the directory entry; `buf` has the length given.
    let len =
        unsafe { bindings::ckpt_file_last_name(file.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) };
    buf.get(..len as usize)
}

/// User and group that own the object, as the caller sees them.
pub(crate) fn owner(file: &FileRef) -> (u32, u32) {
    // SAFETY: The reference keeps the inode; the ids are single words.
    unsafe {
        let inode = bindings::ckpt_file_inode(file.as_ptr());
        (
            bindings::ckpt_inode_uid(inode),
            bindings::ckpt_inode_gid(inode),
        )
    }
}

/// The seals, `F_SEAL_*`.
pub(crate) fn seals(file: &FileRef) -> u32 {
    // SAFETY: The reference keeps the inode.
    let seals = unsafe { bindings::memfd_get_seals(file.as_ptr()) };
    u32::try_from(seals).unwrap_or(0)
}

/// Seals the object as fcntl(2) does.
///
/// # Errors
///
/// EBUSY when it is mapped writable and is not to be written to.
pub(crate) fn add_seals(file: &FileRef, seals: u32) -> Result {
    // SAFETY: The reference keeps the file; takes the locks it needs.
    to_result(unsafe { bindings::memfd_add_seals(file.as_ptr(), seals) })
}

/// Somebody has a mapping through which the object can be written to.
pub(crate) fn is_writably_mapped(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file and its mapping.
    unsafe { bindings::ckpt_writably_mapped(file.as_ptr()) }
}

/// The sysctl vm.memfd_noexec forbids files in memory that may be executed.
pub(crate) fn must_be_noexec() -> bool {
    // SAFETY: Reads the namespace of the current task.
    unsafe { bindings::ckpt_memfd_noexec() }
}

/// A new, empty object of this name, which can be sealed if it is a memfd.
pub(crate) fn create(memfd: bool, name: &[u8]) -> Result<FileRef> {
    let mut text = [0u8; NAME];
    text.get_mut(..name.len())
        .filter(|text| text.len() < NAME)
        .ok_or(ENAMETOOLONG)?
        .copy_from_slice(name);
    // SAFETY: `text` ends with a NUL; the result is a file with one reference,
    // or an error.
    unsafe {
        let file = if memfd {
            bindings::memfd_alloc_file(text.as_ptr().cast(), bindings::MFD_ALLOW_SEALING)
        } else {
            bindings::ckpt_shmem_new_unlinked(text.as_ptr().cast())
        };
        file::adopt(from_err_ptr(file)?).ok_or(ENOMEM)
    }
}

/// Gives a new object size, owner and permissions, as ftruncate(2), fchown(2) and
/// fchmod(2) do.
pub(crate) fn set_attributes(file: &FileRef, size: u64, ids: (u32, u32), mode: u32) -> Result {
    let size = i64::try_from(size).map_err(|_| EFBIG)?;
    // SAFETY: The reference keeps the file; the calls take the locks they need
    // and check the caller's rights.
    unsafe {
        to_result(bindings::ckpt_ftruncate(file.as_ptr(), size))?;
        if owner(file) != ids {
            to_result(bindings::vfs_fchown(file.as_ptr(), ids.0, ids.1))?;
        }
        to_result(bindings::vfs_fchmod(file.as_ptr(), mode as u16))
    }
}

/// Opens the object that `file` is open on once more, as the current task.
pub(crate) fn open_again(file: &FileRef, flags: u32) -> Result<FileRef> {
    // SAFETY: The current task's credentials do not change under it.
    let own = unsafe { Credential::from_ptr(bindings::ckpt_current_cred()) };
    file::open_as(&PathRef::of(file), flags, own)
}
