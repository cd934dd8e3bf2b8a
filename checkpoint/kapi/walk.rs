// SPDX-License-Identifier: GPL-2.0

//! Walks page tables where a lookup by page would be blind or slow.
//!
//! Two questions are answered: which two-megabyte pieces of a range have page
//! tables at all, so that the price of a mapping follows what is in it and
//! not its size; and what comes next where no page is mapped: a page that is
//! swapped out, a guard, or nothing.

use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

const PMD_SIZE: u64 = 1 << 21;

/// A range of addresses, end excluded.
#[derive(Clone, Copy)]
pub(crate) struct Range {
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What an entry of the page tables is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    /// Nothing: never touched.
    None,
    /// A page.
    Present,
    /// A guard: touching it is an error.
    Guard,
    /// The page is elsewhere: swapped out, or about to move.
    Elsewhere,
}

struct Collect {
    ranges: KVVec<Range>,
    at: u64,
    entry: Entry,
}

impl Collect {
    fn new() -> Self {
        Self {
            ranges: KVVec::new(),
            at: 0,
            entry: Entry::None,
        }
    }
}

impl Collect {
    /// Adds a range, joined to the one before where they meet.
    fn add(&mut self, start: u64, end: u64) -> Result {
        if let Some(last) = self.ranges.last_mut() {
            if last.end == start {
                last.end = end;
                return Ok(());
            }
        }
        self.ranges.push(Range { start, end }, GFP_KERNEL)?;
        Ok(())
    }
}

/// # Safety
///
/// Called by walk_page_range() with the private pointer set up by [`walk`].
unsafe fn collect<'a>(walk: *mut bindings::mm_walk) -> &'a mut Collect {
    // SAFETY: By the contract of this function; the walk is the only user.
    unsafe { &mut *(*walk).private.cast::<Collect>() }
}

/// # Safety
///
/// As [`collect`]; called once for each entry that is not empty.
unsafe extern "C" fn pmd_entry(
    _pmd: *mut bindings::pmd_t,
    addr: c_ulong,
    next: c_ulong,
    walk: *mut bindings::mm_walk,
) -> c_int {
    // SAFETY: By the contract of this function.
    unsafe { (*walk).action = bindings::page_walk_action_ACTION_CONTINUE };
    // SAFETY: As above.
    let collect = unsafe { collect(walk) };
    match collect.add(addr as u64, next as u64) {
        Ok(()) => 0,
        Err(errno) => errno.to_errno(),
    }
}

/// # Safety
///
/// As [`collect`]; `pmd` is an entry that is not empty.
unsafe extern "C" fn tables_only(
    pmd: *mut bindings::pmd_t,
    _addr: c_ulong,
    _next: c_ulong,
    walk: *mut bindings::mm_walk,
) -> c_int {
    // A huge page has no guards, and would be split by the walk.
    // SAFETY: By the contract of this function.
    unsafe {
        if !bindings::ckpt_pmd_is_table(pmd) {
            (*walk).action = bindings::page_walk_action_ACTION_CONTINUE;
        }
    }
    0
}

/// # Safety
///
/// As [`collect`]; the page table lock is held.
unsafe extern "C" fn guard_entry(
    pte: *mut bindings::pte_t,
    addr: c_ulong,
    next: c_ulong,
    walk: *mut bindings::mm_walk,
) -> c_int {
    // SAFETY: The lock is held, so that the entry stays.
    if !unsafe { bindings::ckpt_pte_is_guard(pte) } {
        return 0;
    }
    // SAFETY: By the contract of this function.
    let collect = unsafe { collect(walk) };
    // The page table lock forbids to sleep: room was reserved before.
    if let Some(last) = collect.ranges.last_mut() {
        if last.end == addr as u64 {
            last.end = next as u64;
            return 0;
        }
    }
    let range = Range {
        start: addr as u64,
        end: next as u64,
    };
    match collect.ranges.push_within_capacity(range) {
        Ok(()) => 0,
        Err(_) => ENOMEM.to_errno(),
    }
}

