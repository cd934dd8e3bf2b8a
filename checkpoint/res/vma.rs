// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Mappings: private memory, mappings of files, shared memory, the vDSO.
//!
//! Flags are those of [`super::vmaflags`].

use super::vmaflags::decode;
use super::vmaflags::encode;
use super::vmaflags::DIRECT;
use super::vmaflags::PKEY_SHIFT;
use crate::arch::context;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::format::cpu::TASK_SIZE_MAX;
use crate::format::mm::vma_flags as f;
use crate::format::mm::vma_kind;
use crate::format::mm::GuardRange;
use crate::format::mm::Vma;
use crate::format::mm::GUARDS_MAX;
use crate::format::mm::GUARD_CHUNK;
use crate::format::IntoBytes;
use crate::image::Written;
use crate::kapi::common;
use crate::kapi::path;
use crate::kapi::vma;
use crate::kapi::vma::bit;
use crate::kapi::vma::Info;
use crate::kapi::vma::Wanted;
use crate::kapi::walk::Range;
use kernel::bindings as b;
use kernel::prelude::*;

/// The range of the vDSO with its data, for code at `vdso`.
pub(crate) fn vdso_range(vdso: u64) -> Option<(u64, u64)> {
    if vdso == 0 {
        return None;
    }
    let (size, _) = context::vdso_identity();
    Some((
        vdso.checked_sub(context::VVAR_BYTES)?,
        vdso.checked_add(size.into())?,
    ))
}

fn is_vdso(start: u64, end: u64, vdso: u64) -> bool {
    vdso_range(vdso).is_some_and(|(from, to)| start >= from && end <= to)
}

/// Writes a mapping with its name, guards and pages.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, mm: u32, vdso: u64, info: &Info) -> Outcome {
    save_at(ctx, mm, vdso, info)
        .at(Place::Range(info.start, info.end))
        .of(format::VMA)
}

fn save_at(ctx: &mut SaveCtx, mm: u32, vdso: u64, info: &Info) -> Outcome {
    let mut rec = Vma::zeroed();
    rec.start = info.start;
    rec.end = info.end;
    if info.special && is_vdso(info.start, info.end, vdso) {
        rec.how = vma_kind::VDSO;
        rec.flags = encode(info.flags & 7).unwrap_or(0);
        refuse_changed_vdso(ctx, mm, vdso, info)?;
    } else {
        let refuse = |why| Failure::new(ETXTBSY, why);
        if let Some(why) = info.odd {
            return Err(refuse(why));
        }
        if info.end > TASK_SIZE_MAX {
            return Err(refuse("a mapping above 47 bits is not supported"));
        }
        rec.flags = encode(info.flags).map_err(refuse)?;
        ensure(
            !info.empty_name,
            ETXTBSY,
            "a mapping with an empty name is not supported",
        )?;
        ensure(
            info.guards.is_empty() || rec.flags & f::LOCKED == 0,
            ETXTBSY,
            "guard ranges in a locked mapping are not supported",
        )?;
        ensure(
            info.guards.len() <= GUARDS_MAX as usize,
            ETXTBSY,
            "a mapping has too many guard ranges",
        )?;
        rec.pkey = (info.flags >> PKEY_SHIFT & 0xf) as u32;
        rec.namelen = info.name.len() as u32;
        rec.nr_guards = info.guards.len() as u32;
        rec.how = vma_kind::ANON;
        if let Some(file) = &info.file {
            rec.pgoff = info.pgoff;
            if info.anon_shmem {
                rec.how = vma_kind::SHMEM;
                rec.file = super::shmem::save(ctx, file)?;
            } else if info.is_shared_file() {
                rec.how = vma_kind::SHARED;
                let may_write = info.flags & bit(b::VMA_MAYWRITE_BIT) != 0;
                super::shmem::check_mapping(file, may_write)?;
                super::file::check_told(file).map_err(|f| f.about(&path::display_name(file)))?;
                rec.file = super::file::save_shared(ctx, file).map_err(Failure::of_mapping)?;
            } else {
                rec.how = vma_kind::FILE;
                rec.file = super::file::save(ctx, file, None).map_err(Failure::of_mapping)?;
            }
        }
    }
    if matches!(rec.how, vma_kind::ANON | vma_kind::FILE) {
        rec.origin = ctx.known.origin(mm, info.start)?;
    }
    super::valid(&rec)?;
    ctx.writer.record(mm, &rec).written()?;
    if rec.namelen != 0 {
        ctx.string(mm, &info.name)?;
    }
    for chunk in info.guards.chunks(GUARD_CHUNK) {
        let mut ranges: KVec<GuardRange> = KVec::with_capacity(chunk.len(), GFP_KERNEL)?;
        for guard in chunk {
            let range = GuardRange {
                start: guard.start,
                end: guard.end,
            };
            ranges.push(range, GFP_KERNEL)?;
        }
        ctx.writer
            .bytes(format::GUARD, mm, ranges.as_slice().as_bytes())
            .written()?;
    }
    super::pages::save(ctx, mm, &rec)
}

