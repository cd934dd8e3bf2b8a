// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! One checkpoint, from the first look to the trailer.
//!
//! Nothing that a task could notice is changed. What cannot be saved is
//! refused, most of it before the first byte is written; a failure on the way
//! ends the image with an error record.
//!
//! Each task saves itself, one after the other: the context is handed from the
//! caller to the task and back.

use crate::arch;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::herd;
use crate::herd::Member;
use crate::image::ImageSink;
use crate::image::ImageWriter;
use crate::image::Written;
use crate::kapi::common::Known;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::imagefile::ImageFile;
use crate::kapi::inode;
use crate::kapi::mm;
use crate::kapi::pages::PageBatch;
use crate::kapi::refuse;
use crate::kapi::sched;
use crate::kapi::sharing;
use crate::kapi::sharing::Shared;
use crate::kapi::task;
use crate::objhash::Saved;
use crate::res;
use kernel::prelude::*;
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

/// What a task does for an image.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Looks whether it can be saved at all.
    Check,
    /// Writes back what the image relies on.
    WriteBack,
    /// Saves itself.
    Save,
}

/// State of one checkpoint.
pub(crate) struct SaveCtx {
    /// The stream.
    pub(crate) writer: ImageWriter,
    /// References of shared objects.
    pub(crate) objects: Saved,
    /// Who has opened the last file, and the reference.
    pub(crate) opener: (usize, u32),
    /// Open files whose own locks were told.
    pub(crate) locked: Saved,
    /// Pipes, and who has them.
    pub(crate) pipes: res::holders::Met,
    /// Local sockets.
    pub(crate) sockets: res::socket::Met,
    /// The processes of the image, by their ids.
    pub(crate) processes: KVVec<u32>,
    /// The signal that has stopped the process at hand, or 0.
    pub(crate) stopped_by: u32,
    /// What the task at hand had used when its record was written.
    pub(crate) counted: res::used::Counted,
    /// How deep we are in epolls that watch epolls.
    pub(crate) nests: u32,
    /// Identity of the file that the image goes to.
    pub(crate) image: usize,
    /// What it is open on.
    pub(crate) image_on: inode::On,
    /// Its position before the image.
    pub(crate) image_start: i64,
    /// Which timers have sent signals to threads that are still to be saved.
    pub(crate) sent: res::timer::Sending,
    /// There is something to write back.
    pub(crate) writes_back: bool,
    /// Files that were written back, by their inodes.
    pub(crate) written_back: Saved,
    /// Pages on their way.
    pub(crate) batch: PageBatch,
    /// Pages that several may have.
    pub(crate) known: Known,
    /// Flags of the system call.
    pub(crate) flags: u32,
    /// The task did not ask for it: it is at no certain call.
    pub(crate) outside: bool,
    /// There is no other task in the image.
    alone: bool,
    /// Identifier of the image.
    pub(crate) crid: i32,
}

/// Something that tasks can share.
pub(crate) struct Reference {
    pub(crate) objref: u32,
    /// No task before this one has it.
    new: bool,
}

/// What the current task may share with others of the image.
pub(crate) struct References {
    pub(crate) mm: Reference,
    pub(crate) files: Reference,
    pub(crate) fs: Reference,
    pub(crate) handlers: Reference,
}

impl References {
    fn new(objects: &mut Saved) -> Result<Self> {
        // All tasks stand still, and keep what they have.
        let now = Shared::of_current();
        let mut refer = |addr| {
            let (objref, new) = objects.refer(addr)?;
            Ok::<_, Error>(Reference { objref, new })
        };
        Ok(Self {
            mm: refer(now.mm)?,
            files: refer(now.files)?,
            fs: refer(now.fs)?,
            handlers: refer(now.handlers)?,
        })
    }
}

