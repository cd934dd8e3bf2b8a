// SPDX-License-Identifier: GPL-2.0

//! Local sockets, their messages and their files.

use ckptfmt::build::Image;
use ckptfmt::format::files::file_flags;
use ckptfmt::format::socket::socket_flags;

use super::check;
use super::RESERVED;

#[test]
fn sockets() {
    let image = Image::sample();
    let size = "size of a buffer is out of range";
    let option = "an option of a socket is out of range";
    let time = "time of a socket is out of range";
    let mark = "state of a socket is not that of its peer";
    check(
        image.sockets[0].ends[0].0,
        &[
            (|r| r.objref = 0, "socket has no object reference"),
            (|r| r.peer = r.objref, "socket is a pair"),
            (|r| r.kind = 0, "socket is of an unknown kind"),
            (|r| r.kind = 3, "socket is of an unknown kind"),
            (|r| r.flags |= 1 << 13, "socket has unknown flags"),
            (|r| r.flags |= socket_flags::RESET, mark),
            (|r| r.peer = 0, mark),
            (|r| r.shutdown = 4, "socket is shut down in an unknown way"),
            (
                |r| r.nr_msgs = (1 << 24) + 1,
                "too many messages in a socket",
            ),
            (|r| r.sndbuf = 0, size),
            (|r| r.sndbuf = 1 << 31, size),
            (|r| r.rcvbuf = 0, size),
            (|r| r.rcvbuf = u32::MAX, size),
            (|r| r.rcvlowat = 0, option),
            (|r| r.rcvlowat = 1 << 31, option),
            (|r| r.peek_off = -2, option),
            (|r| r.mode = 0o010_600, "mode of a socket is another"),
            (|r| r.rcvtimeo = u64::MAX - 1, time),
            (|r| r.sndtimeo = 1 << 63, time),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
    check(
        image.sockets[1].ends[0].0,
        &[
            (
                |r| r.flags |= socket_flags::INQ,
                "socket has flags of a stream",
            ),
            (|r| r.shutdown = 1, mark),
            (|r| r.kind = 2, mark),
        ],
    );
    let pair = "socket that was never connected has what those of pairs have";
    check(
        image.sockets[2].ends[0].0,
        &[
            (|r| r.peer = 70, pair),
            (|r| r.nr_msgs = 1, pair),
            (|r| r.creator = 100, pair),
            (|r| r.flags |= socket_flags::RESET, mark),
        ],
    );
    // Shut down in any way, also a stream.
    let mut shut = image.sockets[2].ends[0].0;
    (shut.kind, shut.shutdown) = (1, 2);
    check(shut, &[]);
    // Messages without a connection: an end does not see that the other one is gone.
    let mut alone = image.sockets[1].ends[0].0;
    (alone.kind, alone.shutdown) = (2, 0);
    alone.flags &= !socket_flags::RESET;
    check(alone, &[]);
}

#[test]
fn messages() {
    check(
        Image::sample().sockets[1].ends[0].1[1].0,
        &[
            (|r| r.nr_bytes = (1 << 30) + 1, "message is too long"),
            (|r| r.reserved = 1, RESERVED),
            (|r| r.reserved2 = 1, RESERVED),
        ],
    );
}

#[test]
fn files() {
    let odd = "socket has flags or a position of a file";
    let image = Image::sample();
    let file = image.files.iter().find(|f| f.file.object == 70).unwrap();
    check(
        file.file,
        &[
            (
                |r| r.object = 0,
                "an end of a pipe, a socket or a file in memory, and nothing else, has an object",
            ),
            (|r| r.pos = 1, odd),
            (|r| r.flags |= file_flags::NOFOLLOW, odd),
            (|r| r.flags |= file_flags::DIRECTORY, odd),
            (|r| r.flags |= file_flags::MAPPED, odd),
            (|r| r.flags -= 1, odd),
            (|r| r.flags |= file_flags::PATH, "O_PATH on an open file"),
            (|r| r.path_len = 1, "file has no path"),
            (|r| r.mode = 0o100_600, "kind and mode of a file differ"),
        ],
    );
}
