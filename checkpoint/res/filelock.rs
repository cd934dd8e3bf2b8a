// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Locks on files: record locks (F_SETLK), open file description locks (F_OFD_SETLK), and
//! those of flock(2).
//!
//! They follow the first descriptor of a table whose open file was locked; what an open file
//! that several tables have has locked for itself follows that of the first table.
//!
//! A restart takes them when all of the image was read and found right, as one of the last
//! steps before its commit. It fails where another lock is in the way, or where the file has
//! changed: what was locked was to be changed by nobody else. If it fails later, closing the
//! files gives the locks back.

use crate::charge::charged;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::format::files::lock_kind as kind;
use crate::format::files::FdEnt;
use crate::format::files::FileLock;
use crate::format::files::NR_LOCKS_MAX;
use crate::image::Written;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::filelock;
use crate::kapi::filelock::Lock;
use crate::kapi::filelock::Owner;
use crate::kapi::fs;
use crate::kapi::path;
use crate::kapi::sched;
use crate::kapi::task;
use kernel::prelude::*;
use kernel::rbtree::RBTree;

/// Refuses what is locked in a way that would be lost. `fd` is the descriptor that the file
/// was met by, if it was; it may be another file's since.
///
/// It is asked once of each open file. Other tables may have record locks through it: what
/// holds for these is asked when they are told.
pub(super) fn check(file: &FileRef, fd: Option<u32>) -> Outcome {
    ensure(!filelock::has_lease(file), EOPNOTSUPP, "a lease is held")?;
    if !filelock::is_locked(file) {
        return Ok(());
    }
    let identity = file::identity(file);
    let found = fd.and_then(file::fget).map(|at| file::identity(&at));
    ensure(
        found == Some(identity) || has_descriptor(identity)?,
        EOPNOTSUPP,
        "a lock is held by an open file that no descriptor has",
    )
}

/// Has the current task's table the file?
fn has_descriptor(identity: usize) -> Result<bool> {
    let mut next = 0;
    while let Some((fd, file, _)) = fs::next_fd(next) {
        if file::identity(&file) == identity {
            return Ok(true);
        }
        next = fd.saturating_add(1);
        sched::breathe()?;
    }
    Ok(false)
}

/// Files with which the locks of one table were told, or that had none.
pub(super) struct Told(RBTree<usize, ()>);

impl Told {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }

    /// The locks on a file, unless a descriptor before has it, too.
    pub(super) fn locks(&mut self, ctx: &mut SaveCtx, file: &FileRef) -> Outcome<KVVec<Lock>> {
        self.find(ctx, file)
            .map_err(|failure| failure.about(&path::display_name(file)).of(format::FILE))
    }

    fn find(&mut self, ctx: &mut SaveCtx, file: &FileRef) -> Outcome<KVVec<Lock>> {
        let identity = file::identity(file);
        if !filelock::may_be_locked(file) || self.0.get(&identity).is_some() {
            return Ok(KVVec::new());
        }
        self.0.try_create_and_insert(identity, (), charged())?;
        if !filelock::is_locked(file) {
            return Ok(KVVec::new());
        }
        ensure(
            identity != ctx.image,
            EOPNOTSUPP,
            "a lock is held on the image",
        )?;
        ensure(
            !filelock::are_elsewhere(file),
            EOPNOTSUPP,
            "a lock is held in a file system that keeps locks itself",
        )?;
        let mut locks = filelock::of(file, NR_LOCKS_MAX as usize).map_err(|errno| match errno {
            E2BIG => Failure::new(EOPNOTSUPP, "a file has too many locks"),
            errno => errno.into(),
        })?;
        let (_, first) = ctx.locked.refer(identity)?;
        locks.retain(|lock| first || lock.owner == Owner::Table);
        Ok(locks)
    }
}

/// Writes the locks that follow a descriptor of `table`.
pub(super) fn save(ctx: &mut SaveCtx, table: u32, locks: &[Lock]) -> Outcome {
    for lock in locks {
        let rec = FileLock {
            kind: match lock.owner {
                Owner::Table => kind::RECORD,
                Owner::Description => kind::DESCRIPTION,
                Owner::Flock => kind::FLOCK,
            },
            flags: lock.exclusive.into(),
            start: lock.start,
            end: lock.end,
        };
        ctx.writer.record(table, &rec).written()?;
        sched::breathe()?;
    }
    Ok(())
}

