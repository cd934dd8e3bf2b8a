// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Mappings of files: what is not in the image is the file's.
//!
//! What a task has written through a shared mapping is in the page cache, which
//! stays, and it is written back before the image begins: an image must
//! not outlive the data that it relies on. So is what anybody has written to a file
//! of which pages are mapped privately. That takes as long as fsync(2).
//!
//! Writing back can change the time of a file, by which a private mapping of
//! another process knows its contents again. So it is done for all processes
//! before the first one is saved, and when none will be refused: fsync(2) is waited for
//! whatever happens, and one that stands still may serve the disk.

use crate::ctx::save::SaveCtx;
use crate::error::Explain;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::kapi::file;
use crate::kapi::inode;
use crate::kapi::mm;
use crate::kapi::path;
use crate::kapi::vma;

/// Notes whether the current process has something to write back.
pub(crate) fn look(ctx: &mut SaveCtx) -> Outcome {
    if !ctx.writes_back {
        ctx.writes_back = !vma::unwritten_files(&mm::ReadLock::current()?)?.is_empty();
    }
    Ok(())
}

/// Writes back what may not be on the disk of the files that the current process maps.
#[inline(never)]
pub(crate) fn write_back(ctx: &mut SaveCtx) -> Outcome {
    let list = vma::unwritten_files(&mm::ReadLock::current()?)?;
    for (range, file) in &list {
        // The mapping holds the inode as long as the process stands still.
        if ctx.written_back.refer(inode::identity(file))?.1 {
            file::write_back(file)
                .why("what was written to a mapped file cannot be written back")
                .map_err(|f| f.about(&path::display_name(file)).of(format::VMA))
                .at(Place::Range(range.start, range.end))?;
        }
    }
    Ok(())
}
