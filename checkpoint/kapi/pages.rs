// SPDX-License-Identifier: GPL-2.0

//! Batches of user pages: found for a checkpoint, made for a restart.

use super::common::Known;
use super::common::Stored;
use super::walk;
use super::walk::Entry;
use super::walk::Range;
use core::ptr;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
/// Pages of one batch at most.
pub(crate) const BATCH: usize = 1024;
/// Lookups of one batch at most: others wait for the lock.
const STEPS: usize = 4 * BATCH;
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

    /// Gathers pages of a private mapping that only memory holds.
    ///
    /// Looks at `start` to `end` inside the mapping of the current task that
    /// begins at `vma_start`, until the batch is full. Never faults holes in:
    /// not the zero page, not clean page cache. Pages in swap are brought
    /// back. A huge page is one step. Returns where to go on. A page that is `known`
    /// is noted there instead; `mm` is the address space's reference.
    ///
    /// # Errors
    ///
    /// EAGAIN when the mapping is not there any more; ENOMEM; EINTR.
    pub(crate) fn gather(
        &mut self,
        vma_start: u64,
        range: Range,
        owner: u32,
        known: &mut Known,
    ) -> Result<u64> {
        let Range { start, end } = range;
        let mm = super::mm::current_mm();
        let lock = super::mm::ReadLock::new(mm)?;
        // SAFETY: The mmap lock is held.
        let vma = unsafe { bindings::find_vma(mm, start as c_ulong) };
        // SAFETY: The mmap lock is held, so that the mapping stays.
        if vma.is_null() || unsafe { super::vma::start(vma) } != vma_start {
            return Err(EAGAIN);
        }
        // Not those of /dev/zero, which have a file and are plain memory.
        // SAFETY: As above.
        let of_file = unsafe { !(*vma).vm_ops.is_null() };
        let mut addr = start;
        let mut steps = 0;
        while addr < end && self.room() != 0 && steps < STEPS {
            steps = steps.saturating_add(1);
            let mut mask: c_ulong = 0;
            // SAFETY: The mmap lock is held and `addr` is inside the mapping.
            let page = unsafe {
                bindings::follow_page(vma, addr as c_ulong, bindings::FOLL_GET, &mut mask)
            };
            let errno = page as isize;
            if (-4095..0).contains(&errno) {
                return Err(to_result(errno as i32).err().unwrap_or(EFAULT));
            }
            if page.is_null() {
                // SAFETY: The mmap lock is held.
                let (at, entry) = unsafe { walk::next_entry(mm, Range { start: addr, end })? };
                match entry {
                    // The lookup saw nothing here a moment ago.
                    Entry::Present if at != addr => addr = at,
                    Entry::Present | Entry::Elsewhere => {
                        self.fault_in(
                            mm,
                            Stored {
                                mm: owner,
                                addr: at,
                            },
                            known,
                        )?;
                        addr = at.saturating_add(PAGE);
                    }
                    Entry::Guard => addr = at.saturating_add(PAGE),
                    Entry::None => addr = at,
                }
            } else {
                // What was zeros and has been merged (KSM) is not what the file has.
                // SAFETY: follow_page() gave us a reference.
                if of_file && unsafe { bindings::ckpt_page_zero(page) } {
                    self.push(page, addr, 1);
                    addr = addr.saturating_add(PAGE);
                    continue;
                }
                let at = Stored { mm: owner, addr };
                addr = self.take(page, at, end, mask as u64, known)?;
            }
        }
        drop(lock);
        Ok(addr)
    }

    /// Takes a page that was found, and those behind it in the same leaf.
    fn take(
        &mut self,
        page: *mut bindings::page,
        at: Stored,
        end: u64,
        mask: u64,
        known: &mut Known,
    ) -> Result<u64> {
        let addr = at.addr;
        let leaf = (mask.saturating_add(1)).saturating_sub((addr / PAGE) & mask);
        let nr = leaf
            .min(end.saturating_sub(addr) / PAGE)
            .min(self.room() as u64);
        // SAFETY: follow_page() gave us a reference.
        if unsafe { bindings::ckpt_page_anon(page) && !bindings::ckpt_page_zero(page) } {
            if nr > 1 {
                // SAFETY: The pages belong to the folio of the one we hold.
                unsafe { bindings::ckpt_get_page(page, (nr as i32).wrapping_sub(1)) };
            }
            self.push_new(page, at, nr as usize, known)?;
        } else {
            // The zero page, or page cache: the file has it.
            // SAFETY: We own the reference.
            unsafe { bindings::ckpt_put_page(page) };
        }
        Ok(addr.saturating_add(nr.max(1).saturating_mul(PAGE)))
    }

    /// Takes over `nr` pages, as [`Self::push`], without those that are known.
    fn push_new(
        &mut self,
        page: *mut bindings::page,
        at: Stored,
        nr: usize,
        known: &mut Known,
    ) -> Result {
        if known.alone() {
            self.push(page, at.addr, nr);
            return Ok(());
        }
        let mut failed = Ok(());
        for i in 0..nr {
            let page = page.wrapping_add(i);
            let addr = at.addr.wrapping_add((i as u64).wrapping_mul(PAGE));
            // SAFETY: We own a reference to each page.
            let met = failed.and_then(|()| unsafe { known.meet(page, Stored { addr, ..at }) });
            match met {
                Ok(false) => self.push(page, addr, 1),
                // SAFETY: As above; nobody else drops it.
                Ok(true) => unsafe { bindings::ckpt_put_page(page) },
                Err(errno) => {
                    // SAFETY: As above.
                    unsafe { bindings::ckpt_put_page(page) };
                    failed = Err(errno);
                }
            }
        }
        failed
    }

    /// Brings a page back from swap, and takes it if it is anonymous.
    fn fault_in(&mut self, mm: *mut bindings::mm_struct, at: Stored, known: &mut Known) -> Result {
        let mut page = ptr::null_mut();
        // SAFETY: The mmap lock is held by the caller, and without `locked`
        // it stays held.
        let got = unsafe {
            bindings::get_user_pages_remote(
                mm,
                at.addr as c_ulong,
                1,
                bindings::FOLL_FORCE | bindings::FOLL_DUMP,
                &mut page,
                ptr::null_mut(),
            )
        };
        match got {
            1 => {
                // SAFETY: The call gave us a reference.
                if unsafe { bindings::ckpt_page_anon(page) } {
                    self.push_new(page, at, 1, known)?;
                } else {
                    // SAFETY: We own the reference.
                    unsafe { bindings::ckpt_put_page(page) };
                }
                Ok(())
            }
            n if n < 0 => Err(to_result(n as i32).err().unwrap_or(EFAULT)),
            _ => Err(EFAULT),
        }
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
        let mm = super::mm::current_mm();
        let _lock = super::mm::ReadLock::new(mm)?;
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
            // SAFETY: The mmap lock is held and without `locked` stays held;
            // there is room for `run` pages behind the ones in use.
            let got = unsafe {
                bindings::get_user_pages_remote(
                    mm,
                    *first as c_ulong,
                    run as c_ulong,
                    bindings::FOLL_WRITE | bindings::FOLL_FORCE,
                    spare.cast(),
                    ptr::null_mut(),
                )
            };
            if got <= 0 {
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
