// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What a task has built aside of its new state, and the step that makes it so.
//!
//! Built in the context of the task itself. Dropping goes back: address space,
//! descriptors, FPU registers are those from before. The commit cannot fail.

use super::restore::RestoreCtx;
use crate::arch;
use crate::cradle::Births;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Locate;
use crate::error::Outcome;
use crate::format;
use crate::format::tree::Tree;
use crate::kapi::birth;
use crate::kapi::fs::NewFiles;
use crate::kapi::fs::NewFs;
use crate::kapi::fs::OldFiles;
use crate::kapi::mmswitch::OldMm;
use crate::kapi::sharing;
use crate::kapi::sharing::Table;
use crate::kapi::sharing::View;
use crate::kapi::signal;
use crate::kapi::task;
use crate::res;
use kernel::prelude::*;

/// A process, in the context of its first thread. The fields are dropped in this
/// order, the reverse of that in which they were built.
pub(crate) struct Process {
    creds: res::cred::Ready,
    timers: res::timer::Ready,
    cpu: res::thread::Loaded,
    rlimits: res::rlimit::Ready,
    signal: res::signal::Ready,
    files: NewFiles,
    fs: NewFs,
    mm: res::mm::Built,
    /// Dropped last: when the descriptors of before are in place again.
    segments: arch::cpu::Segments,
    task: res::task::Ready,
    /// It leaves the terminal of the session that it was born in.
    leaves: bool,
    /// It leads another session than that of the first process.
    leads: bool,
}

/// A thread that was read, and not built yet.
pub(crate) struct ThreadReady {
    task: res::task::Ready,
    thread: res::thread::Ready,
    /// Others than those of the process.
    fs: Option<View>,
    files: Option<Table>,
    signal: res::signal::ThreadReady,
    creds: res::cred::Wanted,
    /// See [`RestoreCtx::tied_to_caller`].
    tied_to_caller: Option<&'static str>,
}

/// A thread that is not the first of its process.
pub(crate) struct Thread {
    cpu: res::thread::Loaded,
    files: Option<NewFiles>,
    fs: Option<NewFs>,
    signal: res::signal::ThreadReady,
    task: res::task::Ready,
    creds: res::cred::Ready,
}

impl RestoreCtx {
    /// Reads the process at a place of the forest and builds it, with its threads.
    #[inline(never)]
    pub(crate) fn process(&mut self, place: usize) -> Outcome<(KBox<Process>, Births)> {
        let entry = *self.forest.get(place).ok_or(EINVAL)?;
        let built = self.with_threads(place, &entry).map_err(|mut failure| {
            if failure.kind == 0 {
                failure.kind = self.reader.kind();
            }
            failure.of_task(entry.pid)
        })?;
        self.locks.are_of(entry.pid);
        Ok(built)
    }

    fn with_threads(&mut self, place: usize, entry: &Tree) -> Outcome<(KBox<Process>, Births)> {
        let mut sent = res::timer::Signals::none();
        let mut process = self.build(entry, &mut sent)?;
        // Threads share what was built until here.
        let births = self.threads(place, entry, &process.task, &mut sent)?;
        // Now those are there to which timers send their signals.
        let number = |tid| match self.forest.thread(entry, tid)? {
            at if at == place => Some(task::number(kernel::current!())),
            at => births.thread_at(at),
        };
        let done = process.timers.create(sent, number);
        done.of(format::TIMER)?;
        Ok((process, births))
    }

    /// Builds a process without its other threads. What its timers have sent is told to
    /// `sent`.
    #[inline(never)]
    fn build(&mut self, entry: &Tree, sent: &mut res::timer::Signals) -> Outcome<KBox<Process>> {
        let segments = arch::cpu::Segments::remember();
        // Only the caller was there before.
        let goes_back = entry.parent == 0;
        let (task, values) = res::task::restore(self, entry)?;
        let shared = &*values.values;
        let mm = res::mm::restore(self, task, shared, goes_back)?;
        self.handlers(shared)?;
        let thread = res::thread::restore(self, task)?;
        let fs = res::fs::restore(self, task, shared.fs)?;
        let files = res::fdtable::restore(self, task, shared.files, goes_back)?;
        let signal = res::signal::restore(self, task, |info| sent.add(entry.pid, info))?;
        let timers = res::timer::restore(self, task, entry)?;
        let creds = self.creds(task, &values)?;
        let rlimits = res::rlimit::restore(self, task)?;
        // It brings back what it replaces, as all of the above.
        let cpu = thread.load()?;
        let leaves = self.forest.has_left(entry);
        let leads = self.forest.leads(entry);
        Ok(KBox::new(
            Process {
                creds,
                timers,
                cpu,
                rlimits,
                signal,
                files,
                fs,
                mm,
                segments,
                task: values,
                leaves,
                leads,
            },
            GFP_KERNEL,
        )?)
    }

    #[inline(never)]
    fn creds(&mut self, task: u32, values: &res::task::Ready) -> Outcome<res::cred::Ready> {
        let creds = res::cred::restore(self, task, values.no_new_privs())?.prepare()?;
        creds.check_files(self.tied_to_caller.take().or(self.ties_all))?;
        Ok(creds)
    }

    /// Gives the current process the handlers of another one, if it is to share them,
    /// or lets others have its own.
    #[inline(never)]
    fn handlers(&mut self, shared: &format::task::Task) -> Outcome {
        if let Some((mm, with)) = self.handlers.get(shared.handlers) {
            ensure(
                *mm == shared.mm,
                EINVAL,
                "processes share handlers and no memory",
            )?;
            return sharing::take_handlers(with).why("a new task was killed");
        }
        let entry = (shared.mm, birth::myself());
        self.handlers
            .insert(shared.handlers, entry)
            .blame("an object reference is used twice")
    }

