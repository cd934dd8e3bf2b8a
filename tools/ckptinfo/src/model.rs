// SPDX-License-Identifier: GPL-2.0

//! What is kept of an image while it streams by.
//!
//! Page contents are not kept. Lists are, up to a budget: an image that claims
//! more is still read to its end and checked, only not shown in full.

mod take;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::ops::Deref;

use ckptfmt::build::Anon;
use ckptfmt::format::call;
use ckptfmt::format::cpu;
use ckptfmt::format::files;
use ckptfmt::format::head;
use ckptfmt::format::mm;
use ckptfmt::format::pending;
use ckptfmt::format::pipe;
use ckptfmt::format::seccomp;
use ckptfmt::format::shmem;
use ckptfmt::format::signal;
use ckptfmt::format::socket;
use ckptfmt::format::task;
use ckptfmt::format::timer;
use ckptfmt::format::tree;
use ckptfmt::walk::Totals;

/// A mapping.
pub struct Mapping {
    /// The record.
    pub vma: mm::Vma,
    /// Its name.
    pub name: Vec<u8>,
    /// Pages whose contents are in the image for it.
    pub pages: u64,
    /// Pages that a mapping before it has as well.
    pub again: u64,
}

/// A pipe or FIFO.
pub struct Pipe {
    /// The record.
    pub pipe: pipe::Pipe,
    /// Path of a FIFO.
    pub path: Vec<u8>,
    /// Bytes in it.
    pub bytes: u64,
    /// Packets among its buffers.
    pub packets: u64,
}

/// A local socket.
pub struct Socket {
    /// The record.
    pub rec: socket::Socket,
    /// Bytes that wait in it.
    pub bytes: u64,
}

/// A shared memory object.
pub struct Shared {
    /// The record.
    pub object: shmem::Shmem,
    /// Its name, or nothing.
    pub name: Vec<u8>,
    /// Pages whose contents are in the image.
    pub pages: u64,
}

/// A task, as far as it was read. Threads that are not the first of their process
/// have no memory, files and limits of their own.
#[derive(Default)]
pub struct OneTask {
    pub task: Option<task::Task>,
    /// What it has that a task before it has, too: what it is, and that task. Of
    /// threads: what is not that of their process.
    pub shares: Vec<(&'static str, u32)>,
    /// CPUs that it may run on, a bit for each, or nothing.
    pub affinity: Vec<u8>,
    pub mm: Option<mm::Mm>,
    pub auxv: Vec<u64>,
    pub mappings: Vec<Mapping>,
    pub context: Option<cpu::MmContext>,
    pub thread: Option<cpu::Thread>,
    pub cpu: Option<cpu::Cpu>,
    pub restart_block: Option<call::RestartBlock>,
    pub fs: Option<task::Fs>,
    pub root: Vec<u8>,
    pub cwd: Vec<u8>,
    pub table: Option<files::Files>,
    pub fds: Vec<files::FdEnt>,
    /// Locks, each with the descriptor that it follows.
    pub locks: Vec<(u32, files::FileLock)>,
    pub signal: Option<signal::Signal>,
    pub thread_signal: Option<signal::ThreadSignal>,
    pub pending: Vec<pending::Siginfo>,
    pub itimers: Option<pending::Itimers>,
    pub timers: Option<timer::Timers>,
    pub posix: Vec<timer::Timer>,
    pub creds: Option<task::Creds>,
    pub groups: Vec<u32>,
    pub seccomp: Option<seccomp::Seccomp>,
    pub rlimits: Option<task::Rlimits>,
}

/// An image, as far as it was read.
#[derive(Default)]
pub struct Model {
    pub head: Option<head::Head>,
    pub release: Vec<u8>,
    pub version: Vec<u8>,
    pub machine: Vec<u8>,
    pub arch: Option<head::HeadArch>,
    /// The forest.
    pub tree: Vec<tree::Tree>,
    /// Filters of system calls by object reference.
    pub filters: HashMap<u32, seccomp::SeccompFilter>,
    /// By object reference: the record and the path.
    pub files: BTreeMap<u32, (files::File, Vec<u8>)>,
    /// Who has opened them: credentials and groups, by object reference.
    pub openers: BTreeMap<u32, (task::Creds, Vec<u32>)>,
    /// By object reference.
    pub pipes: HashMap<u32, Pipe>,
    /// By object reference.
    pub sockets: HashMap<u32, Socket>,
    /// What is in files without a name, by object reference.
    pub anons: HashMap<u32, Anon>,
    /// The file that was last.
    file: u32,
    /// The pipe whose buffers come.
    filling: u32,
    /// By object reference.
    pub shmem: BTreeMap<u32, Shared>,
    /// The shared memory whose pages come.
    sharing: u32,
    pub tasks: Vec<OneTask>,
    /// Who has an address space, a table, a view or handlers first, by their references.
    first: HashMap<u32, u32>,
    /// Set at the end of a complete image.
    pub totals: Option<Totals>,
    /// Entries of lists that were too long to be kept.
    pub dropped: u64,
    /// The task at hand, if it cannot be kept.
    overflow: Option<OneTask>,
    kept: usize,
}

/// A task together with what it shares with others.
pub struct View<'a> {
    image: &'a Model,
    one: &'a OneTask,
}

