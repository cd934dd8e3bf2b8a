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
use crate::freeze::Parked;
use crate::image::ImageSink;
use crate::image::ImageWriter;
use crate::image::Written;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::file::ImageFile;
use crate::kapi::mm;
use crate::kapi::pages::PageBatch;
use crate::kapi::park;
use crate::kapi::refuse;
use crate::kapi::sched;
use crate::kapi::signal;
use crate::kapi::task;
use crate::objhash::Saved;
use crate::res;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::atomic::Atomic;
use kernel::sync::atomic::Relaxed;
use kernel::task::Task;

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
    /// The task did not ask for it: it is at no certain call.
    pub(crate) outside: bool,
    /// Identifier of the image.
    pub(crate) crid: i32,
}

/// Refuses a task that has state which cannot be saved.
fn check(ctx: &SaveCtx) -> Outcome {
    ensure(
        // Whoever asked from outside was checked.
        ctx.outside || task::is_dumpable() || task::capable(task::CAP_SYS_PTRACE),
        EPERM,
        "the task is not dumpable",
    )?;
    let odd = refuse::unsupported()
        .or_else(arch::cpu::unsupported)
        .or_else(mm::unsupported)
        .or_else(signal::timer);
    if let Some(why) = odd {
        return Err(Failure::new(EOPNOTSUPP, why));
    }
    // Refused before the first byte, and looked at anew when they are written.
    res::pending::look().map(|_| ())
}

/// Writes an image of the calling task to `image`, and returns its identifier.
pub(crate) fn checkpoint_self(image: FileRef, flags: usize) -> Outcome<i32> {
    let mut ctx = SaveCtx::new(&image, flags, false)?;
    ctx.writer.sink().write_to(ImageFile::new(image));
    let _quiet = sched::Quiet::enter();
    ctx.save_current()?;
    Ok(ctx.crid)
}

/// Writes an image of another task to `image`, and returns its identifier.
///
/// The task stands still from before the first byte until behind the last one.
/// `then` is done while it does so.
pub(crate) fn checkpoint_other(
    task: ARef<Task>,
    image: FileRef,
    flags: usize,
    then: impl FnOnce(&Task),
) -> Outcome<i32> {
    let mut ctx = SaveCtx::new(&image, flags, true)?;
    let parked = Parked::new(task.clone())?;
    // It may have become somebody else in the meantime.
    ensure(park::may_trace(&task), EPERM, "no right to the task")?;
    if let Some(name) = park::other_namespace(&task) {
        return Err(
            Failure::new(EOPNOTSUPP, "the task is in another namespace").about(name.as_bytes())
        );
    }
    // Whoever shares the open file has moved it until now.
    ctx.image_start = file::position(&image);
    let (ctx, done) = parked.save(ctx, &ImageFile::new(image));
    done?;
    then(&task);
    Ok(ctx.map_or(0, |ctx| ctx.crid))
}

impl SaveCtx {
    fn new(image: &FileRef, flags: usize, outside: bool) -> Result<Self> {
        Ok(Self {
            image: file::identity(image),
            image_start: file::position(image),
            writer: ImageWriter::new(ImageSink::new()?),
            objects: Saved::new(),
            batch: PageBatch::new()?,
            flags: flags as u32,
            outside,
            crid: 0,
        })
    }

    /// Writes the image of the current task.
    pub(crate) fn save_current(&mut self) -> Outcome {
        if self.outside {
            arch::cpu::settle();
        }
        check(self)
            .and_then(|()| self.run())
            .inspect_err(|failure| {
                // Whoever finds this image later learns why it ends here. If it
                // cannot be written at all, the errno remains.
                let record = failure.record(task::pid_in_ns() as u32);
                let _ = self.writer.record(0, &record);
                let _ = self.writer.sink().flush();
            })
    }

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
