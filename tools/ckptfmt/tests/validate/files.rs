// SPDX-License-Identifier: GPL-2.0

//! Descriptors and open files.

use ckptfmt::build::Image;
use ckptfmt::format::files::file_flags;
use ckptfmt::format::files::file_kind;
use ckptfmt::format::files::lock_kind;

use super::check;
use super::RESERVED;

#[test]
fn files() {
    let image = Image::sample();
    let kinds = "kind and mode of a file differ";
    check(
        image.files[3].file,
        &[
            (|r| r.objref = 0, "file has no object reference"),
            (|r| r.flags |= 1 << 31, "file has unknown flags"),
            (|r| r.flags |= 3, "file has an unknown access mode"),
            (|r| r.pos = 1 << 63, "file position is out of range"),
            (|r| r.size = 1 << 63, "file size is out of range"),
            (
                |r| r.mtime_nsec = 1_000_000_000,
                "nanoseconds of the time stamp are out of range",
            ),
            (|r| r.kind = file_kind::DIRECTORY, kinds),
            (|r| r.kind = file_kind::TTY, kinds),
            (|r| r.mode = 0, kinds),
            (|r| r.kind = file_kind::PATH, "location without O_PATH"),
            (|r| r.flags |= 1 << 8, "O_PATH on an open file"),
            (|r| r.kind = 0, "file is of an unknown kind"),
            (|r| r.stream_fd = 1, "file has a stream's descriptor"),
            (|r| r.path_len = 0, "file has no path"),
            (|r| r.path_len = 4096, "path is too long"),
            (
                |r| r.pid_at = 1,
                "file is not in the directory of a process",
            ),
            (|r| r.flags |= 1 << 14, "file has flags of a pipe"),
            (
                |r| r.object = 30,
                "an end of a pipe, a socket or a file in memory, and nothing else, has an object",
            ),
        ],
    );
    let ways = "file is mapped in two ways";
    check(
        image.files[1].file,
        &[
            (|r| r.flags |= file_flags::MAPPED, ways),
            (|r| (r.kind, r.mode) = (file_kind::TTY, 0o020_620), ways),
        ],
    );
    check(
        image.files[10].file,
        &[
            (
                |r| r.object = 0,
                "an end of a pipe, a socket or a file in memory, and nothing else, has an object",
            ),
            (|r| r.path_len = 1, "file has no path"),
            (|r| r.mode = 0, kinds),
            (
                |r| r.flags |= file_flags::IMAGE,
                "image is not in a regular file",
            ),
        ],
    );
    check(
        image.files[4].file,
        &[(|r| r.stream_fd = u32::MAX, "descriptor is out of range")],
    );
    check(
        image.table,
        &[
            (|r| r.objref = 0, "descriptor table has no object reference"),
            (|r| r.nr_fds = u32::MAX, "too many descriptors"),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
    check(
        image.fds[0],
        &[
            (|r| r.fd = u32::MAX, "descriptor is out of range"),
            (|r| r.file = 0, "descriptor without a file"),
            (|r| r.flags = 2, "descriptor has unknown flags"),
            (|r| r.nr_locks = u32::MAX, "too many locks on a file"),
        ],
    );
    check(
        image.locks[1].1,
        &[
            (|r| r.kind = 0, "lock is of an unknown kind"),
            (|r| r.kind = 4, "lock is of an unknown kind"),
            (|r| r.flags = 2, "lock has unknown flags"),
            (|r| r.start = r.end + 1, "range of a lock is out of range"),
            (|r| r.end = 1 << 63, "range of a lock is out of range"),
            (
                |r| r.kind = lock_kind::FLOCK,
                "lock of flock(2) has a range",
            ),
        ],
    );
}
