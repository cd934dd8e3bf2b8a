// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Shared memory objects: anonymous ones, memfd, unlinked files of tmpfs.
//!
//! Size and contents are written once, for all mappings and open files. Holes
//! stay holes, and pages in swap are saved like others. Whoever shares an
//! object with a restarted task has been restarted with it: processes that are
//! not in the image keep the old object, and the image has a copy.
//!
//! Seals are set as soon as the contents are there, since a mapping of what
//! must not be written to is made otherwise than one before. The seal on future
//! writes is late when there are writable mappings that are older.
//!
//! Not saved: space that fallocate(2) has reserved and nobody has touched;
//! times, extended attributes and the file system of an unlinked file.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format;
use crate::format::files::file_flags;
use crate::format::files::File;
use crate::format::shmem::seals;
use crate::format::shmem::shmem_flags as f;
use crate::format::shmem::shmem_kind as kind;
use crate::format::shmem::Shmem;
use crate::format::Hdr;
use crate::image::Written;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::inode;
use crate::kapi::limits;
use crate::kapi::memfile;
use crate::kapi::sched;
use crate::kapi::shmem;
use kernel::prelude::*;

const S_IFMT: u32 = 0o170000;
const EXECUTABLE: u32 = 0o111;
/// What the names of memfds begin with.
const MEMFD: &[u8] = b"memfd:";

/// The reference of the object that `file` is open on, writing it with its
/// pages when it is a new one. The caller's mapping keeps the object.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, file: &FileRef) -> Outcome<u32> {
    let (objref, new) = ctx.objects.refer(shmem::identity(file))?;
    if new {
        let mut rec = Shmem::zeroed();
        rec.objref = objref;
        rec.how = kind::ANON;
        rec.size = shmem::size(file);
        if shmem::is_noreserve(file) {
            rec.flags |= f::NORESERVE;
        }
        write(ctx, file, rec, &[]).map_err(|failure| failure.of(format::SHMEM))?;
    }
    Ok(objref)
}

/// As [`save`], for an open file of an object without a name.
pub(crate) fn save_file(ctx: &mut SaveCtx, file: &FileRef) -> Outcome<u32> {
    ensure(
        !ctx.image_on.is_on(file),
        EOPNOTSUPP,
        "the image goes to memory that would be a part of it",
    )?;
    ensure(
        !memfile::is_linkable(file),
        EOPNOTSUPP,
        "a file that can still get a name by linkat(2) is not supported",
    )?;
    ensure(
        !memfile::has_attributes(file),
        EOPNOTSUPP,
        "attributes of a file in memory are not supported",
    )?;
    let (objref, new) = ctx.objects.refer(shmem::identity(file))?;
    if new {
        // As large as it is now: others may write to it.
        let size = shmem::size(file);
        if size != 0 {
            ctx.pipes.check_readable(file, true)?;
        }
        let st = inode::stat(file, false).why("the attributes of a file cannot be read")?;
        let name = memfile::name(file).blame("the name of a file is too long")?;
        let mut rec = Shmem::zeroed();
        rec.objref = objref;
        rec.how = kind::UNLINKED;
        rec.size = size;
        rec.mode = u32::from(st.mode) & !S_IFMT;
        (rec.uid, rec.gid) = memfile::owner(file);
        rec.namelen = name.len() as u32;
        ensure(
            memfile::is_memfd(file) == name.starts_with(MEMFD),
            EOPNOTSUPP,
            "a file in memory with the name of a memfd is not supported",
        )?;
        if memfile::is_memfd(file) {
            rec.how = kind::MEMFD;
            rec.seals = memfile::seals(file);
            ensure(
                rec.seals & !seals::ALL == 0,
                EOPNOTSUPP,
                "a seal is not supported",
            )?;
            if seals_late(file) {
                rec.flags |= f::SEAL_LATE;
            }
        }
        write(ctx, file, rec, &name).map_err(|failure| failure.of(format::SHMEM))?;
    }
    Ok(objref)
}

/// A mapping through which the object can be written to is older than the seal.
fn seals_late(file: &FileRef) -> bool {
    memfile::seals(file) & (seals::FUTURE_WRITE | seals::WRITE) == seals::FUTURE_WRITE
        && memfile::is_writably_mapped(file)
}

/// Refuses a shared mapping that the seals have made read-only for good when others
/// of the object have not been: a restart would make them alike.
pub(crate) fn check_mapping(file: &FileRef, may_write: bool) -> Outcome {
    ensure(
        may_write || !file::may_write(file) || !memfile::is_one(file) || !seals_late(file),
        ETXTBSY,
        "mappings from before and from behind F_SEAL_FUTURE_WRITE are not supported",
    )
}

fn write(ctx: &mut SaveCtx, file: &FileRef, rec: Shmem, name: &[u8]) -> Outcome {
    ensure(
        !shmem::has_policy(file),
        ETXTBSY,
        "a memory policy is not supported",
    )?;
    super::valid(&rec)?;
    ctx.writer.record(0, &rec).written()?;
    if !name.is_empty() {
        ctx.string(rec.objref, name)?;
    }
    let mut at = 0;
    while let Some((start, end)) = shmem::next_data(file, at, rec.size) {
        at = start;
        while at < end {
            at = shmem::gather(&mut ctx.batch, file, at, end).why("a page cannot be read")?;
            if ctx.batch.is_full() {
                super::pages::write_run(ctx, rec.objref)?;
            }
            sched::breathe()?;
        }
    }
    super::pages::write_run(ctx, rec.objref)?;
    ctx.writer.pages(rec.objref, &[]).written()
}

