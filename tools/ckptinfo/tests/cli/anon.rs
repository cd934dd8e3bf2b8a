// SPDX-License-Identifier: GPL-2.0

//! How the tool shows eventfd, signalfd and timerfd.

use ckptfmt::build::Anon;
use ckptfmt::build::Image;

use super::file;
use super::json;
use super::run;
use super::shows;

#[test]
fn counters_signals_and_timers() {
    let mut image = Image::sample();
    let texts = [
        "    10               eventfd, count 1099511627776, semaphore, read-write\n",
        "    11               signalfd, SIGUSR1, read-write\n",
        "    12               timerfd, monotonic, 0.500 s left, every 3.000 s, \
         2 expirations not read, read-write\n",
        "    14               epoll of 3 files, 10 for in, 60 for in+edge, 61 for \
         oneshot+spent, read-write\n",
    ];
    shows(&image, &texts);
    let fds = run(&["--fds"], &image.bytes());
    assert!(fds
        .out
        .contains("count 1099511627776, semaphore  (eventfd, read-write)"));
    let value = json(&image.bytes());
    let of = |fd: u32| &file(&value, fd)["contents"];
    assert_eq!(of(10)["count"], "1099511627776");
    assert_eq!(of(11)["signals"][0], "SIGUSR1");
    assert_eq!(of(12)["value_ns"], "500000000");
    let watched = of(14)["entries"].as_array().unwrap();
    assert_eq!(watched.len(), 3);
    assert_eq!(watched[1]["fd"], 60);
    assert_eq!(watched[1]["events"][1], "edge");
    assert_eq!(watched[1]["data"], "9223372036854775808");
    assert!(of(7).is_null());

    let Anon::Timerfd(timer) = &mut image.anons[2].1 else {
        panic!("no timer");
    };
    (timer.clock, timer.flags, timer.value) = (0, 1, 1_790_000_000_000_000_000);
    shows(&image, &["timerfd, realtime, until 2026-09-21"]);
}
