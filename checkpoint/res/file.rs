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

use super::filekind::classify;
use super::filekind::is_simple_device;
use super::filekind::is_terminal;
use super::filekind::S_IFCHR;
use super::filekind::S_IFMT;
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
use crate::kapi::inode::Stat;
use crate::kapi::memfile;
use crate::kapi::path;
use kernel::bindings::O_ACCMODE;
use kernel::bindings::O_APPEND;
use kernel::bindings::O_DIRECT;
use kernel::bindings::O_DIRECTORY;
use kernel::bindings::O_DSYNC;
use kernel::bindings::O_LARGEFILE;
use kernel::bindings::O_NOATIME;
use kernel::bindings::O_NOCTTY;
use kernel::bindings::O_NOFOLLOW;
use kernel::bindings::O_NONBLOCK;
use kernel::bindings::O_PATH;
use kernel::bindings::O_SYNC;
use kernel::prelude::*;

/// Image bits and the open flags that they stand for.
const FLAGS: [(u32, u32); 9] = [
    (f::APPEND, O_APPEND),
    (f::NONBLOCK, O_NONBLOCK),
    (f::DSYNC, O_DSYNC),
    (f::SYNC, O_SYNC & !O_DSYNC),
    (f::DIRECT, O_DIRECT),
    (f::NOATIME, O_NOATIME),
    (f::PATH, O_PATH),
    (f::NOFOLLOW, O_NOFOLLOW),
    (f::LARGEFILE, O_LARGEFILE),
];

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
        let done = write(ctx, file, objref, fd, mapped);
        // The name for people is made only when somebody will read it.
        done.map_err(|f| f.about(&path::display_name(file)).of(crate::format::FILE))?;
    }
    Ok((objref, new))
}

/// References of the objects that a file is a part of, or 0.
#[derive(Clone, Copy)]
struct Owner {
    pipe: u32,
    socket: u32,
    shmem: u32,
}

fn write(ctx: &mut SaveCtx, file: &FileRef, objref: u32, fd: Option<u32>, mapped: u32) -> Outcome {
    let mut owner = Owner {
        pipe: 0,
        socket: 0,
        shmem: 0,
    };
    if memfile::is_one(file) {
        owner.shmem = super::shmem::save_file(ctx, file)?;
    } else if let Some(fd) = fd {
        owner.pipe = super::pipe::save(ctx, file, fd)?;
        owner.socket = super::socket::save(ctx, file, fd)?;
    }
    let anon = super::anon::look(file)?;
    let anon = anon.filter(|_| file::identity(file) != ctx.image);
    if let Some(fd) = fd.filter(|_| anon.is_none() && epoll::is_one(file)) {
        let items = super::epoll::targets(ctx, file, fd)?;
        let (rec, _) = describe(ctx, file, objref, Some(fd), owner, None)?;
        ctx.writer.record(0, &rec).written()?;
        return super::epoll::save(ctx, file, objref, fd, &items);
    }
    let (mut rec, path) = describe(ctx, file, objref, fd, owner, anon.as_ref())?;
    rec.flags |= mapped;
    ctx.writer.record(0, &rec).written()?;
    match (anon, fd) {
        (Some(anon), Some(fd)) => super::anon::save(ctx, file, objref, fd, &anon),
        _ if path.is_empty() => Ok(()),
        _ => ctx.string(objref, &path),
    }
}