/// An object that was made for an image.
pub(crate) struct Object {
    /// Open for reading and writing.
    file: FileRef,
    /// See [`kind`].
    how: u32,
    /// The open file of memfd_create(2) itself has not been given away yet.
    spare: bool,
    /// Seals that are set at the end.
    late: u32,
}

/// Reads an object whose pre-header is `hdr`, makes it and fills it.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, hdr: &Hdr) -> Outcome {
    let rec: Shmem = ctx.reader.body(hdr, 0)?;
    let file = if rec.how == kind::ANON {
        shmem::new_anonymous(rec.size, rec.flags & f::NORESERVE != 0)
            .why("shared memory cannot be made")?
    } else {
        let name = ctx.string(rec.objref, rec.namelen)?;
        create(&rec, &name)?
    };
    let before = super::pages::read_runs(ctx, rec.objref, (0, rec.size), |batch, offsets| {
        shmem::create_pages(batch, &file, offsets).why("memory cannot be filled")
    })?;
    ensure(
        before.is_none(),
        EINVAL,
        "shared memory has pages of an address space",
    )?;
    let mut late = 0;
    if rec.how == kind::MEMFD {
        if rec.flags & f::SEAL_LATE != 0 {
            late = rec.seals & (seals::FUTURE_WRITE | seals::SEAL);
        }
        memfile::add_seals(&file, rec.seals & !late).why("shared memory cannot be sealed")?;
    }
    let object = Object {
        file,
        how: rec.how,
        spare: rec.how == kind::MEMFD,
        late,
    };
    ctx.shmem
        .insert(rec.objref, object)
        .blame("an object reference is used twice")
}

/// Makes an empty file in memory, by the rules of memfd_create(2).
fn create(rec: &Shmem, name: &[u8]) -> Outcome<FileRef> {
    let memfd = rec.how == kind::MEMFD;
    ensure(
        memfd == name.starts_with(MEMFD),
        EINVAL,
        "name and kind of shared memory differ",
    )?;
    // Only a memfd can be sealed, so that nobody makes it executable later.
    ensure(
        !memfile::must_be_noexec()
            || memfd && rec.mode & EXECUTABLE == 0 && rec.seals & seals::EXEC != 0,
        EACCES,
        "vm.memfd_noexec forbids files in memory that may be executed",
    )?;
    // Asked here, since ftruncate(2) would send a signal as well.
    let [_, (most, _), ..] = limits::rlimits();
    ensure(
        rec.size <= most,
        EFBIG,
        "shared memory is larger than the caller's RLIMIT_FSIZE",
    )?;
    let file = memfile::create(memfd, name).why("shared memory cannot be made")?;
    memfile::set_attributes(&file, rec.size, (rec.uid, rec.gid), rec.mode)
        .why("shared memory cannot get its size, owner or permissions")?;
    Ok(file)
}

/// Opens the object that a file record names.
pub(crate) fn open(ctx: &mut RestoreCtx, rec: &File) -> Outcome<FileRef> {
    let object = ctx.shmem.get_mut(rec.object).ok_or(missing())?;
    ensure(
        object.how != kind::ANON,
        EINVAL,
        "an open file of anonymous memory",
    )?;
    // The first file is not counted as a writer, so that it can be executed.
    const PLAIN: u32 = file_flags::LARGEFILE | file_flags::NONBLOCK | MAPPED;
    const MAPPED: u32 = file_flags::MAPPED | file_flags::SHARED;
    let file = if object.spare && rec.flags & !PLAIN == 2 {
        object.spare = false;
        if rec.flags & file_flags::NONBLOCK != 0 {
            file::set_flags(&object.file, 0, kernel::bindings::O_NONBLOCK);
        }
        object.file.clone()
    } else {
        memfile::open_again(&object.file, super::openflags::open_flags(rec))
            .why("a file cannot be opened")?
    };
    if rec.pos != 0 {
        file::seek(&file, rec.pos as i64).blame("a file position is not valid")?;
    }
    Ok(file)
}

/// Sets the seals that had to wait for the mappings.
pub(crate) fn finish(ctx: &mut RestoreCtx) -> Outcome {
    for object in ctx.shmem.values_mut().filter(|object| object.late != 0) {
        memfile::add_seals(&object.file, object.late).why("shared memory cannot be sealed")?;
    }
    Ok(())
}

fn missing() -> Failure {
    Failure::new(
        EINVAL,
        "reference to shared memory that is not in the image",
    )
}

/// The anonymous object behind a reference, to be mapped.
pub(crate) fn object(ctx: &RestoreCtx, objref: u32) -> Outcome<&FileRef> {
    let object = ctx.shmem.get(objref).ok_or(missing())?;
    ensure(
        object.how == kind::ANON,
        EINVAL,
        "a file in memory is mapped as anonymous memory",
    )?;
    Ok(&object.file)
}
