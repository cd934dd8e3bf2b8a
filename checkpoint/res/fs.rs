// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The file system view: umask, root and current directory.
//!
//! Tasks can share it by CLONE_FS: it is there once.
//!
//! All paths of an image are absolute in the mount namespace, also those of a
//! task in a chroot. Another root than the caller's needs CAP_SYS_CHROOT, as
//! chroot(2) does.

use super::namedfile;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Locate;
use crate::error::Outcome;
use crate::format::task::Fs;
use crate::image::Written;
use crate::kapi::file;
use crate::kapi::fs;
use crate::kapi::path::PathRef;
use crate::kapi::sharing::View;
use kernel::bindings::O_DIRECTORY;
use kernel::bindings::O_PATH;
use kernel::prelude::*;

/// Writes umask, root and current directory.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32, objref: u32) -> Outcome {
    let rec = Fs {
        umask: fs::umask(),
        nr_paths: 2,
        objref,
        reserved: 0,
    };
    ctx.writer.record(task, &rec).written()?;
    super::procfs::refuse(&PathRef::root())?;
    super::procfs::refuse(&PathRef::pwd())?;
    let gone = "the root directory has been removed";
    let root = name(&PathRef::root(), gone, b"root directory")?;
    let gone = "the current directory has been removed";
    let pwd = name(&PathRef::pwd(), gone, b"current directory")?;
    ctx.string(task, &root)?;
    ctx.string(task, &pwd)
}

/// The absolute name of a directory, by which it can be entered again; `gone` is said of
/// one that has been removed, and `which` tells one that has no name.
fn name(path: &PathRef, gone: &'static str, which: &[u8]) -> Outcome<KVec<u8>> {
    let name = path.name().map_err(|errno| match errno {
        ENOENT => Failure::new(EOPNOTSUPP, gone),
        // What name there is begins where its file system does: it would mislead.
        EINVAL => {
            let why = "a directory has no path in a file system";
            Failure::new(EOPNOTSUPP, why).about(which)
        }
        ENAMETOOLONG => Failure::new(errno, "the path of a directory is too long"),
        _ => Failure::new(errno, "the path of a directory cannot be found"),
    });
    name.and_then(|name| {
        ensure(!path.is_covered(), EOPNOTSUPP, namedfile::COVERED)?;
        ensure(!path.is_elsewhere(&name)?, EOPNOTSUPP, namedfile::ELSEWHERE)?;
        Ok(name)
    })
    .map_err(|failure: Failure| failure.about(&path.display_name()))
}

/// A directory by its absolute name, which the caller may enter.
fn directory(ctx: &RestoreCtx, name: &[u8]) -> Outcome<PathRef> {
    let flags = O_PATH | O_DIRECTORY;
    let dir = namedfile::open(ctx, name, flags, "a directory cannot be entered").about(name)?;
    ensure(
        file::may_search(&dir),
        EACCES,
        "a directory may not be entered",
    )
    .about(name)?;
    Ok(PathRef::of(&dir))
}

/// Takes over the view of another task, or reads it, finds the directories and goes
/// there.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, task: u32, objref: u32) -> Outcome<fs::NewFs> {
    if let Some(view) = ctx.views.get(objref) {
        return Ok(fs::NewFs::join(view));
    }
    let rec: Fs = ctx.reader.record(task)?;
    ensure(
        rec.objref == objref,
        EINVAL,
        "the file system view is another one than the task's",
    )?;
    let root_name = ctx.any_string(task)?;
    let pwd_name = ctx.any_string(task)?;
    let root = directory(ctx, &root_name)?;
    let pwd = directory(ctx, &pwd_name)?;
    if !root.is(&ctx.root) {
        root.may_be_root()
            .blame("another root directory needs CAP_SYS_CHROOT")
            .about(&root_name)?;
    }
    let new = fs::NewFs::begin(rec.umask, &root, &pwd)?;
    ctx.views
        .insert(objref, View::current())
        .blame("an object reference is used twice")?;
    Ok(new)
}

/// As [`restore`], for a thread that is still to be made: nothing changes for the
/// current task.
pub(crate) fn restore_for(ctx: &mut RestoreCtx, task: u32, objref: u32) -> Outcome<View> {
    let _until_here = restore(ctx, task, objref)?;
    Ok(View::current())
}
