// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Files in the directories of processes in procfs.
//!
//! Their paths hold the id of a process, which may have another one after a restart.
//! What they show is read anew. Some are tied to the memory that the process had when they
//! were opened: a process can have those of its own memory, which it has rebuilt before it
//! opens files.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Text;
use crate::format::files::File;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::path::PathRef;
use crate::kapi::procfs;
use crate::kapi::procfs::Inside;
use crate::kapi::task;
use core::fmt::Write;
use kernel::bindings::O_PATH;
use kernel::prelude::*;

/// What is below these is of a thread, of a descriptor, of a mapping: it need not be
/// there when the file is opened again.
const NOTHING_BELOW: [&[u8]; 5] = [b"task", b"fd", b"fdinfo", b"map_files", b"ns"];
/// Tied to what nobody can ask for, when they are opened.
const TIED: [&[u8]; 7] = [
    b"mounts",
    b"mountinfo",
    b"mountstats",
    b"attr",
    b"uid_map",
    b"gid_map",
    b"projid_map",
];

/// The process in whose directory a file is, and where its id begins in the path; zeros
/// for none.
pub(super) fn look(ctx: &SaveCtx, file: &FileRef, name: &[u8]) -> Outcome<(u32, u32)> {
    const NO: &str = "this file of a process in procfs is not supported";
    let inside = procfs::look(&PathRef::of(file)).why(NO)?;
    let found = inside.as_ref().and_then(|at| Some((at, at.process()?)));
    let Some((inside, (pid, rest))) = found else {
        return Ok((0, 0));
    };
    ensure(
        inside.own && ctx.processes.binary_search(&pid).is_ok(),
        EOPNOTSUPP,
        "a file in procfs of a process that is not in the image is not supported",
    )?;
    // Another part of procfs may be mounted here.
    let mount = name.strip_suffix(&*inside.name);
    let mount = mount.ok_or(Failure::new(EOPNOTSUPP, NO))?;
    let mut parts = rest.split(|c| *c == b'/').filter(|part| !part.is_empty());
    let (first, below) = (parts.next().unwrap_or_default(), parts.next().is_some());
    ensure(!below || !NOTHING_BELOW.contains(&first), EOPNOTSUPP, NO)?;
    // What is open for its location only is tied to nothing.
    ensure(
        file::flags(file) & O_PATH != 0 || !TIED.contains(&first),
        EOPNOTSUPP,
        NO,
    )?;
    // A program may have been executed since it was opened.
    let own = procfs::is_own_memory(file).why(NO)?;
    ensure(
        own.is_none_or(|own| own && pid == task::ids().tgid as u32),
        EOPNOTSUPP,
        "a file in procfs of other memory than the process's own is not supported",
    )?;
    // Behind the slash.
    Ok((pid, mount.len().saturating_add(1) as u32))
}

/// Refuses a directory of a process: it has no record that could tell of that.
pub(super) fn refuse(dir: &PathRef) -> Outcome {
    const NO: &str = "a root or current directory in procfs of a process is not supported";
    let inside = procfs::look(dir).why(NO)?;
    let process = inside.as_ref().and_then(Inside::process);
    ensure(process.is_none(), EOPNOTSUPP, NO)
}

/// The path of a file in the directory of a process, with the id that this one has now.
pub(super) fn renamed(ctx: &RestoreCtx, rec: &File, name: &[u8]) -> Outcome<KVec<u8>> {
    let bad = || Failure::new(EINVAL, "the path of a file has no process where it should");
    let at = (rec.pid_at as usize).checked_sub(1).ok_or_else(bad)?;
    let (mount, inner) = name.split_at_checked(at).ok_or_else(bad)?;
    let (pid, rest) = procfs::process_of(inner).ok_or_else(bad)?;
    ensure(
        pid == rec.pid,
        EINVAL,
        "the path of a file names another process",
    )?;
    let mut digits = [0u8; 16];
    let mut text = Text::new(&mut digits);
    // There is room for any number.
    let _ = write!(text, "/{}", ctx.number_of(pid)?);
    let mut path = KVec::new();
    for part in [mount, text.done(), rest] {
        path.extend_from_slice(part, GFP_KERNEL)?;
    }
    Ok(path)
}

/// Whether what was opened is in the directory of that process.
pub(super) fn check(ctx: &RestoreCtx, rec: &File, file: &FileRef) -> Outcome {
    let inside = procfs::look(&PathRef::of(file)).why("the path of a file cannot be found")?;
    let found = inside.as_ref().and_then(Inside::process);
    let number = ctx.number_of(rec.pid)?;
    ensure(
        found.is_some_and(|(pid, _)| pid == number),
        ESTALE,
        "a file of a process in procfs is not one of that process any more",
    )
}