/// Refuses a task that has state which cannot be saved.
fn check(ctx: &mut SaveCtx) -> Outcome {
    ensure(
        // Whoever asked from outside was checked.
        ctx.outside
            || task::dumpable() == task::Dumpable::Owner
            || task::capable(task::CAP_SYS_PTRACE),
        EPERM,
        "the task is not dumpable",
    )?;
    let first = task::is_first_thread();
    let mut odd = refuse::unsupported().or_else(arch::refuse::unsupported);
    // Most threads have what the first one has.
    if first || !sharing::like_first_thread() {
        odd = odd.or_else(|| sharing::with_outsiders(&ctx.processes));
    }
    if first {
        odd = odd.or_else(mm::unsupported);
    }
    if let Some(why) = odd {
        return Err(Failure::new(EOPNOTSUPP, why));
    }
    // Looked at anew when they are written.
    res::seccomp::check()?;
    res::pending::look()?;
    if first || !sharing::like_first_thread() {
        res::fdtable::check(ctx)?;
    }
    if first {
        res::sharedfile::look(ctx)?;
    }
    Ok(())
}

/// Writes an image of a process and all below it to `image`, and returns its
/// identifier.
///
/// All tasks but the caller stand still from before the first byte until behind the
/// last one. `then` is done while they do so.
pub(crate) fn checkpoint(
    top: &Task,
    image: FileRef,
    flags: usize,
    then: impl FnOnce(&[Member]),
) -> Outcome<i32> {
    // Whoever reads it may be one of those that stand still.
    ensure(
        !inode::On::of(&image).is_terminal,
        EINVAL,
        "an image cannot go to a terminal",
    )?;
    let members = herd::gather(top)?;
    let ctx = SaveCtx::new(&image, flags, &members)?;
    // What others do that are visited must not end the image.
    let _quiet = sched::Quiet::enter();
    let mut course = Course {
        ctx: Some(ctx),
        file: ImageFile::new(image),
    };
    match course.run(&members) {
        Ok(crid) => {
            then(&members);
            Ok(crid)
        }
        Err(failure) => Err(course.fail(failure, members.first())),
    }
}

/// The way of one context through all tasks.
struct Course {
    /// It is gone when a task was killed that had it.
    ctx: Option<KBox<SaveCtx>>,
    file: ImageFile,
}

impl Course {
    fn run(&mut self, members: &[Member]) -> Outcome<i32> {
        // Refused before the first byte.
        self.each(members, Part::Check)?;
        // Behind all that is refused so far: who could keep the disk waiting is not among the
        // members, as far as their descriptors tell.
        if self.ctx()?.writes_back {
            self.each(members, Part::WriteBack)?;
        }
        let ctx = self.ctx()?;
        ctx.crid = next_crid();
        res::head::save(ctx, members.len())?;
        for member in members {
            ctx.writer.record(0, &member.entry).written()?;
        }
        self.each(members, Part::Save)?;
        let ctx = self.ctx()?;
        ctx.sockets.check()?;
        ctx.pipes.check()?;
        ctx.writer.tail().written()?;
        ctx.writer.sink().flush().written()?;
        Ok(ctx.crid)
    }

    /// The context, in the hands of the caller.
    fn ctx(&mut self) -> Outcome<&mut SaveCtx> {
        let ctx = self.ctx.as_deref_mut().ok_or(ESRCH)?;
        ctx.writer.sink().write_to(self.file.clone());
        Ok(ctx)
    }

    /// Has each task do its part.
    fn each(&mut self, members: &[Member], part: Part) -> Outcome {
        for member in members {
            self.one(member, part)
                .map_err(|f| f.of_task(member.entry.pid))?;
        }
        Ok(())
    }

