// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The file system view: umask, root and current directory.
//!
//! All paths of an image are absolute in the mount namespace, also those of a
//! task in a chroot. Another root than the caller's needs CAP_SYS_CHROOT, as
//! chroot(2) does.

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
use crate::kapi::task;
use kernel::bindings::O_DIRECTORY;
use kernel::bindings::O_PATH;
use kernel::prelude::*;

/// Writes umask, root and current directory.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32) -> Outcome {
    let rec = Fs {
        umask: fs::umask(),
        nr_paths: 2,
        reserved: 0,
    };
    ctx.writer.record(task, &rec).written()?;
    let name = |path: PathRef, why| {
        path.name().map_err(|errno| {
            let gone = errno == ENOENT;
            Failure::new(if gone { EOPNOTSUPP } else { errno }, why)
        })
    };
    let root = name(PathRef::root(), "the root directory has been removed")?;
    let pwd = name(PathRef::pwd(), "the current directory has been removed")?;
    ctx.string(task, &root)?;
    ctx.string(task, &pwd)
}

/// A directory by its absolute name, which the caller may enter.
fn directory(ctx: &RestoreCtx, name: &[u8]) -> Outcome<PathRef> {
    let below = ctx.below_root(name).about(name)?;
    let dir = file::open(&ctx.root, below, O_PATH | O_DIRECTORY)
        .why("a directory cannot be entered")
        .about(name)?;
    ensure(
        file::may_search(&dir),
        EACCES,
        "a directory may not be entered",
    )
    .about(name)?;
    Ok(PathRef::of(&dir))
}

/// Reads the view, finds the directories and goes there.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, task: u32) -> Outcome<fs::NewFs> {
    let rec: Fs = ctx.reader.record(task)?;
    let root_name = ctx.any_string(task)?;
    let pwd_name = ctx.any_string(task)?;
    let root = directory(ctx, &root_name)?;
    let pwd = directory(ctx, &pwd_name)?;
    ensure(
        root.is(&ctx.root) || task::ns_capable(task::CAP_SYS_CHROOT),
        EPERM,
        "another root directory needs CAP_SYS_CHROOT",
    )
    .about(&root_name)?;
    Ok(fs::NewFs::begin(rec.umask, &root, &pwd)?)
}
