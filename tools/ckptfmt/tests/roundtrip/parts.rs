// SPDX-License-Identifier: GPL-2.0

//! Records of any content, as far as it is valid.

use ckptfmt::format::call;
use ckptfmt::format::call::RestartBlock;
use ckptfmt::format::cpu::TASK_SIZE_MAX;
use ckptfmt::format::pending::Itimer;
use ckptfmt::format::pending::Siginfo;
use ckptfmt::format::pending::TIMER_MAX;
use proptest::prelude::*;

/// A restart block as a kernel writes it.
pub fn restart_block() -> impl Strategy<Value = RestartBlock> {
    (
        1..=8u32,
        any::<bool>(),
        0..call::CLOCKS.len(),
        0..TASK_SIZE_MAX / 4,
        0..=call::REMAINING_MAX,
        1..=u32::MAX,
    )
        .prop_map(|(kind, timeout, clock, word, remaining_ns, value)| {
            let mut block = RestartBlock::zeroed();
            block.kind = kind;
            if kind <= call::kind::FUTEX {
                block.addr = word * 4;
            }
            if timeout || kind != call::kind::POLL {
                block.flags = call::flags::TIMEOUT;
                block.remaining_ns = remaining_ns;
            }
            match kind {
                call::kind::NANOSLEEP => block.clock = call::CLOCKS[clock],
                call::kind::POLL => block.nr_fds = value,
                call::kind::SOCKET => {
                    block.call = call::SOCKET_CALLS[value as usize % call::SOCKET_CALLS.len()];
                }
                call::kind::EPOLL_WAIT.. => {}
                _ => {
                    block.flags |= (clock as u32 % 4) * call::flags::FUTEX_SHARED;
                    (block.value, block.bitset) = (value, value.reverse_bits());
                }
            }
            block
        })
}

/// A pending signal, of any sender.
pub fn siginfo() -> impl Strategy<Value = Siginfo> {
    (
        0..=1u32,
        (1..=64i32).prop_filter("cannot wait", |n| ![9, 19].contains(n)),
        any::<i32>(),
        any::<i32>(),
        any::<[u64; 4]>(),
    )
        .prop_map(|(queue, signo, code, errno, fields)| {
            let mut info = Siginfo::zeroed();
            (info.queue, info.signo, info.code) = (queue, signo, code);
            (info.errno, info.fields) = (errno, fields);
            info
        })
}

/// An interval timer, running or not.
pub fn itimer() -> impl Strategy<Value = Itimer> {
    (0..=TIMER_MAX, 0..=TIMER_MAX).prop_map(|(value, interval)| Itimer { value, interval })
}
