// SPDX-License-Identifier: GPL-2.0

//! What is kept of an image while it streams by.
//!
//! Page contents are not kept. Lists are, up to a budget: an image that claims
//! more is still read to its end and checked, only not shown in full.

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
use ckptfmt::walk::Event;
use ckptfmt::walk::Totals;

/// Bytes that lists and paths of one image may take.
const BUDGET: usize = 64 << 20;

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
    pub files: HashMap<u32, (files::File, Vec<u8>)>,
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
    pub shmem: Vec<Shared>,
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

    /// An open file: its record and its path.
    pub fn file(&self, objref: u32) -> Option<&(files::File, Vec<u8>)> {
        self.image.files.get(&objref)
    }

    /// The pipe of an end.
    pub fn pipe(&self, end: &files::File) -> Option<&Pipe> {
        self.image.pipes.get(&end.object)
    }

    /// The socket that a file is.
    pub fn socket(&self, file: &files::File) -> Option<&Socket> {
        self.image.sockets.get(&file.object)
    }

    /// What is in a file without a name.
    pub fn anon(&self, objref: u32) -> Option<&Anon> {
        self.image.anons.get(&objref)
    }

    /// The path of an open file, or the name of the shared memory behind it.
    pub fn path(&self, objref: u32) -> Option<&[u8]> {
        let (file, path) = self.file(objref)?;
        let mut shmem = self.image.shmem.iter();
        let object = shmem.find(|s| s.object.objref == file.object);
        Some(object.map_or(path.as_slice(), |s| s.name.as_slice()))
    }

    /// Pages whose contents are in the image.
    pub fn pages(&self) -> u64 {
        self.mappings
            .iter()
            .fold(0, |sum, m| sum.saturating_add(m.pages))
    }
}

impl Model {
    /// Whether `bytes` more may be kept.
    fn room(&mut self, bytes: usize) -> bool {
        let kept = self.kept.saturating_add(bytes).saturating_add(64);
        let room = kept <= BUDGET;
        if room {
            self.kept = kept;
        } else {
            self.dropped = self.dropped.saturating_add(1);
        }
        room
    }

    fn shares(&mut self, task: &task::Task) -> Vec<(&'static str, u32)> {
        let mut shares = Vec::new();
        for (what, objref) in [
            ("memory", task.mm),
            ("descriptors", task.files),
            ("directories", task.fs),
            ("handlers", task.handlers),
        ] {
            // One that has ended has nothing any more.
            if objref == 0 {
                continue;
            }
            match self.first.get(&objref).copied() {
                Some(first) if first != task.tgid => shares.push((what, first)),
                Some(_) => {}
                None if self.room(size_of::<(u32, u32)>()) => {
                    self.first.insert(objref, task.pid);
                }
                None => {}
            }
        }
        shares
    }

    fn anon(&mut self, anon: Anon) {
        if self.room(size_of::<Anon>()) {
            self.anons.insert(self.file, anon);
        }
    }

