// SPDX-License-Identifier: GPL-2.0

//! eventfd, signalfd, timerfd, and the files that they are in.

use ckptfmt::build::Anon;
use ckptfmt::build::Image;
use ckptfmt::format::files::file_flags;

use super::check;
use super::RESERVED;

#[test]
fn contents() {
    for (_, anon) in Image::sample().anons {
        match anon {
            Anon::Eventfd(rec) => check(
                rec,
                &[
                    (|r| r.flags = 2, "eventfd has unknown flags"),
                    (|r| r.reserved = 1, RESERVED),
                ],
            ),
            Anon::Signalfd(rec) => check(
                rec,
                &[
                    (|r| r.mask = 1 << 8, "signalfd takes SIGKILL or SIGSTOP"),
                    (|r| r.mask = 1 << 18, "signalfd takes SIGKILL or SIGSTOP"),
                    (|r| r.reserved = 1, RESERVED),
                ],
            ),
            Anon::Timerfd(rec) => check(
                rec,
                &[
                    (|r| r.clock = 2, "clock of a timer is unknown"),
                    (|r| r.clock = 10, "clock of a timer is unknown"),
                    (|r| r.flags = 4, "timer has unknown flags"),
                    (|r| r.value = 1 << 63, "time of a timer is out of range"),
                    (|r| r.interval = 1 << 63, "time of a timer is out of range"),
                ],
            ),
        }
    }
}

#[test]
fn files() {
    let odd = "file without a name has flags or a position of one";
    let image = Image::sample();
    for objref in 16..19 {
        let open = image.files.iter().find(|f| f.file.objref == objref);
        check(
            open.unwrap().file,
            &[
                (|r| r.mode = 0o100_600, "kind and mode of a file differ"),
                (|r| r.pos = 1, odd),
                (|r| r.flags = 0, odd),
                (|r| r.flags |= file_flags::MAPPED, odd),
                (
                    |r| r.flags |= file_flags::UNSEEN,
                    "file has flags of a pipe",
                ),
                (|r| r.path_len = 1, "file has no path"),
                (
                    |r| r.object = 30,
                    "an end of a pipe or a file in memory, and nothing else, has an object",
                ),
            ],
        );
    }
}
