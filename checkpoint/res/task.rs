// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The task itself: name, scheduling, and values set by prctl(2).
//!
//! What it has used is counted on top of what the new task has. Process ids are those of
//! the forest, see [`super::tree`].

use crate::charge::charged;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::References;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format;
use crate::format::task::task_flags as f;
use crate::format::task::Task;
use crate::format::task::COMM_LEN;
use crate::format::task::EXIT_ZOMBIE;
use crate::format::task::STATE_STOPPED;
use crate::format::tree::Tree;
use crate::image::on_heap;
use crate::image::Written;
use crate::kapi::limits;
use crate::kapi::limits::Sched;
use crate::kapi::signal;
use crate::kapi::signal::Stop;
use crate::kapi::task;
use crate::kapi::task::Dumpable;
use crate::kapi::task::Used;
use crate::res::cred;
use crate::res::used;
use kernel::bindings::PF_FORKNOEXEC;
use kernel::bindings::PF_MCE_EARLY;
use kernel::bindings::PF_MCE_PROCESS;
use kernel::bindings::PF_SUPERPRIV;
use kernel::prelude::*;

/// Image bits and the kernel's process flags that they stand for.
const PROCESS_FLAGS: [(u32, u32); 4] = [
    (f::FORKNOEXEC, PF_FORKNOEXEC),
    (f::SUPERPRIV, PF_SUPERPRIV),
    (f::MCE_EARLY, PF_MCE_EARLY),
    (f::MCE_PROCESS, PF_MCE_PROCESS),
];

/// Writes the task record and returns the task's reference.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, shared: &References) -> Outcome<u32> {
    let mut boxed = on_heap::<Task>()?;
    let rec = &mut *boxed;
    (rec.mm, rec.files, rec.fs) = (shared.mm.objref, shared.files.objref, shared.fs.objref);
    rec.handlers = shared.handlers.objref;
    rec.objref = ctx.objects.fresh()?;
    rec.exit_signal = task::exit_signal();
    let ids = task::ids();
    rec.pid = task::number(kernel::current!());
    rec.tgid = ids.tgid as u32;
    rec.ppid = ids.ppid as u32;
    rec.pgid = ids.pgid as u32;
    rec.sid = ids.sid as u32;
    let (sched, dumpable) = (limits::sched(), task::dumpable());
    for (on, bit) in [
        (task::no_new_privs(), f::NO_NEW_PRIVS),
        (task::is_subreaper(), f::CHILD_SUBREAPER),
        (dumpable == Dumpable::Owner, f::DUMPABLE),
        (dumpable == Dumpable::Root, f::DUMPABLE_ROOT),
        (sched.reset_on_fork, f::RESET_ON_FORK),
    ] {
        rec.flags |= if on { bit } else { 0 };
    }
    for (image, kernel) in PROCESS_FLAGS {
        rec.flags |= if task::flags() & kernel != 0 {
            image
        } else {
            0
        };
    }
    let changing = || Failure::new(EBUSY, "the process was being stopped or continued");
    let stop = signal::stop().ok_or_else(changing)?;
    if stop.signal != 0 {
        rec.state = STATE_STOPPED;
        rec.stop_signal = stop.signal;
    }
    if task::is_first_thread() {
        ctx.stopped_by = stop.signal;
        rec.stop_code = stop.code;
        rec.flags |= if stop.continued { f::CONTINUED } else { 0 };
    }
    if (ctx.stopped_by != 0) != (stop.signal != 0) {
        return Err(changing());
    }
    rec.personality = task::personality();
    rec.nice = sched.nice;
    rec.policy = sched.policy;
    rec.rt_priority = sched.rt_priority;
    rec.slice_ns = sched.slice;
    rec.ioprio = limits::ioprio();
    let affinity = limits::affinity()?;
    rec.affinity_len = affinity.len() as u32;
    rec.pdeath_signal = task::pdeath_signal();
    (rec.oom_score_adj, rec.oom_score_adj_min) = limits::oom_score_adj();
    rec.task_comm_len = COMM_LEN as u32;
    rec.comm = task::comm();
    (rec.timer_slack_ns, rec.default_timer_slack_ns) = task::timer_slack();
    used::save(rec, &mut ctx.counted);
    super::valid(rec)?;
    ctx.writer.record(0, rec).written()?;
    if !affinity.is_empty() {
        ctx.writer
            .bytes(format::AFFINITY, rec.objref, &affinity)
            .written()?;
    }
    Ok(rec.objref)
}

