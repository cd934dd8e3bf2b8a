// SPDX-License-Identifier: GPL-2.0

//! Private pages that several address spaces have in common since a fork.
//!
//! A page is known by its identity, not by what is in it. Checkpoint: [`Known`] tells
//! where a page is in the image already. Restart: [`link`] and [`share`] map the pages
//! of a [`Space`] once more, as fork() does.
//!
//! Locks: a restart holds the mmap locks of both address spaces for writing, that of
//! the older one first, as dup_mmap() does.

use super::mm;
use super::pages::PageBatch;
use super::pages::PAGE;
use super::walk;
use super::walk::Entry;
use super::walk::Range;
use crate::charge::charged;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::rbtree::RBTree;

/// Where a page is: an address in the address space with this object reference.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) mm: u32,
    pub(crate) addr: u64,
}

/// Pages one after the other that are in the image already.
#[derive(Clone, Copy)]
pub(crate) struct Again {
    pub(crate) addr: u64,
    pub(crate) nr_pages: u64,
    pub(crate) first: Stored,
}

/// The pages that others may have as well, and what was copied from what.
///
/// # Invariants
///
/// The value owns one reference to every page of `pages`, so that none becomes
/// another one.
pub(crate) struct Known {
    pages: RBTree<usize, Stored>,
    /// Address spaces by the `anon_vma`s that their mappings have of their own.
    origins: RBTree<usize, u32>,
    /// Met since the last [`Self::clear`], in the order of their addresses.
    again: KVVec<Again>,
    /// How many pages more are remembered: each of them is held.
    room: usize,
    /// There is only one address space: nothing is looked up.
    alone: bool,
}

/// Most pages that are remembered: 4 GiB, and an eighth of the memory there is. They stay
/// in memory meanwhile. What is behind is saved each time it is met.
const PAGES_MAX: usize = 1 << 20;

impl Known {
    /// Nothing is known yet. If there is only one address space, nothing ever is.
    pub(crate) fn new(alone: bool) -> Self {
        Self {
            pages: RBTree::new(),
            origins: RBTree::new(),
            again: KVVec::new(),
            // SAFETY: Looks at a counter.
            room: PAGES_MAX.min(unsafe { bindings::ckpt_total_pages() } / 8),
            alone,
        }
    }

    /// Nothing is known, and never will be.
    pub(super) fn alone(&self) -> bool {
        self.alone
    }

    /// The address space that the current task's mapping at `start` is a copy of, 0 for
    /// none. From now on others may be copies of this one, `mm`.
    pub(crate) fn origin(&mut self, mm: u32, start: u64) -> Result<u32> {
        if self.alone {
            return Ok(0);
        }
        let current = mm::current_mm();
        let _lock = mm::ReadLock::current()?;
        // SAFETY: The mmap lock is held, so that the mapping stays.
        let own = unsafe {
            let vma = bindings::find_vma(current, start as c_ulong);
            if vma.is_null() || super::vma::start(vma) > start {
                return Ok(0);
            }
            bindings::ckpt_vma_anon(vma)
        };
        if own.is_null() {
            return Ok(0);
        }
        let mut anon = own;
        let origin = loop {
            // Pieces of one mapping have one `anon_vma`.
            let known = self.origins.get(&(anon as usize));
            if let Some(origin) = known.filter(|origin| **origin != mm) {
                break *origin;
            }
            // SAFETY: The mmap lock is held, so that the mapping keeps its `anon_vma`, and
            // those that it descends from are not freed before it; the root's is itself.
            let parent = unsafe { bindings::ckpt_anon_parent(anon) };
            if parent.is_null() || parent == anon {
                break 0;
            }
            anon = parent;
        };
        if self.origins.get(&(own as usize)).is_none() {
            // The members of the checkpoint keep their mappings until it is over. One that
            // is killed may leave a wrong hint: a restart looks at each page.
            self.origins
                .try_create_and_insert(own as usize, mm, charged())?;
        }
        Ok(origin)
    }

