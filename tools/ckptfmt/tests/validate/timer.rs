// SPDX-License-Identifier: GPL-2.0

//! The rules of POSIX timers.

use ckptfmt::build::Image;
use ckptfmt::format::pending::TIMER_MAX;
use ckptfmt::format::timer::cpu_clock;
use ckptfmt::format::timer::notify;
use ckptfmt::format::timer::TIMERS_MAX;
use ckptfmt::format::timer::TIMER_CLOCKS;
use ckptfmt::format::Record;

use super::check;
use super::RESERVED;

const CLOCK: &str = "POSIX timer has an unknown clock";
const NOTIFY: &str = "POSIX timer notifies in an unknown way";
const SIGNAL: &str = "POSIX timer has no such signal";
const THREAD: &str = "POSIX timer and its thread do not fit";
const CLOCK_THREAD: &str = "POSIX timer and the thread of its clock do not fit";
const FLAGS: &str = "POSIX timer has unknown flags";
const WAIT: &str = "signal of a POSIX timer cannot wait so";
const TIME: &str = "time of a timer is out of range";
const OVERRUN: &str = "overrun of a POSIX timer is out of range";
const WALL: &str = "POSIX timer follows no wall clock";
const RUNS: &str = "POSIX timer runs and waits";

#[test]
fn the_record_before_the_timers() {
    check(
        Image::sample().timers,
        &[
            (|r| r.nr_timers = TIMERS_MAX + 1, "too many POSIX timers"),
            (|r| r.nr_timers = u32::MAX, "too many POSIX timers"),
            (|r| r.flags = 2, "POSIX timers have unknown flags"),
            (|r| r.reserved = 1, RESERVED),
            (|r| r.reserved2[0] = 1, RESERVED),
            (|r| r.reserved2[1] = 1, RESERVED),
        ],
    );
}

#[test]
fn each_timer() {
    for good in Image::sample().posix {
        check(
            good,
            &[
                (|r| r.id = 1 << 31, "id of a POSIX timer is out of range"),
                (|r| r.id = u32::MAX, "id of a POSIX timer is out of range"),
                (|r| r.clock = 2, CLOCK),
                (|r| r.clock = 9, CLOCK),
                (|r| r.clock = -1, CLOCK),
                (|r| r.clock = -5, CLOCK),
                (|r| r.clock = i32::MIN, CLOCK),
                (|r| r.clock_tid = u32::from(r.clock_tid == 0), CLOCK_THREAD),
                (|r| r.notify = 3, NOTIFY),
                (|r| r.notify = u32::MAX, NOTIFY),
                (|r| r.signo = 0, SIGNAL),
                (|r| r.signo = 65, SIGNAL),
                (|r| r.signo = i32::MIN, SIGNAL),
                (|r| r.tid = u32::from(r.tid == 0), THREAD),
                (|r| r.flags |= 8, FLAGS),
                (|r| r.flags = 6, WAIT),
                (|r| r.value = TIMER_MAX + 1, TIME),
                (|r| (r.value, r.interval) = (1, u64::MAX), TIME),
                (|r| r.overrun = -2, OVERRUN),
                (|r| r.overrun = i64::MAX, OVERRUN),
                (|r| r.overrun_last = i64::MIN, OVERRUN),
                (|r| r.reserved = 1, RESERVED),
                (|r| r.reserved2[2] = 1, RESERVED),
            ],
        );
    }
}

#[test]
fn what_fits_together() {
    let [runs, waits, of_thread, _] = Image::sample().posix[..] else {
        panic!("the sample has other timers");
    };
    check(
        runs,
        &[
            (|r| r.value = 0, WALL),
            (|r| r.clock = 1, WALL),
            (|r| (r.flags, r.value) = (2, 1), RUNS),
            (|r| (r.flags, r.value) = (4, 0), WAIT),
        ],
    );
    check(
        waits,
        &[
            (|r| r.interval = 0, RUNS),
            (
                |r| r.value = 0,
                "POSIX timer has an interval and does not run",
            ),
            (|r| r.notify = notify::NONE, WAIT),
            (|r| r.signo = 9, "SIGKILL or SIGSTOP is pending"),
            (|r| r.signo = 19, "SIGKILL or SIGSTOP is pending"),
        ],
    );
    check(of_thread, &[(|r| r.clock = 0, CLOCK_THREAD)]);
}

#[test]
fn every_clock_and_way() {
    let mut timer = Image::sample().posix[1];
    let process = [
        cpu_clock::PROCESS_PROF,
        cpu_clock::PROCESS_VIRT,
        cpu_clock::PROCESS_SCHED,
    ];
    for clock in TIMER_CLOCKS.into_iter().chain(process) {
        for way in [notify::SIGNAL, notify::THREAD] {
            (timer.clock, timer.notify) = (clock, way);
            assert_eq!(timer.validate(), Ok(()));
        }
    }
    // Waits ignored; expired for good; any signal, when it tells nobody.
    timer.flags = 4;
    assert_eq!(timer.validate(), Ok(()));
    (timer.flags, timer.value, timer.interval) = (2, 0, 0);
    assert_eq!(timer.validate(), Ok(()));
    (timer.flags, timer.notify, timer.signo) = (0, notify::NONE, -1);
    assert_eq!(timer.validate(), Ok(()));
}
