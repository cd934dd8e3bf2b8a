// SPDX-License-Identifier: GPL-2.0

//! eventfd, signalfd, timerfd, and the files that they are in.

use ckptfmt::build::Anon;
use ckptfmt::build::Image;
use ckptfmt::format::anon::Epoll;
use ckptfmt::format::anon::EPOLL_ITEMS_MAX;
use ckptfmt::format::files::file_flags;
use ckptfmt::format::files::FD_MAX;

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
            Anon::Pidfd(rec) => check(
                rec,
                &[
                    (|r| r.pid = 0, "pidfd of no process"),
                    (|r| r.flags = 2, "pidfd has unknown flags"),
                ],
            ),
            Anon::Epoll(items) => {
                let mut rec = Epoll::zeroed();
                rec.nr_items = items.len() as u32;
                check(
                    rec,
                    &[
                        (
                            |r| r.nr_items = EPOLL_ITEMS_MAX + 1,
                            "epoll has too many entries",
                        ),
                        (|r| r.reserved = 1, RESERVED),
                    ],
                );
                for item in items {
                    check(
                        item,
                        &[
                            (|r| r.fd = FD_MAX + 1, "descriptor is out of range"),
                            (|r| r.file = 0, "entry of an epoll has no file"),
                            (|r| r.reserved = 1, RESERVED),
                            (|r| r.reserved2 = 1, RESERVED),
                        ],
                    );
                }
            }
        }
    }
}

#[test]
fn files() {
    let odd = "file without a name has flags or a position of one";
    let image = Image::sample();
    for objref in [16, 17, 18, 24] {
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
                    "an end of a pipe, a socket or a file in memory, and nothing else, has an object",
                ),
            ],
        );
    }
}