    /// Is this page in the image already? Then it is noted; if not, it is going to be.
    ///
    /// # Safety
    ///
    /// The caller holds a reference to the page.
    pub(super) unsafe fn meet(&mut self, page: *mut bindings::page, at: Stored) -> Result<bool> {
        // SAFETY: By the contract of this function.
        if !unsafe { bindings::ckpt_page_maybe_common(page) } {
            return Ok(false);
        }
        if let Some(first) = self.pages.get(&(page as usize)).copied() {
            self.note(at.addr, first)?;
            return Ok(true);
        }
        let Some(room) = self.room.checked_sub(1) else {
            return Ok(false);
        };
        self.pages
            .try_create_and_insert(page as usize, at, charged())?;
        self.room = room;
        // SAFETY: By the contract of this function. The reference is the value's own.
        unsafe { bindings::ckpt_get_page(page, 1) };
        Ok(false)
    }

    fn note(&mut self, addr: u64, first: Stored) -> Result {
        if let Some(last) = self.again.last_mut() {
            let bytes = last.nr_pages.saturating_mul(PAGE);
            if last.addr.checked_add(bytes) == Some(addr)
                && last.first.addr.checked_add(bytes) == Some(first.addr)
                && last.first.mm == first.mm
            {
                last.nr_pages = last.nr_pages.saturating_add(1);
                return Ok(());
            }
        }
        let run = Again {
            addr,
            nr_pages: 1,
            first,
        };
        Ok(self.again.push(run, charged())?)
    }

    /// What was met again.
    pub(crate) fn again(&self) -> &[Again] {
        &self.again
    }

    /// Forgets what was met again.
    pub(crate) fn clear(&mut self) {
        self.again.clear();
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        for page in self.pages.keys() {
            // SAFETY: The value owns one reference to every page.
            unsafe { bindings::ckpt_put_page(*page as *mut bindings::page) };
            // Whether we are killed does not matter here.
            let _ = super::sched::breathe();
        }
    }
}

/// An address space that a restart has built, or builds, and what goes with it in all
/// tasks that have it: whether it may be traced.
///
/// # Invariants
///
/// The value owns one reference to the users of the address space, and one to the state.
pub(crate) struct Space(*mut bindings::mm_struct, *mut bindings::task_exec_state);

// SAFETY: The reference belongs to the value, not to a task; what is done with it is
// done under the mmap lock.
unsafe impl Send for Space {}

impl Space {
    /// That of the current task.
    pub(crate) fn current() -> Self {
        let mm = mm::current_mm();
        // SAFETY: The current task uses it, so that it has users.
        let state = unsafe {
            bindings::ckpt_mmget(mm);
            bindings::ckpt_exec_state_get()
        };
        Self(mm, state)
    }

    /// The address space and the state, with one reference to each that the caller takes
    /// over.
    pub(super) fn take(&self) -> (*mut bindings::mm_struct, *mut bindings::task_exec_state) {
        // SAFETY: The value has references to both.
        unsafe {
            bindings::ckpt_mmget(self.0);
            bindings::ckpt_exec_state_hold(self.1);
        }
        (self.0, self.1)
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // SAFETY: The value owns the references. May sleep: no lock is held here.
        unsafe {
            bindings::mmput(self.0);
            bindings::put_task_exec_state(self.1);
        }
    }
}

/// Both mmap locks, for writing.
struct Both {
    _first: mm::WriteLock,
    second: *mut bindings::mm_struct,
}

impl Both {
    /// `None` when the current task's address space is the same; EINTR if killed.
    fn lock(space: &Space) -> Result<Option<Self>> {
        let second = mm::current_mm();
        if space.0 == second {
            return Ok(None);
        }
        // SAFETY: The space owns a reference, and outlives the lock: the caller has it.
        let first = unsafe { mm::WriteLock::of(space.0)? };
        // SAFETY: The current task uses it. No other lock of this class is held but the
        // one of an older address space, whose task waits for this one. Who looks at the
        // memory from outside may hold it for long.
        to_result(unsafe { bindings::ckpt_mmap_write_lock_second(second) })?;
        Ok(Some(Self {
            _first: first,
            second,
        }))
    }
}

