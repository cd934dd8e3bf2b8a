// SPDX-License-Identifier: GPL-2.0

//! Locations in the file system and their names.

use super::file::FileRef;
use core::mem::MaybeUninit;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// Longest name with its NUL, PATH_MAX.
const NAME_MAX: usize = 4096;

/// A location, with references to its mount and its directory entry.
pub(crate) struct PathRef(bindings::path);

impl PathRef {
    /// The location that a C function fills in, with references for us.
    ///
    /// # Safety
    ///
    /// `fill` stores a valid path whose references go to the caller.
    unsafe fn filled_by(fill: unsafe extern "C" fn(*mut bindings::path)) -> Self {
        let mut path = MaybeUninit::uninit();
        // SAFETY: By the contract of this function.
        unsafe {
            fill(path.as_mut_ptr());
            Self(path.assume_init())
        }
    }

    /// May the current task have it as its root directory?
    ///
    /// # Errors
    ///
    /// EPERM without CAP_SYS_CHROOT, and those of security modules.
    pub(crate) fn may_be_root(&self) -> Result {
        // SAFETY: The references keep the location.
        to_result(unsafe { bindings::ckpt_may_chroot(&self.0) })
    }

    /// The root directory of the current task.
    pub(crate) fn root() -> Self {
        // SAFETY: get_fs_root() stores a path with references.
        unsafe { Self::filled_by(bindings::ckpt_fs_root) }
    }

    /// The current directory of the current task.
    pub(crate) fn pwd() -> Self {
        // SAFETY: get_fs_pwd() stores a path with references.
        unsafe { Self::filled_by(bindings::ckpt_fs_pwd) }
    }

    /// The location of an open file.
    pub(crate) fn of(file: &FileRef) -> Self {
        // SAFETY: The reference keeps the file and its path; the copy gets
        // references of its own.
        unsafe {
            let path = (*file.as_ptr()).__bindgen_anon_1.f_path;
            bindings::path_get(&path);
            Self(path)
        }
    }

    /// The C structure.
    pub(crate) fn as_ptr(&self) -> *const bindings::path {
        &self.0
    }

    /// The same mount and directory entry.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.0.mnt == other.0.mnt && self.0.dentry == other.0.dentry
    }

    /// Does its name lead elsewhere, because something is mounted over it?
    pub(crate) fn is_covered(&self) -> bool {
        is_covered(self.as_ptr())
    }

    /// Is it in another mount namespace, and leads its name elsewhere in this one?
    ///
    /// # Errors
    ///
    /// ENOMEM; as of [`PathRef::name`] of the root directory.
    pub(crate) fn is_elsewhere(&self, name: &[u8]) -> Result<bool> {
        is_elsewhere(self.as_ptr(), name)
    }

    /// The absolute name in the mount namespace, whatever the task's root is.
    ///
    /// # Errors
    ///
    /// ENOENT when the location has no name any more, EINVAL when it is on a
    /// mount that has no place, ENAMETOOLONG.
    pub(crate) fn name(&self) -> Result<KVec<u8>> {
        name(self.as_ptr())
    }

    /// The name for people: also where there is none, or none any more.
    pub(crate) fn display_name(&self) -> KVec<u8> {
        display_name_of(self.as_ptr())
    }
}

impl Drop for PathRef {
    fn drop(&mut self) {
        // SAFETY: The type owns the references.
        unsafe { bindings::path_put(&self.0) };
    }
}

/// The name of an open file for people: also of those without a path.
pub(crate) fn display_name(file: &FileRef) -> KVec<u8> {
    // SAFETY: The reference keeps the file and with it its path.
    display_name_of(unsafe { bindings::ckpt_file_path(file.as_ptr()) })
}

fn display_name_of(path: *const bindings::path) -> KVec<u8> {
    // SAFETY: All callers hold references to `path`; d_path() does as it is asked.
    let text = unsafe { written(|at, size| bindings::d_path(path, at, size)) };
    // Only information: without memory it is empty.
    text.unwrap_or(KVec::new())
}

/// The name that `write` puts into a buffer of PATH_MAX, at its end as a rule.
///
/// # Errors
///
/// Those of `write`; ENOMEM.
///
/// # Safety
///
/// `write` gets a buffer and its size. It gives an errno as a pointer, or a string in the
/// buffer, with its NUL.
pub(super) unsafe fn written(
    write: impl FnOnce(*mut c_char, c_int) -> *mut c_char,
) -> Result<KVec<u8>> {
    let mut buf = KVec::<u8>::with_capacity(NAME_MAX, GFP_KERNEL)?;
    let at = buf.spare_capacity_mut().as_mut_ptr().cast();
    let text = from_err_ptr(write(at, NAME_MAX as c_int))?;
    // SAFETY: By the contract it is a string in the buffer, which is still there.
    let text = unsafe { CStr::from_char_ptr(text) };
    let mut name = KVec::new();
    // It may be kept for each open file.
    name.extend_from_slice(text.to_bytes(), crate::charge::charged())?;
    Ok(name)
}

