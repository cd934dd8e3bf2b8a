// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The descriptor table: numbers, close-on-exec, and which share a file.
//!
//! Tasks can share it by CLONE_FILES: it is there once.

use super::filelock::Told;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format::files::FdEnt;
use crate::format::files::Files;
use crate::image::Written;
use crate::kapi::file;
use crate::kapi::fs;
use crate::kapi::fs::NewFiles;
use crate::kapi::path;
use crate::kapi::sharing::Table;
use kernel::prelude::*;

/// Refuses a table with the other end of what the image goes to: whoever is to read it
/// stands still, and all would wait for each other. Refuses also what is refused whatever
/// else there is. Notes what can be read by it.
pub(crate) fn check(ctx: &mut SaveCtx) -> Outcome {
    let mut next = 0;
    while let Some((fd, file, _)) = fs::next_fd(next) {
        ctx.pipes.look(&file)?;
        ctx.sockets.look(&file)?;
        next = fd.saturating_add(1);
        crate::kapi::sched::breathe()?;
        if file::identity(&file) == ctx.image {
            continue;
        }
        let named = |failure: Failure| {
            let failure = failure.at(Place::Fd(fd));
            failure
                .about(&path::display_name(&file))
                .of(crate::format::FILE)
        };
        let refuse = |errno, why| Err(named(Failure::new(errno, why)));
        super::file::check_told(&file).map_err(named)?;
        if let Some(why) = super::filekind::refuse_early(&file) {
            return refuse(EOPNOTSUPP, why);
        }
        if !ctx.image_on.is_pipe && !ctx.image_on.is_socket {
            continue;
        }
        let same = ctx.image_on.is_on(&file) && file::may_read(&file);
        if same || ctx.image_on.is_received_by(&file) {
            return refuse(
                EDEADLK,
                "a process of the image is to read it, and stands still",
            );
        }
    }
    Ok(())
}

/// Writes the table, with the files that were not met before.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32, table: u32) -> Outcome {
    let mut nr_fds = 0u32;
    let mut next = 0;
    while let Some((fd, _, _)) = fs::next_fd(next) {
        nr_fds = nr_fds.saturating_add(1);
        next = fd.saturating_add(1);
    }
    let rec = Files {
        objref: table,
        nr_fds,
        reserved: 0,
    };
    super::valid(&rec)?;
    ctx.writer.record(task, &rec).written()?;
    next = 0;
    let mut told = Told::new();
    while let Some((fd, file, cloexec)) = fs::next_fd(next) {
        let objref = super::file::save(ctx, &file, Some(fd)).at(Place::Fd(fd))?;
        let locks = told.locks(ctx, &file).at(Place::Fd(fd))?;
        let entry = FdEnt {
            fd,
            file: objref,
            flags: cloexec.into(),
            nr_locks: locks.len() as u32,
        };
        ctx.writer.record(table, &entry).written()?;
        super::filelock::save(ctx, table, &locks)?;
        next = fd.saturating_add(1);
        crate::kapi::sched::breathe()?;
    }
    Ok(())
}

/// Takes over the table of another task, or reads it and builds a new one aside.
#[inline(never)]
pub(crate) fn restore(
    ctx: &mut RestoreCtx,
    task: u32,
    objref: u32,
    goes_back: bool,
) -> Outcome<NewFiles> {
    if let Some(table) = ctx.tables.get(objref) {
        return Ok(NewFiles::join(table, goes_back));
    }
    let rec: Files = ctx.reader.record(task)?;
    ensure(
        rec.objref == objref,
        EINVAL,
        "the descriptor table is another one than the task's",
    )?;
    let table = NewFiles::begin(goes_back)?;
    let mut last = None;
    for _ in 0..rec.nr_fds {
        let hdr = ctx.header_after_files()?;
        let entry: FdEnt = ctx.reader.body(&hdr, rec.objref)?;
        ensure(
            last.is_none_or(|last| entry.fd > last),
            EINVAL,
            "descriptors are not in order",
        )?;
        last = Some(entry.fd);
        let file = ctx.file(entry.file)?;
        table
            .install(entry.fd, file, entry.flags & 1 != 0)
            .map_err(|errno| {
                if errno == EBADF {
                    Failure::new(EMFILE, "a descriptor is above the caller's RLIMIT_NOFILE")
                } else {
                    Failure::new(errno, "a descriptor cannot be installed")
                }
            })
            .at(Place::Fd(entry.fd))?;
        super::filelock::restore(ctx, rec.objref, &entry).at(Place::Fd(entry.fd))?;
    }
    ctx.tables
        .insert(objref, Table::current())
        .blame("an object reference is used twice")?;
    Ok(table)
}

/// As [`restore`], for a thread that is still to be made: nothing changes for the
/// current task.
pub(crate) fn restore_for(ctx: &mut RestoreCtx, task: u32, objref: u32) -> Outcome<Table> {
    let _until_here = restore(ctx, task, objref, true)?;
    Ok(Table::current())
}
