// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! One restart: a transaction.
//!
//! Everything is read, checked and built aside. Until the commit point every
//! failure drops what was built, and dropping brings the caller's own state
//! back: address space, descriptors, FPU registers; tasks that were made are gone.
//! Behind the commit point nothing can fail.
//!
//! The caller becomes the first process. It makes all others before its own state
//! changes; each builds itself, one after the other, and makes its threads. When all
//! are complete they become what they built, and when all have done so they go on.

use crate::arch;
use crate::cradle::killed;
use crate::cradle::Births;
use crate::cradle::Born;
use crate::ctx::built::Process;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::image::FileSource;
use crate::image::ImageReader;
use crate::kapi::birth;
use crate::kapi::common::Space;
use crate::kapi::file::FileRef;
use crate::kapi::ids;
use crate::kapi::imagefile::ImageFile;
use crate::kapi::limits;
use crate::kapi::pages::PageBatch;
use crate::kapi::path::PathRef;
use crate::kapi::refuse;
use crate::kapi::sched;
use crate::kapi::sharing::Table;
use crate::kapi::sharing::View;
use crate::kapi::task;
use crate::kapi::tree;
use crate::objhash::Restored;
use crate::res;
use crate::res::tree::Forest;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::task::Task;

/// State of one restart: handed from task to task, each of which builds itself.
pub(crate) struct RestoreCtx {
    /// The stream.
    pub(crate) reader: ImageReader,
    /// Who there is.
    pub(crate) forest: Forest,
    /// What the processes of the forest have become, by their places; `None` for threads.
    pub(super) processes: KVVec<Option<tree::Process>>,
    /// The tasks that are made take any ids.
    pub(crate) new_pids: bool,
    /// The process id behind which the namespace has to go on.
    pub(crate) last_pid: u32,
    /// Open files by reference.
    pub(crate) files: Restored<res::file::Opened>,
    /// Timers of files, which run when all else is done.
    pub(crate) timers: KVVec<(FileRef, crate::kapi::anon::Timer)>,
    /// Pipes by reference.
    pub(crate) pipes: Restored<res::pipe::Built>,
    /// Local sockets by reference.
    pub(crate) sockets: Restored<res::socket::Built>,
    /// Address spaces by reference, for what they have in common.
    pub(crate) spaces: Restored<Space>,
    /// Descriptor tables and file system views by reference, for those who share them.
    pub(crate) tables: Restored<Table>,
    pub(crate) views: Restored<View>,
    /// Whose signal handlers they are, and with which memory, by reference.
    pub(crate) handlers: Restored<(u32, ARef<Task>)>,
    /// The caller's own descriptors, for the image's stream, until all files are there.
    pub(crate) own: Option<Table>,
    /// The task at hand has a file that tells others who has made it, or acts with the
    /// rights of that one: why it can be no other user than the caller.
    pub(crate) tied_to_caller: Option<&'static str>,
    /// The same for all tasks from here on, who may have got the file.
    pub(crate) ties_all: Option<&'static str>,
    /// Locks on files, which are taken when all tables are there.
    pub(crate) locks: res::filelock::AllOwed,
    /// Who has opened files, by reference.
    pub(crate) openers: Restored<res::opener::Opener>,
    /// Shared memory objects by reference.
    pub(crate) shmem: Restored<res::shmem::Object>,
    /// Filters of system calls by reference.
    pub(crate) filters: res::seccomp::Filters,
    /// Root directory of the caller, and its absolute name.
    pub(crate) root: PathRef,
    pub(crate) root_name: KVec<u8>,
    /// Files that may still be opened: none is in a descriptor table yet.
    pub(crate) files_left: u64,
    /// The image's vDSO is the one of this kernel.
    pub(crate) same_vdso: bool,
    /// Pages on their way.
    pub(crate) batch: PageBatch,
    /// Room for a string.
    pub(crate) text: KVec<u8>,
    /// Lines about what is not as it was, for the log.
    pub(super) notes: KVec<u8>,
}

/// Becomes the first process of an image, with all below it; returns what its system
/// call returns.
pub(crate) fn restart(image: FileRef, new_pids: bool, log: Option<FileRef>) -> Outcome<isize> {
    ensure(
        task::is_single(),
        EBUSY,
        "the caller has other threads or shares its memory",
    )?;
    if let Some(why) = refuse::in_the_way().or_else(arch::refuse::unsupported) {
        return Err(Failure::new(EBUSY, why));
    }
    let _quiet = sched::Quiet::enter();
    let mut course = Course {
        ctx: Some(RestoreCtx::new(image, new_pids)?),
        births: Births::new(),
        me: None,
        zombies: KVVec::new(),
        log,
    };
    course.run().map_err(|failure| course.explain(failure))
}

impl RestoreCtx {
    #[inline(never)]
    fn new(image: FileRef, new_pids: bool) -> Outcome<KBox<Self>> {
        let ctx = Self {
            reader: ImageReader::new(FileSource::new(image)),
            forest: Forest::none(),
            processes: KVVec::new(),
            new_pids,
            last_pid: 0,
            files: Restored::new(),
            timers: KVVec::new(),
            pipes: Restored::new(),
            sockets: Restored::new(),
            spaces: Restored::new(),
            tables: Restored::new(),
            views: Restored::new(),
            handlers: Restored::new(),
            tied_to_caller: None,
            ties_all: None,
            locks: res::filelock::AllOwed::new(),
            openers: Restored::new(),
            own: Some(Table::current()),
            shmem: Restored::new(),
            filters: res::seccomp::Filters::of_caller()?,
            same_vdso: false,
            files_left: limits::files_allowed(),
            root_name: PathRef::root()
                .name()
                .blame("the root directory has no name")?,
            root: PathRef::root(),
            batch: PageBatch::new()?,
            text: KVec::from_elem(0, format::STR_MAX, GFP_KERNEL)?,
            notes: KVec::new(),
        };
        Ok(KBox::new(ctx, GFP_KERNEL)?)
    }
}

