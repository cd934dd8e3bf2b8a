// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! All tasks of a checkpoint, standing still.
//!
//! The set is closed under fork and clone: passes over the tree are repeated until
//! one finds nobody who is not held yet. Whoever is held makes no children; those
//! that a parent made just before it was held are found by the next pass.

use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place;
use crate::format::tree::tree_flags as f;
use crate::format::tree::Tree;
use crate::format::tree::TASKS_MAX;
use crate::freeze::given_up;
use crate::freeze::pause;
use crate::freeze::Parked;
use crate::freeze::IN_EXEC;
use crate::freeze::KILLED_IN_EXEC;
use crate::freeze::PATIENCE_MS;
use crate::kapi::park;
use crate::kapi::sched;
use crate::kapi::tree;
use crate::kapi::tree::Seen;
use crate::kapi::tree::State;
use crate::res::seccomp;
use kernel::prelude::*;
use kernel::rbtree::RBTree;
use kernel::sync::aref::ARef;
use kernel::task::Task;

mod turn;

use turn::Turn;

/// How a member takes part.
pub(crate) enum Part {
    /// It is the caller.
    Caller,
    /// It stands still.
    Parked(Parked),
    /// It has ended.
    Zombie(ARef<Task>),
}

/// A task of the checkpoint.
pub(crate) struct Member {
    /// Its record.
    pub(crate) entry: Tree,
    pub(crate) part: Part,
}

impl Member {
    /// Is it the first task of an address space?
    pub(crate) fn has_memory(&self) -> bool {
        self.entry.is_process() && !self.entry.is_zombie()
    }

    /// The task, unless it is the caller.
    pub(crate) fn task(&self) -> Option<&Task> {
        match &self.part {
            Part::Caller => None,
            Part::Parked(parked) => Some(parked.task()),
            Part::Zombie(task) => Some(task),
        }
    }
}

/// Those that are held, by the identity of their tasks.
struct Held {
    places: RBTree<usize, usize>,
    parked: KVVec<Option<Parked>>,
}

/// Gathers a process and all below it: each living task stands still until the
/// result is dropped, but for the caller.
///
/// # Errors
///
/// EPERM, EBUSY, EOPNOTSUPP with the task that is in the way; ESRCH when the first
/// process is gone; ERESTARTSYS when the caller has a signal.
pub(crate) fn gather(top: &Task) -> Outcome<KVVec<Member>> {
    let mut held = Held {
        places: RBTree::new(),
        parked: KVVec::new(),
    };
    let mut left = PATIENCE_MS;
    let _turn = Turn::take(&mut left)?;
    let ended = || Failure::new(ESRCH, "the task has ended");
    let process = tree::Process::of(top).ok_or_else(ended)?;
    loop {
        let top = &*process.first_thread().ok_or_else(ended)?;
        let seen = match tree::list(top) {
            // Another thread has called execve, and has become the first one.
            Err(errno) if errno == ESRCH => {
                sched::breathe()?;
                continue;
            }
            seen => seen?,
        };
        ensure(
            seen.first().is_some_and(|top| top.state != State::Zombie),
            ESRCH,
            "the task has ended",
        )?;
        ensure(
            seen.len() <= TASKS_MAX as usize,
            EOPNOTSUPP,
            "the process has too many children and threads",
        )?;
        let before = held.parked.len();
        let mut ending = None;
        let tgid = seen.first().map_or(0, |first| first.tgid);
        for task in &seen {
            if !held.send(task, tgid).map_err(|f| f.of_task(task.pid))? {
                ending = Some(task);
            }
        }
        let settled = held.settle(before, &mut left, &seen)?;
        if ending.is_none() && settled {
            if held.parked.len() == before {
                return held.members(seen, top);
            }
            continue;
        }
        let number = ending.map_or(0, |task| task.pid);
        let paused = pause(&mut left).map_err(|failure| {
            let why = match ending {
                Some(task) if park::is_in_exec(&task.task) => KILLED_IN_EXEC,
                _ => "killed while the task is ending, and does not end",
            };
            given_up(failure, why).of_task(number)
        });
        if !paused? {
            let why = match ending {
                Some(task) if park::is_in_exec(&task.task) => IN_EXEC,
                _ => "for 10 seconds the task is ending, and does not end",
            };
            let failure = Failure::new(EBUSY, why);
            return Err(failure.of_task(number));
        }
    }
}

