// SPDX-License-Identifier: GPL-2.0

//! Credentials that files were opened with.

use super::cred::named;
use super::cred::read_from;
use super::file::FileRef;
use crate::format::task::Creds;
use kernel::bindings;
use kernel::cred::Credential;
use kernel::prelude::*;

/// What tells those who have opened files apart, as long as the files are there; nothing
/// for those of another user namespace than the current task's, or without a name in it.
pub(crate) fn opener(file: &FileRef) -> Option<usize> {
    // SAFETY: The reference keeps the file, which keeps its credentials, and these their
    // namespace: none of it changes.
    unsafe {
        let cred = (*file.as_ptr()).f_cred;
        let here = core::ptr::eq((*cred).user_ns, bindings::ckpt_user_ns());
        (here && named(&*cred)).then_some(cred as usize)
    }
}

/// The credentials that a file was opened with, in the current task's user namespace.
pub(crate) fn read(file: &FileRef) -> Result<(Creds, KVec<u32>)> {
    // SAFETY: As in opener().
    let cred = unsafe { Credential::from_ptr((*file.as_ptr()).f_cred) };
    read_from(cred)
}