impl Drop for Both {
    fn drop(&mut self) {
        // SAFETY: The lock is held by this value.
        unsafe { bindings::ckpt_mmap_write_unlock(self.second) };
    }
}

/// Makes the current task's mapping at `start`, which is empty, a copy of what `from` has
/// there, so that pages can be shared. Nothing happens if there is none.
///
/// # Errors
///
/// ENOMEM; EINTR.
pub(crate) fn link(start: u64, from: &Space) -> Result {
    let Some(both) = Both::lock(from)? else {
        return Ok(());
    };
    // SAFETY: Both mmap locks are held for writing.
    to_result(unsafe { bindings::link_anon_pages(both.second, start as c_ulong, from.0) })
}

/// Maps `nr` pages of `from` at the same place in the current task's address space, as
/// fork() does. Returns how many could be, from the first on.
///
/// # Errors
///
/// EINTR.
pub(crate) fn share(addr: u64, nr: u64, from: &Space) -> Result<u64> {
    let Some(both) = Both::lock(from)? else {
        return Ok(0);
    };
    // SAFETY: Both mmap locks are held for writing.
    let done =
        unsafe { bindings::share_anon_pages(both.second, from.0, addr as c_ulong, nr as c_ulong) };
    Ok((done as u64).min(nr))
}

/// A page of private memory at `at`, with a reference; pages that are swapped out, or
/// about to move, are brought back. Nothing of a file is read for it.
fn private_page(at: u64, from: &Space) -> Result<*mut bindings::page> {
    let range = Range {
        start: at,
        end: at.saturating_add(PAGE),
    };
    // SAFETY: The space owns a reference, and outlives the lock.
    let _lock = unsafe { mm::ReadLock::of(from.0)? };
    // SAFETY: The mmap lock is held, so that the mapping stays.
    let vma = unsafe { bindings::find_vma(from.0, at as c_ulong) };
    // SAFETY: As above.
    if vma.is_null() || unsafe { super::vma::start(vma) } > at {
        return Err(EFAULT);
    }
    let mut mask: c_ulong = 0;
    // SAFETY: The mmap lock is held and the address is inside the mapping.
    let mut page =
        unsafe { bindings::follow_page(vma, at as c_ulong, bindings::FOLL_GET, &mut mask) };
    let errno = page as isize;
    if (-4095..0).contains(&errno) {
        return Err(to_result(errno as i32).err().unwrap_or(EFAULT));
    }
    if page.is_null() {
        // SAFETY: The mmap lock is held.
        let (_, entry) = unsafe { walk::next_entry(from.0, range)? };
        if !matches!(entry, Entry::Present | Entry::Elsewhere) {
            return Err(EFAULT);
        }
        // SAFETY: The mmap lock is held and without `locked` stays held.
        let got = unsafe {
            bindings::get_user_pages_remote(
                from.0,
                at as c_ulong,
                1,
                bindings::FOLL_FORCE,
                &mut page,
                core::ptr::null_mut(),
            )
        };
        if got != 1 {
            return Err(to_result(got as i32).err().unwrap_or(EFAULT));
        }
    }
    // Merging may have made it the zero page.
    // SAFETY: We hold a reference to the page.
    if unsafe { bindings::ckpt_page_anon(page) || bindings::ckpt_page_zero(page) } {
        return Ok(page);
    }
    // SAFETY: As above, and the reference is ours.
    unsafe { bindings::ckpt_put_page(page) };
    Err(EFAULT)
}

/// Copies a page of private memory of `from` to `to` in the current task's address space.
///
/// # Errors
///
/// EFAULT where there is none, or no private mapping to take it; ENOMEM; EINTR.
pub(crate) fn copy(batch: &mut PageBatch, to: u64, at: u64, from: &Space) -> Result {
    let page = private_page(at, from)?;
    let done = batch.create(&[to]);
    if done.is_ok() {
        // SAFETY: The call above gave a reference to the page.
        unsafe { batch.fill(page) };
        batch.mark_dirty();
        batch.clear();
    }
    // SAFETY: The reference is ours.
    unsafe { bindings::ckpt_put_page(page) };
    done
}
