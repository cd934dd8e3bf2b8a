// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Open files: regular files, directories, locations, simple devices,
//! terminals, ends of pipes, files in memory, files that are only what is in them,
//! epolls, and the image's own stream.
//!
//! A file is saved by its path and opened again by the caller's rights. Its
//! contents are not part of the image: the same file system is assumed. A
//! file whose contents are mapped must not have changed, because clean pages
//! of a mapping are not saved either.
//!
//! Not saved: the settings of a terminal; the access time.

use super::filekind;
use super::filekind::classify;
use super::namedfile;
use super::namedfile::Contents;
use super::openflags::open_flags;
use super::openflags::FLAGS;
use super::procfs;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format::files::file_flags as f;
use crate::format::files::file_kind as kind;
use crate::format::files::File;
use crate::format::Hdr;
use crate::image::Written;
use crate::kapi::anon::Anon;
use crate::kapi::epoll;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::fs;
use crate::kapi::inode;
use crate::kapi::memfile;
use crate::kapi::path;
use kernel::bindings::O_ACCMODE;
use kernel::prelude::*;

/// FASYNC: signals are sent on I/O.
const O_ASYNC: u32 = kernel::bindings::FASYNC;

/// The reference of an open file, writing its records when it is a new one.
///
/// `fd` is the descriptor that leads to it, if one does; otherwise its
/// contents are mapped. The caller's own descriptor or mapping keeps the file
/// until the system call ends, so that its address is its identity.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, file: &FileRef, fd: Option<u32>) -> Outcome<u32> {
    let mapped = if fd.is_none() { f::MAPPED } else { 0 };
    let (objref, _) = save_as(ctx, file, fd, mapped)?;
    ctx.pipes.descriptor(file);
    Ok(objref)
}

/// As [`save`], for a file that an epoll watches: it is no reference to the file, and
/// the descriptor that it was added by may be closed or another file's.
pub(super) fn save_watched(ctx: &mut SaveCtx, file: &FileRef, fd: u32) -> Outcome<u32> {
    let (objref, new) = save_as(ctx, file, Some(fd), 0)?;
    if new {
        ensure(
            file::identity(file) != ctx.image,
            EOPNOTSUPP,
            "an epoll that watches the image's stream is not supported",
        )?;
        ctx.pipes.watch(file, fd)?;
    }
    Ok(objref)
}

/// As [`save`], for a file that is mapped shared.
pub(crate) fn save_shared(ctx: &mut SaveCtx, file: &FileRef) -> Outcome<u32> {
    let (objref, _) = save_as(ctx, file, None, f::SHARED)?;
    ctx.pipes.descriptor(file);
    Ok(objref)
}

/// The reference, and whether it is a new one.
fn save_as(
    ctx: &mut SaveCtx,
    file: &FileRef,
    fd: Option<u32>,
    mapped: u32,
) -> Outcome<(u32, bool)> {
    let identity = file::identity(file);
    let (objref, new) = ctx.objects.refer(identity)?;
    if new {
        let done = match fd.filter(|_| epoll::is_one(file)) {
            Some(fd) => write_epoll(ctx, file, objref, fd),
            None => write(ctx, file, objref, fd, mapped),
        };
        done.map_err(|failure| named(failure, file))?;
    }
    Ok((objref, new))
}

/// The name for people is made only when somebody will read it.
#[cold]
#[inline(never)]
fn named(failure: Failure, file: &FileRef) -> Failure {
    failure
        .about(&path::display_name(file))
        .of(crate::format::FILE)
}

/// References of the objects that a file is a part of, or 0.
#[derive(Clone, Copy)]
struct Owner {
    pipe: u32,
    socket: u32,
    shmem: u32,
}

impl Owner {
    const NONE: Self = Self {
        pipe: 0,
        socket: 0,
        shmem: 0,
    };
}

/// What it watches comes first, and may be an epoll as well: this is called once more for
/// each, and has hardly anything on the stack meanwhile.
#[inline(never)]
fn write_epoll(ctx: &mut SaveCtx, file: &FileRef, objref: u32, fd: u32) -> Outcome {
    let items = super::epoll::targets(ctx, file, fd)?;
    write_plain(ctx, file, objref, fd)?;
    super::epoll::save(ctx, file, objref, fd, &items)
}

#[inline(never)]
fn write_plain(ctx: &mut SaveCtx, file: &FileRef, objref: u32, fd: u32) -> Outcome {
    let (rec, _) = describe(ctx, file, objref, Some(fd), Owner::NONE, None)?;
    ctx.writer.record(0, &rec).written()
}

