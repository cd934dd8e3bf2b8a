// SPDX-License-Identifier: GPL-2.0

//! The rules of interrupted calls: in the CPU record, and of restart blocks.

use ckptfmt::build::Image;
use ckptfmt::format::call::flags;
use ckptfmt::format::call::goes_on;
use ckptfmt::format::call::kind;
use ckptfmt::format::call::RestartBlock;
use ckptfmt::format::call::CLOCKS;
use ckptfmt::format::call::REMAINING_MAX;
use ckptfmt::format::call::SOCKET_CALLS;
use ckptfmt::format::cpu::TASK_SIZE_MAX;
use ckptfmt::format::Record;
use ckptfmt::format::Why;

use super::check;
use super::KERNEL;
use super::RESERVED;

const FLAGS: &str = "restart block has unknown flags";
const NO_TIMEOUT: &str = "restart block has no timeout";
const NO_TIME: &str = "time is left without a timeout";
const TIME: &str = "time that is left is out of range";
const CLOCK: &str = "restart block has an unknown clock";
const FDS: &str = "restart block has descriptors";
const NO_FUTEX: &str = "restart block has a futex";
const FUTEX: &str = "futex of a restart block is not valid";
const ADDRESS: &str = "restart block has a kernel address";
const CALL: &str = "restart block has an unknown call";

/// A block of `kind` with a timeout.
fn block(kind: u32) -> RestartBlock {
    let mut block = RestartBlock::zeroed();
    block.kind = kind;
    block.flags = flags::TIMEOUT;
    block.remaining_ns = 1;
    block
}

fn accepted(block: RestartBlock) {
    assert_eq!(block.validate(), Ok(()), "{block:?}");
}

#[test]
fn numbers_of_calls() {
    let cpu = Image::minimal().cpu;
    let number = "number of the interrupted call is out of range";
    let blocks = "an interrupted call has more than one restart block";
    check(
        cpu,
        &[
            (|r| r.orig_ax = 0x1_0000, number),
            (|r| r.orig_ax = u64::MAX - 1, number),
            (|r| r.orig_ax = u64::from(u32::MAX), number),
            (|r| r.nr_restart = 2, blocks),
            (|r| r.nr_restart = u32::MAX, blocks),
        ],
    );
    // A task may be on its way to restart_syscall(2), outside of any call.
    for (orig_ax, nr_restart) in [(u64::MAX, 0), (u64::MAX, 1), (0, 0), (0xffff, 1)] {
        let mut cpu = cpu;
        (cpu.orig_ax, cpu.nr_restart) = (orig_ax, nr_restart);
        assert_eq!(cpu.validate(), Ok(()));
    }
}

#[test]
fn results_that_make_a_call_go_on() {
    for ax in -520..=0i64 {
        let expected = [-512, -513, -514, -516].contains(&ax);
        assert_eq!(goes_on(ax as u64), expected, "{ax}");
    }
    // Only all 64 bits are such a result.
    assert!(!goes_on(u64::from(-512i32 as u32)));
}

