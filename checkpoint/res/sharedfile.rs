// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Shared mappings of files: their contents are the file's.
//!
//! What the task has written through a mapping is in the page cache, which
//! stays, and it is written back before the image is complete: an image must
//! not outlive the data that it relies on. That takes as long as fsync(2).
//!
//! A file may be written to from now on, so that its time says nothing. When a
//! private mapping shows it as well, it must not change, as any other. So files
//! of private mappings come first and are marked as such.

use crate::ctx::save::SaveCtx;
use crate::error::Explain;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::kapi::file;
use crate::kapi::path;
use crate::kapi::vma::Info;
use crate::objhash::Saved;

/// Writes back what was written through shared mappings, and writes the records of
/// the files that have private ones, if there is a file that has both.
#[inline(never)]
pub(crate) fn prepare(ctx: &mut SaveCtx, list: &[Info]) -> Outcome {
    if !list.iter().any(Info::is_shared_file) {
        return Ok(());
    }
    let mut done = Saved::new();
    for info in list.iter().filter(|info| info.is_written_through()) {
        let Some(file) = &info.file else { continue };
        // A mapping in the list holds each file, and with it the inode.
        if done.refer(file::inode_identity(file))?.1 {
            file::write_back(file)
                .why("what was written to a mapped file cannot be written back")
                .map_err(|f| f.about(&path::display_name(file)).of(format::VMA))
                .at(Place::Range(info.start, info.end))?;
        }
    }
    for info in list.iter().filter(|info| info.is_private_file()) {
        let Some(file) = &info.file else { continue };
        super::file::save(ctx, file, None).at(Place::Range(info.start, info.end))?;
    }
    Ok(())
}