#[inline(never)]
fn write(ctx: &mut SaveCtx, file: &FileRef, objref: u32, fd: Option<u32>, mapped: u32) -> Outcome {
    let mut owner = Owner::NONE;
    if memfile::is_one(file) {
        owner.shmem = super::shmem::save_file(ctx, file)?;
    } else if let Some(fd) = fd {
        owner.pipe = super::pipe::save(ctx, file, fd)?;
        owner.socket = super::socket::save(ctx, file, fd)?;
    }
    let anon = super::anon::look(file)?;
    let anon = anon.filter(|_| file::identity(file) != ctx.image);
    let (mut rec, path) = describe(ctx, file, objref, fd, owner, anon.as_ref())?;
    rec.flags |= mapped;
    rec.creds = super::opener::save(ctx, file, &rec)?;
    ctx.writer.record(0, &rec).written()?;
    match (anon, fd) {
        (Some(anon), Some(fd)) => super::anon::save(ctx, file, objref, fd, &anon),
        _ if path.is_empty() => Ok(()),
        _ => ctx.string(objref, &path),
    }
}

/// Refuses a file of which the next fsync(2) or msync(2) would tell that writing it back has
/// failed: who opens it again would not be told, and hold its data for written.
pub(super) fn check_told(file: &FileRef) -> Outcome {
    ensure(
        !(file::may_write(file) && file::has_untold_error(file)),
        EIO,
        "writing a file back has failed, and the program does not know it",
    )
}

fn describe(
    ctx: &SaveCtx,
    file: &FileRef,
    objref: u32,
    fd: Option<u32>,
    owner: Owner,
    anon: Option<&Anon>,
) -> Outcome<(File, KVec<u8>)> {
    // Without asking, a server may have another time: the restart asks.
    let st = inode::stat(file, ctx.may_ask()).why("the attributes of a file cannot be read")?;
    ensure(
        !file::is_left_below(file, &st),
        EOPNOTSUPP,
        "a mapped file that was copied up since is not supported",
    )?;
    let is_image = file::identity(file) == ctx.image;
    ensure(
        file::flags(file) & O_ACCMODE != 3,
        EOPNOTSUPP,
        "a file opened for ioctl only is not supported",
    )?;
    let mut rec = File::zeroed();
    rec.objref = objref;
    rec.mode = st.mode.into();
    rec.ino = st.ino;
    (rec.rdev_major, rec.rdev_minor) = st.rdev;
    let open_flags = file::flags(file);
    rec.flags = open_flags & O_ACCMODE;
    for (image, kernel) in FLAGS {
        rec.flags |= if open_flags & kernel != 0 { image } else { 0 };
    }
    super::filelock::check(file, fd)?;
    ensure(
        !file::has_owner(file) && open_flags & O_ASYNC == 0,
        EOPNOTSUPP,
        "signals on input and output of a file are not supported",
    )?;
    if epoll::is_one(file) {
        rec.kind = kind::EPOLL;
        return Ok((rec, KVec::new()));
    }
    if let Some(anon) = anon {
        rec.kind = super::anon::kind(anon);
        // A pidfd says that it is a regular file.
        rec.mode &= 0o7777;
        return Ok((rec, KVec::new()));
    }
    if owner.pipe != 0 {
        (rec.kind, rec.object) = (kind::PIPE, owner.pipe);
        if super::pipe::is_unseen(file) {
            rec.flags |= f::UNSEEN;
        }
        return Ok((rec, KVec::new()));
    }
    if owner.socket != 0 {
        (rec.kind, rec.object) = (kind::SOCKET, owner.socket);
        return Ok((rec, KVec::new()));
    }
    rec.kind = match (classify(file, st.mode.into(), st.rdev), fd) {
        (Ok(kind), _) => kind,
        (Err(_), Some(fd)) if is_image => {
            rec.stream_fd = fd;
            rec.kind = kind::STREAM;
            rec.mode = 0;
            rec.ino = 0;
            return Ok((rec, KVec::new()));
        }
        (Err(why), _) => return Err(Failure::new(EOPNOTSUPP, why)),
    };
    if owner.shmem != 0 {
        (rec.kind, rec.object) = (kind::SHMEM, owner.shmem);
        rec.pos = file::position(file) as u64;
        return Ok((rec, KVec::new()));
    }
    if rec.kind == kind::REGULAR {
        rec.size = st.size as u64;
        rec.mtime_sec = st.mtime.0;
        rec.mtime_nsec = st.mtime.1;
    }
    if matches!(rec.kind, kind::REGULAR | kind::DIRECTORY) {
        rec.pos = file::position(file) as u64;
    }
    if is_image && rec.kind == kind::REGULAR {
        // Behind the image: the restart knows how long that is.
        rec.flags |= f::IMAGE;
        rec.pos = ctx.image_start as u64;
        rec.size = 0;
        (rec.mtime_sec, rec.mtime_nsec) = (0, 0);
    }
    let path = namedfile::name(file, &st)?;
    (rec.pid, rec.pid_at) = procfs::look(ctx, file, &path)?;
    filekind::refuse_watch(file, &path)?;
    rec.path_len = path.len() as u32;
    Ok((rec, path))
}

