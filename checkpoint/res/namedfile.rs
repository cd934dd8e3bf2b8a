// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Files that are opened by their path, and what may be mapped of them.
//!
//! They are opened again by the caller's rights, as who had opened them, and must be what
//! they were.

use super::file::Opened;
use super::filekind::is_simple_device;
use super::filekind::is_terminal;
use super::filekind::S_IFCHR;
use super::filekind::S_IFMT;
use super::openflags::open_flags;
use super::procfs;
use crate::ctx::restore::RestoreCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format::files::file_flags as f;
use crate::format::files::file_kind as kind;
use crate::format::files::File;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::inode;
use crate::kapi::inode::Stat;
use crate::kapi::path;
use crate::kapi::path::PathRef;
use kernel::bindings::O_ACCMODE;
use kernel::bindings::O_DIRECTORY;
use kernel::bindings::O_NOCTTY;
use kernel::bindings::O_NOFOLLOW;
use kernel::bindings::O_NONBLOCK;
use kernel::bindings::O_PATH;
use kernel::cred::Credential;
use kernel::prelude::*;

/// Why what a path leads to now is not what it has led to.
pub(super) const COVERED: &str = "a path over which something was mounted is not supported";

/// Why what a path leads to now cannot take the place of what was there.
pub(super) const OTHER_TYPE: &str = "a file is of another type than at the checkpoint";

/// Why it is another file in the namespace of the process.
pub(super) const ELSEWHERE: &str = "a path of another mount namespace is not supported";

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
        } else if errno == ENAMETOOLONG {
            Failure::new(errno, "the path of a file is too long")
        } else {
            Failure::new(errno, "the path of a file cannot be found")
        }
    })?;
    // A device is compared by its number: it may be one of before /dev was mounted.
    let device = u32::from(st.mode) & S_IFMT == S_IFCHR;
    ensure(device || !path::is_file_covered(file), EOPNOTSUPP, COVERED)?;
    ensure(
        device || !path::is_file_elsewhere(file, &path)?,
        EOPNOTSUPP,
        ELSEWHERE,
    )?;
    Ok(path)
}

/// How the contents of a regular file are to those of the checkpoint.
#[derive(Clone, Copy)]
pub(super) struct Contents {
    /// The same, as far as size and time tell.
    same: bool,
    /// At least as long.
    long: bool,
    /// What size and time of the last change are, of those of which contents are known.
    was: Option<(u64, (i64, u32))>,
}

impl Contents {
    /// Of files that hold nothing, or what the image has.
    pub(super) const RESTORED: Self = Self {
        same: true,
        long: true,
        was: None,
    };

    /// Are they the same in this moment, too?
    pub(super) fn are_still(&self, file: &FileRef) -> Outcome<bool> {
        let Some(was) = self.was else {
            return Ok(true);
        };
        let st = inode::stat(file, true).why("the attributes of a file cannot be read")?;
        Ok((st.size as u64, st.mtime) == was)
    }
}

/// Opens an absolute path, as the caller. The paths of an image are without symbolic links:
/// who follows one now is led to another file, which the caller may open, and whose process
/// it becomes may not. `why` is the reason of all other failures.
pub(super) fn open(
    ctx: &RestoreCtx,
    path: &[u8],
    flags: u32,
    why: &'static str,
) -> Outcome<FileRef> {
    open_below(ctx, path, flags, false, why)
}

/// As [`open`]; where only a `regular` file is wanted nothing else is opened.
fn open_below(
    ctx: &RestoreCtx,
    path: &[u8],
    flags: u32,
    regular: bool,
    why: &'static str,
) -> Outcome<FileRef> {
    let below = ctx.below_root(path)?;
    file::open(&ctx.root, below, flags, regular).map_err(|errno| match errno {
        ELOOP => Failure::new(
            ESTALE,
            "a symbolic link leads to another file than at the checkpoint",
        ),
        EFTYPE => Failure::new(ESTALE, OTHER_TYPE),
        errno => Failure::new(errno, why),
    })
}

