// SPDX-License-Identifier: GPL-2.0

//! Batches of user pages: held, moved to and from a file, made for a restart.

use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

mod gather;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
/// Pages of one batch at most.
pub(crate) const BATCH: usize = 1024;
/// Pages of one transfer at most: 1 MiB.
const TRANSFER: usize = 256;

/// Pages with a reference to each, and their addresses.
///
/// # Invariants
///
/// The batch owns one reference to every page.
pub(crate) struct PageBatch {
    pages: KVec<*mut bindings::page>,
    addrs: KVec<u64>,
}

// SAFETY: The references belong to the batch, not to a task: anybody may read
// the pages through them and drop them.
unsafe impl Send for PageBatch {}

impl PageBatch {
    /// An empty batch with room for [`BATCH`] pages.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            pages: KVec::with_capacity(BATCH, GFP_KERNEL)?,
            addrs: KVec::with_capacity(BATCH, GFP_KERNEL)?,
        })
    }

    /// An empty batch without room, to be replaced by another one.
    pub(crate) fn none() -> Self {
        Self {
            pages: KVec::new(),
            addrs: KVec::new(),
        }
    }

    /// The addresses.
    pub(crate) fn addrs(&self) -> &[u64] {
        &self.addrs
    }

    /// Drops all pages.
    pub(crate) fn clear(&mut self) {
        if !self.pages.is_empty() {
            // SAFETY: The batch owns one reference to every page.
            unsafe {
                bindings::ckpt_release_pages(self.pages.as_mut_ptr(), self.pages.len() as i32)
            };
        }
        self.pages.clear();
        self.addrs.clear();
    }

    /// How many pages more it takes.
    pub(super) fn room(&self) -> usize {
        let room = self.pages.capacity().min(self.addrs.capacity()).min(BATCH);
        room.saturating_sub(self.pages.len())
    }

    /// It takes no more pages.
    pub(crate) fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// Takes over one page with a reference; there is room for it.
    ///
    /// # Safety
    ///
    /// `page` is valid, and the caller owns one reference to it.
    pub(super) unsafe fn adopt(&mut self, page: *mut bindings::page, addr: u64) {
        self.push(page, addr, 1);
    }

    /// Takes a copy of `page`, which others may be writing to.
    ///
    /// # Safety
    ///
    /// `page` is valid, and the caller holds a reference to it.
    pub(super) unsafe fn push_copy(&mut self, page: *mut bindings::page, addr: u64) -> Result {
        // SAFETY: Both pages are held; the new one belongs to nobody else yet,
        // and its only reference goes to the batch.
        unsafe {
            let copy = bindings::ckpt_alloc_page();
            if copy.is_null() {
                return Err(ENOMEM);
            }
            bindings::ckpt_copy_highpage(copy, page);
            self.adopt(copy, addr);
        }
        Ok(())
    }

    /// Takes over `nr` pages that follow `page` in one folio, one reference each.
    fn push(&mut self, page: *mut bindings::page, addr: u64, nr: usize) {
        for i in 0..nr {
            // Room was checked: neither push can fail. `page` is the first of
            // `nr` pages of one folio, whose structures are contiguous.
            let _ = self.pages.push_within_capacity(page.wrapping_add(i));
            let _ = self
                .addrs
                .push_within_capacity(addr.wrapping_add((i as u64).wrapping_mul(PAGE)));
        }
    }

    /// Calls `f` with the contents of each page, in order.
    pub(crate) fn for_each(&self, mut f: impl FnMut(&[u8])) {
        for page in &self.pages {
            // SAFETY: The batch holds the page, and every page has an address
            // on x86-64. Others may write to it meanwhile: the bytes are only
            // summed, and u8 has no invalid values.
            let bytes = unsafe {
                core::slice::from_raw_parts(
                    bindings::ckpt_page_address(*page).cast::<u8>(),
                    PAGE as usize,
                )
            };
            f(bytes);
        }
    }

    /// Copies `from` to the only page of the batch.
    ///
    /// # Safety
    ///
    /// The caller holds a reference to `from`.
    pub(super) unsafe fn fill(&mut self, from: *mut bindings::page) {
        if let Some(page) = self.pages.first() {
            // SAFETY: The batch holds its page, the caller the other one. The page is in
            // an address space whose only task is here.
            unsafe { bindings::ckpt_copy_highpage(*page, from) };
        }
    }

    /// Marks every page dirty: it was filled behind the page tables' back.
    pub(crate) fn mark_dirty(&self) {
        for page in &self.pages {
            // SAFETY: The batch holds the page.
            unsafe { bindings::ckpt_page_dirty(*page) };
        }
    }

    /// Moves all bytes of the batch through `io`, which says how far it came.
    pub(crate) fn transfer(
        &self,
        source: bool,
        io: impl Fn(*mut bindings::iov_iter) -> Result<usize>,
    ) -> Result {
        let mut bvec: KVec<bindings::bio_vec> = KVec::with_capacity(TRANSFER, GFP_KERNEL)?;
        for pages in self.pages.chunks(TRANSFER) {
            bvec.clear();
            for page in pages {
                let entry = bindings::bio_vec {
                    bv_page: *page,
                    bv_len: PAGE as u32,
                    bv_offset: 0,
                };
                let _ = bvec.push_within_capacity(entry);
            }
            let bytes = pages.len().saturating_mul(PAGE as usize);
            let mut iter = bindings::iov_iter::default();
            // SAFETY: `bvec` describes pages that the batch holds, and lives
            // until the loop is done with `iter`.
            unsafe {
                bindings::iov_iter_bvec(
                    &mut iter,
                    if source {
                        bindings::ITER_SOURCE
                    } else {
                        bindings::ITER_DEST
                    },
                    bvec.as_ptr(),
                    bvec.len(),
                    bytes,
                )
            };
            let mut left = bytes;
            while left != 0 {
                // The iterator advances by itself.
                let done = io(&mut iter)?;
                if done == 0 {
                    return Err(EIO);
                }
                left = left.checked_sub(done).ok_or(EIO)?;
                super::sched::breathe()?;
            }
        }
        Ok(())
    }

    /// Makes private pages at `addrs` in the current task's mapping.
    ///
    /// The contents are whatever was there; the caller fills them.
    ///
    /// # Errors
    ///
    /// EFAULT where there is no private mapping; ENOMEM; EINTR.
    pub(crate) fn create(&mut self, addrs: &[u64]) -> Result {
        self.clear();
        let mut rest = addrs.get(..addrs.len().min(BATCH)).unwrap_or_default();
        while let Some(first) = rest.first() {
            let run = rest
                .iter()
                .enumerate()
                .take_while(|(i, addr)| {
                    **addr == first.wrapping_add((*i as u64).wrapping_mul(PAGE))
                })
                .count();
            let spare = self.pages.spare_capacity_mut().as_mut_ptr();
            let how = bindings::FOLL_WRITE | bindings::FOLL_FORCE;
            // SAFETY: There is room for `run` pages behind the ones in use.
            let (got, _) = unsafe { super::mm::fault_in(*first, run, how, spare.cast())? };
            if got <= 0 {
                if super::sched::is_killed() {
                    return Err(EINTR);
                }
                return Err(to_result(got as i32).err().unwrap_or(EFAULT));
            }
            let got = (got as usize).min(run);
            // SAFETY: The call filled `got` entries behind those in use, and gave us
            // a reference to each page.
            unsafe { self.pages.inc_len(got) };
            for addr in rest.get(..got).unwrap_or_default() {
                let _ = self.addrs.push_within_capacity(*addr);
            }
            rest = rest.get(got..).unwrap_or_default();
            super::sched::breathe()?;
        }
        Ok(())
    }
}

impl Drop for PageBatch {
    fn drop(&mut self) {
        self.clear();
    }
}
