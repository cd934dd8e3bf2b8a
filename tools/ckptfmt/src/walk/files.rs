// SPDX-License-Identifier: GPL-2.0

//! Open files and pipes, which may stand before their first users, and descriptors.

use super::cut;
use super::rule;
use super::Event;
use super::Step;
use super::Walker;
use super::FILES_MAX;
use crate::format;
use crate::format::files::file_kind;
use crate::format::files::FdEnt;
use crate::format::files::File;
use crate::format::files::Files;
use crate::format::pipe::Pipe;
use crate::format::pipe::PipeBuf;
use crate::format::Hdr;
use crate::format::Record;
use crate::stream::reader::Fault;
use crate::stream::Source;

impl<S: Source> Walker<'_, S> {
    /// Reads the files and pipes that stand here, then a record of kind `R`.
    pub(super) fn after_files<R: Record>(&mut self, parent: u32) -> Result<R, Fault<S::Error>> {
        loop {
            let hdr = self.header()?;
            match hdr.kind {
                format::FILE => self.file(&hdr)?,
                format::PIPE => self.pipe(&hdr)?,
                _ => return self.reader.body(&hdr, parent),
            }
        }
    }

    fn file(&mut self, hdr: &Hdr) -> Step<S> {
        let file: File = self.reader.body(hdr, 0)?;
        self.shared(file.objref)?;
        self.files.insert(file.objref);
        rule(
            file.object == 0 || self.pipes.contains(&file.object),
            "reference to a pipe that does not exist",
        )?;
        let len = file.path_len as usize;
        if len != 0 {
            rule(
                self.string(file.objref, len)? == len,
                "path has another length than announced",
            )?;
        }
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
            _ => {}
        }
        Ok(())
    }

    fn pipe(&mut self, hdr: &Hdr) -> Step<S> {
        let pipe: Pipe = self.reader.body(hdr, 0)?;
        self.shared(pipe.objref)?;
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

    /// Refuses the reference of one more file or pipe that something else has.
    fn shared(&self, objref: u32) -> Step<S> {
        rule(
            self.files.len().saturating_add(self.pipes.len()) < FILES_MAX,
            "too many open files",
        )?;
        rule(
            !self.objects.contains(&objref)
                && !self.files.contains(&objref)
                && !self.pipes.contains(&objref),
            "object reference is used twice",
        )
    }

    /// Refuses a reference to a file that has not been written before.
    pub(super) fn known_file(&self, objref: u32) -> Step<S> {
        rule(
            self.files.contains(&objref),
            "reference to a file that does not exist",
        )
    }

    pub(super) fn files(&mut self) -> Step<S> {
        let table: Files = self.record(self.task)?;
        self.object(table.objref)?;
        (self.on)(&Event::Files(&table));
        let mut next = 0;
        for _ in 0..table.nr_fds {
            let entry: FdEnt = self.after_files(table.objref)?;
            rule(entry.fd >= next, "descriptors are not in order")?;
            next = entry.fd.saturating_add(1);
            self.known_file(entry.file)?;
            (self.on)(&Event::Fd(&entry));
        }
        Ok(())
    }
}
