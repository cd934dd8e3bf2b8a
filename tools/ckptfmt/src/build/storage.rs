// SPDX-License-Identifier: GPL-2.0

//! Writes open files, and what they need before them.

use std::collections::HashSet;

use super::memory::write_runs;
use super::Anon;
use super::Image;
use super::Sockets;
use crate::format;
use crate::format::anon;
use crate::format::socket::SOCKET_PART_MAX;
use crate::stream::writer::Writer;
use crate::stream::Sink;

impl Image {
    pub(super) fn write_file<S: Sink>(
        &self,
        to: &mut Writer<S>,
        objref: u32,
        written: &mut HashSet<u32>,
    ) -> Result<(), S::Error> {
        let Some(open) = self.files.iter().find(|f| f.file.objref == objref) else {
            return Ok(());
        };
        if written.insert(objref) {
            self.write_pipe(to, open.file.object, written)?;
            self.write_sockets(to, open.file.object, written)?;
            self.write_shmem(to, open.file.object, written)?;
            let contents = self.anons.iter().find(|anon| anon.0 == objref);
            if let Some((_, Anon::Epoll(items))) = contents {
                for item in items {
                    self.write_file(to, item.file, written)?;
                }
            }
            let opener = self.openers.iter().find(|o| o.0 == open.file.creds);
            if let Some((creds, of, groups)) = opener.filter(|o| written.insert(o.0)) {
                super::write_creds(to, *creds, of, groups)?;
            }
            to.record(0, &open.file)?;
            if !open.path.is_empty() {
                to.bytes(format::STR, objref, &open.path)?;
            }
            match contents {
                Some((_, Anon::Eventfd(rec))) => to.record(objref, rec)?,
                Some((_, Anon::Signalfd(rec))) => to.record(objref, rec)?,
                Some((_, Anon::Timerfd(rec))) => to.record(objref, rec)?,
                Some((_, Anon::Pidfd(rec))) => to.record(objref, rec)?,
                Some((_, Anon::Epoll(items))) => {
                    let nr_items = u32::try_from(items.len()).unwrap_or(u32::MAX);
                    let mut rec = anon::Epoll::zeroed();
                    rec.nr_items = nr_items;
                    to.record(objref, &rec)?;
                    for item in items {
                        to.record(objref, item)?;
                    }
                }
                None => {}
            }
        }
        Ok(())
    }

    pub(super) fn write_shmem<S: Sink>(
        &self,
        to: &mut Writer<S>,
        objref: u32,
        written: &mut HashSet<u32>,
    ) -> Result<(), S::Error> {
        let Some(shared) = self.shmem.iter().find(|s| s.object.objref == objref) else {
            return Ok(());
        };
        if written.insert(objref) {
            to.record(0, &shared.object)?;
            if !shared.name.is_empty() {
                to.bytes(format::STR, objref, &shared.name)?;
            }
            write_runs(to, objref, &shared.runs, &[])?;
        }
        Ok(())
    }

    fn write_pipe<S: Sink>(
        &self,
        to: &mut Writer<S>,
        objref: u32,
        written: &mut HashSet<u32>,
    ) -> Result<(), S::Error> {
        let Some(pipe) = self.pipes.iter().find(|p| p.pipe.objref == objref) else {
            return Ok(());
        };
        if !written.insert(objref) {
            return Ok(());
        }
        to.record(0, &pipe.pipe)?;
        if !pipe.path.is_empty() {
            to.bytes(format::STR, objref, &pipe.path)?;
        }
        for (buf, bytes) in &pipe.bufs {
            to.record(objref, buf)?;
            to.bytes(format::PIPE_DATA, objref, bytes)?;
        }
        Ok(())
    }

    fn write_sockets<S: Sink>(
        &self,
        to: &mut Writer<S>,
        objref: u32,
        written: &mut HashSet<u32>,
    ) -> Result<(), S::Error> {
        let has_it = |s: &&Sockets| s.ends.iter().any(|(end, _)| end.objref == objref);
        let Some(pair) = self.sockets.iter().find(has_it) else {
            return Ok(());
        };
        for (end, _) in &pair.ends {
            if !written.insert(end.objref) {
                return Ok(());
            }
        }
        for (end, _) in &pair.ends {
            to.record(0, end)?;
        }
        for (end, msgs) in &pair.ends {
            for (msg, bytes) in msgs {
                to.record(end.objref, msg)?;
                for part in bytes.chunks(SOCKET_PART_MAX as usize) {
                    to.bytes(format::SOCKET_DATA, end.objref, part)?;
                }
            }
        }
        Ok(())
    }
}
