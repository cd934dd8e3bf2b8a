// SPDX-License-Identifier: GPL-2.0

//! The system call that a task was in, and how it goes on behind a restart.

use std::fmt;

use ckptfmt::format::call::flags;
use ckptfmt::format::call::kind;
use ckptfmt::format::call::RestartBlock;
use ckptfmt::format::call::AGAIN;
use ckptfmt::format::call::AGAIN_UNLESS_HANDLED;
use ckptfmt::format::call::AGAIN_WITHOUT_HANDLER;
use ckptfmt::format::call::CONTINUE;
use ckptfmt::format::call::NR_MAX;
use ckptfmt::format::cpu::Cpu;
use serde_json::json;
use serde_json::Value;

use crate::json::hex;
use crate::model::View;
use crate::text::count;
use crate::text::errno;
use crate::time;

/// What becomes of an interrupted call.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    AgainUnlessHandled,
    Again,
    AgainWithoutHandler,
    /// Continued by restart_syscall(2) from the restart block.
    Continued,
    /// The same, and the registers say so already.
    ContinuedNext,
    /// The same, but without a restart block.
    Nothing,
    Returned(u64),
}

/// An interrupted call.
pub struct Call {
    /// Its number; none if the registers no longer have it.
    number: Option<u64>,
    then: Then,
}

/// The call that the registers tell of.
pub fn interrupted(cpu: &Cpu) -> Option<Call> {
    let number = Some(cpu.orig_ax).filter(|nr| *nr <= NR_MAX);
    let has_block = cpu.nr_restart != 0;
    let then = match cpu.ax.cast_signed() {
        // Outside of a call these are numbers like any other.
        AGAIN_UNLESS_HANDLED if number.is_some() => Then::AgainUnlessHandled,
        AGAIN if number.is_some() => Then::Again,
        AGAIN_WITHOUT_HANDLER if number.is_some() => Then::AgainWithoutHandler,
        CONTINUE if number.is_some() && has_block => Then::Continued,
        CONTINUE if number.is_some() => Then::Nothing,
        _ if has_block => Then::ContinuedNext,
        _ => Then::Returned(cpu.ax),
    };
    (number.is_some() || has_block).then_some(Call { number, then })
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number {
            Some(number) => write!(f, "call {number} ")?,
            None => f.write_str("a call ")?,
        }
        f.write_str(match self.then {
            Then::AgainUnlessHandled => {
                "is issued again, behind a signal handler only with SA_RESTART"
            }
            Then::Again => "is issued again",
            Then::AgainWithoutHandler => "is issued again unless a signal handler runs",
            Then::Continued => "goes on by restart_syscall(2)",
            Then::ContinuedNext => "goes on by restart_syscall(2), which comes next",
            Then::Nothing => "ends with EINTR: there is no restart block",
            Then::Returned(ax) => return write!(f, "has returned {}", result(ax)),
        })
    }
}

/// The result of a call: errors are negative and have names.
fn result(ax: u64) -> String {
    match u32::try_from(ax.wrapping_neg()) {
        Ok(error @ 1..=4095) => format!("-{error} ({})", errno(error)),
        _ if ax < 1 << 32 => ax.to_string(),
        _ => hex(ax),
    }
}

fn kind_name(number: u32) -> &'static str {
    match number {
        kind::NANOSLEEP => "nanosleep",
        kind::POLL => "poll",
        kind::FUTEX => "futex",
        kind::EPOLL_WAIT => "epoll_wait",
        kind::EPOLL_PWAIT => "epoll_pwait",
        kind::SIGTIMEDWAIT => "rt_sigtimedwait",
        kind::SEMTIMEDOP => "semtimedop",
        kind::SOCKET => "socket",
        _ => "unknown",
    }
}

fn clock_name(number: u32) -> &'static str {
    match number {
        0 => "realtime",
        1 => "monotonic",
        2 => "process",
        7 => "boottime",
        11 => "tai",
        _ => "unknown",
    }
}

/// A restart block in one line.
pub fn block(block: &RestartBlock) -> String {
    let left = if block.flags & flags::TIMEOUT == 0 {
        "without a timeout".into()
    } else {
        format!("{} left", time::span(block.remaining_ns))
    };
    let kind = kind_name(block.kind);
    match block.kind {
        kind::NANOSLEEP => {
            let rest = match block.addr {
                0 => String::new(),
                addr => format!(", the rest goes to {addr:#x}"),
            };
            let clock = clock_name(block.clock);
            format!("{kind}, {left}, clock {clock}{rest}")
        }
        kind::POLL => {
            let fds = count(block.nr_fds.into(), "descriptor");
            format!("{kind} of {fds} at {:#x}, {left}", block.addr)
        }
        kind::SOCKET => format!("call {} on a {kind}, {left}", block.call),
        // Its arguments are in the registers.
        kind::EPOLL_WAIT.. => format!("{kind}, {left}"),
        _ => {
            let shared = block.flags & flags::FUTEX_SHARED != 0;
            let wall = block.flags & flags::FUTEX_REALTIME != 0;
            format!(
                "{} {kind} at {:#x}, value {}, bitset {:#x}, {left}{}",
                if shared { "shared" } else { "private" },
                block.addr,
                block.value,
                block.bitset,
                if wall { " by the wall clock" } else { "" },
            )
        }
    }
}

