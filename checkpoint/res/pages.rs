// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The contents of a mapping: runs of addresses and pages.
//!
//! Only what the task's memory alone holds is saved. Not saved: holes, the
//! zero page, and pages of a file that were not written to; they come back
//! by themselves.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place;
use crate::format::mm::vma_flags;
use crate::format::mm::vma_kind;
use crate::format::mm::Vma;
use crate::image::Written;
use crate::kapi::pages::PageBatch;
use crate::kapi::pages::BATCH;
use crate::kapi::vma;
use crate::stream::reader::Fault;
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
                addr = ctx
                    .batch
                    .gather(rec.start, addr, range.end)
                    .map_err(explain)?;
                if ctx.batch.addrs().len() == BATCH {
                    write_run(ctx, mm)?;
                }
                crate::kapi::sched::breathe()?;
            }
        }
        write_run(ctx, mm)?;
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

/// Reads the pages of a mapping up to the record that ends it.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, mm: u32, rec: &Vma, writable: bool) -> Outcome {
    read_runs(ctx, mm, (rec.start, rec.end), |batch, addrs| {
        ensure(writable, EINVAL, "pages in a mapping that has none")?;
        batch.create(addrs).why("memory cannot be filled")
    })
}

/// Reads runs of pages of `owner` up to the record that ends them. `create` makes
/// the pages at ascending places inside of `range`.
pub(super) fn read_runs(
    ctx: &mut RestoreCtx,
    owner: u32,
    range: (u64, u64),
    create: impl Fn(&mut PageBatch, &[u64]) -> Outcome,
) -> Outcome {
    let mut addrs: KVVec<u64> = KVVec::new();
    let mut next = range.0;
    loop {
        let nr_pages = ctx.reader.pages(owner)?;
        if nr_pages == 0 {
            return Ok(());
        }
        addrs.clear();
        addrs.resize(nr_pages, 0, GFP_KERNEL)?;
        ctx.reader.addrs(&mut addrs)?;
        for addr in &addrs {
            ensure(
                *addr >= next && *addr < range.1 && addr % 4096 == 0,
                EINVAL,
                "a page is outside of its mapping or out of order",
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