/// A restart maps a new vDSO: breakpoints and protections would be lost.
fn refuse_changed_vdso(ctx: &mut SaveCtx, mm: u32, vdso: u64, info: &Info) -> Outcome {
    let code = info.start >= vdso;
    let expected = if code { f::READ | f::EXEC } else { f::READ };
    let mut changed = info.flags & 7 != expected;
    if code {
        let range = Range {
            start: info.start,
            end: info.end,
        };
        ctx.batch.gather(info.start, range, mm, &mut ctx.known)?;
        changed |= !ctx.batch.addrs().is_empty() || !ctx.known.again().is_empty();
        ctx.known.clear();
        ctx.batch.clear();
    }
    ensure(!changed, ETXTBSY, "the vDSO has been changed")
}

/// Reads a mapping, makes it, and fills it. Returns its end, and whether it
/// is to be sealed.
#[inline(never)]
pub(crate) fn restore(
    ctx: &mut RestoreCtx,
    mm: u32,
    vdso: u64,
    behind: u64,
) -> Outcome<(u64, Option<(u64, u64)>)> {
    let hdr = ctx.header_after_files()?;
    let rec: Vma = ctx.reader.body(&hdr, mm)?;
    let place = Place::Range(rec.start, rec.end);
    ensure(rec.start >= behind, EINVAL, "mappings are not in order").at(place)?;
    let name = match rec.namelen {
        0 => KVec::new(),
        len => ctx.string(mm, len)?,
    };
    let guards = read_guards(ctx, mm, &rec).at(place)?;
    if rec.how == vma_kind::VDSO {
        ensure(
            is_vdso(rec.start, rec.end, vdso),
            EINVAL,
            "a part of the vDSO is outside of it",
        )
        .at(place)?;
        super::pages::restore(ctx, mm, &rec, false)?;
        return Ok((rec.end, None));
    }
    make(ctx, &rec).at(place)?;
    if rec.origin != 0 {
        let from = ctx.spaces.get(rec.origin).ok_or(Failure::new(
            EINVAL,
            "a mapping is a copy of what is not before it",
        ));
        common::link(rec.start, from.at(place)?).why("memory cannot be shared")?;
    }
    let own = matches!(rec.how, vma_kind::ANON | vma_kind::FILE) && rec.flags & f::DROPPABLE == 0;
    let changed = super::pages::restore(ctx, mm, &rec, own)?;
    if changed && rec.how == vma_kind::FILE && rec.flags & f::EXEC != 0 {
        vma::may_run_changed(ctx.file(rec.file)?)
            .blame("changed code of a file may not be run")
            .at(place)?;
    }
    finish(&rec, &name, &guards).at(place)?;
    Ok((
        rec.end,
        (rec.flags & f::SEALED != 0).then_some((rec.start, rec.end)),
    ))
}

