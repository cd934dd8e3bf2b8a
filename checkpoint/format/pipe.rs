// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Pipes and FIFOs: what is in them. Their ends are open files.

use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Buffers of a pipe at most: a capacity of 2 GiB.
pub const PIPE_SLOTS_MAX: u32 = 1 << 19;
/// Bytes of a buffer at most.
pub const PIPE_BUF_MAX: u32 = 4096;

wire! {
    /// `struct cr_hdr_pipe`: a pipe or FIFO; the path of a FIFO, then the buffers
    /// follow.
    pub struct Pipe [40] {
        /// Object reference.
        objref: u32,
        /// Capacity in buffers of 4096 bytes, a power of two.
        slots: u32,
        /// Number of buffers that are in use.
        nr_bufs: u32,
        /// File type and permissions, as st_mode.
        mode: u32,
        /// Owner of a pipe; 0 for a FIFO.
        uid: u32,
        /// Group of a pipe; 0 for a FIFO.
        gid: u32,
        /// Bytes of a FIFO's path; 0 for a pipe.
        path_len: u32,
        /// Zero.
        reserved: u32,
        /// Zero.
        reserved2: u64,
    }
}

impl Record for Pipe {
    const TYPE: i16 = super::PIPE;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.objref != 0, "pipe has no object reference")?;
        ensure(
            self.slots.is_power_of_two() && self.slots <= PIPE_SLOTS_MAX,
            "capacity of a pipe is out of range",
        )?;
        ensure(
            self.nr_bufs <= self.slots,
            "pipe holds more than its capacity",
        )?;
        ensure(self.mode >> 12 == 0o01, "mode of a pipe is another")?;
        ensure(self.path_len as usize <= super::STR_MAX, "path is too long")?;
        ensure(
            self.path_len == 0 || self.uid == 0 && self.gid == 0,
            "FIFO has an owner",
        )?;
        ensure(
            self.reserved == 0 && self.reserved2 == 0,
            "reserved field is not zero",
        )
    }
}

/// Bits of [`PipeBuf::flags`].
pub mod pipe_buf_flags {
    /// A packet: one read takes it, and nothing behind it.
    pub const PACKET: u32 = 1;
    /// What is written next may be added to it.
    pub const MERGE: u32 = 1 << 1;
    /// All bits.
    pub const ALL: u32 = 3;
}

wire! {
    /// `struct cr_hdr_pipe_buf`: a buffer of a pipe; its bytes follow.
    pub struct PipeBuf [16] {
        /// Bytes before them that were read already.
        offset: u32,
        /// Number of bytes.
        nr_bytes: u32,
        /// See [`pipe_buf_flags`].
        flags: u32,
        /// Zero.
        reserved: u32,
    }
}

impl Record for PipeBuf {
    const TYPE: i16 = super::PIPE_BUF;

    fn validate(&self) -> Result<(), Why> {
        use pipe_buf_flags as f;

        ensure(
            self.nr_bytes != 0
                && self.nr_bytes <= PIPE_BUF_MAX
                && self.offset <= PIPE_BUF_MAX.wrapping_sub(self.nr_bytes),
            "buffer of a pipe is not within a page",
        )?;
        ensure(
            self.flags & !f::ALL == 0 && self.flags != f::ALL,
            "buffer of a pipe has unknown flags",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}
