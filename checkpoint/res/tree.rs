// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The forest: which tasks there are, and where each belongs.
//!
//! The first process is the caller of restart(2) and keeps its id, its parent, its
//! group and its session; whoever was in the same group or session joins them. All
//! others get the ids of the image. A group or a session whose leader is gone gets
//! its id back without a process.

use crate::cradle::Births;
use crate::cradle::Born;
use crate::ctx::restore::RestoreCtx;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place as At;
use crate::format::tree::check;
use crate::format::tree::tree_flags as f;
use crate::format::tree::Tree;
use crate::kapi::birth;
use crate::kapi::birth::Group;
use crate::kapi::birth::Place;
use crate::kapi::ids::Orphan;
use kernel::prelude::*;
use kernel::rbtree::RBTree;

/// The tasks of an image, in its order.
pub(crate) struct Forest {
    pub(crate) tasks: KVVec<Tree>,
    /// Place of each thread id.
    places: RBTree<u32, usize>,
}

/// Reads the forest and checks it as a whole.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, nr_tasks: u32) -> Outcome<Forest> {
    let mut forest = Forest::none();
    let mut sessions: RBTree<u32, u32> = RBTree::new();
    for _ in 0..nr_tasks {
        let task: Tree = ctx.reader.record(0)?;
        check(
            &forest.tasks,
            &task,
            |pid| forest.places.get(&pid).copied(),
            |pgid| sessions.get(&pgid).copied(),
        )?;
        for id in [task.pgid, task.sid] {
            // Those outside of the namespace are all 0.
            if sessions.get(&id).is_none() && (id != 0 || id == task.pgid) {
                sessions.try_create_and_insert(id, task.sid, GFP_KERNEL_ACCOUNT)?;
            }
        }
        let place = forest.tasks.len();
        forest
            .places
            .try_create_and_insert(task.pid, place, GFP_KERNEL_ACCOUNT)?;
        forest.tasks.push(task, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(forest)
}

/// The failure to get a process id.
pub(crate) fn no_pid(errno: Error, pid: Option<u32>) -> Failure {
    let why = if errno == EEXIST {
        "a process id of the image is taken"
    } else if errno == EPERM {
        "to choose process ids needs CAP_CHECKPOINT_RESTORE"
    } else if errno == EAGAIN {
        "the caller may not have so many processes"
    } else {
        "a task cannot be made"
    };
    let failure = Failure::new(errno, why);
    match pid {
        Some(pid) => failure.at(At::Number(pid.into())),
        None => failure,
    }
}

impl Forest {
    /// Nobody.
    pub(crate) fn none() -> Self {
        Self {
            tasks: KVVec::new(),
            places: RBTree::new(),
        }
    }

    /// The task at a place.
    pub(crate) fn get(&self, place: usize) -> Option<&Tree> {
        self.tasks.get(place)
    }

    /// The place of a thread of this process, by its thread id.
    pub(crate) fn thread(&self, leader: &Tree, tid: u32) -> Option<usize> {
        let place = self.places.get(&tid).copied()?;
        (self.get(place)?.tgid == leader.pid).then_some(place)
    }

    /// The place of a process.
    pub(crate) fn process(&self, pid: u32) -> Option<usize> {
        let place = self.places.get(&pid).copied()?;
        let is_process = self.get(place).is_some_and(Tree::is_process);
        is_process.then_some(place)
    }

    /// The id of a task, unless it takes any.
    pub(crate) fn wanted(&self, task: &Tree, new_pids: bool) -> Option<u32> {
        (!new_pids).then_some(task.pid)
    }

    /// Ids for groups and sessions without a leader, by their former ids.
    pub(crate) fn orphans(&self, new_pids: bool) -> Outcome<(RBTree<u32, usize>, KVVec<Orphan>)> {
        let mut places = RBTree::new();
        let mut orphans = KVVec::new();
        let Some(first) = self.tasks.first() else {
            return Ok((places, orphans));
        };
        for task in self.tasks.iter().filter(|task| task.is_process()) {
            for (id, born) in [(task.pgid, first.pgid), (task.sid, first.sid)] {
                if id == born || id == 0 || self.process(id).is_some() {
                    continue;
                }
                if places.get(&id).is_none() {
                    let wanted = (!new_pids).then_some(id);
                    let orphan = Orphan::new(wanted).map_err(|errno| no_pid(errno, wanted))?;
                    places.try_create_and_insert(id, orphans.len(), GFP_KERNEL_ACCOUNT)?;
                    orphans.push(orphan, GFP_KERNEL_ACCOUNT)?;
                }
            }
        }
        Ok((places, orphans))
    }

    /// Where each process belongs that was born.
    pub(crate) fn places<'a>(
        &'a self,
        births: &'a Births,
        me: &'a kernel::task::Task,
        orphans: &RBTree<u32, usize>,
    ) -> Outcome<KVVec<Place<'a>>> {
        let at = |place: usize| -> Option<&'a kernel::task::Task> {
            match place {
                0 => Some(me),
                place => births.find(place).map(Born::task),
            }
        };
        let task_of = |pid: u32| at(self.places.get(&pid).copied()?);
        let first = self.tasks.first().ok_or(EINVAL)?;
        let group = |id: u32, born: u32| {
            if id == born || id == 0 {
                return Group::Born;
            }
            match orphans.get(&id) {
                Some(orphan) => Group::Orphan(*orphan),
                None => self.process(id).and_then(at).map_or(Group::Born, Group::Of),
            }
        };
        let mut places = KVVec::new();
        for task in self.tasks.iter().skip(1).filter(|task| task.is_process()) {
            let place = Place {
                child: task_of(task.pid).ok_or(ESRCH)?,
                parent: task_of(task.parent).ok_or(ESRCH)?,
                exit_signal: task.exit_signal,
                group: group(task.pgid, first.pgid),
                session: group(task.sid, first.sid),
                subreaper: task.flags & f::SUBREAPER != 0,
                session_leader: task.flags & f::SESSION_LEADER != 0,
                autoreap: task.flags & f::AUTOREAP != 0,
                ends: task.is_zombie(),
            };
            places.push(place, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(places)
    }

    /// Does the first process adopt orphans?
    pub(crate) fn adopts(&self) -> bool {
        self.tasks
            .first()
            .is_some_and(|first| first.flags & f::SUBREAPER != 0)
    }

    /// Has the process left the session of the first one?
    pub(crate) fn has_left(&self, task: &Tree) -> bool {
        self.tasks
            .first()
            .is_some_and(|first| first.sid != task.sid)
    }

    /// Leads the process a session other than that of the first one?
    pub(crate) fn leads(&self, task: &Tree) -> bool {
        task.flags & f::SESSION_LEADER != 0 && self.has_left(task)
    }
}

/// Gives the zombies, which have ended, their last values.
pub(crate) fn lay_out(forest: &Forest, births: &Births) {
    for (place, task) in forest.tasks.iter().enumerate() {
        if let Some(born) = births.find(place).filter(|_| task.is_zombie()) {
            birth::lay_out(
                born.task(),
                task.exit_signal,
                task.flags & f::SESSION_LEADER != 0,
            );
        }
    }
}
