// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Owner, group and permissions of what has no path.

use crate::kapi::attr;
use crate::kapi::file::FileRef;
use crate::kapi::inode;
use kernel::prelude::*;

/// Sets owner, group and permissions, as far as they are not those of a new one.
pub(super) fn restore(new: &FileRef, (uid, gid): (u32, u32), mode: u32) -> Result {
    if attr::owner(new) != (uid, gid) {
        attr::set_owner(new, uid, gid)?;
    }
    if u32::from(inode::stat(new, true)?.mode) != mode {
        attr::set_mode(new, mode as u16 & 0o7777)?;
    }
    Ok(())
}
