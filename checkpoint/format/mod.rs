// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The checkpoint image: records, their numbers and their checks.
//!
//! An image is a stream of records. Each record is a [`Hdr`] (`struct
//! cr_hdr`), `len` bytes of payload and zeros up to the next multiple of
//! eight. All numbers are little-endian. Nothing in here knows a kernel type:
//! the kernel, the tools and the fuzzers compile these same files, so that
//! all of them run the same checks. `include/uapi/linux/checkpoint_hdr.h`
//! states the same layouts in C; a test holds the two together.
//!
//! A record that has been read is an allegation. [`Record::validate`] checks
//! all that can be checked without looking at the kernel or at other records.

pub(crate) use zerocopy::FromBytes;
pub(crate) use zerocopy::FromZeros;
pub(crate) use zerocopy::IntoBytes;

use zerocopy::Immutable;
use zerocopy::KnownLayout;

pub mod anon;
pub mod call;
pub mod cpu;
pub mod cpuid;
pub mod files;
pub mod head;
pub mod mm;
pub mod pending;
pub mod pipe;
pub mod seccomp;
pub mod shmem;
pub mod signal;
pub mod socket;
pub mod task;
pub mod timer;
pub mod tree;

#[cfg(not(target_endian = "little"))]
compile_error!("the image is little-endian");

/// Every record and every page run starts on a multiple of this many bytes.
pub const ALIGN: usize = 8;

/// Page data starts on a multiple of this many bytes of the stream.
pub const PAGE_ALIGN: u64 = 4096;

/// Longest string record in bytes, without a terminating NUL.
pub const STR_MAX: usize = 4095;

/// Why a record is refused, in words for the person who reads the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Why(pub &'static str);

/// A record with a fixed layout.
pub trait Record: FromBytes + IntoBytes + Immutable + KnownLayout {
    /// The record number, `CR_HDR_*`.
    const TYPE: i16;

    /// Checks every field that can be checked without other records.
    ///
    /// # Errors
    ///
    /// Returns the first violated rule.
    fn validate(&self) -> Result<(), Why>;
}

