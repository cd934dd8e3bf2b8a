// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The contents of a mapping: runs of addresses and pages.
//!
//! Only what the task's memory alone holds is saved. Not saved: holes, the
//! zero page, and pages of a file that were not written to; they come back
//! by themselves. What processes have in common since a fork is saved with the
//! first of them; behind its own pages a mapping has references to the others.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place;
use crate::format::mm::vma_flags;
use crate::format::mm::vma_kind;
use crate::format::mm::Pgref;
use crate::format::mm::Vma;
use crate::image::Written;
use crate::kapi::common;
use crate::kapi::pages::PageBatch;
use crate::kapi::pages::BATCH;
use crate::kapi::pages::PAGE;
use crate::kapi::vma;
use crate::kapi::walk::Range;
use crate::stream::reader::Fault;
use crate::stream::reader::Run;
use core::cell::Cell;
use kernel::prelude::*;

/// Writes the pages of a mapping, and the record that ends it.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, mm: u32, rec: &Vma) -> Outcome {
    // What the kernel may drop at any moment is dropped.
    let own = matches!(rec.how, vma_kind::ANON | vma_kind::FILE);
    if own && rec.flags & vma_flags::DROPPABLE == 0 {
        for range in &vma::populated(rec.start, rec.end)? {
            let mut addr = range.start;
            while addr < range.end {
                let rest = Range {
                    start: addr,
                    end: range.end,
                };
                addr = ctx
                    .batch
                    .gather(rec.start, rest, mm, &mut ctx.known)
                    .map_err(explain)?;
                if ctx.batch.addrs().len() == BATCH {
                    write_run(ctx, mm)?;
                }
                crate::kapi::sched::breathe()?;
            }
        }
        write_run(ctx, mm)?;
        for again in ctx.known.again() {
            let rec = Pgref {
                addr: again.addr,
                from: again.first.addr,
                nr_pages: again.nr_pages,
                mm: again.first.mm,
                reserved: 0,
            };
            ctx.writer.record(mm, &rec).written()?;
        }
        ctx.known.clear();
    }
    ctx.writer.pages(mm, &[]).written()
}

fn explain(errno: Error) -> Failure {
    let why = if errno == EAGAIN {
        "a mapping has changed during the checkpoint"
    } else {
        "a page cannot be read"
    };
    Failure::new(if errno == EAGAIN { EBUSY } else { errno }, why)
}

/// Writes the pages that were gathered, if there are any, as a run of `owner`.
pub(super) fn write_run(ctx: &mut SaveCtx, owner: u32) -> Outcome {
    if ctx.batch.addrs().is_empty() {
        return Ok(());
    }
    ctx.writer.pages(owner, ctx.batch.addrs()).written()?;
    ctx.writer.sink().put_pages(&mut ctx.batch).written()?;
    let (batch, writer) = (&ctx.batch, &mut ctx.writer);
    batch.for_each(|bytes| writer.wrote_pages(bytes));
    ctx.batch.clear();
    Ok(())
}

/// Reads the pages of a mapping up to the record that ends it: whether there were any.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, mm: u32, rec: &Vma, writable: bool) -> Outcome<bool> {
    let none = "pages in a mapping that has none";
    let (mut own, mut next) = (rec.start, rec.start);
    let any = Cell::new(false);
    loop {
        let range = (own, rec.end);
        let before = read_runs(ctx, mm, range, |batch, addrs| {
            ensure(writable, EINVAL, none)?;
            any.set(true);
            batch.create(addrs).why("memory cannot be filled")
        })?;
        let Some((again, behind)) = before else {
            return Ok(any.get());
        };
        own = behind;
        any.set(true);
        let end = again
            .addr
            .saturating_add(again.nr_pages.saturating_mul(PAGE));
        let inside = writable && again.addr >= next && end <= rec.end;
        ensure(inside, EINVAL, if writable { OUTSIDE } else { none })
            .map_err(|f| f.at(Place::Range(rec.start, rec.end)))?;
        next = end;
        have_again(ctx, &again)?;
    }
}

/// Pages that came before: the same ones where the kernel's structures allow it, or else
/// copies.
fn have_again(ctx: &mut RestoreCtx, again: &Pgref) -> Outcome {
    let from = ctx.spaces.get(again.mm).ok_or(Failure::new(
        EINVAL,
        "shared pages of an address space that is not before them",
    ))?;
    let mut done = 0;
    while done < again.nr_pages {
        let bytes = done.saturating_mul(PAGE);
        let to = again.addr.saturating_add(bytes);
        let at = again.from.saturating_add(bytes);
        let left = again.nr_pages.saturating_sub(done);
        let shared = if to == at {
            common::share(to, left, from)?
        } else {
            0
        };
        if shared == 0 {
            common::copy(&mut ctx.batch, to, at, from)
                .blame("a shared page is not where it should be")?;
        }
        done = done.saturating_add(shared.max(1));
        crate::kapi::sched::breathe()?;
    }
    Ok(())
}

const OUTSIDE: &str = "a page is outside of its mapping or out of order";

/// Reads runs of pages of `owner` up to the record that ends them, or up to a
/// reference to pages that came before: that one, and the place behind the last page.
/// `create` makes the pages at ascending places
/// inside of `range`.
pub(super) fn read_runs(
    ctx: &mut RestoreCtx,
    owner: u32,
    range: (u64, u64),
    create: impl Fn(&mut PageBatch, &[u64]) -> Outcome,
) -> Outcome<Option<(Pgref, u64)>> {
    let mut addrs: KVVec<u64> = KVVec::new();
    let mut next = range.0;
    loop {
        let nr_pages = match ctx.reader.run(owner)? {
            Run::Here(0) => return Ok(None),
            Run::Here(nr_pages) => nr_pages,
            Run::Before(again) => return Ok(Some((again, next))),
        };
        addrs.clear();
        addrs.resize(nr_pages, 0, GFP_KERNEL)?;
        ctx.reader.addrs(&mut addrs)?;
        for addr in &addrs {
            ensure(
                *addr >= next && *addr < range.1 && addr % 4096 == 0,
                EINVAL,
                OUTSIDE,
            )
            .map_err(|f| f.at(Place::Range(range.0, range.1)))?;
            next = addr.saturating_add(4096);
        }
        for run in addrs.chunks(BATCH) {
            create(&mut ctx.batch, run)?;
            ctx.reader
                .source()
                .take_pages(&ctx.batch)
                .map_err(Fault::Source)?;
            ctx.batch.mark_dirty();
            let (batch, reader) = (&ctx.batch, &mut ctx.reader);
            batch.for_each(|bytes| reader.read_pages(bytes));
            ctx.batch.clear();
        }
    }
}
