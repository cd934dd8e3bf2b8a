// SPDX-License-Identifier: GPL-2.0

//! Makes images in memory, valid ones or nearly so, for tests.
//!
//! An [`Image`] is plain data: start from [`Image::minimal`] or
//! [`Image::sample`], change it, call [`Image::settle`] to make the counts
//! follow the lists (or do not, to make an image that lies), and write it.

mod sample;
mod sample_files;
mod splice;
mod storage;

use std::collections::HashSet;
use std::convert::Infallible;

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
use crate::format::seccomp;
use crate::format::shmem;
use crate::format::signal;
use crate::format::socket;
use crate::format::task;
use crate::format::timer;
use crate::format::tree;
use crate::stream::writer::Writer;
use crate::stream::Sink;

pub use splice::join;
pub use splice::reseal;
pub use splice::split;

/// A mapping and what follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// The record.
    pub vma: mm::Vma,
    /// Its name, or nothing.
    pub name: Vec<u8>,
    /// Its guard ranges.
    pub guards: Vec<mm::GuardRange>,
    /// Its runs of pages; the contents are those of [`page`].
    pub runs: Vec<Vec<u64>>,
    /// Its pages that are in the image already.
    pub again: Vec<mm::Pgref>,
}

/// An open file and its path.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenFile {
    /// The record.
    pub file: files::File,
    /// The path, or nothing.
    pub path: Vec<u8>,
}

/// A task that is not the first one.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
#[allow(clippy::large_enum_variant, reason = "there are few")]
pub enum Other {
    /// A thread of the first process. Its files are those that it has as well.
    Thread {
        task: task::Task,
        thread: cpu::Thread,
        cpu: cpu::Cpu,
        fpu: Vec<u8>,
        restart_block: Option<call::RestartBlock>,
        /// A file system view of its own: with root and current directory.
        fs: Option<(task::Fs, [Vec<u8>; 2])>,
        /// A descriptor table of its own.
        table: Option<(files::Files, Vec<files::FdEnt>)>,
        signal: signal::ThreadSignal,
        pending: Vec<pending::Siginfo>,
        creds: task::Creds,
        filters: Option<Filters>,
    },
    /// A child that has ended.
    Zombie(task::Task),
}

/// The filters of system calls of a task, and those that are new.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Filters {
    pub seccomp: seccomp::Seccomp,
    pub new: Vec<(seccomp::SeccompFilter, Vec<seccomp::SockFilter>)>,
}

impl Filters {
    fn settle(&mut self) {
        let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.seccomp.nr_filters = len(self.new.len());
        for (filter, code) in &mut self.new {
            filter.len = len(code.len());
        }
    }

    fn write<S: Sink>(&self, to: &mut Writer<S>, t: u32) -> Result<(), S::Error> {
        to.record(t, &self.seccomp)?;
        for (filter, code) in &self.new {
            to.record(t, filter)?;
            for insns in code.chunks(seccomp::INSNS_CHUNK) {
                to.bytes(format::SECCOMP_CODE, filter.objref, insns.as_bytes())?;
            }
        }
        Ok(())
    }
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

/// A shared memory object.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared {
    /// The record.
    pub object: shmem::Shmem,
    /// Its name, or nothing.
    pub name: Vec<u8>,
    /// Its runs of pages; the contents are those of [`page`].
    pub runs: Vec<Vec<u64>>,
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

/// Contents of the page at `addr` in every image that is built here.
pub fn page(addr: u64) -> Vec<u8> {
    (0..512u64)
        .flat_map(|i| (addr ^ i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .collect()
}

/// A sink that keeps an image in memory.
#[derive(Debug, Default)]
pub struct Memory(pub Vec<u8>);

impl Sink for Memory {
    type Error = Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc, bytes)
    }
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
        self.signal.nr_pending = len(self.pending.len());
        self.timers.nr_timers = len(self.posix.len());
        self.creds.ngroups = len(self.groups.len());
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
        to.record(t, &self.creds)?;
        for groups in self.groups.chunks(task::GROUPS_CHUNK) {
            to.bytes(format::GROUPS, t, groups.as_bytes())?;
        }
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

/// Writes runs of pages, and the record that ends them.
fn write_runs<S: Sink>(
    to: &mut Writer<S>,
    owner: u32,
    runs: &[Vec<u64>],
    again: &[mm::Pgref],
) -> Result<(), S::Error> {
    for run in runs.iter().filter(|r| !r.is_empty()) {
        to.pages(owner, run)?;
        for addr in run {
            let contents = page(*addr);
            to.sink().put(&contents)?;
            to.wrote_pages(&contents);
        }
    }
    for pages in again {
        to.record(owner, pages)?;
    }
    to.pages(owner, &[])
}

impl Other {
    fn settle(&mut self) {
        let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        if let Other::Thread {
            cpu,
            fpu,
            restart_block,
            table,
            signal,
            pending,
            ..
        } = self
        {
            if let Some((table, fds)) = table {
                table.nr_fds = len(fds.len());
            }
            cpu.xstate_size = len(fpu.len());
            cpu.nr_restart = u32::from(restart_block.is_some());
            signal.nr_pending = len(pending.len());
        }
    }

    fn write<S: Sink>(&self, to: &mut Writer<S>) -> Result<(), S::Error> {
        match self {
            Other::Zombie(task) => to.record(0, task),
            Other::Thread {
                task,
                thread,
                cpu,
                fpu,
                restart_block,
                fs,
                table,
                signal,
                pending,
                creds,
                filters,
            } => {
                let t = task.objref;
                to.record(0, task)?;
                to.record(t, thread)?;
                to.record(t, cpu)?;
                to.bytes(format::FPU, t, fpu)?;
                if let Some(block) = restart_block {
                    to.record(t, block)?;
                }
                if let Some((fs, paths)) = fs {
                    to.record(t, fs)?;
                    for path in paths {
                        to.bytes(format::STR, t, path)?;
                    }
                }
                if let Some((table, fds)) = table {
                    to.record(t, table)?;
                    for entry in fds {
                        to.record(table.objref, entry)?;
                    }
                }
                to.record(t, signal)?;
                for info in pending {
                    to.record(t, info)?;
                }
                to.record(t, creds)?;
                match filters {
                    Some(filters) => filters.write(to, t),
                    None => Ok(()),
                }
            }
        }
    }
}

impl Mapping {
    fn write<S: Sink>(&self, to: &mut Writer<S>, m: u32) -> Result<(), S::Error> {
        to.record(m, &self.vma)?;
        if !self.name.is_empty() {
            to.bytes(format::STR, m, &self.name)?;
        }
        for ranges in self.guards.chunks(mm::GUARD_CHUNK) {
            to.bytes(format::GUARD, m, ranges.as_bytes())?;
        }
        write_runs(to, m, &self.runs, &self.again)
    }
}

/// Lends a sink to a writer.
struct SinkRef<'a, S>(&'a mut S);

impl<S: Sink> Sink for SinkRef<'_, S> {
    type Error = S::Error;

    fn put(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        self.0.put(bytes)
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        S::crc32c(crc, bytes)
    }
}
