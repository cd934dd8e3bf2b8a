// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! System calls that were interrupted when a task was stopped.
//!
//! The CPU record of such a task has the number of the call in `orig_ax` and in
//! `ax` how it goes on: a call is issued again with its arguments
//! ([`AGAIN_UNLESS_HANDLED`] and its neighbours), or continued by restart_syscall(2)
//! with what the RESTART_BLOCK record holds ([`CONTINUE`]). Anything else in `ax`
//! is what the call returns. Points in time are kept as the time that is left.

use super::cpu::TASK_SIZE_MAX;
use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Issued again, also behind a handler with SA_RESTART: ERESTARTSYS.
pub const AGAIN_UNLESS_HANDLED: i64 = -512;
/// Issued again, always: ERESTARTNOINTR.
pub const AGAIN: i64 = -513;
/// Issued again unless a handler runs: ERESTARTNOHAND.
pub const AGAIN_WITHOUT_HANDLER: i64 = -514;
/// Continued by restart_syscall(2): ERESTART_RESTARTBLOCK.
pub const CONTINUE: i64 = -516;
/// Largest number of a system call.
pub const NR_MAX: u64 = 0xffff;

/// Does `ax` say how a call goes on?
pub const fn goes_on(ax: u64) -> bool {
    matches!(
        ax as i64,
        AGAIN_UNLESS_HANDLED | AGAIN | AGAIN_WITHOUT_HANDLER | CONTINUE
    )
}

/// Kinds of restart blocks.
pub mod kind {
    /// nanosleep(2) and relative clock_nanosleep(2).
    pub const NANOSLEEP: u32 = 1;
    /// poll(2).
    pub const POLL: u32 = 2;
    /// A futex wait with a timeout.
    pub const FUTEX: u32 = 3;
    /// epoll_wait(2) with a timeout. For this one and those below, the arguments are
    /// in the registers.
    pub const EPOLL_WAIT: u32 = 4;
    /// epoll_pwait(2) or epoll_pwait2(2) with a timeout.
    pub const EPOLL_PWAIT: u32 = 5;
    /// rt_sigtimedwait(2) with a timeout.
    pub const SIGTIMEDWAIT: u32 = 6;
    /// semtimedop(2) with a timeout.
    pub const SEMTIMEDOP: u32 = 7;
    /// A call that reads from or writes to a socket with SO_RCVTIMEO or SO_SNDTIMEO.
    pub const SOCKET: u32 = 8;
}

/// Bits of [`RestartBlock::flags`].
pub mod flags {
    /// There is a timeout: `remaining_ns` counts.
    pub const TIMEOUT: u32 = 1;
    /// Futex: shared between processes.
    pub const FUTEX_SHARED: u32 = 1 << 1;
    /// Futex: the timeout is one of the wall clock.
    pub const FUTEX_REALTIME: u32 = 1 << 2;
    /// All of them.
    pub const ALL: u32 = TIMEOUT | FUTEX_SHARED | FUTEX_REALTIME;
}

/// CLOCK_PROCESS_CPUTIME_ID: the time that a process has spent on a processor.
pub(crate) const CLOCK_PROCESS: u32 = 2;

/// Clocks that a sleep may use: realtime, monotonic, [`CLOCK_PROCESS`], boottime, TAI.
pub const CLOCKS: [u32; 5] = [0, 1, CLOCK_PROCESS, 7, 11];

/// Calls that may wait at a socket with a timeout, by their numbers: read, write, readv,
/// writev, sendfile, sendto, recvfrom, sendmsg, recvmsg, splice, recvmmsg, sendmmsg,
/// preadv2, pwritev2.
pub const SOCKET_CALLS: [u32; 14] = [0, 1, 19, 20, 40, 44, 45, 46, 47, 275, 299, 307, 327, 328];

/// Longest time that is left, in nanoseconds: about 146 years.
pub const REMAINING_MAX: u64 = i64::MAX as u64 / 2;

wire! {
    /// `struct cr_hdr_restart_block`: what an interrupted call needs to go on.
    pub struct RestartBlock [64] {
        /// See [`kind`].
        kind: u32,
        /// See [`flags`].
        flags: u32,
        /// Sleep: number of the clock, as clock_gettime(2) has them.
        clock: u32,
        /// Poll: number of descriptors.
        nr_fds: u32,
        /// Sleep: where the remaining time goes, or 0; poll: the descriptors;
        /// futex: its address.
        addr: u64,
        /// Futex: the expected value.
        value: u32,
        /// Futex: which wakers are heard.
        bitset: u32,
        /// Nanoseconds that were left of the timeout. Varies from image to image.
        remaining_ns: u64,
        /// Socket: number of the call.
        call: u32,
        /// Zero.
        reserved: [u32; 5],
    }
}

impl Record for RestartBlock {
    const TYPE: i16 = super::RESTART_BLOCK;

    fn validate(&self) -> Result<(), Why> {
        let timeout = self.flags & flags::TIMEOUT != 0;
        let allowed = match self.kind {
            kind::NANOSLEEP | kind::POLL | kind::EPOLL_WAIT..=kind::SOCKET => flags::TIMEOUT,
            kind::FUTEX => flags::ALL,
            _ => return Err(Why("restart block of an unknown kind")),
        };
        ensure(
            self.flags & !allowed == 0,
            "restart block has unknown flags",
        )?;
        ensure(
            timeout || self.kind == kind::POLL,
            "restart block has no timeout",
        )?;
        ensure(
            timeout || self.remaining_ns == 0,
            "time is left without a timeout",
        )?;
        ensure(
            self.remaining_ns <= REMAINING_MAX,
            "time that is left is out of range",
        )?;
        ensure(
            if self.kind == kind::NANOSLEEP {
                CLOCKS.contains(&self.clock)
            } else {
                self.clock == 0
            },
            "restart block has an unknown clock",
        )?;
        ensure(
            self.kind == kind::POLL || self.nr_fds == 0,
            "restart block has descriptors",
        )?;
        ensure(
            self.kind == kind::FUTEX || (self.value == 0 && self.bitset == 0),
            "restart block has a futex",
        )?;
        ensure(
            self.kind != kind::FUTEX || (self.bitset != 0 && self.addr % 4 == 0),
            "futex of a restart block is not valid",
        )?;
        ensure(
            self.kind <= kind::FUTEX || self.addr == 0,
            "restart block has an address",
        )?;
        ensure(
            self.addr < TASK_SIZE_MAX,
            "restart block has a kernel address",
        )?;
        ensure(
            if self.kind == kind::SOCKET {
                SOCKET_CALLS.contains(&self.call)
            } else {
                self.call == 0
            },
            "restart block has an unknown call",
        )?;
        ensure(self.reserved == [0; 5], "reserved field is not zero")
    }
}
