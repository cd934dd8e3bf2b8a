// SPDX-License-Identifier: GPL-2.0

//! Open files, pipes and shared memory, which stand before their first users, and
//! descriptors.

use super::cut;
use super::rule;
use super::Event;
use super::Step;
use super::Walker;
use super::FILES_MAX;
use crate::format;
use crate::format::anon::Epoll;
use crate::format::anon::EpollItem;
use crate::format::anon::Pidfd;
use crate::format::files::file_kind;
use crate::format::files::FdEnt;
use crate::format::files::File;
use crate::format::files::FileLock;
use crate::format::files::Files;
use crate::format::head::ErrorRec;
use crate::format::pipe::Pipe;
use crate::format::pipe::PipeBuf;
use crate::format::shmem::Shmem;
use crate::format::task::Creds;
use crate::format::tree::Tree;
use crate::format::Hdr;
use crate::format::Record;
use crate::stream::reader::Fault;
use crate::stream::Source;

impl<S: Source<Failed = ErrorRec>> Walker<'_, S> {
    /// Reads the files that stand here, with the pipes, sockets, shared memory and credentials
    /// before them, then a record of kind `R`.
    pub(super) fn after_files<R: Record>(&mut self, parent: u32) -> Result<R, Fault<S::Error>> {
        let mut opener = false;
        loop {
            let hdr = self.header()?;
            rule(
                !opener || hdr.kind == format::FILE,
                "credentials of a file without the file",
            )?;
            opener = hdr.kind == format::CREDS;
            match hdr.kind {
                format::CREDS => self.opener(&hdr)?,
                format::FILE => self.file(&hdr)?,
                format::PIPE => self.pipe(&hdr)?,
                format::SOCKET => self.socket(&hdr)?,
                format::SHMEM => self.shmem(&hdr)?,
                _ => return self.reader.body(&hdr, parent),
            }
        }
    }

    fn file(&mut self, hdr: &Hdr) -> Step<S> {
        let file: File = self.reader.body(hdr, 0)?;
        self.shareable(file.objref)?;
        self.files.insert(file.objref);
        if file.kind == file_kind::STREAM {
            self.streams.insert(file.objref);
        }
        match file.kind {
            file_kind::PIPE => rule(
                self.pipes.contains(&file.object),
                "reference to a pipe that does not exist",
            )?,
            file_kind::SOCKET => self.open_socket(file.object)?,
            file_kind::SHMEM => self.known_shmem(file.object)?,
            _ => rule(
                file.creds == 0 || self.openers.contains(&file.creds),
                "reference to credentials that do not exist",
            )?,
        }
        let len = file.path_len as usize;
        if len != 0 {
            rule(
                self.string(file.objref, len)? == len,
                "path has another length than announced",
            )?;
        }
        self.in_procfs(&file, len)?;
        (self.on)(&Event::File(&file, cut(&self.buf, len)));
        match file.kind {
            file_kind::EVENTFD => {
                let rec = self.record(file.objref)?;
                (self.on)(&Event::Eventfd(&rec));
            }
            file_kind::SIGNALFD => {
                let rec = self.record(file.objref)?;
                (self.on)(&Event::Signalfd(&rec));
            }
            file_kind::TIMERFD => {
                let rec = self.record(file.objref)?;
                (self.on)(&Event::Timerfd(&rec));
            }
            file_kind::PIDFD => {
                let rec: Pidfd = self.record(file.objref)?;
                rule(
                    self.is_process(rec.pid),
                    "pidfd of a process that is not in the forest",
                )?;
                (self.on)(&Event::Pidfd(&rec));
            }
            file_kind::EPOLL => {
                let rec: Epoll = self.record(file.objref)?;
                (self.on)(&Event::Epoll(&rec));
                for _ in 0..rec.nr_items {
                    let item: EpollItem = self.record(file.objref)?;
                    self.known_file(item.file)?;
                    rule(item.file != file.objref, "epoll watches itself")?;
                    (self.on)(&Event::EpollItem(&item));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Reads the credentials of one who has opened files.
    fn opener(&mut self, hdr: &Hdr) -> Step<S> {
        let creds: Creds = self.reader.body(hdr, hdr.parent)?;
        self.object(hdr.parent)?;
        self.openers.insert(hdr.parent);
        rule(
            creds.seccomp == 0,
            "credentials of files have a mode of seccomp",
        )?;
        let groups = self.groups(hdr.parent, &creds)?;
        (self.on)(&Event::Opener(hdr.parent, &creds, &groups));
        Ok(())
    }

    fn is_process(&self, pid: u32) -> bool {
        let known = self.places.get(&pid).and_then(|at| self.tree.get(*at));
        known.is_some_and(Tree::is_process)
    }

    /// Checks a file whose path, which is at hand, is to hold the id of a process.
    fn in_procfs(&self, file: &File, len: usize) -> Step<S> {
        if file.pid == 0 {
            return Ok(());
        }
        rule(
            self.is_process(file.pid),
            "file of a process that is not in the forest",
        )?;
        let path = cut(&self.buf, len);
        let path = path.split_at_checked(file.pid_at as usize);
        let (mount, inner) = path.unwrap_or_default();
        let id = inner.split(|c| *c == b'/').next().unwrap_or_default();
        rule(
            mount.last() == Some(&b'/') && id == file.pid.to_string().as_bytes(),
            "path of a file has no process where it should",
        )
    }

    fn pipe(&mut self, hdr: &Hdr) -> Step<S> {
        let pipe: Pipe = self.reader.body(hdr, 0)?;
        self.shareable(pipe.objref)?;
        self.pipes.insert(pipe.objref);
        let len = pipe.path_len as usize;
        if len != 0 {
            rule(
                self.string(pipe.objref, len)? == len,
                "path has another length than announced",
            )?;
        }
        (self.on)(&Event::Pipe(&pipe, cut(&self.buf, len)));
        for _ in 0..pipe.nr_bufs {
            let buf: PipeBuf = self.record(pipe.objref)?;
            let len = buf.nr_bytes as usize;
            self.bytes(format::PIPE_DATA, pipe.objref, len)?;
            (self.on)(&Event::PipeBuf(&buf, cut(&self.buf, len)));
        }
        Ok(())
    }

    fn shmem(&mut self, hdr: &Hdr) -> Step<S> {
        let object: Shmem = self.reader.body(hdr, 0)?;
        self.shareable(object.objref)?;
        self.shmem.insert(object.objref);
        let len = object.namelen as usize;
        if len != 0 {
            rule(
                self.string(object.objref, len)? == len,
                "name has another length than announced",
            )?;
        }
        (self.on)(&Event::Shmem(&object, cut(&self.buf, len)));
        let total = self.runs(object.objref, 0..object.size, true)?;
        (self.on)(&Event::ShmemEnd(total));
        Ok(())
    }

    /// Refuses one more object that can be shared if its reference is taken.
    pub(super) fn shareable(&self, objref: u32) -> Step<S> {
        rule(
            self.files
                .len()
                .saturating_add(self.pipes.len())
                .saturating_add(self.sockets.len())
                .saturating_add(self.shmem.len())
                < FILES_MAX,
            "too many open files",
        )?;
        rule(
            !self.objects.contains(&objref)
                && !self.files.contains(&objref)
                && !self.pipes.contains(&objref)
                && !self.sockets.contains_key(&objref)
                && !self.shmem.contains(&objref),
            "object reference is used twice",
        )
    }

    /// Refuses a reference to shared memory that has not been written before.
    pub(super) fn known_shmem(&self, objref: u32) -> Step<S> {
        rule(
            self.shmem.contains(&objref),
            "reference to shared memory that does not exist",
        )
    }

    /// Refuses a reference to a file that has not been written before.
    pub(super) fn known_file(&self, objref: u32) -> Step<S> {
        rule(
            self.files.contains(&objref),
            "reference to a file that does not exist",
        )
    }

    pub(super) fn files(&mut self, objref: u32) -> Step<S> {
        let table: Files = self.record(self.task)?;
        self.object(table.objref)?;
        rule(
            table.objref == objref,
            "descriptor table is another one than the task's",
        )?;
        (self.on)(&Event::Files(&table));
        let mut next = 0;
        for _ in 0..table.nr_fds {
            let entry: FdEnt = self.after_files(table.objref)?;
            rule(entry.fd >= next, "descriptors are not in order")?;
            next = entry.fd.saturating_add(1);
            self.known_file(entry.file)?;
            rule(
                entry.nr_locks == 0 || !self.streams.contains(&entry.file),
                "a lock on the image",
            )?;
            (self.on)(&Event::Fd(&entry));
            for _ in 0..entry.nr_locks {
                let lock: FileLock = self.record(table.objref)?;
                (self.on)(&Event::FileLock(entry.fd, &lock));
            }
        }
        Ok(())
    }
}
