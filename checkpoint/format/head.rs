// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Start and end of an image: header, trailer, error record.

use super::ensure;
use super::tree::PID_LIMIT;
use super::tree::TASKS_MAX;
use super::wire;
use super::Record;
use super::Why;

/// First four bytes of the header's payload.
pub const HEAD_MAGIC: u32 = 0x00a2_d200;
/// First four bytes of the trailer's payload.
pub const TAIL_MAGIC: u32 = 0x002d_2a00;
/// Version of the image format.
pub const VERSION: u32 = 1;
/// Architecture number of x86-64.
pub const ARCH_X86_64: u32 = 2;
/// Incompatible features that this release knows.
pub const INCOMPAT_KNOWN: u64 = 0;
/// Longest error text in bytes.
pub const ERROR_TEXT: usize = 192;

wire! {
    /// `struct cr_hdr_head`: release, version and machine follow as strings.
    pub struct Head [88] {
        /// [`HEAD_MAGIC`].
        magic: u32,
        /// [`VERSION`].
        version: u32,
        /// Architecture, [`ARCH_X86_64`].
        arch: u32,
        /// Bytes of a page.
        page_size: u32,
        /// Kernel version: major number.
        major: u16,
        /// Kernel version: minor number.
        minor: u16,
        /// Kernel version: patch level.
        patch: u16,
        /// Number of strings that follow: 3.
        nr_strings: u16,
        /// Flags of the checkpoint call. Varies from image to image.
        flags: u32,
        /// Identifier that the checkpoint call returned. Varies.
        crid: u32,
        /// Number of tasks, and of TREE records that follow the header.
        nr_tasks: u32,
        /// The process id that was given out last in the PID namespace. Varies.
        last_pid: u32,
        /// Unknown bits may be ignored by readers.
        compat: u64,
        /// Unknown bits may be ignored by tools, not by restart.
        ro_compat: u64,
        /// Unknown bits make an image unreadable.
        incompat: u64,
        /// Wall clock in nanoseconds since 1970. Varies.
        realtime_ns: u64,
        /// CLOCK_MONOTONIC of the process in nanoseconds. Varies.
        monotonic_ns: u64,
        /// CLOCK_BOOTTIME of the process in nanoseconds. Varies.
        boottime_ns: u64,
    }
}

impl Record for Head {
    const TYPE: i16 = super::HEAD;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.magic == HEAD_MAGIC, "not a checkpoint image (magic)")?;
        ensure(self.version == VERSION, "image format version is not 1")?;
        ensure(
            self.incompat & !INCOMPAT_KNOWN == 0,
            "image needs a feature that is not known here",
        )?;
        ensure(self.arch == ARCH_X86_64, "image is of another architecture")?;
        ensure(self.page_size == 4096, "image has another page size")?;
        ensure(self.nr_strings == 3, "header must have three strings")?;
        ensure(
            (1..=TASKS_MAX).contains(&self.nr_tasks),
            "number of tasks is out of range",
        )?;
        ensure(self.crid != 0, "image identifier is zero")?;
        ensure(self.last_pid < PID_LIMIT, "last process id is out of range")?;
        ensure(self.flags <= 5, "image was made with unknown flags")
    }
}

wire! {
    /// `struct cr_hdr_head_arch`: what an image needs of a machine.
    pub struct HeadArch [112] {
        /// User state components that the processor had enabled, as in XCR0.
        xfeatures: u64,
        /// Bytes of the FPU record.
        xsave_size: u32,
        /// Bytes of the vDSO.
        vdso_size: u32,
        /// crc32c of the vDSO.
        vdso_crc: u32,
        /// Zero.
        reserved: u32,
        /// CPUID output words; which ones: see the table of CPUID words.
        cpuid: [u32; 16],
        /// Offsets of the state components 2 to 9 in the FPU record, in bytes / 64.
        xoffsets: [u16; 8],
        /// Zero.
        reserved2: u64,
    }
}

impl Record for HeadArch {
    const TYPE: i16 = super::HEAD_ARCH;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.reserved == 0, "reserved field is not zero")?;
        ensure(self.reserved2 == 0, "reserved field is not zero")?;
        ensure(self.xfeatures & 3 == 3, "x87 and SSE state are missing")?;
        ensure(
            self.xsave_size >= 576 && self.xsave_size <= 16384,
            "FPU state size is out of range",
        )?;
        ensure(
            self.vdso_size % 4096 == 0 && self.vdso_size <= 1 << 20,
            "vDSO size is out of range",
        )
    }
}

wire! {
    /// `struct cr_hdr_tail`: end of a complete image.
    pub struct Tail [32] {
        /// [`TAIL_MAGIC`].
        magic: u32,
        /// Zero.
        reserved: u32,
        /// Bytes of the stream before this record.
        nr_bytes: u64,
        /// Records before this one.
        nr_records: u64,
        /// crc32c of all metadata, and of all page data, before this record.
        cksum: [u32; 2],
    }
}

impl Record for Tail {
    const TYPE: i16 = super::TAIL;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.magic == TAIL_MAGIC, "trailer magic is wrong")?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

/// Kinds of place that an error names, with the meaning of the two numbers.
pub mod place {
    /// No place.
    pub const NONE: u32 = 0;
    /// A descriptor number.
    pub const FD: u32 = 1;
    /// A range of addresses, start and end.
    pub const RANGE: u32 = 2;
    /// An offset in the image, in bytes.
    pub const IMAGE: u32 = 3;
    /// An object reference.
    pub const OBJECT: u32 = 4;
    /// A signal, a resource or another small number.
    pub const NUMBER: u32 = 5;
}

wire! {
    /// `struct cr_hdr_error`: why a checkpoint ended here.
    pub struct ErrorRec [232] {
        /// Positive errno.
        errno: u32,
        /// Task, as seen by the caller.
        pid: u32,
        /// One of [`place`].
        place: u32,
        /// Record kind at hand, or 0.
        kind: i16,
        /// Bytes of `text` in use.
        text_len: u16,
        /// First number of the place.
        a: u64,
        /// Second number of the place.
        b: u64,
        /// Zero.
        reserved: u64,
        /// Reason.
        text: [u8; ERROR_TEXT],
    }
}

impl Record for ErrorRec {
    const TYPE: i16 = super::ERROR;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.errno >= 1 && self.errno <= 4095,
            "error number is out of range",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")?;
        ensure(
            usize::from(self.text_len) <= ERROR_TEXT,
            "error text is too long",
        )
    }
}