    fn one(&mut self, member: &Member, part: Part) -> Outcome {
        match &member.part {
            herd::Part::Caller => {
                let ctx = self.ctx()?;
                ctx.outside = false;
                ctx.perform(part)
            }
            herd::Part::Zombie(_) if part != Part::Save => Ok(()),
            herd::Part::Zombie(task) => res::task::save_zombie(self.ctx()?, &member.entry, task),
            herd::Part::Parked(parked) => {
                let mut ctx = self.ctx.take().ok_or(ESRCH)?;
                ctx.outside = true;
                let (ctx, done) = parked.perform(ctx, part, &self.file);
                self.ctx = ctx;
                done
            }
        }
    }

    /// Whoever finds this image later learns why it ends here. If that cannot be
    /// written at all, the errno remains.
    fn fail(&mut self, failure: Failure, first: Option<&Member>) -> Failure {
        if let Ok(ctx) = self.ctx() {
            let pid = match failure.pid {
                0 => first.map_or(0, |member| member.entry.pid),
                pid => pid,
            };
            let record = failure.record(pid);
            let _ = ctx.writer.record(0, &record);
            let _ = ctx.writer.sink().flush();
        }
        failure
    }
}

impl SaveCtx {
    #[inline(never)]
    fn new(image: &FileRef, flags: usize, members: &[Member]) -> Result<KBox<Self>> {
        let mut processes = KVVec::new();
        for member in members.iter().filter(|member| member.entry.is_process()) {
            processes.push(member.entry.pid, GFP_KERNEL)?;
        }
        processes.sort_unstable();
        let one_space = members.iter().filter(|member| member.has_memory()).count() < 2;
        let ctx = Self {
            image: file::identity(image),
            image_on: inode::On::of(image),
            writes_back: false,
            written_back: Saved::new(),
            // Whoever shares the open file has moved it until now.
            image_start: file::position(image),
            writer: ImageWriter::new(ImageSink::new()?),
            objects: Saved::new(),
            opener: (0, 0),
            locked: Saved::new(),
            pipes: res::holders::Met::new(),
            sockets: res::socket::Met::new(),
            processes,
            stopped_by: 0,
            counted: res::used::Counted::default(),
            nests: 0,
            sent: res::timer::Sending::none(),
            batch: PageBatch::new()?,
            known: Known::new(one_space),
            flags: flags as u32,
            outside: false,
            alone: members.len() == 1,
            crid: 0,
        };
        Ok(KBox::new(ctx, GFP_KERNEL)?)
    }

    /// May whoever serves a file, a process or another machine, be asked for its attributes?
    /// A server that stands still does not answer, and the task could not go on.
    pub(crate) fn may_ask(&self) -> bool {
        self.alone && !self.outside
    }

    /// Does the current task's part of the image.
    pub(crate) fn perform(&mut self, part: Part) -> Outcome {
        match part {
            Part::Check => check(self),
            Part::WriteBack if !task::is_first_thread() => Ok(()),
            Part::WriteBack => res::sharedfile::write_back(self),
            Part::Save => self.save_current(),
        }
    }

    /// Writes the current task.
    fn save_current(&mut self) -> Outcome {
        if self.outside {
            arch::cpu::settle();
        }
        let first = task::is_first_thread();
        let shared = References::new(&mut self.objects)?;
        let task = res::task::save(self, &shared)?;
        if shared.mm.new {
            res::mm::save(self, task, shared.mm.objref)?;
        }
        res::thread::save(self, task)?;
        if shared.fs.new {
            res::fs::save(self, task, shared.fs.objref)?;
        }
        if shared.files.new {
            res::fdtable::save(self, task, shared.files.objref)?;
        }
        if first {
            res::signal::save(self, task)?;
        } else {
            res::signal::save_thread(self, task)?;
        }
        res::cred::save(self, task)?;
        if first {
            res::rlimit::save(self, task)?;
        }
        Ok(())
    }

    /// Writes a string that belongs to `parent`.
    pub(crate) fn string(&mut self, parent: u32, text: &[u8]) -> Outcome {
        self.writer
            .bytes(crate::format::STR, parent, text)
            .written()
    }
}
