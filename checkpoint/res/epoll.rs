// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! epoll: which files are watched, for what.
//!
//! An entry belongs to an open file, not to a descriptor: its file is saved, too,
//! also when the descriptor that it was added by is closed or another file's. What is
//! watched stands before who watches, so that an epoll can be built at once; the kernel
//! allows no circles.
//!
//! Not saved: which entries are ready. The restart looks: what is ready is told, and an
//! edge (EPOLLET) that has been told is told once more.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format::anon::Epoll;
use crate::format::anon::EpollItem;
use crate::format::anon::EPOLL_ITEMS_MAX;
use crate::format::files::File;
use crate::image::Written;
use crate::kapi::epoll;
use crate::kapi::epoll::Entry;
use crate::kapi::file::FileRef;
use crate::kapi::sched;
use crate::kapi::task;
use kernel::prelude::*;

/// Epolls in epolls at most: one more than epoll_ctl(2) allows.
const NESTS: u32 = 6;

/// Writes the files that an epoll watches, and returns its entries.
pub(super) fn targets(ctx: &mut SaveCtx, file: &FileRef, fd: u32) -> Outcome<KVVec<EpollItem>> {
    // The kernel's limit holds at each moment. Others who have the epolls can move them
    // meanwhile, so that the way down would never end.
    ensure(
        ctx.nests < NESTS,
        EBUSY,
        "an epoll has changed during the checkpoint, by another process",
    )?;
    ctx.nests = ctx.nests.saturating_add(1);
    let items = entries(ctx, file, fd);
    ctx.nests = ctx.nests.saturating_sub(1);
    items
}

#[inline(never)]
fn entries(ctx: &mut SaveCtx, file: &FileRef, fd: u32) -> Outcome<KVVec<EpollItem>> {
    let mut items = KVVec::new();
    let mut last = None;
    while let Some(entry) = epoll::next(file, last.as_ref()).map_err(|errno| {
        if errno == EOPNOTSUPP {
            Failure::new(errno, "an epoll that polls devices busily is not supported")
        } else if errno == EXDEV {
            Failure::new(
                EOPNOTSUPP,
                "an epoll that watches the signals of another process is not supported",
            )
        } else {
            Failure::new(errno, "what an epoll watches cannot be read")
        }
    })? {
        let mut rec = EpollItem::zeroed();
        rec.file = super::file::save_watched(ctx, &entry.file, entry.fd).at(Place::Fd(entry.fd))?;
        rec.fd = entry.fd;
        rec.events = entry.events;
        rec.data = entry.data;
        items.push(rec, GFP_KERNEL)?;
        last = Some(entry);
        sched::breathe()?;
    }
    if items.len() > EPOLL_ITEMS_MAX as usize {
        return Err(Failure::new(E2BIG, "an epoll watches too many files").at(Place::Fd(fd)));
    }
    Ok(items)
}

/// Writes the entries, behind the epoll itself.
pub(super) fn save(
    ctx: &mut SaveCtx,
    file: &FileRef,
    objref: u32,
    fd: u32,
    items: &[EpollItem],
) -> Outcome {
    ctx.pipes.hold(
        file,
        fd,
        "an epoll is also held by a process that is not saved",
    )?;
    let rec = Epoll {
        nr_items: items.len() as u32,
        reserved: 0,
    };
    ctx.writer.record(objref, &rec).written()?;
    for item in items {
        ctx.writer.record(objref, item).written()?;
    }
    Ok(())
}

/// Reads the entries, and makes the epoll.
pub(super) fn restore(ctx: &mut RestoreCtx, file: &File) -> Outcome<FileRef> {
    let rec: Epoll = ctx.reader.record(file.objref)?;
    let new = epoll::new().why("an epoll cannot be created")?;
    for _ in 0..rec.nr_items {
        let item: EpollItem = ctx.reader.record(file.objref)?;
        ensure(
            item.events & epoll::WAKEUP == 0 || task::capable(task::CAP_BLOCK_SUSPEND),
            EPERM,
            "EPOLLWAKEUP needs CAP_BLOCK_SUSPEND",
        )?;
        let entry = Entry {
            file: ctx.file(item.file)?.clone(),
            fd: item.fd,
            events: item.events,
            data: item.data,
        };
        epoll::add(&new, &entry)
            .why("an epoll cannot watch a file")
            .at(Place::Fd(item.fd))?;
        sched::breathe()?;
    }
    Ok(new)
}