impl Deref for View<'_> {
    type Target = OneTask;

    fn deref(&self) -> &OneTask {
        self.one
    }
}

impl View<'_> {
    /// The task whose memory, descriptors or the like it has, too.
    pub fn shared_with(&self, what: &str) -> Option<u32> {
        let mut shares = self.shares.iter();
        shares.find(|(name, _)| *name == what).map(|(_, pid)| *pid)
    }

    /// The filters of system calls, the last one first.
    pub fn filters(&self) -> impl Iterator<Item = &seccomp::SeccompFilter> {
        let find = |objref| self.image.filters.get(&objref);
        let last = self.seccomp.and_then(|seccomp| find(seccomp.filter));
        // Each names one that was read before it.
        std::iter::successors(last, move |filter| find(filter.prev))
            .take(seccomp::FILTERS_MAX as usize)
    }

    /// As [`Model::file`].
    pub fn file(&self, objref: u32) -> Option<&(files::File, Vec<u8>)> {
        self.image.file(objref)
    }

    /// As [`Model::pipe`].
    pub fn pipe(&self, end: &files::File) -> Option<&Pipe> {
        self.image.pipe(end)
    }

    /// As [`Model::socket`].
    pub fn socket(&self, file: &files::File) -> Option<&Socket> {
        self.image.socket(file)
    }

    /// As [`Model::anon`].
    pub fn anon(&self, objref: u32) -> Option<&Anon> {
        self.image.anon(objref)
    }

    /// As [`Model::path`].
    pub fn path(&self, objref: u32) -> Option<&[u8]> {
        self.image.path(objref)
    }

    /// Pages whose contents are in the image.
    pub fn pages(&self) -> u64 {
        self.mappings
            .iter()
            .fold(0, |sum, m| sum.saturating_add(m.pages))
    }
}

impl Model {
    /// An open file: its record and its path.
    pub fn file(&self, objref: u32) -> Option<&(files::File, Vec<u8>)> {
        self.files.get(&objref)
    }

    /// The pipe of an end.
    pub fn pipe(&self, end: &files::File) -> Option<&Pipe> {
        self.pipes.get(&end.object)
    }

    /// The socket that a file is.
    pub fn socket(&self, file: &files::File) -> Option<&Socket> {
        self.sockets.get(&file.object)
    }

    /// What is in a file without a name.
    pub fn anon(&self, objref: u32) -> Option<&Anon> {
        self.anons.get(&objref)
    }

    /// The path of an open file, or the name of the shared memory behind it.
    pub fn path(&self, objref: u32) -> Option<&[u8]> {
        let (file, path) = self.file(objref)?;
        let object = self.shmem.get(&file.object);
        Some(object.map_or(path.as_slice(), |s| s.name.as_slice()))
    }

    /// The tasks, each with what it shares.
    pub fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.tasks.iter().map(|one| View { image: self, one })
    }
}
