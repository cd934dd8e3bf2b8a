// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Filters of system calls.
//!
//! Each is in the image once, with the first task that has it. Filters form a tree: a task
//! has one, and all that are before it up to the root.

use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Instructions of a filter at most.
pub const INSNS_MAX: u32 = 4096;
/// Instructions of one record at most.
pub const INSNS_CHUNK: usize = 2048;
/// Filters of one task at most: the kernel counts five instructions for each, of 32768.
pub const FILTERS_MAX: u32 = 6553;

/// Bits of [`SeccompFilter::flags`].
pub mod seccomp_flags {
    /// What is not allowed is logged.
    pub const LOG: u32 = 1 << 0;
}

wire! {
    /// `struct cr_hdr_seccomp`: the filters of a task.
    pub struct Seccomp [16] {
        /// Object reference of the filter that was installed last.
        filter: u32,
        /// Filters that follow, which no task before has: the oldest first, this one last.
        nr_filters: u32,
        /// Zero.
        reserved: u64,
    }
}

impl Record for Seccomp {
    const TYPE: i16 = super::SECCOMP;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.filter != 0, "task has no filter of system calls")?;
        ensure(
            self.nr_filters <= FILTERS_MAX,
            "too many filters of system calls",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_hdr_seccomp_filter`: a filter.
    pub struct SeccompFilter [24] {
        /// Object reference of the filter.
        objref: u32,
        /// Object reference of the filter before it, or 0.
        prev: u32,
        /// See [`seccomp_flags`].
        flags: u32,
        /// Instructions in the records that follow.
        len: u32,
        /// Zero.
        reserved: u64,
    }
}

impl Record for SeccompFilter {
    const TYPE: i16 = super::SECCOMP_FILTER;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.objref != 0 && self.objref != self.prev,
            "filter of system calls has no object reference",
        )?;
        ensure(
            self.flags & !seccomp_flags::LOG == 0,
            "filter of system calls has unknown flags",
        )?;
        ensure(
            (1..=INSNS_MAX).contains(&self.len),
            "length of a filter of system calls is out of range",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_sock_filter`: an instruction of classic BPF.
    pub struct SockFilter [8] {
        /// Operation.
        code: u16,
        /// Instructions to skip if true.
        jt: u8,
        /// Instructions to skip if not.
        jf: u8,
        /// Operand.
        k: u32,
    }
}