/// How long a lock in the way is waited for: who was checkpointed may be on its way out.
const PATIENCE_MS: u32 = 1000;

/// A lock that is to be taken.
struct Owed {
    /// The table and the open file, by their references, and the descriptor.
    table: u32,
    file: u32,
    fd: u32,
    /// The process, as it is here, and as the image numbers it.
    process: i32,
    pid: u32,
    lock: Lock,
}

/// The locks that are to be taken.
pub(crate) struct AllOwed(KVVec<Owed>);

impl AllOwed {
    /// None.
    pub(crate) fn new() -> Self {
        Self(KVVec::new())
    }

    /// Those that were read last are of this process.
    pub(crate) fn are_of(&mut self, pid: u32) {
        let new = self.0.iter_mut().rev().take_while(|owed| owed.pid == 0);
        new.for_each(|owed| owed.pid = pid);
    }
}

/// Reads the locks that follow a descriptor of `table`, which is the current process's.
pub(super) fn restore(ctx: &mut RestoreCtx, table: u32, entry: &FdEnt) -> Outcome {
    // Nobody else's: an image's stream has the open file of whoever restarts.
    ensure(
        entry.nr_locks == 0 || !ctx.is_stream(entry.file),
        EINVAL,
        "a lock on the image",
    )?;
    for _ in 0..entry.nr_locks {
        let rec: FileLock = ctx.reader.record(table)?;
        let owed = Owed {
            table,
            file: entry.file,
            fd: entry.fd,
            process: task::process_number(),
            pid: 0,
            lock: Lock {
                owner: match rec.kind {
                    kind::RECORD => Owner::Table,
                    kind::DESCRIPTION => Owner::Description,
                    _ => Owner::Flock,
                },
                exclusive: rec.flags & 1 != 0,
                start: rec.start,
                end: rec.end,
            },
        };
        ctx.locks.0.push(owed, GFP_KERNEL_ACCOUNT)?;
        sched::breathe()?;
    }
    Ok(())
}

/// Takes all locks, when all tables are there.
pub(crate) fn take_all(ctx: &mut RestoreCtx) -> Outcome {
    let mut patience = sched::ticks(PATIENCE_MS);
    let locks = core::mem::replace(&mut ctx.locks, AllOwed::new());
    for owed in &locks.0 {
        let done = owed.take(ctx, &mut patience);
        done.map_err(|failure| owed.locate(ctx, failure))?;
    }
    // From here on nobody changes them who asks for locks.
    let mut last = 0;
    for owed in &locks.0 {
        // Once for each open file: its locks stand together.
        if core::mem::replace(&mut last, owed.file) != owed.file {
            let done = owed.look(ctx);
            done.map_err(|failure| owed.locate(ctx, failure))?;
        }
    }
    Ok(())
}

impl Owed {
    /// Refuses a file that was changed while nobody had the lock.
    fn look(&self, ctx: &RestoreCtx) -> Outcome {
        sched::breathe()?;
        ensure(
            ctx.is_unchanged(self.file)?,
            ESTALE,
            "a locked file has changed since the checkpoint",
        )
    }

    /// Where it has failed.
    fn locate(&self, ctx: &RestoreCtx, mut failure: Failure) -> Failure {
        if let Ok(file) = ctx.file(self.file) {
            failure = failure.about(&path::display_name(file));
        }
        let failure = failure.of(format::FILE_LOCK).of_task(self.pid);
        failure.at(Place::Fd(self.fd))
    }

    fn take(&self, ctx: &RestoreCtx, patience: &mut u32) -> Outcome {
        let file = ctx.file(self.file)?;
        let table = ctx.tables.get(self.table).ok_or(EINVAL)?;
        loop {
            sched::breathe()?;
            let done = filelock::take(file, table, self.process, &self.lock);
            match (done, patience.checked_sub(1)) {
                (Err(EAGAIN), Some(left)) => *patience = left,
                (done, _) => {
                    return done.map_err(|errno| match errno {
                        EAGAIN => Failure::new(
                            errno,
                            "somebody else has locked what is locked in the image",
                        ),
                        EBADF => Failure::new(errno, "a lock on a file that is not open for it"),
                        EOPNOTSUPP => {
                            Failure::new(errno, "a lock in a file system that keeps locks itself")
                        }
                        ENOMEM => errno.into(),
                        _ => Failure::new(errno, "a lock cannot be taken"),
                    })
                }
            }
            sched::sleep_tick();
        }
    }
}