/// Is something mounted over it, or over a directory above it? Its name leads elsewhere
/// then. Asks no file system.
fn is_covered(path: *const bindings::path) -> bool {
    // SAFETY: All callers hold references to `path`. Each location on the way up is held
    // until the next one is: the calls give and take references as they say.
    unsafe {
        let mut at = *path;
        bindings::path_get(&at);
        // Over the place where a mount is mounted there is that mount, as a rule. What is
        // over the task's own root is not in the way of who begins there.
        let (mut covered, mut own) = (false, false);
        let root = PathRef::root();
        while !covered && (at.mnt != root.0.mnt || at.dentry != root.0.dentry) {
            let flags = (&raw const (*at.dentry).d_flags).read_volatile();
            if !own && flags & bindings::dentry_flags_DCACHE_MOUNTED != 0 {
                let mut over = at;
                bindings::path_get(&over);
                covered = bindings::follow_down_one(&mut over) != 0;
                bindings::path_put(&over);
            }
            if at.dentry == (*at.mnt).mnt_root {
                own = true;
                if bindings::follow_up(&mut at) == 0 {
                    break;
                }
            } else {
                own = false;
                let parent = bindings::dget_parent(at.dentry);
                // The end of a file system: it was moved out of what is mounted of it.
                covered |= parent == at.dentry;
                bindings::dput(at.dentry);
                at.dentry = parent;
            }
        }
        bindings::path_put(&at);
        covered
    }
}

/// Does the name of an open file lead to another one, because something is mounted over it?
pub(crate) fn is_file_covered(file: &FileRef) -> bool {
    // SAFETY: The reference keeps the file and with it its path.
    is_covered(unsafe { bindings::ckpt_file_path(file.as_ptr()) })
}

/// As [`PathRef::is_elsewhere`], of an open file.
pub(crate) fn is_file_elsewhere(file: &FileRef, name: &[u8]) -> Result<bool> {
    // SAFETY: The reference keeps the file and with it its path.
    is_elsewhere(unsafe { bindings::ckpt_file_path(file.as_ptr()) }, name)
}

fn is_elsewhere(path: *const bindings::path, name: &[u8]) -> Result<bool> {
    // SAFETY: All callers hold references to `path`. Its mount is only compared with those
    // of the current task's own namespace.
    if unsafe { bindings::ckpt_path_is_ours(path) } {
        return Ok(false);
    }
    let root = PathRef::root();
    // SAFETY: As above.
    if unsafe { !bindings::ckpt_path_is_ours(root.as_ptr()) } {
        return Ok(true);
    }
    // The name begins at the root of the namespace, which need not be the task's.
    let Some(name) = below(name, &root.name()?) else {
        return Ok(true);
    };
    let text = terminated(name)?;
    let name = CStr::from_bytes_with_nul(&text).map_err(|_| EINVAL)?;
    // SAFETY: Both places are held; the name is a string.
    let named = unsafe { bindings::ckpt_path_is_named(path, root.as_ptr(), name.as_char_ptr()) };
    Ok(!named)
}

/// A name with a NUL at its end, for C.
pub(super) fn terminated(name: &[u8]) -> Result<KVec<u8>> {
    let mut text: KVec<u8> = KVec::with_capacity(name.len().saturating_add(1), GFP_KERNEL)?;
    text.extend_from_slice(name, GFP_KERNEL)?;
    text.push(0, GFP_KERNEL)?;
    Ok(text)
}

/// What an absolute name is called below the directory `root`, if it is there.
pub(crate) fn below<'a>(name: &'a [u8], root: &[u8]) -> Option<&'a [u8]> {
    if root == b"/" {
        return Some(name);
    }
    match name.strip_prefix(root)? {
        [] => Some(b"/"),
        rest if rest.first() == Some(&b'/') => Some(rest),
        _ => None,
    }
}

/// The absolute name of an open file. See [`PathRef::name`].
pub(crate) fn file_name(file: &FileRef) -> Result<KVec<u8>> {
    // SAFETY: The reference keeps the file and with it its path.
    let path = unsafe { bindings::ckpt_file_path(file.as_ptr()) };
    name(path)
}

fn name(path: *const bindings::path) -> Result<KVec<u8>> {
    // SAFETY: All callers hold references to `path`.
    if unsafe { bindings::ckpt_unlinked(path) } {
        return Err(ENOENT);
    }
    // SAFETY: `path` is held; d_absolute_path() does as it is asked.
    unsafe { written(|at, size| bindings::d_absolute_path(path, at, size)) }
}
