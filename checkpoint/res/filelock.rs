// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Locks on files: record locks (F_SETLK), open file description locks (F_OFD_SETLK), and
//! those of flock(2).
//!
//! They follow the first descriptor of a table whose open file was locked. An open file that
//! two tables have tells its own locks twice, and takes them twice, which is the same.
//!
//! A restart takes them while it builds, and fails where another is in the way: what was
//! locked, to be changed by nobody else, may have changed. If it fails later, closing the files
//! gives the locks back.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
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

/// The locks that go with the descriptors of one table.
pub(super) struct Told(RBTree<usize, ()>);

impl Told {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self(RBTree::new())
    }

    /// The locks on a file, unless a descriptor before has it, too.
    pub(super) fn locks(&mut self, ctx: &SaveCtx, file: &FileRef) -> Outcome<KVVec<Lock>> {
        self.find(ctx, file)
            .map_err(|failure| failure.about(&path::display_name(file)).of(format::FILE))
    }

    fn find(&mut self, ctx: &SaveCtx, file: &FileRef) -> Outcome<KVVec<Lock>> {
        let identity = file::identity(file);
        if self.0.get(&identity).is_some() || !filelock::is_locked(file) {
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
        let locks = filelock::of(file, NR_LOCKS_MAX as usize).map_err(|errno| match errno {
            E2BIG => Failure::new(EOPNOTSUPP, "a file has too many locks"),
            errno => errno.into(),
        })?;
        self.0.try_create_and_insert(identity, (), GFP_KERNEL)?;
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

/// Takes the locks that follow a descriptor of `table`, which is the current task's.
pub(super) fn restore(ctx: &mut RestoreCtx, table: u32, entry: &FdEnt) -> Outcome {
    for _ in 0..entry.nr_locks {
        let rec: FileLock = ctx.reader.record(table)?;
        let lock = Lock {
            owner: match rec.kind {
                kind::RECORD => Owner::Table,
                kind::DESCRIPTION => Owner::Description,
                _ => Owner::Flock,
            },
            exclusive: rec.flags & 1 != 0,
            start: rec.start,
            end: rec.end,
        };
        let file = ctx.file(entry.file)?;
        // Nobody else's: an image's stream has the open file of whoever restarts.
        ensure(!ctx.is_stream(entry.file), EINVAL, "a lock on the image")?;
        filelock::take(file, &lock)
            .map_err(|errno| {
                let why = match errno {
                    EAGAIN => "somebody else has locked what is locked in the image",
                    EBADF => "a lock on a file that is not open for it",
                    EOPNOTSUPP => "a lock in a file system that keeps locks itself",
                    _ => "a lock cannot be taken",
                };
                Failure::new(errno, why)
            })
            .map_err(|failure: Failure| failure.about(&path::display_name(file)))?;
        sched::breathe()?;
    }
    Ok(())
}
