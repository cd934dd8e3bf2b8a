// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The kind of an open file that is found by its path, or why it is refused.

use crate::format::files::file_kind as kind;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::inode::Stat;
use kernel::bindings::O_PATH;

pub(super) const OTHER_SOCKETS: &str = "sockets other than local ones are not supported";

pub(super) const S_IFMT: u32 = 0o170000;
pub(super) const S_IFREG: u32 = 0o100000;
pub(super) const S_IFDIR: u32 = 0o040000;
pub(super) const S_IFCHR: u32 = 0o020000;

/// Devices without state: null, zero, full, random, urandom.
pub(super) fn is_simple_device(st: &Stat) -> bool {
    st.rdev.0 == 1 && matches!(st.rdev.1, 3 | 5 | 7 | 8 | 9)
}

/// Terminals that can be opened by their path; not the master of a pair.
pub(super) fn is_terminal(st: &Stat) -> bool {
    match st.rdev.0 {
        4 | 136..=143 | 204 | 229 => true,
        5 => st.rdev.1 != 2,
        _ => false,
    }
}

/// The kind of an open file, or why it is refused.
pub(super) fn classify(file: &FileRef, st: &Stat) -> Result<u32, &'static str> {
    if file::flags(file) & O_PATH != 0 {
        return Ok(kind::PATH);
    }
    match u32::from(st.mode) & S_IFMT {
        S_IFREG => Ok(kind::REGULAR),
        S_IFDIR => Ok(kind::DIRECTORY),
        S_IFCHR if is_simple_device(st) => Ok(kind::CHARDEV),
        S_IFCHR if is_terminal(st) => Ok(kind::TTY),
        S_IFCHR => Err("this character device is not supported"),
        0o060000 => Err("block devices are not supported"),
        // A pipe that is saved was looked at before.
        0o010000 => Err("the image's own stream is mapped"),
        0o140000 => Err(OTHER_SOCKETS),
        _ => Err("this kind of descriptor is not supported"),
    }
}