/// Writes the task record of a process that has ended.
#[inline(never)]
pub(crate) fn save_zombie(ctx: &mut SaveCtx, entry: &Tree, zombie: &kernel::task::Task) -> Outcome {
    let mut boxed = on_heap::<Task>()?;
    let rec = &mut *boxed;
    rec.objref = ctx.objects.fresh()?;
    rec.exit_state = EXIT_ZOMBIE;
    rec.exit_code = entry.exit_code;
    rec.exit_signal = entry.exit_signal;
    rec.pid = entry.pid;
    rec.tgid = entry.tgid;
    rec.ppid = entry.parent;
    rec.pgid = entry.pgid;
    rec.sid = entry.sid;
    rec.task_comm_len = COMM_LEN as u32;
    rec.comm = task::comm_of(zombie);
    used::save_process(rec, zombie);
    // What every task has.
    rec.timer_slack_ns = 1;
    rec.default_timer_slack_ns = 1;
    ctx.writer.record(0, rec).written()
}

/// What remains of a process that has ended.
pub(crate) struct Ended {
    comm: [u8; COMM_LEN],
    code: u32,
    all: Used,
    children: Used,
}

impl Ended {
    /// Makes the current process that is about to end so; returns its exit code. A limit of
    /// CPU time is looked at on the way to user mode, to which it does not go.
    pub(crate) fn commit(&self) -> u32 {
        task::set_comm(&self.comm);
        task::count_used_by_process(&self.all, &self.children);
        self.code
    }
}

/// Reads the task record of a process that has ended.
#[inline(never)]
pub(crate) fn restore_zombie(ctx: &mut RestoreCtx, entry: &Tree) -> Outcome<KBox<Ended>> {
    let rec: KBox<Task> = ctx.reader.boxed(0)?;
    ensure(
        rec.pid == entry.pid && rec.exit_state == EXIT_ZOMBIE,
        EINVAL,
        "task is another one than in the forest",
    )?;
    let [_, all, children] = rec.used().map(used::used);
    let ended = Ended {
        comm: rec.comm,
        code: entry.exit_code,
        all,
        children,
    };
    Ok(KBox::new(ended, GFP_KERNEL_ACCOUNT)?)
}

/// What a task will be.
pub(crate) struct Ready {
    /// The record.
    pub(crate) values: KBox<Task>,
    /// CPUs that it may run on, or nothing.
    affinity: KVec<u8>,
}

/// Reads the task record and checks the caller's rights to its values.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, entry: &Tree) -> Outcome<(u32, Ready)> {
    let rec: KBox<Task> = ctx.reader.boxed(0)?;
    ensure(
        rec.pid == entry.pid && rec.tgid == entry.tgid && rec.exit_state == 0,
        EINVAL,
        "task is another one than in the forest",
    )?;
    ensure(
        limits::may_set_oom_score_adj(rec.oom_score_adj, rec.oom_score_adj_min),
        EPERM,
        "the oom_score_adj of the image, or how far it may be lowered, needs CAP_SYS_RESOURCE",
    )?;
    if rec.ioprio != limits::ioprio() {
        limits::may_set_ioprio(rec.ioprio).blame("the I/O priority of the image is not allowed")?;
    }
    let mut affinity = KVec::from_elem(0, rec.affinity_len as usize, charged())?;
    if !affinity.is_empty() {
        ctx.reader
            .bytes(format::AFFINITY, rec.objref, &mut affinity)?;
        match limits::affinity_here(&affinity) {
            (_, true) => {}
            (true, _) => ctx.note(rec.pid, "some CPUs of its affinity are not here")?,
            (false, _) => {
                ctx.note(rec.pid, "no CPU of its affinity is here, it may run on all")?;
            }
        }
    }
    let objref = rec.objref;
    let ready = Ready {
        values: rec,
        affinity,
    };
    Ok((objref, ready))
}

fn wanted(rec: &Task) -> Sched {
    Sched {
        policy: rec.policy,
        nice: rec.nice,
        rt_priority: rec.rt_priority,
        reset_on_fork: rec.flags & f::RESET_ON_FORK != 0,
        slice: rec.slice_ns,
    }
}

/// How the current task was scheduled.
pub(crate) struct Before {
    sched: Sched,
    ioprio: u32,
    /// If the image has one.
    affinity: Option<KVec<u8>>,
}

impl Before {
    /// Goes back: nobody may need a right to have what it had.
    pub(crate) fn put_back(&self) {
        if limits::sched() != self.sched {
            limits::put_back_sched(&self.sched);
        }
        if limits::ioprio() != self.ioprio {
            limits::put_back_ioprio(self.ioprio);
        }
        if let Some(affinity) = &self.affinity {
            limits::put_back_affinity(affinity);
        }
    }
}

