// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Who has opened a file.
//!
//! An open file keeps the credentials of whoever has opened it, and the kernel asks for
//! them at some calls: addresses of the kernel in /proc, page frames in pagemap, some file
//! systems of a network. A restart opens files by the caller's rights, and then again as who
//! had opened them, so that what the caller may is not in the hands of a program that it
//! restarts. What a file is told when it is opened beside that, such as the namespaces, is the
//! caller's.
//!
//! Users and groups are those that the caller could take; capabilities, those of them that
//! the caller has. Who cannot be made, or was of another user namespace, is replaced by the
//! caller without capabilities.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format::files::file_kind as kind;
use crate::format::files::File;
use crate::format::task::Creds;
use crate::format::Hdr;
use crate::kapi::cred;
use crate::kapi::file::FileRef;
use crate::kapi::opener;
use crate::res;
use kernel::cred::Credential;
use kernel::prelude::*;
use kernel::sync::aref::ARef;

/// Does anybody ask?
fn matters(rec: &File) -> bool {
    matches!(
        rec.kind,
        kind::REGULAR | kind::DIRECTORY | kind::CHARDEV | kind::TTY
    )
}

/// The reference of who has opened `file`, for its record, writing that one's record when
/// it is met for the first time; 0 if nobody will ask.
pub(super) fn save(ctx: &mut SaveCtx, file: &FileRef, rec: &File) -> Outcome<u32> {
    let Some(who) = opener::opener(file).filter(|_| matters(rec)) else {
        return Ok(0);
    };
    // Most files have that of the one before.
    if ctx.opener.0 == who {
        return Ok(ctx.opener.1);
    }
    // The file keeps them, and is kept itself.
    let (objref, new) = ctx.objects.refer(who)?;
    if new {
        let (creds, groups) = opener::read(file)?;
        res::cred::write(ctx, objref, &creds, &groups)?;
    }
    ctx.opener = (who, objref);
    Ok(objref)
}

/// As whom a file is to be opened; nothing for the caller as it is.
pub(crate) type Opener = Option<ARef<Credential>>;

/// Makes the credentials, or fails as the calls would that change those of the caller.
fn make(creds: &Creds, groups: &[u32]) -> Result<Opener> {
    let (here, groups_here) = cred::read()?;
    // Those of a deeper user namespace are not worth as much here.
    let [_, permitted, effective, _, _] = if here.level < creds.level {
        [0; 5]
    } else {
        creds.caps
    };
    let [_, permitted_here, effective_here, _, _] = here.caps;
    let uids = |of: &Creds| [of.uid, of.euid, of.suid, of.fsuid];
    let gids = |of: &Creds| [of.gid, of.egid, of.sgid, of.fsgid];
    if !cred::has_names() {
        return Err(EINVAL);
    }
    let same_groups = *groups == *groups_here;
    if same_groups
        && (uids(creds), gids(creds)) == (uids(&here), gids(&here))
        && (permitted, effective) == (permitted_here, effective_here)
    {
        return Ok(None);
    }
    let mut new = cred::New::copy()?;
    if !same_groups {
        new.set_groups(groups)?;
    }
    new.set_gids(gids(creds))?;
    new.set_uids(uids(creds))?;
    new.limit_caps(effective, permitted);
    Ok(Some(new.into_opener()))
}

/// The caller without capabilities.
fn least() -> Outcome<Opener> {
    let mut new = cred::New::copy()?;
    new.limit_caps(0, 0);
    Ok(Some(new.into_opener()))
}

/// Reads the records of one who has opened files, whose pre-header is `hdr`.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, hdr: &Hdr) -> Outcome {
    let (creds, groups) = res::cred::read_behind(ctx, hdr)?;
    ensure(
        creds.seccomp == 0,
        EINVAL,
        "credentials of files have a mode of seccomp",
    )?;
    let opener = match make(&creds, &groups) {
        Ok(opener) => opener,
        Err(errno) if errno == ENOMEM || errno == EAGAIN => return Err(errno.into()),
        Err(_) => least()?,
    };
    ctx.openers
        .insert(hdr.parent, opener)
        .blame("an object reference is used twice")
}

/// As whom a file is to be opened.
pub(super) fn of(ctx: &RestoreCtx, rec: &File) -> Outcome<Opener> {
    if !matters(rec) {
        return Ok(None);
    }
    if rec.creds == 0 {
        return least();
    }
    let known = ctx.openers.get(rec.creds).cloned();
    known.ok_or(Failure::new(
        EINVAL,
        "reference to credentials that do not exist",
    ))
}
