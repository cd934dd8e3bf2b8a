// SPDX-License-Identifier: GPL-2.0

//! Mappings, shared memory, and their pages.

use zerocopy::IntoBytes;

use crate::format;
use crate::format::mm;
use crate::format::shmem;
use crate::stream::writer::Writer;
use crate::stream::Sink;

/// A mapping and what follows it.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    /// The record.
    pub vma: mm::Vma,
    /// Its name, or nothing.
    pub name: Vec<u8>,
    /// Its guard ranges.
    pub guards: Vec<mm::GuardRange>,
    /// Its runs of pages; the contents are those of [`page`].
    pub runs: Vec<Vec<u64>>,
    /// Its pages that are in the image already.
    pub again: Vec<mm::Pgref>,
}

impl Mapping {
    pub(super) fn write<S: Sink>(&self, to: &mut Writer<S>, m: u32) -> Result<(), S::Error> {
        to.record(m, &self.vma)?;
        if !self.name.is_empty() {
            to.bytes(format::STR, m, &self.name)?;
        }
        for ranges in self.guards.chunks(mm::GUARD_CHUNK) {
            to.bytes(format::GUARD, m, ranges.as_bytes())?;
        }
        write_runs(to, m, &self.runs, &self.again)
    }
}

/// A shared memory object.
#[derive(Clone, Debug, PartialEq)]
pub struct Shared {
    /// The record.
    pub object: shmem::Shmem,
    /// Its name, or nothing.
    pub name: Vec<u8>,
    /// Its runs of pages; the contents are those of [`page`].
    pub runs: Vec<Vec<u64>>,
}

/// Contents of the page at `addr` in every image that is built here.
pub fn page(addr: u64) -> Vec<u8> {
    (0..512u64)
        .flat_map(|i| (addr ^ i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_le_bytes())
        .collect()
}

/// Writes runs of pages, and the record that ends them.
pub(super) fn write_runs<S: Sink>(
    to: &mut Writer<S>,
    owner: u32,
    runs: &[Vec<u64>],
    again: &[mm::Pgref],
) -> Result<(), S::Error> {
    for run in runs.iter().filter(|r| !r.is_empty()) {
        to.pages(owner, run)?;
        for addr in run {
            let contents = page(*addr);
            to.sink().put(&contents)?;
            to.wrote_pages(&contents);
        }
    }
    for pages in again {
        to.record(owner, pages)?;
    }
    to.pages(owner, &[])
}
