// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The forest of tasks: who there is, who is whose child, in which groups.
//!
//! The header is followed by one record for each task, then by the tasks
//! themselves in the same order: a process before its children, and right behind
//! it its other threads.

use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Most tasks of an image.
pub const TASKS_MAX: u32 = 1 << 16;
/// Process ids are below this number on every kernel.
pub const PID_LIMIT: u32 = 1 << 22;

/// Bits of [`Tree::flags`].
pub mod tree_flags {
    /// The process has ended, and its parent has not asked for its exit code yet.
    pub const ZOMBIE: u32 = 1 << 0;
    /// The process adopts orphans below it.
    pub const SUBREAPER: u32 = 1 << 1;
    /// The process leads its session.
    pub const SESSION_LEADER: u32 = 1 << 2;
    /// Nobody waits for the process: it leaves no zombie (CLONE_AUTOREAP).
    pub const AUTOREAP: u32 = 1 << 3;
    /// All bits.
    pub const ALL: u32 = (1 << 4) - 1;
}

wire! {
    /// `struct cr_hdr_tree`: one task of the forest.
    pub struct Tree [48] {
        /// Thread id.
        pid: u32,
        /// Process id: that of the first thread.
        tgid: u32,
        /// Thread id of the parent, which may be any thread of its process; 0 for
        /// the first process and for threads.
        parent: u32,
        /// Process group.
        pgid: u32,
        /// Session.
        sid: u32,
        /// See [`tree_flags`].
        flags: u32,
        /// Signal for the parent when the process ends; 0 for threads.
        exit_signal: u32,
        /// What wait(2) tells of a process that has ended, else 0.
        exit_code: u32,
        /// Zero.
        reserved: [u32; 4],
    }
}

impl Tree {
    /// Is it the first thread of its process?
    pub fn is_process(&self) -> bool {
        self.pid == self.tgid
    }

    /// Has it ended?
    pub fn is_zombie(&self) -> bool {
        self.flags & tree_flags::ZOMBIE != 0
    }
}

impl Record for Tree {
    const TYPE: i16 = super::TREE;

    fn validate(&self) -> Result<(), Why> {
        let id = |id: u32| (1..PID_LIMIT).contains(&id);
        ensure(
            id(self.pid) && id(self.tgid),
            "task has no valid process id",
        )?;
        ensure(
            self.parent < PID_LIMIT && self.pgid < PID_LIMIT && self.sid < PID_LIMIT,
            "parent, group or session is out of range",
        )?;
        ensure(
            self.flags & !tree_flags::ALL == 0,
            "task of the forest has unknown flags",
        )?;
        ensure(self.exit_signal <= 64, "exit signal is out of range")?;
        ensure(
            self.exit_code <= 0xffff && (self.is_zombie() || self.exit_code == 0),
            "exit code is out of range",
        )?;
        ensure(
            self.is_process() || (self.parent == 0 && self.flags == 0 && self.exit_signal == 0),
            "thread has what only processes have",
        )?;
        ensure(
            self.flags & tree_flags::SESSION_LEADER == 0
                || (self.sid == self.pid && self.pgid == self.pid),
            "session leader is not in its own session and group",
        )?;
        ensure(
            self.flags & tree_flags::AUTOREAP == 0 || !self.is_zombie(),
            "a zombie is of a process that leaves none",
        )?;
        ensure(self.reserved == [0; 4], "reserved field is not zero")
    }
}

/// Checks a task against those before it.
///
/// `find` returns the place of a thread id among `before`; `session_of` the session
/// of the members of a group among them, if there are any, and each session for itself.
///
/// # Errors
///
/// Returns the first violated rule.
pub fn check(
    before: &[Tree],
    task: &Tree,
    find: impl Fn(u32) -> Option<usize>,
    session_of: impl Fn(u32) -> Option<u32>,
) -> Result<(), Why> {
    ensure(find(task.pid).is_none(), "process id is used twice")?;
    // Who made a group stays in its session, also when it is in another group now.
    let founder = |id: u32| find(id).and_then(|at| before.get(at));
    // Whoever has made a session is in it, also when its members stand before it.
    let is_session = |id: u32| id != 0 && session_of(id) == Some(id);
    ensure(
        founder(task.sid).is_none_or(|founder| founder.sid == task.sid)
            && (task.sid == 0 || session_of(task.sid).is_none_or(|session| session == task.sid))
            && (!task.is_process() || !is_session(task.pid) || task.sid == task.pid),
        "session has the id of a process in another one",
    )?;
    ensure(
        session_of(task.pgid).is_none_or(|session| session == task.sid)
            && founder(task.pgid).is_none_or(|founder| founder.sid == task.sid)
            && (!task.is_process()
                || session_of(task.pid).is_none_or(|session| session == task.sid)),
        "process group is in two sessions",
    )?;
    let Some(last) = before.last() else {
        return ensure(
            task.is_process() && task.parent == 0 && !task.is_zombie(),
            "first task is not a living process without parent",
        );
    };
    let first = before.first().unwrap_or(last);
    ensure(
        task.pgid != 0 || task.sid == 0 || task.sid == first.sid,
        "group of another namespace is in a session of this one",
    )?;
    ensure(
        task.flags & tree_flags::SESSION_LEADER == 0 || task.sid != first.sid,
        "a child leads the session of the first process",
    )?;
    if !task.is_process() {
        let leader = find(task.tgid).and_then(|at| before.get(at));
        return ensure(
            last.tgid == task.tgid
                && leader.is_some_and(|leader| {
                    !leader.is_zombie() && (leader.pgid, leader.sid) == (task.pgid, task.sid)
                }),
            "thread does not follow its process",
        );
    }
    ensure(
        find(task.parent)
            .and_then(|at| before.get(at))
            .is_some_and(|parent| !parent.is_zombie()),
        "parent does not stand before its child",
    )
}
