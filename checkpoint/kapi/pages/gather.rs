// SPDX-License-Identifier: GPL-2.0

//! Batches of user pages: found for a checkpoint.

use super::PageBatch;
use super::BATCH;
use super::PAGE;
use crate::kapi::common::Known;
use crate::kapi::common::Stored;
use crate::kapi::mm::current_mm;
use crate::kapi::mm::ReadLock;
use crate::kapi::vma;
use crate::kapi::walk;
use crate::kapi::walk::Entry;
use crate::kapi::walk::Range;
use core::ptr;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// Lookups of one batch at most: others wait for the lock.
const STEPS: usize = 4 * BATCH;

impl PageBatch {
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
        let mm = current_mm();
        let lock = ReadLock::current()?;
        // SAFETY: The mmap lock is held.
        let vma = unsafe { bindings::find_vma(mm, start as c_ulong) };
        // SAFETY: The mmap lock is held, so that the mapping stays.
        if vma.is_null() || unsafe { vma::start(vma) } != vma_start {
            return Err(EAGAIN);
        }
        // Not those of /dev/zero, which have a file and are plain memory.
        // SAFETY: As above.
        let of_file = unsafe { !(*vma).vm_ops.is_null() };
        // Nobody has written to it yet: there are zeros, or what the file has.
        // SAFETY: As above.
        if unsafe { bindings::ckpt_vma_anon(vma).is_null() } {
            return Ok(end);
        }
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
                        let stored = Stored {
                            mm: owner,
                            addr: at,
                        };
                        self.fault_in(mm, stored, of_file, known)?;
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

    /// Brings a page back from swap, and takes it if it is anonymous. Where a huge page is
    /// being split, it may have become zeros meanwhile.
    fn fault_in(
        &mut self,
        mm: *mut bindings::mm_struct,
        at: Stored,
        of_file: bool,
        known: &mut Known,
    ) -> Result {
        let mut page = ptr::null_mut();
        // SAFETY: The mmap lock is held by the caller, and without `locked`
        // it stays held.
        let got = unsafe {
            bindings::get_user_pages_remote(
                mm,
                at.addr as c_ulong,
                1,
                bindings::FOLL_FORCE,
                &mut page,
                ptr::null_mut(),
            )
        };
        match got {
            1 => {
                // SAFETY: The call gave us a reference.
                if unsafe { bindings::ckpt_page_anon(page) } {
                    self.push_new(page, at, 1, known)?;
                // SAFETY: As above.
                } else if of_file && unsafe { bindings::ckpt_page_zero(page) } {
                    self.push(page, at.addr, 1);
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
}
