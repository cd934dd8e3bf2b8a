// SPDX-License-Identifier: GPL-2.0

//! The start of an image: header, strings, machine.

use super::cut;
use super::Event;
use super::Step;
use super::Walker;
use super::UTS_MAX;
use crate::format::head::Head;
use crate::format::head::HeadArch;
use crate::stream::Source;

impl<S: Source> Walker<'_, S> {
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
        Ok(())
    }
}