/// The way of one context through all tasks.
struct Course {
    /// It is gone when a task was killed that had it.
    ctx: Option<KBox<RestoreCtx>>,
    births: Births,
    /// What the caller has built of itself: dropped when nobody uses it any more.
    me: Option<KBox<Process>>,
    /// Those that only end, by their places.
    zombies: KVVec<(usize, KBox<res::task::Ended>)>,
    /// Where notes go.
    log: Option<FileRef>,
}

impl Course {
    fn ctx(&mut self) -> Outcome<&mut RestoreCtx> {
        Ok(self.ctx.as_deref_mut().ok_or(ESRCH)?)
    }

    fn run(&mut self) -> Outcome<isize> {
        // PREPARE.
        let ctx = self.ctx()?;
        let nr_tasks = res::head::restore(ctx)?;
        ctx.forest = res::tree::restore(ctx, nr_tasks)?;
        // BUILD.
        self.bear()?;
        self.build()?;
        self.finish()?;
        self.commit()
    }

    /// Builds all, in the order of the image.
    #[inline(never)]
    fn build(&mut self) -> Outcome {
        let (me, threads) = self.ctx()?.process(0)?;
        self.me = Some(me);
        self.births.adopt(threads)?;
        let mut place = 1;
        while let Some(entry) = self.ctx()?.forest.get(place).copied() {
            if entry.is_zombie() {
                let ended = res::task::restore_zombie(self.ctx()?, &entry)?;
                self.zombies.push((place, ended), GFP_KERNEL_ACCOUNT)?;
            } else if entry.is_process() {
                let ctx = self.ctx.take().ok_or(ESRCH)?;
                let (ctx, done) = self.births.build(ctx, place);
                self.ctx = ctx;
                done?;
            }
            place = place.saturating_add(1);
            sched::breathe()?;
        }
        Ok(())
    }

    /// What can be done when all are built, and the image was read and found right.
    #[inline(never)]
    fn finish(&mut self) -> Outcome {
        let ctx = self.ctx()?;
        ctx.reader.tail()?;
        res::file::finish(ctx)?;
        res::shmem::finish(ctx)?;
        res::filelock::take_all(ctx)
    }

    /// The last steps that can fail, and then all become what they have built.
    #[inline(never)]
    fn commit(&mut self) -> Outcome<isize> {
        let mut ctx = self.ctx.take().ok_or(ESRCH)?;
        // Those who share it have taken it over.
        ctx.spaces = Restored::new();
        ctx.tables = Restored::new();
        ctx.views = Restored::new();
        ctx.own = None;
        let forest = &ctx.forest;
        let (places, mut orphans) = forest.orphans(ctx.new_pids)?;
        let myself = birth::myself();
        let links = forest.places(&self.births, &myself, &places)?;
        let unused = birth::Unused::new(links.len())?;
        let me = self.me.take().ok_or(ESRCH)?;
        if let Some(log) = self.log.take().filter(|_| !ctx.notes.is_empty()) {
            // A courtesy, as all that is in the log.
            let _ = ImageFile::new(log).write_log(&ctx.notes);
        }
        // The last steps that can fail.
        let ready = self.births.alive().and_then(|()| me.schedule());
        let linked = ready.and_then(|before| {
            let done = birth::link(forest.adopts(), &links, &mut orphans, unused);
            done.map_err(|_| {
                before.put_back();
                killed()
            })
        });
        if let Err(failure) = linked {
            self.me = Some(me);
            return Err(failure);
        }

        // COMMIT: nothing below can fail. Who dies from here on dies as one that has gone on.
        self.births.be_certain();
        if !ctx.new_pids {
            ids::go_on_behind(ctx.last_pid);
        }
        for (place, ended) in core::mem::replace(&mut self.zombies, KVVec::new()) {
            self.births.end(place, ended);
        }
        // What the kernel does at the end of a process for those around it, as a hangup of
        // stopped ones, must find none of them as it will be.
        self.births.await_ends();
        self.births.commit(&forest.tasks);
        res::tree::lay_out(forest, &self.births);
        me.leave();
        let (result, open) = me.commit();
        let left = open.commit();
        self.births.go();
        drop(left);
        Ok(result)
    }

    /// Makes all other processes. They are small as long as the caller is.
    fn bear(&mut self) -> Outcome {
        let ctx = self.ctx.as_deref_mut().ok_or(ESRCH)?;
        let processes = ctx.forest.tasks.iter().filter(|task| task.is_process());
        ctx.files_left = ctx.files_left.saturating_mul(processes.count() as u64);
        for (place, entry) in ctx.forest.tasks.iter().enumerate() {
            let mut process = None;
            if place == 0 {
                process = tree::Process::of(kernel::current!());
            } else if entry.is_process() {
                let pid = ctx.forest.wanted(entry, ctx.new_pids);
                self.births.process(place, pid)?;
                let born = self.births.find(place).map(Born::task);
                process = born.and_then(tree::Process::of);
                sched::breathe()?;
            }
            ctx.processes.push(process, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(())
    }

    /// Where in the image it was.
    fn explain(&mut self, mut failure: Failure) -> Failure {
        if let Some(ctx) = &self.ctx {
            if failure.kind == 0 {
                failure.kind = ctx.reader.kind();
            }
            failure = failure.at(Place::Image(ctx.reader.offset()));
        }
        failure
    }
}