#[test]
fn any_restart_block() {
    for known in kind::EPOLL_WAIT..=kind::SOCKET {
        let mut wait = block(known);
        wait.addr = 0;
        if known != kind::SOCKET {
            check(wait, &[(|r| r.call = 45, CALL)]);
        } else {
            wait.call = 45;
        }
        check(
            wait,
            &[
                (|r| r.flags = 0, "restart block has no timeout"),
                (|r| r.flags |= flags::FUTEX_SHARED, FLAGS),
                (|r| r.addr = 4, "restart block has an address"),
                (|r| r.nr_fds = 1, "restart block has descriptors"),
                (|r| r.value = 1, NO_FUTEX),
            ],
        );
    }
    for known in [kind::NANOSLEEP, kind::POLL] {
        check(
            block(known),
            &[
                (|r| r.flags |= flags::FUTEX_SHARED, FLAGS),
                (|r| r.flags |= flags::FUTEX_REALTIME, FLAGS),
                (|r| r.value = 1, NO_FUTEX),
                (|r| r.bitset = 1, NO_FUTEX),
            ],
        );
    }
    let mut futex = block(kind::FUTEX);
    futex.bitset = u32::MAX;
    for good in [block(kind::NANOSLEEP), block(kind::POLL), futex] {
        check(
            good,
            &[
                (|r| r.kind = 0, "restart block of an unknown kind"),
                (|r| r.kind = 9, "restart block of an unknown kind"),
                (|r| r.flags |= 8, FLAGS),
                (|r| r.flags |= 1 << 31, FLAGS),
                (|r| r.remaining_ns = REMAINING_MAX + 1, TIME),
                (|r| r.remaining_ns = u64::MAX, TIME),
                (|r| r.addr = TASK_SIZE_MAX, ADDRESS),
                (|r| r.addr = KERNEL, ADDRESS),
                (|r| r.reserved[0] = 1, RESERVED),
                (|r| r.reserved[4] = 1, RESERVED),
                (|r| r.call = 1, CALL),
            ],
        );
        for (addr, remaining_ns) in [(0, 0), (TASK_SIZE_MAX - 4, REMAINING_MAX)] {
            accepted(RestartBlock {
                addr,
                remaining_ns,
                ..good
            });
        }
    }
}

#[test]
fn calls_on_sockets() {
    let mut good = block(kind::SOCKET);
    for call in SOCKET_CALLS {
        good.call = call;
        accepted(good);
    }
    check(
        good,
        &[
            // open, close, connect (it goes on as a poll), execve,
            // restart_syscall.
            (|r| r.call = 2, CALL),
            (|r| r.call = 3, CALL),
            (|r| r.call = 42, CALL),
            (|r| r.call = 59, CALL),
            (|r| r.call = 219, CALL),
            (|r| r.call = u32::MAX, CALL),
        ],
    );
}

#[test]
fn sleeps() {
    check(
        block(kind::NANOSLEEP),
        &[
            (|r| (r.flags, r.remaining_ns) = (0, 0), NO_TIMEOUT),
            // The CPU clock of a thread, and the clocks of alarms.
            (|r| r.clock = 3, CLOCK),
            (|r| r.clock = 8, CLOCK),
            (|r| r.clock = u32::MAX, CLOCK),
            (|r| r.nr_fds = 1, FDS),
        ],
    );
    for clock in CLOCKS {
        accepted(RestartBlock {
            clock,
            ..block(kind::NANOSLEEP)
        });
    }
}

#[test]
fn polls() {
    check(
        block(kind::POLL),
        &[(|r| r.flags = 0, NO_TIME), (|r| r.clock = 1, CLOCK)],
    );
    accepted(RestartBlock {
        flags: 0,
        remaining_ns: 0,
        nr_fds: 1024,
        addr: 0x1001,
        ..block(kind::POLL)
    });
}

#[test]
fn futexes() {
    let mut good = block(kind::FUTEX);
    good.bitset = 1;
    good.addr = 0x1004;
    check(
        good,
        &[
            (|r| (r.flags, r.remaining_ns) = (0, 0), NO_TIMEOUT),
            (|r| r.flags = flags::FUTEX_SHARED, NO_TIMEOUT),
            (|r| r.clock = 1, CLOCK),
            (|r| r.nr_fds = 1, FDS),
            (|r| r.bitset = 0, FUTEX),
            (|r| r.addr += 1, FUTEX),
            (|r| r.addr += 2, FUTEX),
        ],
    );
    good.flags = flags::ALL;
    good.value = u32::MAX;
    accepted(good);
    // Nothing is left of a block whose every byte is zero.
    assert_eq!(
        RestartBlock::zeroed().validate(),
        Err(Why("restart block of an unknown kind"))
    );
}
