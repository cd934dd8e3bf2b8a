// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Signals of a task: mask, alternate stack, handlers.

use super::cpu::TASK_SIZE_MAX;
use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Number of signals.
pub const NR_SIGNALS: usize = 64;
/// SIGKILL and SIGSTOP, as bits of a mask.
pub const UNBLOCKABLE: u64 = 1 << 8 | 1 << 18;

/// Bits of [`Sigaction::flags`], with the values of sigaction(2).
pub const SA_KNOWN: u64 = 0xfc00_0c07;

wire! {
    /// `struct cr_sigaction`: what a task does about one signal.
    pub struct Sigaction [32] {
        /// Handler address; 0 default, 1 ignore.
        handler: u64,
        /// SA_* flags.
        flags: u64,
        /// Return trampoline.
        restorer: u64,
        /// Signals blocked while the handler runs.
        mask: u64,
    }
}

wire! {
    /// `struct cr_hdr_signal`: blocked signals, alternate stack, handlers.
    pub struct Signal [2120] {
        /// Number of actions: [`NR_SIGNALS`].
        nr_actions: u32,
        /// Number of SIGINFO records that follow, before the ITIMERS record.
        nr_pending: u32,
        /// Blocked signals.
        blocked: u64,
        /// Alternate stack: address.
        ss_sp: u64,
        /// Alternate stack: bytes.
        ss_size: u64,
        /// Alternate stack: SS_* flags.
        ss_flags: u64,
        /// Zero.
        reserved2: [u64; 4],
        /// Actions, signal 1 first.
        actions: [Sigaction; NR_SIGNALS],
    }
}

impl Record for Signal {
    const TYPE: i16 = super::SIGNAL;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.nr_actions == NR_SIGNALS as u32,
            "number of signals is not 64",
        )?;
        ensure(
            self.nr_pending <= super::pending::PENDING_MAX,
            "too many signals are pending",
        )?;
        ensure(
            self.blocked & UNBLOCKABLE == 0,
            "SIGKILL or SIGSTOP is blocked",
        )?;
        for (i, action) in self.actions.iter().enumerate() {
            ensure(
                action.flags & !SA_KNOWN == 0,
                "signal action has unknown flags",
            )?;
            ensure(
                action.mask & UNBLOCKABLE == 0,
                "signal action blocks SIGKILL or SIGSTOP",
            )?;
            ensure(
                action.handler < TASK_SIZE_MAX && action.restorer < TASK_SIZE_MAX,
                "signal handler is a kernel address",
            )?;
            ensure(
                UNBLOCKABLE >> i & 1 == 0 || action.handler == 0,
                "SIGKILL or SIGSTOP has a handler",
            )?;
        }
        altstack(self.ss_sp, self.ss_size, self.ss_flags)?;
        ensure(self.reserved2 == [0; 4], "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_hdr_thread_signal`: what a further thread has of its own.
    pub struct ThreadSignal [56] {
        /// Number of SIGINFO records that follow.
        nr_pending: u32,
        /// Zero.
        reserved: u32,
        /// Blocked signals.
        blocked: u64,
        /// Alternate stack: address.
        ss_sp: u64,
        /// Alternate stack: bytes.
        ss_size: u64,
        /// Alternate stack: SS_* flags.
        ss_flags: u64,
        /// Zero.
        reserved2: [u64; 2],
    }
}

impl Record for ThreadSignal {
    const TYPE: i16 = super::THREAD_SIGNAL;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.nr_pending <= super::pending::PENDING_MAX,
            "too many signals are pending",
        )?;
        ensure(
            self.blocked & UNBLOCKABLE == 0,
            "SIGKILL or SIGSTOP is blocked",
        )?;
        altstack(self.ss_sp, self.ss_size, self.ss_flags)?;
        ensure(
            self.reserved == 0 && self.reserved2 == [0; 2],
            "reserved field is not zero",
        )
    }
}

fn altstack(sp: u64, size: u64, flags: u64) -> Result<(), Why> {
    ensure(
        flags & !0x8000_0002 == 0,
        "alternate stack has unknown flags",
    )?;
    ensure(
        sp < TASK_SIZE_MAX && size < TASK_SIZE_MAX,
        "alternate stack is a kernel address",
    )
}
