// SPDX-License-Identifier: GPL-2.0

//! Makes images in memory, valid ones or nearly so, for tests.
//!
//! An [`Image`] is plain data: start from [`Image::minimal`] or
//! [`Image::sample`], change it, call [`Image::settle`] to make the counts
//! follow the lists (or do not, to make an image that lies), and write it.

mod memory;
mod others;
mod sample;
mod sample_files;
mod sample_memory;
mod sample_waits;
mod sink;
mod splice;
mod storage;

use std::collections::HashSet;

use zerocopy::IntoBytes;

use crate::format;
use crate::format::anon;
use crate::format::call;
use crate::format::cpu;
use crate::format::files;
use crate::format::head;
use crate::format::mm;
use crate::format::pending;
use crate::format::pipe;
use crate::format::signal;
use crate::format::socket;
use crate::format::task;
use crate::format::timer;
use crate::format::tree;
use crate::stream::writer::Writer;
use crate::stream::Sink;
use sink::SinkRef;

pub use memory::page;
pub use memory::Mapping;
pub use memory::Shared;
pub use others::Filters;
pub use others::Other;
pub use sink::Memory;
pub use splice::join;
pub use splice::reseal;
pub use splice::split;

/// An open file and its path.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenFile {
    /// The record.
    pub file: files::File,
    /// The path, or nothing.
    pub path: Vec<u8>,
}

/// A pipe and what is in it.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipe {
    /// The record.
    pub pipe: pipe::Pipe,
    /// The path of a FIFO, or nothing.
    pub path: Vec<u8>,
    /// Buffers and their bytes.
    pub bufs: Vec<(pipe::PipeBuf, Vec<u8>)>,
}

/// A pair of local sockets, or one whose other end is closed.
#[derive(Clone, Debug, PartialEq)]
pub struct Sockets {
    /// The ends, each with the messages that wait in it.
    pub ends: Vec<(socket::Socket, Vec<Message>)>,
}

/// A message that waits in a socket, and its bytes.
pub type Message = (socket::SocketMsg, Vec<u8>);

/// What is in a file that is no more than that, and follows it.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Anon {
    Eventfd(anon::Eventfd),
    Signalfd(anon::Signalfd),
    Timerfd(anon::Timerfd),
    Pidfd(anon::Pidfd),
    Epoll(Vec<anon::EpollItem>),
}

/// All of an image, in the order of the stream.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Image {
    pub head: head::Head,
    /// Release, version, machine.
    pub uts: [Vec<u8>; 3],
    pub arch: head::HeadArch,
    /// The forest: of the first process, and of each of the others.
    pub tree: Vec<tree::Tree>,
    pub task: task::Task,
    /// Each is written before its first user.
    pub files: Vec<OpenFile>,
    /// Who has opened them: object reference, credentials and groups. Each is written
    /// before the first file.
    pub openers: Vec<(u32, task::Creds, Vec<u32>)>,
    /// By the object reference of its file.
    pub anons: Vec<(u32, Anon)>,
    /// Each is written before its first end.
    pub pipes: Vec<Pipe>,
    /// Each is written before its first end.
    pub sockets: Vec<Sockets>,
    /// Each is written before its first user.
    pub shmem: Vec<Shared>,
    pub mm: mm::Mm,
    pub auxv: Vec<u64>,
    pub mappings: Vec<Mapping>,
    pub mm_context: cpu::MmContext,
    pub ldt: Vec<cpu::UserDesc>,
    pub thread: cpu::Thread,
    pub cpu: cpu::Cpu,
    pub fpu: Vec<u8>,
    /// What the call that was interrupted needs, if it needs something.
    pub restart_block: Option<call::RestartBlock>,
    pub fs: task::Fs,
    /// Root and current directory.
    pub paths: [Vec<u8>; 2],
    pub table: files::Files,
    pub fds: Vec<files::FdEnt>,
    /// Locks, each with the descriptor that it follows.
    pub locks: Vec<(u32, files::FileLock)>,
    pub signal: signal::Signal,
    /// Signals that wait to be delivered, in the order of their queues.
    pub pending: Vec<pending::Siginfo>,
    pub itimers: pending::Itimers,
    pub timers: timer::Timers,
    /// POSIX timers, in the order of their ids.
    pub posix: Vec<timer::Timer>,
    pub creds: task::Creds,
    pub groups: Vec<u32>,
    pub filters: Option<Filters>,
    /// CPUs that the first task may run on, or nothing.
    pub affinity: Vec<u8>,
    pub rlimits: task::Rlimits,
    /// The other tasks, in the order of the forest. They have no groups.
    pub others: Vec<Other>,
}

