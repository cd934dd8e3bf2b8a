// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Who holds pipes, and files whose contents are saved.
//!
//! While an image is written, the ends and descriptors that are met are counted against
//! those that the kernel knows. Once everything has been written, nothing may be left.

use crate::charge::charged;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::file::Kept;
use crate::kapi::memfile;
use crate::kapi::path;
use crate::kapi::pipe::Look;
use crate::kapi::pipe::Pipe;
use crate::kapi::shmem;
use crate::objhash::Saved;
use kernel::prelude::*;
use kernel::rbtree::RBTree;

pub(super) const WATCHED_ONLY: &str = "an epoll watches a file that no process of the image has";
pub(super) const PIPE_HELD: &str = "a pipe is also held by a process that is not saved";

/// A pipe that is saved: ends that there are, and ends that were met.
pub(super) struct Ends {
    /// Keeps the pipe until the last look.
    pub(super) end: Option<Kept>,
    pub(super) look: Look,
    pub(super) fd: u32,
    pub(super) name: KVec<u8>,
    pub(super) readers: u32,
    pub(super) writers: u32,
}

/// A file whose contents are saved: references that there are, and descriptors that
/// were met.
struct Held {
    fd: u32,
    name: KVec<u8>,
    why: &'static str,
    references: u64,
}

/// The pipes of an image that is written, and their ends, by address. What is left
/// in a counter is somewhere else.
pub(crate) struct Met {
    pub(super) pipes: RBTree<usize, Ends>,
    ends: RBTree<usize, Held>,
    /// Pipes and files in memory that processes of the image have open for reading.
    readable: Saved,
    /// Files that epolls watch, and that no descriptor has led to yet.
    watched: RBTree<usize, (u32, KVec<u8>)>,
}

/// The identity of what is saved with its contents.
fn contents(file: &FileRef) -> Option<usize> {
    let pipe = Pipe::of(file).map(|pipe| pipe.identity());
    pipe.or_else(|| memfile::is_one(file).then(|| shmem::identity(file)))
}

impl Met {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            pipes: RBTree::new(),
            ends: RBTree::new(),
            readable: Saved::new(),
            watched: RBTree::new(),
        }
    }

    /// A descriptor, before the first byte is written: by some, contents can be read.
    pub(super) fn look(&mut self, file: &FileRef) -> Result {
        if file::may_read(file) {
            if let Some(identity) = contents(file) {
                self.readable.refer(identity)?;
            }
        }
        Ok(())
    }

    /// Refuses to write contents that the processes of the image could not read: the
    /// descriptor that leads to them may only write, or no longer exist; a mapping is one
    /// of a file that can be read. `ask` says that whoever serves a file elsewhere can
    /// answer.
    pub(super) fn check_readable(&self, file: &FileRef, ask: bool) -> Outcome {
        let met = contents(file).is_some_and(|identity| self.readable.knows(identity));
        let mapped = memfile::is_one(file) && file::may_read(file);
        let ask = ask || !file::is_served_elsewhere(file);
        ensure(
            met || mapped || ask && file::may_open_for_reading(file),
            EACCES,
            "its contents can be read by no process of the image",
        )
    }

    /// One more descriptor of an open file.
    pub(crate) fn descriptor(&mut self, file: &FileRef) {
        if let Some(held) = self.ends.get_mut(&file::identity(file)) {
            held.references = held.references.wrapping_sub(1);
        }
        self.watched.remove(&file::identity(file));
    }

    /// A new file that an epoll watches: a descriptor or a mapping must lead to it, or
    /// nothing would keep it after a restart.
    pub(super) fn watch(&mut self, file: &FileRef, fd: u32) -> Result {
        let about = (fd, path::display_name(file));
        self.watched
            .try_create_and_insert(file::identity(file), about, charged())?;
        Ok(())
    }

    /// A file whose contents are saved: others must not have it.
    pub(super) fn hold(&mut self, file: &FileRef, fd: u32, why: &'static str) -> Result {
        let held = Held {
            fd,
            name: path::display_name(file),
            why,
            // One of them is ours.
            references: file::references(file).wrapping_sub(1),
        };
        self.ends
            .try_create_and_insert(file::identity(file), held, charged())?;
        Ok(())
    }

    /// Refuses what somebody else has, too.
    pub(crate) fn check(&self) -> Outcome {
        let fail = |why, fd, name: &[u8], kind| {
            let failure = Failure::new(EOPNOTSUPP, why).at(Place::Fd(fd));
            Err(failure.about(name).of(kind))
        };
        for ends in self.pipes.values() {
            if ends.readers != 0 || ends.writers != 0 {
                return fail(PIPE_HELD, ends.fd, &ends.name, format::PIPE);
            }
            let end = ends.end.as_ref().map(Kept::get).ok_or(EBADF)?;
            let pipe = Pipe::of(&end).ok_or(EBADF)?;
            if pipe.state()?.look != ends.look {
                let why = "a pipe has changed during the checkpoint, by another process";
                let failure = Failure::new(EBUSY, why).at(Place::Fd(ends.fd));
                return Err(failure.about(&ends.name).of(format::PIPE));
            }
        }
        if let Some(held) = self.ends.values().find(|held| held.references != 0) {
            return fail(held.why, held.fd, &held.name, format::FILE);
        }
        match self.watched.values().next() {
            Some((fd, name)) => fail(WATCHED_ONLY, *fd, name, format::FILE),
            None => Ok(()),
        }
    }
}