/// May the task be held at all? The first process has the number `top`.
fn admit(task: &Seen, top: u32) -> Outcome {
    ensure(
        task.state != State::DeadLeader,
        EOPNOTSUPP,
        "the first thread has ended before others of its process",
    )?;
    ensure(park::may_trace(&task.task), EPERM, "no right to the task")?;
    ensure(
        !park::is_kernel(&task.task),
        EOPNOTSUPP,
        "the task belongs to the kernel",
    )?;
    ensure(!park::is_traced(&task.task), EBUSY, "the task is traced")?;
    // It may wait for long, and would not stand still meanwhile.
    ensure(
        !park::has_io_uring(&task.task),
        EOPNOTSUPP,
        "io_uring is not supported",
    )?;
    // What it has asked would be asked once more.
    ensure(
        !park::has_seccomp_listener(&task.task),
        EOPNOTSUPP,
        seccomp::LISTENER,
    )?;
    // The parent of the first process may be anywhere: it is no part of the image.
    ensure(
        task.tgid == top || task.parent != 0,
        EOPNOTSUPP,
        "the task is in another namespace",
    )?;
    has_number(task)
}

/// A process outside of the caller's namespace has no number there.
fn has_number(task: &Seen) -> Outcome {
    ensure(
        task.pid != 0,
        EOPNOTSUPP,
        "the task is in another namespace",
    )
}

/// Is it the task that runs this?
fn is_caller(task: &Task) -> bool {
    tree::identity(task) == tree::identity(kernel::current!())
}

impl Held {
    /// Sends for a task that is not held yet; false when it is ending.
    fn send(&mut self, task: &Seen, top: u32) -> Outcome<bool> {
        match task.state {
            State::Ending => return Ok(false),
            State::Zombie => return Ok(true),
            State::Live | State::DeadLeader => {}
        }
        let identity = tree::identity(&task.task);
        if is_caller(&task.task) || self.places.get(&identity).is_some() {
            return Ok(true);
        }
        let before = park::is_in_exec(&task.task);
        if !park::may_trace(&task.task) && (before || park::is_in_exec(&task.task)) {
            // Nobody may look at it before the new program is complete.
            return Ok(false);
        }
        admit(task, top)?;
        let Some(parked) = Parked::send(task.task.clone())? else {
            return Ok(false);
        };
        let place = self.parked.len();
        self.parked.push(Some(parked), GFP_KERNEL)?;
        self.places
            .try_create_and_insert(identity, place, GFP_KERNEL)?;
        Ok(true)
    }

    /// Waits until all from `first` on stand still; false when one has ended.
    fn settle(&mut self, first: usize, left: &mut u32, seen: &[Seen]) -> Outcome<bool> {
        let mut all = true;
        for slot in self.parked.iter_mut().skip(first) {
            let Some(parked) = slot else {
                continue;
            };
            let identity = tree::identity(parked.task());
            let there = parked.settle(left).map_err(|failure| {
                let waits = seen
                    .iter()
                    .find(|task| tree::identity(&task.task) == identity);
                match waits {
                    Some(task) => why_busy(failure, task, seen),
                    None => failure,
                }
            })?;
            if !there {
                // It is met again as long as it is not gone.
                self.places.remove(&identity);
                *slot = None;
                all = false;
            }
        }
        Ok(all)
    }

