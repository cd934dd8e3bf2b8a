// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! One checkpoint, from the first look to the trailer.
//!
//! Nothing that the task could notice is changed. What cannot be saved is
//! refused, most of it before the first byte is written; a failure on the way
//! ends the image with an error record.

use crate::arch;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place;
use crate::image::FileSink;
use crate::image::ImageWriter;
use crate::image::Written;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::mm;
use crate::kapi::pages::PageBatch;
use crate::kapi::signal;
use crate::kapi::task;
use crate::objhash::Saved;
use crate::res;
use kernel::prelude::*;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;

/// Identifier of the last image since boot.
static LAST_CRID: Atomic<i32> = Atomic::new(0);

/// The next identifier: positive, one more than the last.
fn next_crid() -> i32 {
    // After 2^31 - 1 images the identifiers begin anew; 0 is none.
    loop {
        let crid = LAST_CRID.fetch_add(1, Relaxed).wrapping_add(1) & i32::MAX;
        if crid != 0 {
            return crid;
        }
    }
}

/// State of one checkpoint.
pub(crate) struct SaveCtx {
    /// The stream.
    pub(crate) writer: ImageWriter,
    /// References of shared objects.
    pub(crate) objects: Saved,
    /// Identity of the file that the image goes to.
    pub(crate) image: usize,
    /// Its position before the image.
    pub(crate) image_start: i64,
    /// Pages on their way.
    pub(crate) batch: PageBatch,
    /// Flags of the system call.
    pub(crate) flags: u32,
    /// Identifier of the image.
    pub(crate) crid: i32,
}

/// Refuses a task that has state which cannot be saved.
fn check() -> Outcome {
    ensure(
        task::is_dumpable() || task::capable(task::CAP_SYS_PTRACE),
        EPERM,
        "the task is not dumpable",
    )?;
    let odd = task::unsupported()
        .or_else(arch::cpu::unsupported)
        .or_else(mm::unsupported)
        .or_else(signal::timer);
    if let Some(why) = odd {
        return Err(Failure::new(EOPNOTSUPP, why));
    }
    let pending = signal::pending();
    ensure(
        pending == 0,
        EOPNOTSUPP,
        "a pending signal is not supported",
    )
    .map_err(|f| {
        f.at(Place::Number(
            u64::from(pending.trailing_zeros()).wrapping_add(1),
        ))
    })
}

/// Writes an image of the calling task to `image`, and returns its identifier.
pub(crate) fn checkpoint(image: FileRef, flags: usize) -> Outcome<i32> {
    let mut ctx = SaveCtx {
        image: file::identity(&image),
        image_start: file::position(&image),
        writer: ImageWriter::new(FileSink::new(image)?),
        objects: Saved::new(),
        batch: PageBatch::new()?,
        flags: flags as u32,
        crid: 0,
    };
    match check().and_then(|()| ctx.run()) {
        Ok(()) => Ok(ctx.crid),
        Err(failure) => {
            // Whoever finds this image later learns why it ends here. If it
            // cannot be written at all, the errno remains.
            let record = failure.record(task::pid_in_ns() as u32);
            let _ = ctx.writer.record(0, &record);
            let _ = ctx.writer.sink().flush();
            Err(failure)
        }
    }
}

impl SaveCtx {
    fn run(&mut self) -> Outcome {
        self.crid = next_crid();
        res::head::save(self)?;
        let task = res::task::save(self)?;
        res::mm::save(self, task)?;
        res::thread::save(self, task)?;
        res::fs::save(self, task)?;
        res::fdtable::save(self, task)?;
        res::signal::save(self, task)?;
        res::cred::save(self, task)?;
        res::rlimit::save(self, task)?;
        self.writer.tail().written()?;
        self.writer.sink().flush().written()
    }

    /// Writes a string that belongs to `parent`.
    pub(crate) fn string(&mut self, parent: u32, text: &[u8]) -> Outcome {
        self.writer
            .bytes(crate::format::STR, parent, text)
            .written()
    }
}
