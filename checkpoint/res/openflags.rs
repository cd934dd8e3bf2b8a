// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Flags of an open file: those of open(2), and those of the image.

use crate::format::files::file_flags as f;
use crate::format::files::File;
use kernel::bindings::O_APPEND;
use kernel::bindings::O_DIRECT;
use kernel::bindings::O_DSYNC;
use kernel::bindings::O_LARGEFILE;
use kernel::bindings::O_NOATIME;
use kernel::bindings::O_NOFOLLOW;
use kernel::bindings::O_NONBLOCK;
use kernel::bindings::O_PATH;
use kernel::bindings::O_SYNC;

/// Image bits and the open flags that they stand for.
pub(super) const FLAGS: [(u32, u32); 9] = [
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

/// The flags of open(2) that a record stands for.
pub(super) fn open_flags(rec: &File) -> u32 {
    let mut flags = rec.flags & f::ACCMODE;
    for (image, kernel) in FLAGS {
        flags |= if rec.flags & image != 0 { kernel } else { 0 };
    }
    if rec.flags & f::SYNC != 0 {
        flags |= O_SYNC;
    }
    flags
}