fn read_guards(ctx: &mut RestoreCtx, mm: u32, rec: &Vma) -> Outcome<KVVec<GuardRange>> {
    let mut guards: KVVec<GuardRange> = KVVec::new();
    let mut left = rec.nr_guards as usize;
    let mut behind = rec.start;
    while left != 0 {
        let now = left.min(GUARD_CHUNK);
        let mut chunk: KVec<GuardRange> = KVec::from_elem(GuardRange::zeroed(), now, GFP_KERNEL)?;
        ctx.reader
            .bytes(format::GUARD, mm, chunk.as_mut_slice().as_mut_bytes())?;
        for range in &chunk {
            ensure(
                range.start >= behind
                    && range.start < range.end
                    && range.end <= rec.end
                    && range.start % 4096 == 0
                    && range.end % 4096 == 0,
                EINVAL,
                "a guard range is outside of its mapping or out of order",
            )?;
            behind = range.end;
            guards.push(*range, GFP_KERNEL_ACCOUNT)?;
        }
        left = left.saturating_sub(now);
    }
    Ok(guards)
}

/// Makes the mapping, empty.
fn make(ctx: &RestoreCtx, rec: &Vma) -> Outcome {
    let shared = matches!(rec.how, vma_kind::SHMEM | vma_kind::SHARED);
    let file = match rec.file {
        0 => None,
        objref if rec.how == vma_kind::SHMEM => Some(super::shmem::object(ctx, objref)?),
        objref => Some(ctx.file(objref)?),
    };
    ensure(
        rec.how != vma_kind::SHARED || ctx.is_regular(rec.file),
        EINVAL,
        "a shared mapping of what is no regular file",
    )?;
    super::namedfile::check_mapped(ctx, rec.file, shared)?;
    // PROT_* and the image's bits are the same three numbers.
    let prot = rec.flags & (f::READ | f::WRITE | f::EXEC);
    let extra = decode(rec.flags, DIRECT) | u64::from(rec.pkey) << PKEY_SHIFT;
    let mut map = b::MAP_FIXED_NOREPLACE;
    for (on, flag) in [
        (rec.file == 0, b::MAP_ANONYMOUS),
        (rec.flags & f::DROPPABLE != 0, b::MAP_DROPPABLE),
        (shared, b::MAP_SHARED),
        (!shared && rec.flags & f::DROPPABLE == 0, b::MAP_PRIVATE),
        (rec.flags & f::GROWSDOWN != 0, b::MAP_GROWSDOWN),
        (rec.flags & f::LOCKED != 0, b::MAP_LOCKED),
        (rec.flags & f::NORESERVE != 0, b::MAP_NORESERVE),
    ] {
        map |= if on { flag } else { 0 };
    }
    vma::map(&Wanted {
        start: rec.start,
        end: rec.end,
        prot,
        map: map.into(),
        extra,
        // mmap itself charges for a mapping that is writable.
        account: rec.flags & f::ACCOUNT != 0 && prot & f::WRITE == 0,
        pgoff: if rec.file == 0 { 0 } else { rec.pgoff },
        file,
    })
    .why("a mapping cannot be made")?;
    if rec.flags & f::HUGEPAGE != 0 {
        vma::advise(rec.start, rec.end, b::MADV_HUGEPAGE).why("huge pages cannot be asked for")?;
    }
    Ok(())
}

/// What comes after the pages: guards, merging, the name, locking.
fn finish(rec: &Vma, name: &[u8], guards: &[GuardRange]) -> Outcome {
    for guard in guards {
        vma::advise(guard.start, guard.end, b::MADV_GUARD_INSTALL)
            .why("a guard cannot be installed")?;
    }
    if rec.flags & f::MERGEABLE != 0 {
        vma::advise(rec.start, rec.end, b::MADV_MERGEABLE).why("merging cannot be asked for")?;
    }
    if !name.is_empty() {
        vma::set_name(rec.start, rec.end, name).why("a mapping cannot be named")?;
    }
    if rec.flags & f::LOCKED != 0 && rec.flags & f::LOCKONFAULT == 0 {
        // What nothing may touch stays absent, as with mlock(2).
        if rec.flags & (f::READ | f::WRITE | f::EXEC) != 0 {
            let shared = matches!(rec.how, vma_kind::SHMEM | vma_kind::SHARED);
            vma::populate(rec.start, rec.end, !shared && rec.flags & f::WRITE != 0)?;
        }
    }
    Ok(())
}