fn describe(
    ctx: &SaveCtx,
    file: &FileRef,
    objref: u32,
    fd: Option<u32>,
    owner: Owner,
    anon: Option<&Anon>,
) -> Outcome<(File, KVec<u8>)> {
    let st = inode::stat(file, !ctx.outside).why("the attributes of a file cannot be read")?;
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
    if let Some(lock) = file::lock_held(file) {
        return Err(Failure::new(EOPNOTSUPP, lock));
    }
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
    rec.kind = match (classify(file, &st), fd) {
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
    let path = name(file, &st)?;
    (rec.pid, rec.pid_at) = procfs::look(ctx, file, &path)?;
    rec.path_len = path.len() as u32;
    Ok((rec, path))
}

/// The path of an open file, by which it can be opened again.
pub(super) fn name(file: &FileRef, st: &Stat) -> Outcome<KVec<u8>> {
    let path = path::file_name(file).map_err(|errno| {
        if st.nlink == 0 && (errno == ENOENT || errno == EINVAL) {
            Failure::new(EOPNOTSUPP, "the file has been unlinked")
        } else if errno == ENOENT || errno == EINVAL {
            Failure::new(
                EOPNOTSUPP,
                "the file has been unlinked or has no path in a file system",
            )
        } else {
            Failure::new(errno, "the path of a file cannot be found")
        }
    })?;
    ensure(
        path.len() <= crate::format::STR_MAX,
        ENAMETOOLONG,
        "the path of a file is too long",
    )?;
    Ok(path)
}

/// How the contents of a regular file are to those of the checkpoint.
#[derive(Clone, Copy)]
struct Contents {
    /// The same, as far as size and time tell.
    same: bool,
    /// At least as long.
    long: bool,
}

impl Contents {
    /// Of files that hold nothing, or what the image has.
    const RESTORED: Self = Self {
        same: true,
        long: true,
    };
}

/// A file that was opened for an image.
pub(crate) struct Opened {
    /// The file.
    pub(crate) file: FileRef,
    /// See [`kind`].
    pub(crate) kind: u32,
    /// What may be mapped of it.
    contents: Contents,
    /// It is the file of the image, which began at this position.
    behind_image: Option<u64>,
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
        let (file, found) = reopen(ctx, &rec, &path).about(&path)?;
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
        .why("an object reference is used twice")
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

/// The flags of open(2) that a record stands for.
pub(super) fn open_flags(rec: &File) -> u32 {
    let mut flags = rec.flags & f::ACCMODE;
    for (image, kernel) in FLAGS {
        flags |= if rec.flags & image != 0 { kernel } else { 0 };
    }
    flags
}

/// The paths of an image are without symbolic links: who follows one now is led to
/// another file, which the caller may open, and whose process it becomes may not.
pub(super) fn check_path(file: &FileRef, path: &[u8]) -> Outcome {
    let found = path::file_name(file).why("a file is no longer where it was")?;
    ensure(
        *found == *path,
        ESTALE,
        "a symbolic link leads to another file than at the checkpoint",
    )
}

fn reopen(ctx: &mut RestoreCtx, rec: &File, path: &[u8]) -> Outcome<(FileRef, Contents)> {
    // Never wait for the other end of what is no regular file any more.
    let mut open_flags = open_flags(rec) | O_NOCTTY | O_NONBLOCK;
    match rec.kind {
        kind::DIRECTORY => open_flags |= O_DIRECTORY,
        // The path had no symbolic links: one that is there now is another file.
        kind::PATH if rec.mode & S_IFMT == 0o120000 => open_flags |= O_NOFOLLOW,
        _ => {}
    }
    if rec.flags & f::PATH != 0 {
        open_flags &= !(O_NONBLOCK | O_NOCTTY | O_ACCMODE);
    }
    let file = ctx
        .below_root(path)
        .and_then(|path| file::open(&ctx.root, path, open_flags).why("a file cannot be opened"))?;
    check_path(&file, path)?;
    if rec.pid != 0 {
        procfs::check(ctx, rec, &file)?;
    }
    if file::may_write(&file) && inode::is_cgroup(&file) {
        // It acts with the rights of whoever has opened it.
        ctx.tied_to_caller =
            Some("a control group that another user than the caller may change is not supported");
    }
    let st = inode::stat(&file, true).why("the attributes of a file cannot be read")?;
    ensure(
        u32::from(st.mode) & S_IFMT == rec.mode & S_IFMT
            && (rec.mode & S_IFMT != S_IFCHR || st.rdev == (rec.rdev_major, rec.rdev_minor)),
        ESTALE,
        "a file is of another type than at the checkpoint",
    )?;
    if matches!(rec.kind, kind::CHARDEV | kind::TTY) {
        ensure(
            is_simple_device(&st) || is_terminal(&st),
            EOPNOTSUPP,
            "this character device is not supported",
        )?;
    }
    let mut contents = Contents::RESTORED;
    if rec.kind == kind::REGULAR {
        let time = (rec.mtime_sec, rec.mtime_nsec);
        contents.same = st.size as u64 == rec.size && st.mtime == time;
        contents.long = st.size as u64 >= rec.size;
    }
    if rec.flags & (f::NONBLOCK | f::PATH) == 0 {
        file::set_flags(&file, O_NONBLOCK, 0);
    }
    if matches!(rec.kind, kind::REGULAR | kind::DIRECTORY)
        && rec.flags & f::IMAGE == 0
        && rec.pos != 0
    {
        file::seek(&file, rec.pos as i64).why("a file position is not valid")?;
    }
    Ok((file, contents))
}

/// Refuses contents that are mapped and are not those of the checkpoint any more. It is
/// asked for each mapping: what one process has as a descriptor another one may map.
pub(crate) fn check_mapped(ctx: &RestoreCtx, objref: u32, shared: bool) -> Outcome {
    let Some(Opened { file, contents, .. }) = ctx.files.get(objref) else {
        return Ok(());
    };
    let why = if shared && !contents.long {
        "a mapped file is shorter than at the checkpoint"
    } else if !shared && !contents.same {
        "a mapped file has changed since the checkpoint"
    } else {
        return Ok(());
    };
    Err(Failure::new(ESTALE, why).about(&path::display_name(file)))
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
            file::seek(&opened.file, pos.ok_or(EOVERFLOW)?).why("a file position is not valid")?;
        }
    }
    Ok(())
}
