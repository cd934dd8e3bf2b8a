// SPDX-License-Identifier: GPL-2.0

//! Takes in an image, part by part.

use ckptfmt::build::Anon;
use ckptfmt::format::files;
use ckptfmt::format::pipe;
use ckptfmt::format::task;
use ckptfmt::walk::Event;

use super::Mapping;
use super::Model;
use super::OneTask;
use super::Pipe;
use super::Shared;
use super::Socket;

/// Bytes that all may take of which an image can have any number.
const BUDGET: usize = 64 << 20;

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

    fn put(&mut self, anon: Anon) {
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
            Event::Opener(objref, r, groups) => {
                if self.room(size_of_val(r).saturating_add(size_of_val(groups))) {
                    self.openers.insert(objref, (*r, groups.into()));
                }
            }
            Event::Eventfd(r) => self.put(Anon::Eventfd(*r)),
            Event::Signalfd(r) => self.put(Anon::Signalfd(*r)),
            Event::Timerfd(r) => self.put(Anon::Timerfd(*r)),
            Event::Pidfd(r) => self.put(Anon::Pidfd(*r)),
            Event::Epoll(_) => self.put(Anon::Epoll(Vec::new())),
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
                    let shared = Shared {
                        object: *r,
                        name: name.into(),
                        pages: 0,
                    };
                    self.sharing = r.objref;
                    self.shmem.insert(r.objref, shared);
                }
            }
            Event::ShmemEnd(pages) => {
                let last = self.shmem.get_mut(&self.sharing);
                if let Some(last) = last.filter(|_| self.dropped == 0) {
                    last.pages = pages;
                }
            }
            Event::Mm(r) => self.last().mm = Some(*r),
            Event::Auxv(v) => {
                if self.room(size_of_val(v)) {
                    self.last().auxv = v.into();
                }
            }
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
            Event::Root(s) => {
                if self.room(s.len()) {
                    self.last().root = s.into();
                }
            }
            Event::Cwd(s) => {
                if self.room(s.len()) {
                    self.last().cwd = s.into();
                }
            }
            Event::Files(r) => self.last().table = Some(*r),
            Event::Fd(r) => {
                if self.room(size_of_val(r)) {
                    self.last().fds.push(*r);
                }
            }
            Event::FileLock(fd, r) => {
                if self.room(size_of::<(u32, files::FileLock)>()) {
                    self.last().locks.push((fd, *r));
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
            Event::Affinity(bits) => {
                if self.room(bits.len()) {
                    self.last().affinity = bits.into();
                }
            }
            Event::Seccomp(r) => self.last().seccomp = Some(*r),
            Event::Filter(r, _) => {
                if self.room(size_of_val(r)) {
                    self.filters.insert(r.objref, *r);
                }
            }
            Event::Groups(g) => {
                if self.room(size_of_val(g)) {
                    self.last().groups.extend_from_slice(g);
                }
            }
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_beyond_the_budget() {
        let (groups, path) = ([1; 65_536], [b'/'; 4095]);
        let filter = ckptfmt::format::seccomp::SeccompFilter::zeroed();
        for event in [
            Event::Groups(&groups),
            Event::Root(&path),
            Event::Cwd(&path),
            Event::Auxv(&[0; 128]),
            Event::Affinity(&[0; 1024]),
            Event::Filter(&filter, &[]),
        ] {
            let mut model = Model {
                kept: BUDGET,
                ..Default::default()
            };
            model.take(&event);
            assert_eq!((model.dropped, model.kept), (1, BUDGET), "{event:?}");
        }
    }
}