/// A file that was opened for an image.
pub(crate) struct Opened {
    /// The file.
    pub(crate) file: FileRef,
    /// See [`kind`].
    pub(crate) kind: u32,
    /// What may be mapped of it.
    pub(super) contents: Contents,
    /// It is the file of the image, which began at this position.
    behind_image: Option<u64>,
}

impl Opened {
    /// Has it the contents of the checkpoint, as far as size and time tell?
    pub(crate) fn is_unchanged(&self) -> Outcome<bool> {
        self.contents.are_still(&self.file)
    }
}

/// Reads a file record whose pre-header is `hdr`, and opens the file.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, hdr: &Hdr) -> Outcome {
    let rec: File = ctx.reader.body(hdr, 0)?;
    let mut contents = Contents::RESTORED;
    let file = if rec.kind == kind::STREAM {
        inherit(ctx, &rec)?
    } else if rec.kind == kind::SHMEM {
        super::shmem::open(ctx, &rec)?
    } else if rec.kind > kind::STREAM {
        let new = match rec.kind {
            kind::PIPE => super::pipe::open(ctx, &rec)?,
            kind::SOCKET => super::socket::open(ctx, &rec)?,
            kind::EPOLL => super::epoll::restore(ctx, &rec)?,
            _ => super::anon::restore(ctx, &rec)?,
        };
        let all = FLAGS.iter().fold(0, |all, bit| all | bit.1);
        file::set_flags(&new, all, open_flags(&rec) & all);
        new
    } else {
        let mut path = ctx.string(rec.objref, rec.path_len)?;
        if rec.pid != 0 {
            path = procfs::renamed(ctx, &rec, &path).about(&path)?;
        }
        let opener = super::opener::of(ctx, &rec)?;
        let (file, found) = namedfile::reopen(ctx, &rec, &path, opener.as_deref()).about(&path)?;
        contents = found;
        file
    };
    let behind_image = (rec.flags & f::IMAGE != 0).then_some(rec.pos);
    let opened = Opened {
        file,
        kind: rec.kind,
        contents,
        behind_image,
    };
    ctx.files
        .insert(rec.objref, opened)
        .blame("an object reference is used twice")
}

/// The caller's own descriptor takes the place of the image's stream.
fn inherit(ctx: &RestoreCtx, rec: &File) -> Outcome<FileRef> {
    let fail = || {
        Failure::new(
            EBADF,
            "the caller has no usable descriptor in place of the image's stream",
        )
        .at(Place::Fd(rec.stream_fd))
    };
    let own = ctx.own.as_ref();
    let file = own.and_then(|own| fs::file_of(own, rec.stream_fd));
    let file = file.ok_or_else(fail)?;
    let usable = match rec.flags & f::ACCMODE {
        0 => file::may_read(&file),
        1 => file::may_write(&file),
        _ => file::may_read(&file) && file::may_write(&file),
    };
    if usable {
        Ok(file)
    } else {
        Err(fail())
    }
}

/// Gives the image's own file its position, once the image's length is known, and
/// closes what nobody has.
pub(crate) fn finish(ctx: &mut RestoreCtx) -> Outcome {
    super::pipe::finish(ctx);
    super::socket::finish(ctx)?;
    super::anon::finish(ctx);
    let bytes = ctx.reader.offset();
    for opened in ctx.files.values_mut() {
        if let Some(start) = opened.behind_image {
            let pos = start.checked_add(bytes).and_then(|p| i64::try_from(p).ok());
            file::seek(&opened.file, pos.ok_or(EOVERFLOW)?)
                .blame("a file position is not valid")?;
        }
    }
    Ok(())
}