/// The interrupted call and its restart block.
pub fn json(model: &View<'_>) -> Value {
    let Some(call) = model.cpu.as_ref().and_then(interrupted) else {
        return Value::Null;
    };
    json!({
        "number": call.number,
        "then": match call.then {
            Then::AgainUnlessHandled => "again unless handled",
            Then::Again => "again",
            Then::AgainWithoutHandler => "again without handler",
            Then::Continued | Then::ContinuedNext => "continued",
            Then::Nothing => "interrupted",
            Then::Returned(_) => "returned",
        },
        "text": call.to_string(),
        "restart_block": model.restart_block.as_ref().map(block_json),
    })
}

fn block_json(block: &RestartBlock) -> Value {
    let timeout = block.flags & flags::TIMEOUT != 0;
    let mut value = json!({
        "kind": kind_name(block.kind),
        "remaining_ns": timeout.then(|| block.remaining_ns.to_string()),
        "remaining": timeout.then(|| time::span(block.remaining_ns)),
        "address": hex(block.addr),
        "text": self::block(block),
    });
    let own = match block.kind {
        kind::NANOSLEEP => json!({ "clock": clock_name(block.clock) }),
        kind::POLL => json!({ "nr_fds": block.nr_fds }),
        kind::SOCKET => json!({ "call": block.call }),
        kind::EPOLL_WAIT.. => json!({}),
        _ => json!({
            "value": block.value,
            "bitset": hex(block.bitset.into()),
            "shared": block.flags & flags::FUTEX_SHARED != 0,
            "realtime": block.flags & flags::FUTEX_REALTIME != 0,
        }),
    };
    if let (Some(value), Value::Object(own)) = (value.as_object_mut(), own) {
        value.extend(own);
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(number: u64, ax: i64, nr_restart: u32) -> Option<String> {
        let mut cpu = Cpu::zeroed();
        (cpu.orig_ax, cpu.ax, cpu.nr_restart) = (number, ax as u64, nr_restart);
        interrupted(&cpu).map(|call| call.to_string())
    }

    #[test]
    fn what_becomes_of_a_call() {
        for (number, ax, nr_restart, text) in [
            (
                0,
                -512,
                0,
                "call 0 is issued again, behind a signal handler only with SA_RESTART",
            ),
            (61, -513, 0, "call 61 is issued again"),
            (
                34,
                -514,
                0,
                "call 34 is issued again unless a signal handler runs",
            ),
            (35, -516, 1, "call 35 goes on by restart_syscall(2)"),
            (
                35,
                -516,
                0,
                "call 35 ends with EINTR: there is no restart block",
            ),
            (
                35,
                219,
                1,
                "call 35 goes on by restart_syscall(2), which comes next",
            ),
            (
                u64::MAX,
                219,
                1,
                "a call goes on by restart_syscall(2), which comes next",
            ),
            (39, 100, 0, "call 39 has returned 100"),
            (0, -4, 0, "call 0 has returned -4 (EINTR)"),
            (9, 0x7f00_0000_0000, 0, "call 9 has returned 0x7f0000000000"),
        ] {
            assert_eq!(told(number, ax, nr_restart).as_deref(), Some(text));
        }
        for ax in [0, -512, -516] {
            assert_eq!(told(u64::MAX, ax, 0), None);
        }
    }

    #[test]
    fn each_kind_of_restart_block() {
        let mut poll = RestartBlock::zeroed();
        (poll.kind, poll.nr_fds, poll.addr) = (kind::POLL, 1, 0x1000);
        assert_eq!(
            block(&poll),
            "poll of 1 descriptor at 0x1000, without a timeout"
        );
        assert_eq!(block_json(&poll)["remaining_ns"], Value::Null);
        let mut futex = RestartBlock::zeroed();
        (futex.kind, futex.flags, futex.addr) = (kind::FUTEX, flags::ALL, 0x1004);
        (futex.value, futex.bitset, futex.remaining_ns) = (2, u32::MAX, 1);
        assert_eq!(
            block(&futex),
            "shared futex at 0x1004, value 2, bitset 0xffffffff, 1 ns left by the wall clock"
        );
        assert_eq!(block_json(&futex)["remaining_ns"], "1");
        assert_eq!(block_json(&futex)["shared"], true);
        let mut socket = RestartBlock::zeroed();
        (socket.kind, socket.flags, socket.call) = (kind::SOCKET, flags::TIMEOUT, 45);
        socket.remaining_ns = 2;
        assert_eq!(block(&socket), "call 45 on a socket, 2 ns left");
        assert_eq!(block_json(&socket)["call"], 45);
    }
}
