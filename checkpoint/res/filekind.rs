// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The kind of an open file that is found by its path, or why it is refused.

use crate::error::ensure;
use crate::error::Explain;
use crate::error::Outcome;
use crate::format::files::file_kind as kind;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::inode;
use crate::kapi::memfile;
use crate::kapi::path::PathRef;
use crate::kapi::procfs;
use kernel::bindings::O_PATH;
use kernel::prelude::*;

pub(super) const OTHER_SOCKETS: &str = "sockets other than local ones are not supported";

pub(super) const S_IFMT: u32 = 0o170000;
pub(super) const S_IFREG: u32 = 0o100000;
pub(super) const S_IFDIR: u32 = 0o040000;
pub(super) const S_IFCHR: u32 = 0o020000;
const S_IFBLK: u32 = 0o060000;
const S_IFSOCK: u32 = 0o140000;

/// Devices without state: null, zero, full, random, urandom.
pub(super) fn is_simple_device(rdev: (u32, u32)) -> bool {
    rdev.0 == 1 && matches!(rdev.1, 3 | 5 | 7 | 8 | 9)
}

/// Terminals that can be opened by their path; not the master of a pair.
pub(super) fn is_terminal(rdev: (u32, u32)) -> bool {
    match rdev.0 {
        4 | 136..=143 | 204 | 229 => true,
        5 => rdev.1 != 2,
        _ => false,
    }
}

/// The kind of an open file, or why it is refused. `mode` is its type, `rdev` which device.
pub(super) fn classify(file: &FileRef, mode: u32, rdev: (u32, u32)) -> Result<u32, &'static str> {
    if file::flags(file) & O_PATH != 0 {
        return Ok(kind::PATH);
    }
    match mode & S_IFMT {
        S_IFREG => Ok(kind::REGULAR),
        S_IFDIR => Ok(kind::DIRECTORY),
        S_IFCHR if is_simple_device(rdev) => Ok(kind::CHARDEV),
        S_IFCHR if is_terminal(rdev) && file::is_hung_up(file) => {
            Err("a terminal that was hung up is not supported")
        }
        S_IFCHR if is_terminal(rdev) => Ok(kind::TTY),
        S_IFCHR => Err("this character device is not supported"),
        S_IFBLK => Err("block devices are not supported"),
        // A pipe that is saved was looked at before.
        0o010000 => Err("the image's own stream is mapped"),
        S_IFSOCK => Err(OTHER_SOCKETS),
        _ => Err("this kind of descriptor is not supported"),
    }
}

/// Why a file is refused whatever else is in the image: before anything is waited for that
/// a process behind it may have to do. It can be a disk in user space.
pub(super) fn refuse_early(file: &FileRef) -> Option<&'static str> {
    // Open for its location only.
    if file::flags(file) & O_PATH != 0 {
        return None;
    }
    let (mode, rdev) = inode::device(file);
    match mode & S_IFMT {
        S_IFSOCK if inode::On::of(file).is_other_socket() => Some(OTHER_SOCKETS),
        S_IFCHR | S_IFBLK => classify(file, mode, rdev).err(),
        // Whoever writes the image may wait for its answer.
        0 if memfile::is_called(file, b"[fanotify]") => classify(file, mode, rdev).err(),
        _ => None,
    }
}

/// Refuses files of the kernel that keep something for who has them open: a trigger of
/// pressure stall information, which is written to one of these, and a peak of a control
/// group, which counts from a write.
pub(super) fn refuse_watch(file: &FileRef, name: &[u8]) -> Outcome {
    if !file::may_write(file) {
        return Ok(());
    }
    let watches = if inode::is_cgroup(file) {
        name.ends_with(b".pressure") || name.ends_with(b".peak")
    } else {
        let inside = procfs::look(&PathRef::of(file)).why("a file of procfs has no name")?;
        inside.is_some_and(|at| at.name.starts_with(b"/pressure/"))
    };
    ensure(
        !watches,
        EOPNOTSUPP,
        "a file that watches pressure or a peak is not supported",
    )
}
