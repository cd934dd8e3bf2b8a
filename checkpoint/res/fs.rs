// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The file system view: umask, root and current directory.
//!
//! Both are saved by their absolute names. Another root than the caller's
//! needs CAP_SYS_CHROOT, as chroot(2) does.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Locate;
use crate::error::Outcome;
use crate::format::task::Fs;
use crate::image::Written;
use crate::kapi::file;
use crate::kapi::fs;
use crate::kapi::path::PathRef;
use kernel::bindings::O_DIRECTORY;
use kernel::bindings::O_PATH;
use kernel::prelude::*;

/// Writes umask, root and current directory.
pub(crate) fn save(ctx: &mut SaveCtx, task: u32) -> Outcome {
    let rec = Fs {
        umask: fs::umask(),
        nr_paths: 2,
        reserved: 0,
    };
    ctx.writer.record(task, &rec).written()?;
    let root = ctx
        .root
        .name(None)
        .why("the root directory has no name")?;
    let pwd = PathRef::pwd()
        .name(Some(&ctx.root))
        .why("the current directory has been removed or is outside of the root")?;
    ctx.string(task, &root)?;
    ctx.string(task, &pwd)
}

/// A directory by name, below `root`.
pub(crate) fn directory(root: &PathRef, name: &[u8]) -> Outcome<PathRef> {
    let dir = file::open(root, name, O_PATH | O_DIRECTORY)
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

/// Reads the view, finds the directories and prepares them.
pub(crate) fn restore(ctx: &mut RestoreCtx, task: u32) -> Outcome<fs::NewFs> {
    let rec: Fs = ctx.reader.record(task)?;
    let root = ctx.any_string(task)?;
    let pwd = ctx.any_string(task)?;
    let here = ctx.root.name(None).why("the root directory has no name")?;
    ensure(
        here == root,
        EPERM,
        "the image has another root directory than the caller",
    )
    .about(&root)?;
    let pwd = directory(&ctx.root, &pwd)?;
    Ok(fs::NewFs::new(rec.umask, &ctx.root, &pwd)?)
}
