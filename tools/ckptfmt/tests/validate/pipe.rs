// SPDX-License-Identifier: GPL-2.0

//! Pipes, their buffers and their ends.

use ckptfmt::build::Image;
use ckptfmt::format::files::file_flags;
use ckptfmt::format::files::file_kind;

use super::check;
use super::RESERVED;

#[test]
fn pipes() {
    let image = Image::sample();
    let capacity = "capacity of a pipe is out of range";
    check(
        image.pipes[0].pipe,
        &[
            (|r| r.objref = 0, "pipe has no object reference"),
            (|r| r.slots = 0, capacity),
            (|r| r.slots = 3, capacity),
            (|r| r.slots = 1 << 20, capacity),
            (|r| r.nr_bufs = 17, "pipe holds more than its capacity"),
            (|r| r.mode = 0o100_600, "mode of a pipe is another"),
            (|r| r.mode = 0o210_600, "mode of a pipe is another"),
            (|r| r.path_len = 4096, "path is too long"),
            (|r| r.reserved = 1, RESERVED),
            (|r| r.reserved2 = 1, RESERVED),
        ],
    );
    check(
        image.pipes[1].pipe,
        &[
            (|r| r.uid = 1, "FIFO has an owner"),
            (|r| r.gid = 1, "FIFO has an owner"),
        ],
    );
}

#[test]
fn buffers() {
    let page = "buffer of a pipe is not within a page";
    let flags = "buffer of a pipe has unknown flags";
    check(
        Image::sample().pipes[0].bufs[1].0,
        &[
            (|r| r.nr_bytes = 0, page),
            (|r| r.nr_bytes = 4094, page),
            (|r| r.nr_bytes = u32::MAX, page),
            (|r| r.offset = 4092, page),
            (|r| r.offset = u32::MAX, page),
            (|r| r.flags = 3, flags),
            (|r| r.flags = 4, flags),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
}

#[test]
fn ends() {
    let odd = "end of a pipe has flags or a position of a file";
    let image = Image::sample();
    let end = image.files.iter().find(|f| f.file.object == 30).unwrap();
    check(
        end.file,
        &[
            (
                |r| r.object = 0,
                "an end of a pipe, a socket or a file in memory, and nothing else, has an object",
            ),
            (|r| r.pos = 1, odd),
            (|r| r.flags |= file_flags::NOFOLLOW, odd),
            (|r| r.flags |= file_flags::DIRECTORY, odd),
            (|r| r.flags |= file_flags::MAPPED, odd),
            (|r| r.flags |= file_flags::UNSEEN | 1, odd),
            (|r| r.flags |= file_flags::PATH, "O_PATH on an open file"),
            (
                |r| r.flags |= file_flags::IMAGE,
                "image is not in a regular file",
            ),
            (|r| r.path_len = 1, "file has no path"),
            (|r| r.mode = 0o100_600, "kind and mode of a file differ"),
            (
                |r| r.kind = file_kind::STREAM,
                "an end of a pipe, a socket or a file in memory, and nothing else, has an object",
            ),
        ],
    );
    let mut unseen = end.file;
    unseen.flags |= file_flags::UNSEEN;
    check(unseen, &[]);
}