    /// Takes in the next part of an image.
    pub fn take(&mut self, event: &Event<'_>) {
        match *event {
            Event::Head(r) => self.head = Some(*r),
            Event::Release(s) => self.release = s.into(),
            Event::Version(s) => self.version = s.into(),
            Event::Machine(s) => self.machine = s.into(),
            Event::HeadArch(r) => self.arch = Some(*r),
            Event::Tree(r) => {
                if self.room(size_of_val(r)) {
                    self.tree.push(*r);
                }
            }
            Event::Task(r) => {
                let one = OneTask {
                    task: Some(*r),
                    shares: self.shares(r),
                    ..Default::default()
                };
                if self.room(size_of::<OneTask>()) {
                    self.tasks.push(one);
                } else {
                    self.overflow = Some(one);
                }
            }
            Event::ThreadSignal(r) => self.last().thread_signal = Some(*r),
            Event::File(r, path) => {
                self.file = r.objref;
                if self.room(size_of_val(r).saturating_add(path.len())) {
                    self.files.insert(r.objref, (*r, path.into()));
                }
            }
            Event::Eventfd(r) => self.anon(Anon::Eventfd(*r)),
            Event::Signalfd(r) => self.anon(Anon::Signalfd(*r)),
            Event::Timerfd(r) => self.anon(Anon::Timerfd(*r)),
            Event::Pidfd(r) => self.anon(Anon::Pidfd(*r)),
            Event::Epoll(_) => self.anon(Anon::Epoll(Vec::new())),
            Event::EpollItem(r) => {
                if self.room(size_of_val(r)) {
                    if let Some(Anon::Epoll(items)) = self.anons.get_mut(&self.file) {
                        items.push(*r);
                    }
                }
            }
            Event::Pipe(r, path) => {
                self.filling = r.objref;
                if self.room(size_of::<Pipe>().saturating_add(path.len())) {
                    let pipe = Pipe {
                        pipe: *r,
                        path: path.into(),
                        bytes: 0,
                        packets: 0,
                    };
                    self.pipes.insert(r.objref, pipe);
                }
            }
            Event::PipeBuf(r, _) => {
                if let Some(pipe) = self.pipes.get_mut(&self.filling) {
                    let packet = r.flags & pipe::pipe_buf_flags::PACKET != 0;
                    pipe.packets = pipe.packets.saturating_add(packet.into());
                    pipe.bytes = pipe.bytes.saturating_add(r.nr_bytes.into());
                }
            }
            Event::Socket(r) => {
                if self.room(size_of::<Socket>()) {
                    self.sockets.insert(r.objref, Socket { rec: *r, bytes: 0 });
                }
            }
            Event::SocketMsg(objref, r) => {
                if let Some(socket) = self.sockets.get_mut(&objref) {
                    socket.bytes = socket.bytes.saturating_add(r.nr_bytes.into());
                }
            }
            Event::SocketData(..) => {}
            Event::Shmem(r, name) => {
                if self.room(size_of::<Shared>().saturating_add(name.len())) {
                    self.shmem.push(Shared {
                        object: *r,
                        name: name.into(),
                        pages: 0,
                    });
                }
            }
            Event::ShmemEnd(pages) => {
                if let Some(last) = self.shmem.last_mut().filter(|_| self.dropped == 0) {
                    last.pages = pages;
                }
            }
            Event::Mm(r) => self.last().mm = Some(*r),
            Event::Auxv(v) => self.last().auxv = v.into(),
            Event::Vma(r, name) => {
                if self.room(size_of::<Mapping>().saturating_add(name.len())) {
                    self.last().mappings.push(Mapping {
                        vma: *r,
                        name: name.into(),
                        pages: 0,
                        again: 0,
                    });
                }
            }
            Event::Again(r) => {
                let whole = self.dropped == 0;
                if let Some(last) = self.last().mappings.last_mut().filter(|_| whole) {
                    last.again = last.again.saturating_add(r.nr_pages);
                }
            }
            Event::VmaEnd(pages) => {
                // The last one is this one unless lists are full.
                let whole = self.dropped == 0;
                if let Some(last) = self.last().mappings.last_mut().filter(|_| whole) {
                    last.pages = pages;
                }
            }
            Event::MmContext(r) => self.last().context = Some(*r),
            Event::Thread(r) => self.last().thread = Some(*r),
            Event::Cpu(r) => self.last().cpu = Some(*r),
            Event::RestartBlock(r) => self.last().restart_block = Some(*r),
            Event::Fs(r) => self.last().fs = Some(*r),
            Event::Root(s) => self.last().root = s.into(),
            Event::Cwd(s) => self.last().cwd = s.into(),
            Event::Files(r) => self.last().table = Some(*r),
            Event::Fd(r) => {
                if self.room(size_of_val(r)) {
                    self.last().fds.push(*r);
                }
            }
            Event::Signal(r) => self.last().signal = Some(*r),
            Event::Siginfo(r) => {
                if self.room(size_of_val(r)) {
                    self.last().pending.push(*r);
                }
            }
            Event::Itimers(r) => self.last().itimers = Some(*r),
            Event::Timers(r) => self.last().timers = Some(*r),
            Event::Timer(r) => {
                if self.room(size_of_val(r)) {
                    self.last().posix.push(*r);
                }
            }
            Event::Creds(r) => self.last().creds = Some(*r),
            Event::Affinity(bits) => self.last().affinity = bits.into(),
            Event::Seccomp(r) => self.last().seccomp = Some(*r),
            Event::Filter(r, _) => {
                self.filters.insert(r.objref, *r);
            }
            Event::Groups(g) => self.last().groups.extend_from_slice(g),
            Event::Rlimits(r) => self.last().rlimits = Some(*r),
            Event::End(totals) => self.totals = Some(*totals),
            Event::Guards(_) | Event::Pages(_) | Event::Data(_) | Event::Ldt(_) | Event::Fpu(_) => {
            }
        }
    }

    /// The task at hand.
    fn last(&mut self) -> &mut OneTask {
        // Behind one that was too much all are.
        match (self.tasks.last_mut(), &mut self.overflow) {
            (Some(one), None) => one,
            (_, overflow) => overflow.get_or_insert_default(),
        }
    }

    /// The tasks, each with what it shares.
    pub fn views(&self) -> impl Iterator<Item = View<'_>> {
        self.tasks.iter().map(|one| View { image: self, one })
    }
}