macro_rules! record_types {
    ($($(#[doc = $doc:literal])+ $name:ident = $num:literal, $layout:literal;)+) => {
        $($(#[doc = $doc])+ pub const $name: i16 = $num;)+

        /// Number, C name, layout and meaning of every record kind, in order.
        pub const TYPES: &[(i16, &str, &str, &str)] = &[
            $(($num, stringify!($name), $layout, concat!($($doc),+)),)+
        ];
    };
}

record_types! {
    /// Start of the image: magic, version, page size, clocks.
    HEAD = 1, "cr_hdr_head";
    /// A string: kernel release, version, machine; a path; a name.
    STR = 2, "bytes";
    /// Zeros that bring the page data behind them to a page boundary.
    PAD = 3, "zeros";
    /// What the processor and the vDSO of this machine are.
    HEAD_ARCH = 4, "cr_hdr_head_arch";
    /// A task of the forest: ids, parent, group, session.
    TREE = 5, "cr_hdr_tree";
    /// A task: identity, accounting, values set by prctl.
    TASK = 101, "cr_hdr_task";
    /// Thread-local storage descriptors and user-memory registrations.
    THREAD = 102, "cr_hdr_thread";
    /// General registers, segments, flags.
    CPU = 103, "cr_hdr_cpu";
    /// FPU and vector registers, non-compacted XSAVE layout.
    FPU = 104, "bytes";
    /// User and group ids, capabilities.
    CREDS = 105, "cr_hdr_creds";
    /// Supplementary groups.
    GROUPS = 106, "u32 array";
    /// Resource limits.
    RLIMITS = 107, "cr_hdr_rlimits";
    /// File system view: umask; root and current directory follow.
    FS = 108, "cr_hdr_fs";
    /// Blocked signals, alternate stack, handlers.
    SIGNAL = 109, "cr_hdr_signal";
    /// What an interrupted system call needs to go on.
    RESTART_BLOCK = 110, "cr_hdr_restart_block";
    /// A signal that waits to be delivered.
    SIGINFO = 111, "cr_hdr_siginfo";
    /// Interval timers.
    ITIMERS = 112, "cr_hdr_itimers";
    /// POSIX timers of a process follow.
    TIMERS = 113, "cr_hdr_timers";
    /// A POSIX timer.
    TIMER = 114, "cr_hdr_timer";
    /// Blocked signals and alternate stack of a thread that is not the first.
    THREAD_SIGNAL = 120, "cr_hdr_thread_signal";
    /// CPUs that a task may run on, a bit for each.
    AFFINITY = 121, "bytes";
    /// Filters of system calls of a task; those that are new follow.
    SECCOMP = 122, "cr_hdr_seccomp";
    /// A filter of system calls; its instructions follow.
    SECCOMP_FILTER = 123, "cr_hdr_seccomp_filter";
    /// Instructions of the filter before it.
    SECCOMP_CODE = 124, "cr_sock_filter array";
    /// An address space.
    MM = 201, "cr_hdr_mm";
    /// One mapping.
    VMA = 202, "cr_hdr_vma";
    /// Architecture part of the address space; LDT entries follow.
    MM_CONTEXT = 203, "cr_hdr_mm_context";
    /// A run of pages: their addresses and contents follow; none ends a mapping.
    PGARR = 204, "cr_hdr_pgarr";
    /// Guard ranges of the mapping before it.
    GUARD = 205, "cr_guard_range array";
    /// The auxiliary vector.
    AUXV = 206, "u64 array";
    /// Entries of the local descriptor table.
    LDT = 207, "cr_user_desc array";
    /// A shared memory object; its name and pages follow.
    SHMEM = 208, "cr_hdr_shmem";
    /// Pages of the mapping that are in the image already.
    PGREF = 209, "cr_hdr_pgref";
    /// A descriptor table.
    FILES = 301, "cr_hdr_files";
    /// One descriptor.
    FD_ENT = 302, "cr_hdr_fd_ent";
    /// An open file; its path follows.
    FILE = 303, "cr_hdr_file";
    /// A pipe or FIFO, before the first of its ends; its buffers follow.
    PIPE = 304, "cr_hdr_pipe";
    /// A buffer of a pipe.
    PIPE_BUF = 305, "cr_hdr_pipe_buf";
    /// The bytes of that buffer.
    PIPE_DATA = 306, "bytes";
    /// The counter of the eventfd before it.
    EVENTFD = 307, "cr_hdr_eventfd";
    /// The signals of the signalfd before it.
    SIGNALFD = 308, "cr_hdr_signalfd";
    /// The timer of the timerfd before it.
    TIMERFD = 309, "cr_hdr_timerfd";
    /// An epoll: its entries follow.
    EPOLL = 310, "cr_hdr_epoll";
    /// A file that an epoll watches.
    EPOLL_ITEM = 311, "cr_hdr_epoll_item";
    /// The process of the pidfd before it.
    PIDFD = 312, "cr_hdr_pidfd";
    /// An end of a pair of local sockets; the other end and messages follow.
    SOCKET = 313, "cr_hdr_socket";
    /// A message that waits in a socket; its bytes follow in parts.
    SOCKET_MSG = 314, "cr_hdr_socket_msg";
    /// Bytes of that message.
    SOCKET_DATA = 315, "bytes";
    /// A lock on the file of the descriptor before it.
    FILE_LOCK = 316, "cr_hdr_file_lock";
    /// End of the image: counts and checksums.
    TAIL = 5001, "cr_hdr_tail";
    /// The checkpoint failed; the reason. Always the last record.
    ERROR = 9999, "cr_hdr_error";
}

/// The pre-header of every record, `struct cr_hdr`.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    zerocopy_derive::FromBytes,
    zerocopy_derive::IntoBytes,
    zerocopy_derive::Immutable,
    zerocopy_derive::KnownLayout,
)]
#[repr(C)]
pub struct Hdr {
    /// Record number.
    pub kind: i16,
    /// Payload bytes, without the padding.
    pub len: i16,
    /// Object reference of the owner; its meaning depends on the kind.
    pub parent: u32,
}

/// Bytes of a [`Hdr`] in the stream.
pub const HDR_SIZE: usize = size_of::<Hdr>();

const _: () = assert!(HDR_SIZE == 8);

impl Hdr {
    /// Payload length in bytes; refuses the negative ones.
    pub fn payload(&self) -> Result<usize, Why> {
        usize::try_from(self.len).map_err(|_| Why("record length is negative"))
    }
}

/// Zero bytes that follow a payload of `len` bytes.
pub const fn padding(len: usize) -> usize {
    len.wrapping_neg() % ALIGN
}

/// The C name of a record kind.
pub fn type_name(kind: i16) -> &'static str {
    TYPES
        .iter()
        .find(|t| t.0 == kind)
        .map_or("unknown record", |t| t.1)
}

/// `Err(why)` unless `ok`.
pub(crate) fn ensure(ok: bool, why: &'static str) -> Result<(), Why> {
    if ok {
        Ok(())
    } else {
        Err(Why(why))
    }
}

/// Declares a record or a part of one: layout, derives, size in bytes.
macro_rules! wire {
    ($(#[$meta:meta])* pub struct $name:ident [$size:literal] {
        $($(#[$fmeta:meta])* $field:ident : $ty:ty,)+
    }) => {
        $(#[$meta])*
        #[derive(
            Clone,
            Copy,
            Debug,
            PartialEq,
            Eq,
            zerocopy_derive::FromBytes,
            zerocopy_derive::IntoBytes,
            zerocopy_derive::Immutable,
            zerocopy_derive::KnownLayout,
        )]
        #[repr(C)]
        pub struct $name {
            $($(#[$fmeta])* pub $field: $ty,)+
        }

        const _: () = assert!(size_of::<$name>() == $size);

        impl $name {
            /// Name, offset and size in bytes of every field.
            pub const FIELDS: &'static [(&'static str, usize, usize)] = &[
                $((
                    stringify!($field),
                    core::mem::offset_of!($name, $field),
                    size_of::<$ty>(),
                ),)+
            ];

            /// A record whose every byte is zero.
            pub fn zeroed() -> Self {
                <Self as $crate::format::FromZeros>::new_zeroed()
            }
        }
    };
}
pub(crate) use wire;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn type_numbers_grow() {
        for pair in TYPES.windows(2) {
            assert!(pair[0].0 < pair[1].0);
        }
    }

    #[test]
    fn padding_reaches_the_next_multiple_of_eight() {
        for len in 0..64 {
            assert_eq!((len + padding(len)) % ALIGN, 0);
            assert!(padding(len) < ALIGN);
        }
    }
}
