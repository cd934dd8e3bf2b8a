// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Pages of a mapping: those that the image has here, and those that it has already.

use super::PGARR_MAX;
use crate::format::cpu::TASK_SIZE_MAX;
use crate::format::ensure;
use crate::format::wire;
use crate::format::Record;
use crate::format::Why;

wire! {
    /// `struct cr_hdr_pgarr`: addresses and contents of `nr_pages` pages follow.
    pub struct Pgarr [8] {
        /// Number of pages; 0 ends the mapping.
        nr_pages: u32,
        /// Zero.
        reserved: u32,
    }
}

impl Record for Pgarr {
    const TYPE: i16 = crate::format::PGARR;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.nr_pages <= PGARR_MAX, "run of pages is too long")?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_hdr_pgref`: pages that are in the image already, in the mapping of an
    /// address space before this one.
    pub struct Pgref [32] {
        /// Address of the first page.
        addr: u64,
        /// Its address in that address space.
        from: u64,
        /// Number of pages.
        nr_pages: u64,
        /// Object reference of that address space.
        mm: u32,
        /// Zero.
        reserved: u32,
    }
}

impl Record for Pgref {
    const TYPE: i16 = crate::format::PGREF;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.mm != 0, "shared pages of no address space")?;
        ensure(self.nr_pages != 0, "no shared pages")?;
        for addr in [self.addr, self.from] {
            ensure(addr % 4096 == 0, "shared page is not on a page boundary")?;
            ensure(
                addr <= TASK_SIZE_MAX && self.nr_pages <= TASK_SIZE_MAX.wrapping_sub(addr) / 4096,
                "shared pages are outside of user space",
            )?;
        }
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}
