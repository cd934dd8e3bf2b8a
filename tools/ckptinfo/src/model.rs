// SPDX-License-Identifier: GPL-2.0

//! What is kept of an image while it streams by.
//!
//! Page contents are not kept. Lists are, up to a budget: an image that claims
//! more is still read to its end and checked, only not shown in full.

use std::collections::HashMap;

use ckptfmt::format::call;
use ckptfmt::format::cpu;
use ckptfmt::format::files;
use ckptfmt::format::head;
use ckptfmt::format::mm;
use ckptfmt::format::pending;
use ckptfmt::format::signal;
use ckptfmt::format::task;
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
    /// Pages whose contents are in the image.
    pub pages: u64,
}

/// An image, as far as it was read.
#[derive(Default)]
pub struct Model {
    pub head: Option<head::Head>,
    pub release: Vec<u8>,
    pub version: Vec<u8>,
    pub machine: Vec<u8>,
    pub arch: Option<head::HeadArch>,
    pub task: Option<task::Task>,
    pub mm: Option<mm::Mm>,
    pub auxv: Vec<u64>,
    pub mappings: Vec<Mapping>,
    /// By object reference: the record and the path.
    pub files: HashMap<u32, (files::File, Vec<u8>)>,
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
    pub pending: Vec<pending::Siginfo>,
    pub itimers: Option<pending::Itimers>,
    pub creds: Option<task::Creds>,
    pub groups: Vec<u32>,
    pub rlimits: Option<task::Rlimits>,
    /// Set at the end of a complete image.
    pub totals: Option<Totals>,
    /// Entries of lists that were too long to be kept.
    pub dropped: u64,
    kept: usize,
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

    /// Takes in the next part of an image.
    pub fn take(&mut self, event: &Event<'_>) {
        match *event {
            Event::Head(r) => self.head = Some(*r),
            Event::Release(s) => self.release = s.into(),
            Event::Version(s) => self.version = s.into(),
            Event::Machine(s) => self.machine = s.into(),
            Event::HeadArch(r) => self.arch = Some(*r),
            Event::Task(r) => self.task = Some(*r),
            Event::File(r, path) => {
                if self.room(size_of_val(r).saturating_add(path.len())) {
                    self.files.insert(r.objref, (*r, path.into()));
                }
            }
            Event::Mm(r) => self.mm = Some(*r),
            Event::Auxv(v) => self.auxv = v.into(),
            Event::Vma(r, name) => {
                if self.room(size_of::<Mapping>().saturating_add(name.len())) {
                    self.mappings.push(Mapping {
                        vma: *r,
                        name: name.into(),
                        pages: 0,
                    });
                }
            }
            Event::VmaEnd(pages) => {
                // The last one is this one unless lists are full.
                if let Some(last) = self.mappings.last_mut().filter(|_| self.dropped == 0) {
                    last.pages = pages;
                }
            }
            Event::MmContext(r) => self.context = Some(*r),
            Event::Thread(r) => self.thread = Some(*r),
            Event::Cpu(r) => self.cpu = Some(*r),
            Event::RestartBlock(r) => self.restart_block = Some(*r),
            Event::Fs(r) => self.fs = Some(*r),
            Event::Root(s) => self.root = s.into(),
            Event::Cwd(s) => self.cwd = s.into(),
            Event::Files(r) => self.table = Some(*r),
            Event::Fd(r) => {
                if self.room(size_of_val(r)) {
                    self.fds.push(*r);
                }
            }
            Event::Signal(r) => self.signal = Some(*r),
            Event::Siginfo(r) => {
                if self.room(size_of_val(r)) {
                    self.pending.push(*r);
                }
            }
            Event::Itimers(r) => self.itimers = Some(*r),
            Event::Creds(r) => self.creds = Some(*r),
            Event::Groups(g) => self.groups.extend_from_slice(g),
            Event::Rlimits(r) => self.rlimits = Some(*r),
            Event::End(totals) => self.totals = Some(*totals),
            Event::Guards(_) | Event::Pages(_) | Event::Data(_) | Event::Ldt(_) | Event::Fpu(_) => {
            }
        }
    }

    /// Pages whose contents are in the image.
    pub fn pages(&self) -> u64 {
        self.mappings
            .iter()
            .fold(0, |sum, m| sum.saturating_add(m.pages))
    }

    /// The path of an open file.
    pub fn path(&self, objref: u32) -> Option<&[u8]> {
        self.files.get(&objref).map(|f| f.1.as_slice())
    }
}
