// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Credentials: compared, not restored.
//!
//! Ids and capabilities of the caller must be those of the image; another
//! value is refused by name, whichever way it differs.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format;
use crate::format::task::Creds;
use crate::format::task::GROUPS_CHUNK;
use crate::format::IntoBytes;
use crate::image::Written;
use crate::kapi::cred;
use crate::kapi::task;
use kernel::prelude::*;

/// Writes ids, capabilities and groups.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32) -> Outcome {
    let (creds, groups) = cred::read()?;
    ctx.writer.record(task, &creds).written()?;
    for chunk in groups.chunks(GROUPS_CHUNK) {
        ctx.writer
            .bytes(format::GROUPS, task, chunk.as_bytes())
            .written()?;
    }
    Ok(())
}

/// Reads them and compares with the caller's.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, task: u32) -> Outcome {
    let (here, groups_here) = cred::read()?;
    let rec: Creds = ctx.reader.record(task)?;
    let mut groups: KVec<u32> = KVec::from_elem(0, rec.ngroups as usize, GFP_KERNEL)?;
    for chunk in groups.chunks_mut(GROUPS_CHUNK) {
        ctx.reader
            .bytes(format::GROUPS, task, chunk.as_mut_bytes())?;
    }
    let same = [
        (rec.uid == here.uid, "user id"),
        (rec.euid == here.euid, "effective user id"),
        (rec.suid == here.suid, "saved user id"),
        (rec.fsuid == here.fsuid, "file system user id"),
        (rec.gid == here.gid, "group id"),
        (rec.egid == here.egid, "effective group id"),
        (rec.sgid == here.sgid, "saved group id"),
        (rec.fsgid == here.fsgid, "file system group id"),
        (groups == groups_here, "supplementary groups"),
        (rec.securebits == here.securebits, "secure bits"),
        (rec.caps == here.caps, "capabilities"),
    ];
    for (ok, name) in same {
        if !ok {
            let failure = Failure::new(EPERM, "the caller's credentials differ from the image's");
            return Err(failure.about(name.as_bytes()));
        }
    }
    ensure(
        !task::has_seccomp(),
        EPERM,
        "the caller has seccomp, the image has not",
    )
}