    /// Reads and makes the threads that follow a process.
    #[inline(never)]
    fn threads(
        &mut self,
        place: usize,
        leader: &Tree,
        first: &res::task::Ready,
        sent: &mut res::timer::Signals,
    ) -> Outcome<Births> {
        let mut births = Births::new();
        for place in place.saturating_add(1).. {
            let Some(entry) = self.forest.get(place).copied() else {
                break;
            };
            if entry.is_process() {
                break;
            }
            debug_assert!(entry.tgid == leader.tgid);
            let ready = self.thread(&entry, first, sent)?;
            let pid = self.forest.wanted(&entry, self.new_pids);
            births
                .thread(ready, place, pid)
                .map_err(|failure| failure.of_task(entry.pid))?;
        }
        Ok(births)
    }

    /// Reads a thread of the process whose first one is `first`.
    #[inline(never)]
    fn thread(
        &mut self,
        entry: &Tree,
        first: &res::task::Ready,
        sent: &mut res::timer::Signals,
    ) -> Outcome<KBox<ThreadReady>> {
        let (task, values) = res::task::restore(self, entry)?;
        ensure(
            (values.stop_signal() != 0) == (first.stop_signal() != 0),
            EINVAL,
            "only some threads of a process are stopped",
        )?;
        let (own, all) = (&*values.values, &*first.values);
        ensure(
            (own.mm, own.handlers) == (all.mm, all.handlers),
            EINVAL,
            "threads of a process have different memory or handlers",
        )?;
        let thread = res::thread::restore(self, task)?;
        let fs = match own.fs {
            objref if objref == all.fs => None,
            objref => Some(res::fs::restore_for(self, task, objref)?),
        };
        let files = match own.files {
            objref if objref == all.files => None,
            objref => Some(res::fdtable::restore_for(self, task, objref)?),
        };
        let signal = res::signal::restore_thread(self, task, |info| sent.add(entry.pid, info))?;
        let creds = res::cred::restore(self, task, values.no_new_privs())?;
        let ready = ThreadReady {
            task: values,
            thread,
            fs,
            files,
            signal,
            creds,
            tied_to_caller: self.tied_to_caller.take().or(self.ties_all),
        };
        Ok(KBox::new(ready, GFP_KERNEL)?)
    }
}

impl Process {
    /// Sets the scheduling; returns the way back.
    pub(crate) fn schedule(&self) -> Outcome<res::task::Before> {
        self.task.schedule()
    }

    /// Leaves the terminal of the session that it was born in, if it has left that.
    /// There is no way back.
    pub(crate) fn leave(&self) {
        if self.leaves {
            birth::leave_terminal();
        }
    }

    /// Becomes the process. Cannot fail. Returns the result of the system call, and
    /// what must wait until all others have become theirs.
    #[inline(never)]
    pub(crate) fn commit(self: KBox<Self>) -> (isize, Open) {
        let mut process = KBox::into_inner(self);
        process.segments.forget();
        let mm = process.mm.commit();
        let files = process.files.commit();
        process.fs.commit();
        // What was used counts for the limits of the image, not for those of before, nor
        // for the timers.
        process.rlimits.commit();
        process.signal.begin();
        process.task.count_used();
        process.timers.publish();
        process.signal.commit();
        process.timers.start();
        if process.leads {
            birth::own_autogroup();
        }
        process.task.commit(process.creds);
        let open = Open(process.task.dumpable(), Left(files, mm));
        (process.cpu.commit(), open)
    }
}

/// Whether others may look at a process. Whoever shares its memory may still have the
/// one of the caller, to which they have no right.
pub(crate) struct Open(task::Dumpable, Left);

/// What the caller had open, and its memory: they go when nobody waits for that any more.
pub(crate) struct Left(#[expect(dead_code)] OldFiles, #[expect(dead_code)] OldMm);

impl Open {
    /// Cannot fail. What it returns is for when all go on.
    pub(crate) fn commit(self) -> Left {
        task::set_dumpable(self.0);
        self.1
    }
}

impl Thread {
    /// Builds a thread in its own context.
    #[inline(never)]
    pub(crate) fn load(ready: KBox<ThreadReady>) -> Outcome<KBox<Self>> {
        let ready = KBox::into_inner(ready);
        let fs = ready.fs.as_ref().map(NewFs::join);
        let files = ready
            .files
            .as_ref()
            .map(|files| NewFiles::join(files, false));
        let cpu = ready.thread.load()?;
        let creds = ready.creds.prepare()?;
        creds.check_files(ready.tied_to_caller)?;
        ready.task.schedule()?;
        Ok(KBox::new(
            Self {
                cpu,
                files,
                fs,
                signal: ready.signal,
                task: ready.task,
                creds,
            },
            GFP_KERNEL,
        )?)
    }

    /// Becomes the thread. Cannot fail. Returns the result of the system call, and
    /// what must wait until the process is complete.
    #[inline(never)]
    pub(crate) fn commit(self: KBox<Self>) -> (isize, ThreadLast) {
        let thread = KBox::into_inner(self);
        if let Some(files) = thread.files {
            drop(files.commit());
        }
        if let Some(fs) = thread.fs {
            fs.commit();
        }
        thread.task.count_used_by_thread();
        thread.task.commit_thread(thread.creds);
        let stop = thread.task.stop_signal();
        (thread.cpu.commit(), ThreadLast(thread.signal, stop))
    }
}

/// The last that a thread gets: its signals, for which the handlers of the process must
/// be in place, and its stop.
pub(crate) struct ThreadLast(res::signal::ThreadReady, u32);

impl ThreadLast {
    /// Cannot fail.
    pub(crate) fn commit(self) {
        self.0.commit();
        signal::stop_too(self.1);
    }
}
