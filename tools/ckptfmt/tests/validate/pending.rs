// SPDX-License-Identifier: GPL-2.0

//! The rules of pending signals and of interval timers.

use ckptfmt::build::Image;
use ckptfmt::format::pending::queue;
use ckptfmt::format::pending::Itimer;
use ckptfmt::format::pending::Siginfo;
use ckptfmt::format::pending::PENDING_MAX;
use ckptfmt::format::pending::SI_TIMER;
use ckptfmt::format::pending::TIMER_MAX;
use ckptfmt::format::Record;
use ckptfmt::format::Why;

use super::check;
use super::RESERVED;

const QUEUE: &str = "pending signal of an unknown queue";
const NUMBER: &str = "pending signal has no such number";
const UNBLOCKABLE: &str = "SIGKILL or SIGSTOP is pending";
const TIMER: &str = "pending signal of a POSIX timer has another code";
const FLAGS: &str = "pending signal has unknown flags";
const TIME: &str = "time of a timer is out of range";

fn info(queue: u32, signo: i32, code: i32) -> Siginfo {
    let mut info = Siginfo::zeroed();
    (info.queue, info.signo, info.code) = (queue, signo, code);
    info
}

#[test]
fn pending_signals() {
    for good in Image::sample().pending {
        check(
            good,
            &[
                (|r| r.queue = 2, QUEUE),
                (|r| r.queue = u32::MAX, QUEUE),
                (|r| r.signo = 0, NUMBER),
                (|r| r.signo = 65, NUMBER),
                (|r| r.signo = -1, NUMBER),
                (|r| r.signo = i32::MIN, NUMBER),
                (|r| r.signo = i32::MAX, NUMBER),
                (|r| r.signo = 9, UNBLOCKABLE),
                (|r| r.signo = 19, UNBLOCKABLE),
                (|r| (r.flags, r.code) = (1, -1), TIMER),
                (|r| r.flags = 2, FLAGS),
                (|r| r.flags = u32::MAX, FLAGS),
                (|r| r.reserved2 = 1, RESERVED),
                (|r| r.reserved3 = 1, RESERVED),
            ],
        );
    }
    // Each other number may wait in either queue, for whatever reason.
    for queue in [queue::TASK, queue::PROCESS] {
        for signo in (1..=64).filter(|n| ![9, 19].contains(n)) {
            for code in [i32::MIN, -60, -6, -3, SI_TIMER, -1, 0, 1, 0x80, i32::MAX] {
                let mut info = info(queue, signo, code);
                assert_eq!(info.validate(), Ok(()), "{info:?}");
                (info.errno, info.fields) = (-1, [u64::MAX; 4]);
                assert_eq!(info.validate(), Ok(()), "{info:?}");
            }
        }
    }
    // Nothing is left of a signal whose every byte is zero.
    assert_eq!(Siginfo::zeroed().validate(), Err(Why(NUMBER)));
}

#[test]
fn the_number_of_pending_signals() {
    let mut signal = Image::minimal().signal;
    for nr in [0, 1, PENDING_MAX] {
        signal.nr_pending = nr;
        assert_eq!(signal.validate(), Ok(()));
    }
    for nr in [PENDING_MAX + 1, u32::MAX] {
        signal.nr_pending = nr;
        assert_eq!(signal.validate(), Err(Why("too many signals are pending")));
    }
}

#[test]
fn interval_timers() {
    for good in [Image::minimal().itimers, Image::sample().itimers] {
        check(
            good,
            &[
                (|r| r.timers[0].value = TIMER_MAX + 1, TIME),
                (|r| r.timers[0].interval = TIMER_MAX + 1, TIME),
                (|r| r.timers[1].value = u64::MAX, TIME),
                (|r| r.timers[1].interval = 1 << 63, TIME),
                (|r| r.timers[2].value = TIMER_MAX + 1, TIME),
                (|r| r.timers[2].interval = u64::MAX, TIME),
                (|r| r.reserved = 1, RESERVED),
            ],
        );
        // One that has expired has an interval only.
        for (value, interval) in [(0, 0), (0, 1), (1, 0), (TIMER_MAX, TIMER_MAX)] {
            let mut timers = good;
            timers.timers = [Itimer { value, interval }; 3];
            assert_eq!(timers.validate(), Ok(()));
        }
    }
}