/// # Safety
///
/// As [`collect`]; the page table lock is held.
unsafe extern "C" fn classify_entry(
    pte: *mut bindings::pte_t,
    addr: c_ulong,
    _next: c_ulong,
    walk: *mut bindings::mm_walk,
) -> c_int {
    // SAFETY: The lock is held, so that the entry stays.
    let entry = unsafe {
        if bindings::ckpt_pte_is_none(pte) {
            return 0;
        } else if bindings::ckpt_pte_is_present(pte) {
            Entry::Present
        } else if bindings::ckpt_pte_is_guard(pte) {
            Entry::Guard
        } else {
            Entry::Elsewhere
        }
    };
    // SAFETY: By the contract of this function.
    let collect = unsafe { collect(walk) };
    collect.at = addr as u64;
    collect.entry = entry;
    // Ends the walk.
    1
}

type PmdFn =
    unsafe extern "C" fn(*mut bindings::pmd_t, c_ulong, c_ulong, *mut bindings::mm_walk) -> c_int;
type PteFn =
    unsafe extern "C" fn(*mut bindings::pte_t, c_ulong, c_ulong, *mut bindings::mm_walk) -> c_int;

/// # Safety
///
/// The caller holds the mmap lock of `mm`.
unsafe fn walk(
    mm: *mut bindings::mm_struct,
    range: Range,
    pmd: Option<PmdFn>,
    pte: Option<PteFn>,
    collect: &mut Collect,
) -> Result {
    let ops = bindings::mm_walk_ops {
        pmd_entry: pmd,
        pte_entry: pte,
        walk_lock: bindings::page_walk_lock_PGWALK_RDLOCK,
        ..Default::default()
    };
    // SAFETY: The lock is held by the contract; `ops` and `collect` live
    // until the call returns.
    to_result(unsafe {
        bindings::walk_page_range(
            mm,
            range.start as c_ulong,
            range.end as c_ulong,
            &ops,
            core::ptr::from_mut(collect).cast(),
        )
    })
}

/// The pieces of `range` that have page tables, joined and in order.
///
/// # Safety
///
/// The caller holds the mmap lock of `mm`.
pub(crate) unsafe fn populated(mm: *mut bindings::mm_struct, range: Range) -> Result<KVVec<Range>> {
    let mut collect = Collect::new();
    // SAFETY: By the contract of this function.
    unsafe { walk(mm, range, Some(pmd_entry), None, &mut collect)? };
    Ok(collect.ranges)
}

/// The guard ranges in `range`. It is no use to look for many more than `max`: those
/// behind are left out.
///
/// # Safety
///
/// The caller holds the mmap lock of `mm`.
pub(crate) unsafe fn guards(
    mm: *mut bindings::mm_struct,
    range: Range,
    max: usize,
) -> Result<KVVec<Range>> {
    let mut collect = Collect::new();
    // SAFETY: By the contract of this function.
    for piece in &unsafe { populated(mm, range)? } {
        let mut start = piece.start;
        while start < piece.end && collect.ranges.len() <= max {
            // One page table at a time, so that the room it can need is known.
            let end = (start | (PMD_SIZE - 1)).saturating_add(1).min(piece.end);
            collect.ranges.reserve(512, GFP_KERNEL_ACCOUNT)?;
            // SAFETY: By the contract of this function.
            unsafe {
                walk(
                    mm,
                    Range { start, end },
                    Some(tables_only),
                    Some(guard_entry),
                    &mut collect,
                )?
            };
            super::sched::breathe()?;
            start = end;
        }
    }
    Ok(collect.ranges)
}

/// The first entry in `range` that is not empty, and where it is; the end of
/// the range and [`Entry::None`] without one.
///
/// A huge page is split by the walk: the caller has found none mapped here, so
/// that at most one that is about to move is met.
///
/// # Safety
///
/// The caller holds the mmap lock of `mm`.
pub(crate) unsafe fn next_entry(
    mm: *mut bindings::mm_struct,
    range: Range,
) -> Result<(u64, Entry)> {
    // One page table is enough: behind it another huge page may begin.
    let end = (range.start | (PMD_SIZE - 1))
        .saturating_add(1)
        .min(range.end);
    let range = Range { end, ..range };
    let mut collect = Collect::new();
    // SAFETY: By the contract of this function.
    unsafe { walk(mm, range, None, Some(classify_entry), &mut collect)? };
    match collect.entry {
        Entry::None => Ok((end, Entry::None)),
        entry => Ok((collect.at, entry)),
    }
}
