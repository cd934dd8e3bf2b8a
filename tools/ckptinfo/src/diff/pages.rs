// SPDX-License-Identifier: GPL-2.0

//! Which pages of two images differ, from digests of their contents.

use std::collections::BTreeMap;
use std::mem::take;
use std::vec::IntoIter;

use ckptfmt::format::mm::Pgref;
use ckptfmt::walk::Event;

const PAGE: usize = 4096;

/// What stands for the contents of a page.
type Digest = [u8; 16];

fn digest(page: &[u8]) -> Digest {
    let mut out = Digest::default();
    blake3::Hasher::new()
        .update(page)
        .finalize_xof()
        .fill(&mut out);
    out
}

/// Pages that may be looked up for references in one image.
const LOOKUPS: u64 = 1 << 26;

/// Hands each page of an image to `on`, with its address: those of a mapping in order.
#[derive(Default)]
struct Pager {
    /// Addresses of the run at hand, those that are still to come.
    addrs: IntoIter<u64>,
    /// They are of shared memory, which is compared as a whole.
    shared: bool,
    /// The address space at hand.
    mm: u32,
    /// Pages of the mapping at hand.
    here: Vec<(u64, Digest)>,
    /// All pages so far, by address space: those of one come in the order of addresses,
    /// and are not moved about to be found.
    all: BTreeMap<u32, Vec<(u64, Digest)>>,
    looked_up: u64,
    /// There were more to be looked up than may be.
    full: bool,
}

impl Pager {
    fn take(&mut self, event: &Event<'_>, mut on: impl FnMut(u64, Digest)) {
        match event {
            Event::Shmem(..) => self.shared = true,
            Event::ShmemEnd(_) => self.shared = false,
            Event::Mm(mm) => self.mm = mm.objref,
            Event::Pages(_) | Event::Data(_) if self.shared => {}
            Event::Pages(addrs) => self.addrs = Vec::from(*addrs).into_iter(),
            Event::Data(data) => {
                let all = self.all.entry(self.mm).or_default();
                for (page, addr) in data.chunks_exact(PAGE).zip(&mut self.addrs) {
                    let digest = digest(page);
                    all.push((addr, digest));
                    self.here.push((addr, digest));
                }
            }
            Event::Again(pages) => self.again(pages),
            Event::VmaEnd(_) => {
                self.here.sort_unstable_by_key(|page| page.0);
                self.here
                    .drain(..)
                    .for_each(|(addr, digest)| on(addr, digest));
            }
            _ => {}
        }
    }

    /// Pages that were there before: what is known of them.
    fn again(&mut self, pages: &Pgref) {
        let bytes = pages.nr_pages.saturating_mul(PAGE as u64);
        let end = pages.from.saturating_add(bytes);
        let Some(all) = self.all.get(&pages.mm) else {
            return;
        };
        let first = all.partition_point(|page| page.0 < pages.from);
        let those = all.get(first..).unwrap_or_default();
        for (from, digest) in those.iter().take_while(|page| page.0 < end) {
            if self.looked_up >= LOOKUPS {
                self.full = true;
                return;
            }
            self.looked_up = self.looked_up.saturating_add(1);
            let addr = pages.addr.saturating_add(from.saturating_sub(pages.from));
            self.here.push((addr, *digest));
        }
    }
}

/// The pages of the first image, by task and in the order of addresses.
#[derive(Default)]
pub struct Digests {
    tasks: BTreeMap<u32, Vec<(u64, Digest)>>,
    task: u32,
    pager: Pager,
}

impl Digests {
    /// Whether the image had more references to pages than are followed.
    pub fn is_full(&self) -> bool {
        self.pager.full
    }

    /// Takes in the next part of the image.
    pub fn take(&mut self, event: &Event<'_>) {
        if let Event::Task(task) = event {
            self.task = task.pid;
            self.tasks.entry(task.pid).or_default();
        }
        let Some(pages) = self.tasks.get_mut(&self.task) else {
            return;
        };
        self.pager
            .take(event, |addr, digest| pages.push((addr, digest)));
    }
}

/// How pages differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// Both images have them, with other contents.
    Changed,
    /// Only the first image has their contents.
    OnlyFirst,
    /// Only the second image has their contents.
    OnlySecond,
}

/// Neighbours that differ in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub start: u64,
    /// First address behind them.
    pub end: u64,
    /// What is different.
    pub how: How,
}

impl Range {
    /// Number of pages.
    pub fn pages(&self) -> u64 {
        self.end.saturating_sub(self.start) / 4096
    }
}

/// Ranges of pages that differ, by task of the second image.
pub type Ranges = BTreeMap<u32, Vec<Range>>;

