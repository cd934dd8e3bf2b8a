// SPDX-License-Identifier: GPL-2.0

//! Open files, which may stand before their first users, and descriptors.

use super::cut;
use super::rule;
use super::Event;
use super::Step;
use super::Walker;
use super::FILES_MAX;
use crate::format;
use crate::format::files::FdEnt;
use crate::format::files::File;
use crate::format::files::Files;
use crate::format::Hdr;
use crate::format::Record;
use crate::stream::reader::Fault;
use crate::stream::Source;

impl<S: Source> Walker<'_, S> {
    /// Reads the files that stand here, then a record of kind `R`.
    pub(super) fn after_files<R: Record>(&mut self, parent: u32) -> Result<R, Fault<S::Error>> {
        loop {
            let hdr = self.header()?;
            if hdr.kind != format::FILE {
                return self.reader.body(&hdr, parent);
            }
            self.file(&hdr)?;
        }
    }

    fn file(&mut self, hdr: &Hdr) -> Step<S> {
        let file: File = self.reader.body(hdr, 0)?;
        rule(self.files.len() < FILES_MAX, "too many open files")?;
        rule(
            !self.objects.contains(&file.objref) && self.files.insert(file.objref),
            "object reference is used twice",
        )?;
        let len = file.path_len as usize;
        if len != 0 {
            rule(
                self.string(file.objref, len)? == len,
                "path has another length than announced",
            )?;
        }
        (self.on)(&Event::File(&file, cut(&self.buf, len)));
        Ok(())
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