/// Looks at what is there, and does not open it: a device may act on that by itself.
/// `why` is as of [`open`].
///
/// # Errors
///
/// ESTALE unless `is_it`.
pub(super) fn look(
    ctx: &RestoreCtx,
    path: &[u8],
    why: &'static str,
    is_it: impl Fn(&Stat) -> bool,
) -> Outcome<Stat> {
    let at = open(ctx, path, O_PATH, why)?;
    let st = inode::stat(&at, true).why("the attributes of a file cannot be read")?;
    ensure(is_it(&st), ESTALE, OTHER_TYPE)?;
    Ok(st)
}

/// Is it of the type of the record, and the same device?
fn is_of_type(rec: &File, st: &Stat) -> bool {
    u32::from(st.mode) & S_IFMT == rec.mode & S_IFMT
        && (rec.mode & S_IFMT != S_IFCHR || st.rdev == (rec.rdev_major, rec.rdev_minor))
}

/// Opens the file of a record by its path, and compares: what it is, and how its contents are
/// to those of the checkpoint.
///
/// # Errors
///
/// As [`open`]; ESTALE for another file.
pub(super) fn reopen(
    ctx: &mut RestoreCtx,
    rec: &File,
    path: &[u8],
    opener: Option<&Credential>,
) -> Outcome<(FileRef, Contents)> {
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
    let why = "a file cannot be opened";
    if matches!(rec.kind, kind::CHARDEV | kind::TTY) {
        let st = look(ctx, path, why, |st| is_of_type(rec, st))?;
        ensure(
            is_simple_device(st.rdev) || is_terminal(st.rdev),
            EOPNOTSUPP,
            "this character device is not supported",
        )?;
    }
    let regular = rec.kind == kind::REGULAR;
    let mut file = open_below(ctx, path, open_flags, regular, why)?;
    if rec.pid != 0 {
        procfs::check(ctx, rec, &file)?;
    }
    if file::may_write(&file) && inode::is_cgroup(&file) {
        // It acts with the rights of whoever has opened it, in the caller's view of the groups.
        ctx.ties_all =
            Some("a control group that another user than the caller may change is not supported");
    }
    let st = inode::stat(&file, true).why("the attributes of a file cannot be read")?;
    ensure(is_of_type(rec, &st), ESTALE, OTHER_TYPE)?;
    if let Some(creds) = opener {
        let location = PathRef::of(&file);
        let first = if rec.kind == kind::TTY {
            // Its last user would hang it up.
            Some(file)
        } else {
            file::close(file);
            None
        };
        file = file::open_as(&location, open_flags, creds).why("a file cannot be opened")?;
        if let Some(first) = first {
            file::close(first);
        }
    }
    let mut contents = Contents::RESTORED;
    if rec.kind == kind::REGULAR {
        let time = (rec.mtime_sec, rec.mtime_nsec);
        contents.same = st.size as u64 == rec.size && st.mtime == time;
        contents.long = st.size as u64 >= rec.size;
        contents.was = (rec.flags & f::IMAGE == 0).then_some((rec.size, time));
    }
    if rec.flags & (f::NONBLOCK | f::PATH) == 0 {
        file::set_flags(&file, O_NONBLOCK, 0);
    }
    if matches!(rec.kind, kind::REGULAR | kind::DIRECTORY)
        && rec.flags & f::IMAGE == 0
        && rec.pos != 0
    {
        file::seek(&file, rec.pos as i64).blame("a file position is not valid")?;
    }
    Ok((file, contents))
}

/// Refuses contents that are mapped and are not those of the checkpoint any more. It is
/// asked for each mapping: what one process has as a descriptor another one may map.
pub(super) fn check_mapped(ctx: &RestoreCtx, objref: u32, shared: bool) -> Outcome {
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
