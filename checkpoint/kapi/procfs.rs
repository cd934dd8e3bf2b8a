// SPDX-License-Identifier: GPL-2.0

//! Where a file is in procfs, and whose memory it shows.

use super::file;
use super::file::FileRef;
use super::path::written;
use super::path::PathRef;
use kernel::bindings;
use kernel::prelude::*;

/// The files of a process that have its address space.
const MEMORY: [&[u8]; 4] = [b"mem", b"pagemap", b"environ", b"auxv"];
/// Those that list its mappings.
const MAPS: [&[u8]; 4] = [b"maps", b"smaps", b"smaps_rollup", b"numa_maps"];

/// Where something is in procfs.
pub(crate) struct Inside {
    /// The name from its root.
    pub(crate) name: KVec<u8>,
    /// It shows the caller's PID namespace.
    pub(crate) own: bool,
}

impl Inside {
    /// The process in whose directory it is, and what follows its id.
    pub(crate) fn process(&self) -> Option<(u32, &[u8])> {
        process_of(&self.name)
    }
}

/// The process at the beginning of a name from the root of procfs, and what follows its id.
pub(crate) fn process_of(name: &[u8]) -> Option<(u32, &[u8])> {
    let name = name.strip_prefix(b"/")?;
    let end = name.iter().position(|c| *c == b'/');
    let (id, rest) = name.split_at_checked(end.unwrap_or(name.len()))?;
    let id = core::str::from_utf8(id).ok()?.parse().ok()?;
    Some((id, rest))
}

/// Where a location is in procfs, if it is there.
///
/// # Errors
///
/// ENOMEM; ENAMETOOLONG.
pub(crate) fn look(path: &PathRef) -> Result<Option<Inside>> {
    // SAFETY: `path` is held, and with it the directory entry and the file system;
    // dentry_path_raw() does as it is asked.
    unsafe {
        let dentry = (*path.as_ptr()).dentry;
        let sb = (*dentry).d_sb;
        if (*sb).s_magic != bindings::PROC_SUPER_MAGIC as c_ulong {
            return Ok(None);
        }
        Ok(Some(Inside {
            name: written(|at, size| bindings::dentry_path_raw(dentry, at, size))?,
            own: bindings::ckpt_procfs_is_own(sb),
        }))
    }
}

/// Whether the memory that a file of a process shows is that of the current task; `None`
/// when it shows none, or was opened for its location only.
///
/// # Errors
///
/// As [`look`].
pub(crate) fn is_own_memory(file: &FileRef) -> Result<Option<bool>> {
    let inside = look(&PathRef::of(file))?;
    let of_process = inside.as_ref().and_then(Inside::process);
    let name = of_process.and_then(|(_, rest)| rest.strip_prefix(b"/"));
    let Some(name) = name.filter(|_| file::flags(file) & bindings::O_PATH == 0) else {
        return Ok(None);
    };
    // SAFETY: The reference keeps the open file. It is one of procfs, by this name in the
    // directory of a process: its private data is what all files of that name have, the
    // address space or the state of a list of its mappings, until it is closed.
    let mm = unsafe {
        if MAPS.contains(&name) {
            bindings::ckpt_proc_maps_mm(file.as_ptr())
        } else if MEMORY.contains(&name) {
            bindings::ckpt_proc_mm(file.as_ptr())
        } else {
            return Ok(None);
        }
    };
    Ok(Some(core::ptr::eq(mm, super::mm::current_mm())))
}
