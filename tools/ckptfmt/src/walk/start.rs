// SPDX-License-Identifier: GPL-2.0

//! The start of an image: header, strings, machine, forest.

use super::cut;
use super::Event;
use super::Step;
use super::Walker;
use super::UTS_MAX;
use crate::format::head::ErrorRec;
use crate::format::head::Head;
use crate::format::head::HeadArch;
use crate::format::tree::check;
use crate::format::tree::Tree;
use crate::stream::Source;

impl<S: Source<Failed = ErrorRec>> Walker<'_, S> {
    pub(super) fn start(&mut self) -> Step<S> {
        let head: Head = self.record(0)?;
        (self.on)(&Event::Head(&head));
        let len = self.string(0, UTS_MAX)?;
        (self.on)(&Event::Release(cut(&self.buf, len)));
        let len = self.string(0, UTS_MAX)?;
        (self.on)(&Event::Version(cut(&self.buf, len)));
        let len = self.string(0, UTS_MAX)?;
        (self.on)(&Event::Machine(cut(&self.buf, len)));
        let arch: HeadArch = self.record(0)?;
        self.xsave_size = arch.xsave_size;
        (self.on)(&Event::HeadArch(&arch));
        for _ in 0..head.nr_tasks {
            self.entry()?;
        }
        Ok(())
    }

    /// Reads one task of the forest.
    fn entry(&mut self) -> Step<S> {
        let entry: Tree = self.record(0)?;
        let (places, sessions) = (&self.places, &self.sessions);
        check(
            &self.tree,
            &entry,
            |pid| places.get(&pid).copied(),
            |pgid| sessions.get(&pgid).copied(),
        )?;
        self.sessions.insert(entry.pgid, entry.sid);
        if entry.sid != 0 {
            self.sessions.insert(entry.sid, entry.sid);
        }
        self.places.insert(entry.pid, self.tree.len());
        self.tree.push(entry);
        (self.on)(&Event::Tree(&entry));
        Ok(())
    }
}