/// Compares the pages of the second image as they come by.
pub struct Compared {
    first: BTreeMap<u32, Vec<(u64, Digest)>>,
    /// The second image has one task.
    alone: bool,
    /// The task at hand, and its pages in the first image that are still to come.
    task: Option<u32>,
    rest: std::iter::Peekable<IntoIter<(u64, Digest)>>,
    ranges: Vec<Range>,
    pager: Pager,
    done: Ranges,
}

impl Compared {
    /// To be compared with an image that had these pages.
    pub fn new(first: Digests) -> Self {
        Self {
            first: first.tasks,
            alone: false,
            task: None,
            rest: Vec::new().into_iter().peekable(),
            ranges: Vec::new(),
            pager: Pager::default(),
            done: Ranges::new(),
        }
    }

    /// As [`Digests::is_full`].
    pub fn is_full(&self) -> bool {
        self.pager.full
    }

    /// Takes in the next part of the second image.
    pub fn take(&mut self, event: &Event<'_>) {
        match event {
            Event::Head(head) => self.alone = head.nr_tasks == 1,
            Event::Task(task) => {
                self.end_task();
                self.begin_task(task.pid);
            }
            _ => {}
        }
        // A task that the first image does not have has no page in common with it.
        let has = self.task.is_some();
        let (rest, ranges) = (&mut self.rest, &mut self.ranges);
        self.pager.take(event, |addr, digest| {
            if !has {
                return;
            }
            while let Some((old, _)) = rest.next_if(|p| p.0 < addr) {
                add(ranges, old, How::OnlyFirst);
            }
            match rest.next_if(|p| p.0 == addr) {
                None => add(ranges, addr, How::OnlySecond),
                Some((_, old)) if old != digest => add(ranges, addr, How::Changed),
                Some(_) => {}
            }
        });
    }

    fn begin_task(&mut self, pid: u32) {
        let same = if self.alone && self.first.len() == 1 {
            self.first.pop_first().map(|f| f.1)
        } else {
            self.first.remove(&pid)
        };
        self.task = same.is_some().then_some(pid);
        self.rest = same.unwrap_or_default().into_iter().peekable();
    }

    fn end_task(&mut self) {
        for (old, _) in self.rest.by_ref() {
            add(&mut self.ranges, old, How::OnlyFirst);
        }
        if let Some(pid) = self.task.take() {
            self.done.insert(pid, take(&mut self.ranges));
        }
    }

    /// The ranges, after the end of the second image.
    pub fn finish(mut self) -> Ranges {
        self.end_task();
        self.done
    }
}

/// Adds a page behind all others.
fn add(ranges: &mut Vec<Range>, addr: u64, how: How) {
    let end = addr.saturating_add(PAGE as u64);
    match ranges.last_mut() {
        Some(last) if last.end == addr && last.how == how => last.end = end,
        _ => ranges.push(Range {
            start: addr,
            end,
            how,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_become_one_range() {
        let mut ranges = Vec::new();
        for (addr, how) in [
            (0x1000, How::Changed),
            (0x2000, How::Changed),
            (0x3000, How::OnlyFirst),
            (0x5000, How::OnlyFirst),
        ] {
            add(&mut ranges, addr, how);
        }
        let sizes: Vec<u64> = ranges.iter().map(Range::pages).collect();
        assert_eq!(sizes, [2, 1, 1]);
    }

    #[test]
    fn references_to_pages_that_are_not_followed_are_told_of() {
        let mut pager = Pager::default();
        let data = vec![7; 3 * PAGE];
        let mut mm = ckptfmt::format::mm::Mm::zeroed();
        mm.objref = 5;
        for event in [
            Event::Mm(&mm),
            Event::Pages(&[0x1000, 0x2000, 0x5000]),
            Event::Data(&data),
            Event::VmaEnd(3),
        ] {
            pager.take(&event, |_, _| {});
        }
        let mut again = Pgref::zeroed();
        (again.mm, again.from, again.addr) = (5, 0x2000, 0x9000);
        for (nr_pages, found) in [(1, &[0x9000][..]), (3, &[0x9000]), (4, &[0x9000, 0xc000])] {
            again.nr_pages = nr_pages;
            pager.take(&Event::Again(&again), |_, _| {});
            let mut addrs = Vec::new();
            pager.take(&Event::VmaEnd(0), |addr, _| addrs.push(addr));
            assert_eq!(addrs, found);
        }
        assert!(!pager.full);
        pager.looked_up = LOOKUPS;
        pager.take(&Event::Again(&again), |_, _| {});
        assert!(pager.full && pager.here.is_empty());
    }

    #[test]
    fn a_digest_depends_on_every_byte() {
        let page = vec![0; PAGE];
        for at in [0, 1, 2048, 4095] {
            let mut other = page.clone();
            other[at] = 1;
            assert_ne!(digest(&page), digest(&other));
        }
    }
}