impl Ready {
    /// Sets the scheduling, with the rules of sched_setattr(2) and its like; returns the way
    /// back. If it fails, all is as before.
    pub(crate) fn schedule(&self) -> Outcome<Before> {
        let has_affinity = !self.affinity.is_empty();
        let affinity = has_affinity.then(limits::affinity).transpose()?;
        let before = Before {
            sched: limits::sched(),
            ioprio: limits::ioprio(),
            affinity,
        };
        match self.schedule_once() {
            Ok(()) => Ok(before),
            Err(failure) => {
                before.put_back();
                Err(failure)
            }
        }
    }

    fn schedule_once(&self) -> Outcome {
        if !self.affinity.is_empty() {
            limits::set_affinity(&self.affinity).why("the CPU affinity cannot be set")?;
        }
        if self.values.ioprio != limits::ioprio() {
            limits::set_ioprio(self.values.ioprio)
                .blame("the I/O priority of the image is not allowed")?;
        }
        let want = wanted(&self.values);
        if want != limits::sched() {
            limits::set_sched(&want).blame("the scheduling of the image is not allowed")?;
        }
        Ok(())
    }

    /// Sets the credentials, and the values that need no more than a write: of a process.
    #[inline(never)]
    pub(crate) fn commit(&self, creds: cred::Ready) {
        let rec = &self.values;
        // By the caller's rights.
        limits::set_oom_score_adj(rec.oom_score_adj, rec.oom_score_adj_min);
        commit_values(rec, creds);
        signal::set_stop(&stop(rec));
        task::set_subreaper(rec.flags & f::CHILD_SUBREAPER != 0);
    }

    /// Sets those that each thread has of its own.
    pub(crate) fn commit_thread(&self, creds: cred::Ready) {
        commit_values(&self.values, creds);
    }

    /// Counts what the process has used before its checkpoint, so that its clocks of time
    /// on a processor go on. The limit of that time is in place, timers come behind it.
    pub(crate) fn count_used(&self) {
        let [_, all, children] = self.values.used().map(used::used);
        task::count_used_by_process(&all, &children);
        self.count_used_by_thread();
    }

    /// Counts what a thread has used, as part of that.
    pub(crate) fn count_used_by_thread(&self) {
        let [own, ..] = self.values.used().map(used::used);
        task::count_used(&own);
    }

    /// Who may look at the process?
    pub(crate) fn dumpable(&self) -> Dumpable {
        if self.values.flags & f::DUMPABLE != 0 {
            Dumpable::Owner
        } else if self.values.flags & f::DUMPABLE_ROOT != 0 {
            Dumpable::Root
        } else {
            Dumpable::Off
        }
    }

    /// Will the task have no_new_privs?
    pub(crate) fn no_new_privs(&self) -> bool {
        self.values.flags & f::NO_NEW_PRIVS != 0
    }

    /// The signal that has stopped a task, or 0.
    pub(crate) fn stop_signal(&self) -> u32 {
        self.values.stop_signal
    }
}

fn stop(rec: &Task) -> Stop {
    Stop {
        signal: rec.stop_signal,
        code: rec.stop_code,
        continued: rec.flags & f::CONTINUED != 0,
    }
}

fn commit_values(rec: &Task, creds: cred::Ready) {
    // No filter of system calls without it.
    if rec.flags & f::NO_NEW_PRIVS != 0 {
        task::set_no_new_privs();
    }
    // A change makes the process undumpable and forgets the parent-death signal.
    creds.commit();
    // It becomes dumpable when all are what they are to be.
    if rec.flags & f::DUMPABLE == 0 {
        task::set_dumpable(Dumpable::Off);
    }
    task::set_comm(&rec.comm);
    task::set_personality(rec.personality);
    let (mut clear, mut set) = (0, 0);
    for (image, kernel) in PROCESS_FLAGS {
        // That privileges have been used is never taken back.
        if rec.flags & image != 0 {
            set |= kernel;
        } else if kernel != PF_SUPERPRIV {
            clear |= kernel;
        }
    }
    task::set_flags(clear, set);
    task::set_pdeath_signal(rec.pdeath_signal);
    // Real-time tasks have none; the scheduler has seen to that. Theirs comes back from the
    // default when they are no such tasks any more.
    let own = (rec.rt_priority == 0).then_some(rec.timer_slack_ns);
    task::set_timer_slack(own, rec.default_timer_slack_ns);
}
