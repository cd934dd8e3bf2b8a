// SPDX-License-Identifier: GPL-2.0

//! Interrupted calls, pending signals and timers that lie.

use ckptfmt::build::reseal;
use ckptfmt::build::split;
use ckptfmt::build::Image;
use ckptfmt::format;
use ckptfmt::format::call::RestartBlock;
use ckptfmt::format::pending::PENDING_MAX;

use super::lie;
use super::refusal;

#[test]
fn a_restart_block_that_lies() {
    let change = |change: fn(&mut RestartBlock)| {
        move |i: &mut Image| change(i.restart_block.as_mut().unwrap())
    };
    lie(
        "restart block of an unknown kind",
        change(|b| b.kind = u32::MAX),
    );
    lie(
        "restart block has a kernel address",
        change(|b| b.addr = u64::MAX),
    );
    lie(
        "time that is left is out of range",
        change(|b| b.remaining_ns = u64::MAX),
    );
    of_another_object(format::RESTART_BLOCK);
}

/// The first record of `kind` belongs to the task and to nobody else.
fn of_another_object(kind: i16) {
    let mut bytes = Image::sample().bytes();
    let record = split(&bytes)
        .into_iter()
        .find(|r| bytes[r.start..r.start + 2] == kind.to_le_bytes())
        .unwrap();
    bytes[record.start + 4] ^= 1;
    reseal(&mut bytes);
    assert_eq!(refusal(&bytes), "record belongs to another object");
}

#[test]
fn pending_signals_and_timers_that_lie() {
    let expected = "record is not the one expected here";
    lie(expected, |i| i.signal.nr_pending = 0);
    lie(expected, |i| i.signal.nr_pending = 1);
    lie(expected, |i| i.signal.nr_pending += 1);
    lie(expected, |i| i.signal.nr_pending = PENDING_MAX);
    lie("too many signals are pending", |i| {
        i.signal.nr_pending = u32::MAX;
    });
    lie(expected, |i| i.pending.clear());
    lie("pending signal of an unknown queue", |i| {
        i.pending[1].queue = u32::MAX;
    });
    lie("pending signal has no such number", |i| {
        i.pending[0].signo = i32::MIN;
    });
    lie("SIGKILL or SIGSTOP is pending", |i| i.pending[0].signo = 9);
    lie("pending signal of a POSIX timer", |i| {
        i.pending[1].code = -2;
    });
    lie("time of a timer is out of range", |i| {
        i.itimers.timers[2].interval = u64::MAX;
    });
    of_another_object(format::SIGINFO);
    of_another_object(format::ITIMERS);
}
