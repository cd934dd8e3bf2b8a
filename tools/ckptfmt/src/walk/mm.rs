// SPDX-License-Identifier: GPL-2.0

//! An address space: fields, mappings, page runs, architecture part.

use std::ops::Range;

use zerocopy::FromBytes;

use super::cut;
use super::rule;
use super::Event;
use super::Step;
use super::Walker;
use super::PORTION;
use crate::format;
use crate::format::cpu::MmContext;
use crate::format::cpu::UserDesc;
use crate::format::cpu::LDT_CHUNK;
use crate::format::cpu::LDT_MAX;
use crate::format::head::ErrorRec;
use crate::format::mm::vma_flags;
use crate::format::mm::vma_kind;
use crate::format::mm::GuardRange;
use crate::format::mm::Mm;
use crate::format::mm::Pgref;
use crate::format::mm::Vma;
use crate::format::mm::GUARD_CHUNK;
use crate::format::Why;
use crate::stream::reader::Fault;
use crate::stream::reader::Run;
use crate::stream::Source;

const PAGE: u64 = 4096;

impl<S: Source<Failed = ErrorRec>> Walker<'_, S> {
    pub(super) fn mm(&mut self, objref: u32) -> Step<S> {
        let mm: Mm = self.after_files(self.task)?;
        self.object(mm.objref)?;
        rule(
            mm.objref == objref,
            "address space is another one than the task's",
        )?;
        self.mm = mm.objref;
        self.spaces.insert(mm.objref);
        if mm.exe_file != 0 {
            self.known_file(mm.exe_file)?;
        }
        (self.on)(&Event::Mm(&mm));
        if mm.nr_auxv != 0 {
            let nr = mm.nr_auxv as usize;
            let raw = self.bytes(format::AUXV, self.mm, nr.saturating_mul(size_of::<u64>()))?;
            let auxv: Vec<u64> = array(raw)?;
            (self.on)(&Event::Auxv(&auxv));
        }
        let mut floor = 0;
        for _ in 0..mm.map_count {
            self.vma(&mut floor)?;
        }
        Ok(())
    }

    /// Reads a mapping that starts at `floor` or above, and all that follows it.
    fn vma(&mut self, floor: &mut u64) -> Step<S> {
        let vma: Vma = self.after_files(self.mm)?;
        rule(vma.start >= *floor, "mappings overlap or are not in order")?;
        *floor = vma.end;
        if vma.how == vma_kind::SHMEM {
            self.known_shmem(vma.file)?;
        } else if vma.file != 0 {
            self.known_file(vma.file)?;
        }
        rule(
            vma.origin == 0 || self.spaces.contains(&vma.origin),
            "mapping is a copy of what is not before it",
        )?;
        let len = vma.namelen as usize;
        if len != 0 {
            rule(
                self.string(self.mm, len)? == len,
                "name has another length than announced",
            )?;
        }
        (self.on)(&Event::Vma(&vma, cut(&self.buf, len)));
        self.guards(&vma)?;
        let own = matches!(vma.how, vma_kind::ANON | vma_kind::FILE)
            && vma.flags & vma_flags::DROPPABLE == 0;
        let total = self.runs(self.mm, vma.start..vma.end, own)?;
        (self.on)(&Event::VmaEnd(total));
        Ok(())
    }

    fn guards(&mut self, vma: &Vma) -> Step<S> {
        let mut left = vma.nr_guards as usize;
        let mut floor = vma.start;
        while left > 0 {
            let nr = left.min(GUARD_CHUNK);
            left = left.saturating_sub(nr);
            let len = nr.saturating_mul(size_of::<GuardRange>());
            let ranges: Vec<GuardRange> = array(self.bytes(format::GUARD, self.mm, len)?)?;
            for range in &ranges {
                rule(
                    range.start >= floor && range.start < range.end && range.end <= vma.end,
                    "guard ranges overlap, are not in order or leave their mapping",
                )?;
                rule(
                    range.start % PAGE == 0 && range.end % PAGE == 0,
                    "guard range is not on page boundaries",
                )?;
                floor = range.end;
            }
            (self.on)(&Event::Guards(&ranges));
        }
        Ok(())
    }

    /// Reads runs of pages of `owner` inside of `range` up to their end; how many
    /// pages there were. Only an owner that has pages of its `own` may have any.
    pub(super) fn runs(
        &mut self,
        owner: u32,
        range: Range<u64>,
        own: bool,
    ) -> Result<u64, Fault<S::Error>> {
        let mut floor = range.start;
        let mut behind = range.start;
        let mut total = 0u64;
        loop {
            self.begin();
            let result = self.reader.run(owner);
            let nr = match self.seen(result)? {
                Run::Here(0) => return Ok(total),
                Run::Here(nr) => nr,
                Run::Before(again) => {
                    rule(own, "pages in a mapping that has none")?;
                    rule(
                        self.spaces.contains(&owner),
                        "shared memory has pages of an address space",
                    )?;
                    self.again(&again, behind..range.end)?;
                    behind = end(&again);
                    continue;
                }
            };
            rule(own, "pages in a mapping that has none")?;
            // The padding before the run is a record as well.
            self.totals.records = self.totals.records.saturating_add(1);
            let addrs = self.addrs.get_mut(..nr).ok_or(Why("run is too long"))?;
            self.reader.addrs(addrs)?;
            for addr in addrs.iter() {
                rule(
                    *addr >= floor && *addr < range.end,
                    "page addresses are not in order or leave their mapping",
                )?;
                rule(addr % PAGE == 0, "page address is not on a page boundary")?;
                floor = addr.saturating_add(PAGE);
            }
            (self.on)(&Event::Pages(addrs));
            self.contents(nr)?;
            total = total.saturating_add(nr as u64);
            self.totals.pages = self.totals.pages.saturating_add(nr as u64);
        }
    }

    /// Checks pages that must be in the image already.
    fn again(&mut self, again: &Pgref, range: Range<u64>) -> Step<S> {
        rule(
            again.addr >= range.start && end(again) <= range.end,
            "page addresses are not in order or leave their mapping",
        )?;
        rule(
            self.spaces.contains(&again.mm),
            "shared pages of an address space that is not before them",
        )?;
        (self.on)(&Event::Again(again));
        Ok(())
    }

    fn contents(&mut self, nr_pages: usize) -> Step<S> {
        let mut left = nr_pages.saturating_mul(PAGE as usize);
        while left > 0 {
            let portion = left.min(PORTION);
            left = left.saturating_sub(portion);
            let buf = self
                .buf
                .get_mut(..portion)
                .ok_or(Why("portion is too long"))?;
            self.reader.source().take(buf).map_err(Fault::Source)?;
            self.reader.read_pages(buf);
            (self.on)(&Event::Data(buf));
        }
        Ok(())
    }

    pub(super) fn mm_context(&mut self) -> Step<S> {
        let context: MmContext = self.record(self.mm)?;
        (self.on)(&Event::MmContext(&context));
        let mut left = context.nldt as usize;
        let mut next = 0;
        while left > 0 {
            let nr = left.min(LDT_CHUNK);
            left = left.saturating_sub(nr);
            let len = nr.saturating_mul(size_of::<UserDesc>());
            let entries: Vec<UserDesc> = array(self.bytes(format::LDT, self.mm, len)?)?;
            for entry in &entries {
                entry.check()?;
                rule(entry.entry_number < LDT_MAX, "LDT index is out of range")?;
                rule(entry.entry_number >= next, "LDT entries are not in order")?;
                next = entry.entry_number.saturating_add(1);
            }
            (self.on)(&Event::Ldt(&entries));
        }
        Ok(())
    }
}

/// The first address behind pages.
fn end(pages: &Pgref) -> u64 {
    pages
        .addr
        .saturating_add(pages.nr_pages.saturating_mul(PAGE))
}

/// The elements that `raw` consists of.
fn array<T: FromBytes>(raw: &[u8]) -> Result<Vec<T>, Why> {
    raw.chunks_exact(size_of::<T>())
        .map(|bytes| T::read_from_bytes(bytes).map_err(|_| Why("array is cut off")))
        .collect()
}
