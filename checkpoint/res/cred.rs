// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Credentials: ids, groups, capabilities, secure bits.
//!
//! Each task gets those that it had, as far as the caller could get them by system
//! calls; what it could not is refused by name. Keyrings, the label of a security module
//! and the user namespace stay those of the caller.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format;
use crate::format::task::Creds;
use crate::format::task::GROUPS_CHUNK;
use crate::format::Hdr;
use crate::format::IntoBytes;
use crate::image::Written;
use crate::kapi::cred;
use crate::kapi::seccomp as kseccomp;
use crate::res::seccomp;
use kernel::prelude::*;

/// Writes ids, capabilities and groups.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32) -> Outcome {
    let (mut creds, groups) = cred::read()?;
    creds.seccomp = kseccomp::mode();
    write(ctx, task, &creds, &groups)?;
    seccomp::save(ctx, task)
}

/// Writes the records of credentials that belong to `owner`.
pub(super) fn write(ctx: &mut SaveCtx, owner: u32, creds: &Creds, groups: &[u32]) -> Outcome {
    ctx.writer.record(owner, creds).written()?;
    for chunk in groups.chunks(GROUPS_CHUNK) {
        ctx.writer
            .bytes(format::GROUPS, owner, chunk.as_bytes())
            .written()?;
    }
    Ok(())
}

/// Credentials that were read.
pub(crate) struct Wanted {
    rec: Creds,
    groups: KVec<u32>,
    seccomp: seccomp::Ready,
}

/// Reads them, of a task that has no_new_privs or not.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, task: u32, no_new_privs: bool) -> Outcome<Wanted> {
    let (mut rec, groups) = read(ctx, task)?;
    let seccomp = seccomp::restore(ctx, task, rec.seccomp, no_new_privs)?;
    rec.seccomp = 0;
    Ok(Wanted {
        rec,
        groups,
        seccomp,
    })
}

/// Reads what [`write`] has written for `owner`.
fn read(ctx: &mut RestoreCtx, owner: u32) -> Outcome<(Creds, KVec<u32>)> {
    let rec: Creds = ctx.reader.record(owner)?;
    read_groups(ctx, owner, rec)
}

/// As the above, for whomever the pre-header `hdr` names.
pub(super) fn read_behind(ctx: &mut RestoreCtx, hdr: &Hdr) -> Outcome<(Creds, KVec<u32>)> {
    let rec: Creds = ctx.reader.body(hdr, hdr.parent)?;
    read_groups(ctx, hdr.parent, rec)
}

fn read_groups(ctx: &mut RestoreCtx, owner: u32, rec: Creds) -> Outcome<(Creds, KVec<u32>)> {
    let mut groups: KVec<u32> = KVec::from_elem(0, rec.ngroups as usize, GFP_KERNEL_ACCOUNT)?;
    for chunk in groups.chunks_mut(GROUPS_CHUNK) {
        ctx.reader
            .bytes(format::GROUPS, owner, chunk.as_mut_bytes())?;
    }
    Ok((rec, groups))
}

impl Wanted {
    /// Prepares them for the current task, which has those of the caller until it commits:
    /// so it opens its files as the caller.
    pub(crate) fn prepare(self) -> Outcome<Ready> {
        let (here, groups_here) = cred::read()?;
        let same_groups = self.groups == groups_here;
        let rec = &Creds {
            // That is not changed.
            level: here.level,
            ..self.rec
        };
        if same_groups && rec.as_bytes() == here.as_bytes() {
            return Ok(Ready {
                new: None,
                other_ids: false,
                seccomp: self.seccomp,
            });
        }
        let mut new = cred::New::copy()?;
        let [inheritable, permitted, effective, bounding, ambient] = rec.caps;
        if !same_groups {
            named("supplementary groups", new.set_groups(&self.groups))?;
        }
        named(
            "group ids",
            new.set_gids([rec.gid, rec.egid, rec.sgid, rec.fsgid]),
        )?;
        named(
            "user ids",
            new.set_uids([rec.uid, rec.euid, rec.suid, rec.fsuid]),
        )?;
        named(
            "capabilities",
            new.set_caps(effective, inheritable, permitted),
        )?;
        named("ambient capabilities", new.set_ambient(ambient))?;
        named("bounding set", new.set_bounding(bounding))?;
        named("secure bits", new.set_securebits(rec.securebits))?;
        let ids = |of: &Creds| [[of.uid, of.euid, of.suid], [of.gid, of.egid, of.sgid]];
        Ok(Ready {
            new: Some(new),
            other_ids: !same_groups || ids(rec) != ids(&here),
            seccomp: self.seccomp,
        })
    }
}

fn named(name: &str, done: Result) -> Outcome {
    done.map_err(|errno| {
        let why = if errno == EPERM {
            "the caller may not have the credentials of the image"
        } else if errno == EINVAL {
            "the caller's user namespace lacks ids of the image"
        } else {
            "the credentials of the image cannot be made"
        };
        Failure::new(errno, why)
            .about(name.as_bytes())
            .of(format::CREDS)
    })
}

/// Credentials that are ready, or nothing when they stay; and filters of system calls.
pub(crate) struct Ready {
    new: Option<cred::New>,
    other_ids: bool,
    seccomp: seccomp::Ready,
}

impl Ready {
    /// Fails with this reason, if there is one, when users or groups are others than the
    /// caller's.
    pub(crate) fn check_files(&self, tied_to_caller: Option<&'static str>) -> Outcome {
        match tied_to_caller.filter(|_| self.other_ids) {
            Some(why) => Err(Failure::new(EPERM, why)),
            None => Ok(()),
        }
    }

    /// Puts them in force. Cannot fail. What needs the caller's rights is done.
    pub(crate) fn commit(self) {
        if let Some(new) = self.new {
            new.commit();
        }
        self.seccomp.commit();
    }
}