impl Image {
    /// Makes counts and lengths follow the lists.
    pub fn settle(&mut self) {
        let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.mm.map_count = len(self.mappings.len());
        self.mm.nr_auxv = len(self.auxv.len());
        for mapping in &mut self.mappings {
            mapping.vma.namelen = len(mapping.name.len());
            mapping.vma.nr_guards = len(mapping.guards.len());
        }
        for shared in &mut self.shmem {
            shared.object.namelen = len(shared.name.len());
        }
        for open in &mut self.files {
            open.file.path_len = len(open.path.len());
        }
        for pipe in &mut self.pipes {
            pipe.pipe.path_len = len(pipe.path.len());
            pipe.pipe.nr_bufs = len(pipe.bufs.len());
            for (buf, bytes) in &mut pipe.bufs {
                buf.nr_bytes = len(bytes.len());
            }
        }
        for (socket, msgs) in self.sockets.iter_mut().flat_map(|pair| &mut pair.ends) {
            socket.nr_msgs = len(msgs.len());
            for (msg, bytes) in msgs {
                msg.nr_bytes = len(bytes.len());
            }
        }
        self.mm_context.nldt = len(self.ldt.len());
        self.head.nr_tasks = len(self.tree.len());
        for other in &mut self.others {
            other.settle();
        }
        self.arch.xsave_size = len(self.fpu.len());
        self.cpu.xstate_size = len(self.fpu.len());
        self.cpu.nr_restart = u32::from(self.restart_block.is_some());
        self.table.nr_fds = len(self.fds.len());
        for entry in &mut self.fds {
            let own = self.locks.iter().filter(|(fd, _)| *fd == entry.fd);
            entry.nr_locks = len(own.count());
        }
        self.signal.nr_pending = len(self.pending.len());
        self.timers.nr_timers = len(self.posix.len());
        self.creds.ngroups = len(self.groups.len());
        for (_, creds, groups) in &mut self.openers {
            creds.ngroups = len(groups.len());
        }
        if let Some(filters) = &mut self.filters {
            filters.settle();
        }
        self.task.affinity_len = len(self.affinity.len());
    }

    /// The bytes of the image.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Memory::default();
        match self.write(&mut Writer::new(SinkRef(&mut out))) {
            Ok(()) => out.0,
            Err(never) => match never {},
        }
    }

    /// The bytes of an image whose checkpoint failed behind its header.
    pub fn failed(&self, error: &head::ErrorRec) -> Vec<u8> {
        let mut out = Memory::default();
        let mut to = Writer::new(SinkRef(&mut out));
        let written = self.write_start(&mut to).and_then(|()| to.record(0, error));
        match written {
            Ok(()) => out.0,
            Err(never) => match never {},
        }
    }

    /// Writes the image.
    ///
    /// # Errors
    ///
    /// Those of the sink.
    pub fn write<S: Sink>(&self, to: &mut Writer<S>) -> Result<(), S::Error> {
        let (t, m) = (self.task.objref, self.mm.objref);
        let mut written = HashSet::new();
        self.write_start(to)?;
        for entry in &self.tree {
            to.record(0, entry)?;
        }
        to.record(0, &self.task)?;
        if !self.affinity.is_empty() {
            to.bytes(format::AFFINITY, t, &self.affinity)?;
        }
        self.write_file(to, self.mm.exe_file, &mut written)?;
        to.record(t, &self.mm)?;
        if !self.auxv.is_empty() {
            to.bytes(format::AUXV, m, self.auxv.as_bytes())?;
        }
        for mapping in &self.mappings {
            self.write_file(to, mapping.vma.file, &mut written)?;
            self.write_shmem(to, mapping.vma.file, &mut written)?;
            mapping.write(to, m)?;
        }
        to.record(m, &self.mm_context)?;
        for entries in self.ldt.chunks(cpu::LDT_CHUNK) {
            to.bytes(format::LDT, m, entries.as_bytes())?;
        }
        to.record(t, &self.thread)?;
        to.record(t, &self.cpu)?;
        to.bytes(format::FPU, t, &self.fpu)?;
        if let Some(block) = &self.restart_block {
            to.record(t, block)?;
        }
        to.record(t, &self.fs)?;
        for path in &self.paths {
            to.bytes(format::STR, t, path)?;
        }
        to.record(t, &self.table)?;
        for entry in &self.fds {
            self.write_file(to, entry.file, &mut written)?;
            to.record(self.table.objref, entry)?;
            for (_, lock) in self.locks.iter().filter(|(fd, _)| *fd == entry.fd) {
                to.record(self.table.objref, lock)?;
            }
        }
        to.record(t, &self.signal)?;
        for info in &self.pending {
            to.record(t, info)?;
        }
        to.record(t, &self.itimers)?;
        to.record(t, &self.timers)?;
        for timer in &self.posix {
            to.record(t, timer)?;
        }
        write_creds(to, t, &self.creds, &self.groups)?;
        if let Some(filters) = &self.filters {
            filters.write(to, t)?;
        }
        to.record(t, &self.rlimits)?;
        for other in &self.others {
            other.write(to)?;
        }
        to.tail()
    }

    fn write_start<S: Sink>(&self, to: &mut Writer<S>) -> Result<(), S::Error> {
        to.record(0, &self.head)?;
        for string in &self.uts {
            to.bytes(format::STR, 0, string)?;
        }
        to.record(0, &self.arch)
    }
}

/// Credentials of `owner`, and their groups.
fn write_creds<S: Sink>(
    to: &mut Writer<S>,
    owner: u32,
    creds: &task::Creds,
    groups: &[u32],
) -> Result<(), S::Error> {
    to.record(owner, creds)?;
    for groups in groups.chunks(task::GROUPS_CHUNK) {
        to.bytes(format::GROUPS, owner, groups.as_bytes())?;
    }
    Ok(())
}