    /// The members, in the order in which they were seen.
    fn members(mut self, seen: KVVec<Seen>, top: &Task) -> Outcome<KVVec<Member>> {
        if let Some(top) = seen.first() {
            for task in &seen {
                check_below(task, top).map_err(|f| f.of_task(task.pid))?;
            }
        }
        let mut members = KVVec::new();
        for task in seen {
            let part = if is_caller(&task.task) {
                Part::Caller
            } else if task.state == State::Zombie {
                // Whoever traces it has not told its parent yet.
                ensure(!park::is_traced(&task.task), EBUSY, "the task is traced")
                    .and_then(|()| has_number(&task))
                    .map_err(|f| f.of_task(task.pid))?;
                Part::Zombie(task.task.clone())
            } else {
                let place = self.places.get(&tree::identity(&task.task)).copied();
                let parked = place
                    .and_then(|place| self.parked.get_mut(place))
                    .and_then(Option::take);
                // It may have become somebody else in the meantime.
                may_save(&task).map_err(|f| f.of_task(task.pid))?;
                Part::Parked(parked.ok_or(ESRCH)?)
            };
            if !matches!(part, Part::Zombie(_)) {
                // A restart gives all of them the label of the restarting task.
                ensure(
                    park::same_label(&task.task, top),
                    EOPNOTSUPP,
                    "another security label than that of the first process is not supported",
                )
                .map_err(|f| f.of_task(task.pid))?;
            }
            let first = tree::identity(&task.task) == tree::identity(top);
            let entry = entry(&task, first);
            members.push(Member { entry, part }, GFP_KERNEL)?;
        }
        Ok(members)
    }
}

/// Names the task, and the child of vfork(2) that it waits for, if it does.
fn why_busy(failure: Failure, task: &Seen, seen: &[Seen]) -> Failure {
    let child = |other: &&Seen| {
        other.parent == task.pid && other.is_process() && park::is_vfork_child(&other.task)
    };
    let why = match failure.errno {
        EBUSY => "for 10 seconds a child of vfork, for which the task waits, has not called exec",
        EINTR => "killed while a child of vfork, for which the task waits, has not called exec",
        _ => return failure.of_task(task.pid),
    };
    if park::is_traced(&task.task) {
        return failure.of_task(task.pid);
    }
    match seen.iter().find(child) {
        Some(child) => Failure::new(failure.errno, why)
            .of_task(task.pid)
            .at(Place::Number(child.pid.into())),
        None => failure.of_task(task.pid),
    }
}

/// Refuses what the first process, which is the restarting one, may have, and those that a
/// restart makes do not get: they have the terminal of the first one, in its session.
fn check_below(task: &Seen, top: &Seen) -> Outcome {
    if task.state == State::Zombie || task.tgid == top.tgid {
        return Ok(());
    }
    ensure(
        !task.old_exit_signal,
        EOPNOTSUPP,
        "an exit signal from before the parent has called execve is not supported",
    )?;
    ensure(
        task.sid == top.sid || task.terminal == 0,
        EOPNOTSUPP,
        "a controlling terminal of another session than the first one's is not supported",
    )?;
    ensure(
        task.sid != top.sid || task.terminal == top.terminal,
        EOPNOTSUPP,
        "another controlling terminal than the first process has is not supported",
    )
}

/// The last look at a task that stands still.
fn may_save(task: &Seen) -> Outcome {
    ensure(park::may_trace(&task.task), EPERM, "no right to the task")?;
    match park::other_namespace(&task.task) {
        Some(name) => {
            Err(Failure::new(EOPNOTSUPP, "the task is in another namespace").about(name.as_bytes()))
        }
        None => Ok(()),
    }
}

fn entry(task: &Seen, first: bool) -> Tree {
    let mut entry = Tree::zeroed();
    entry.pid = task.pid;
    entry.tgid = task.tgid;
    entry.pgid = task.pgid;
    entry.sid = task.sid;
    if task.is_process() {
        entry.parent = if first { 0 } else { task.parent };
        entry.exit_signal = task.exit_signal;
        for (on, bit) in [
            (task.subreaper, f::SUBREAPER),
            (task.session_leader, f::SESSION_LEADER),
            // A zombie may have become one before its tracer went away.
            (task.autoreap && task.state != State::Zombie, f::AUTOREAP),
        ] {
            entry.flags |= if on { bit } else { 0 };
        }
        if task.state == State::Zombie {
            entry.flags |= f::ZOMBIE;
            entry.exit_code = task.exit_code & 0xffff;
        }
    }
    entry
}
