// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! A mapping, and its guard ranges.

use super::GUARDS_MAX;
use crate::format::cpu::TASK_SIZE_MAX;
use crate::format::ensure;
use crate::format::wire;
use crate::format::Record;
use crate::format::Why;

/// Kinds of mapping.
pub mod vma_kind {
    /// Private anonymous memory.
    pub const ANON: u32 = 1;
    /// Private mapping of a file.
    pub const FILE: u32 = 2;
    /// The vDSO's code or its data: mapped by the kernel.
    pub const VDSO: u32 = 3;
    /// A part of a shared memory object.
    pub const SHMEM: u32 = 4;
    /// Shared mapping of a file.
    pub const SHARED: u32 = 5;
}

/// Bits of [`Vma::flags`].
pub mod vma_flags {
    /// Readable.
    pub const READ: u64 = 1 << 0;
    /// Writable.
    pub const WRITE: u64 = 1 << 1;
    /// Executable.
    pub const EXEC: u64 = 1 << 2;
    /// Grows downwards: a stack.
    pub const GROWSDOWN: u64 = 1 << 3;
    /// Locked in memory.
    pub const LOCKED: u64 = 1 << 4;
    /// Pages are locked when they are touched.
    pub const LOCKONFAULT: u64 = 1 << 5;
    /// Read in sequence.
    pub const SEQ_READ: u64 = 1 << 6;
    /// Read at random.
    pub const RAND_READ: u64 = 1 << 7;
    /// Not copied by fork.
    pub const DONTCOPY: u64 = 1 << 8;
    /// Not growable by mremap.
    pub const DONTEXPAND: u64 = 1 << 9;
    /// No swap space is reserved.
    pub const NORESERVE: u64 = 1 << 10;
    /// Wiped in children.
    pub const WIPEONFORK: u64 = 1 << 11;
    /// Not part of a core dump.
    pub const DONTDUMP: u64 = 1 << 12;
    /// Huge pages wanted.
    pub const HUGEPAGE: u64 = 1 << 13;
    /// Huge pages not wanted.
    pub const NOHUGEPAGE: u64 = 1 << 14;
    /// Identical pages may be merged.
    pub const MERGEABLE: u64 = 1 << 15;
    /// Sealed against changes.
    pub const SEALED: u64 = 1 << 16;
    /// Contents may be dropped under pressure.
    pub const DROPPABLE: u64 = 1 << 17;
    /// Has guard ranges; a GUARD record follows.
    pub const GUARD: u64 = 1 << 18;
    /// Memory is accounted.
    pub const ACCOUNT: u64 = 1 << 19;
    /// All bits.
    pub const ALL: u64 = (1 << 20) - 1;

    /// Bits that only anonymous memory has.
    pub const ANON_ONLY: u64 = WIPEONFORK | DROPPABLE | GROWSDOWN;
    /// Bits that only private mappings have.
    pub const PRIVATE_ONLY: u64 = ANON_ONLY | MERGEABLE | ACCOUNT;

    /// Bit and name, for tools.
    pub const NAMES: &[(u64, &str)] = &[
        (GROWSDOWN, "growsdown"),
        (LOCKED, "locked"),
        (LOCKONFAULT, "lockonfault"),
        (SEQ_READ, "seq_read"),
        (RAND_READ, "rand_read"),
        (DONTCOPY, "dontcopy"),
        (DONTEXPAND, "dontexpand"),
        (NORESERVE, "noreserve"),
        (WIPEONFORK, "wipeonfork"),
        (DONTDUMP, "dontdump"),
        (HUGEPAGE, "hugepage"),
        (NOHUGEPAGE, "nohugepage"),
        (MERGEABLE, "mergeable"),
        (SEALED, "sealed"),
        (DROPPABLE, "droppable"),
        (GUARD, "guard"),
        (ACCOUNT, "account"),
    ];
}

wire! {
    /// `struct cr_hdr_vma`: one mapping; name, guard ranges and pages follow.
    pub struct Vma [64] {
        /// See [`vma_kind`].
        how: u32,
        /// Object reference of the mapped file or shared memory, or 0.
        file: u32,
        /// First address.
        start: u64,
        /// First address behind the mapping.
        end: u64,
        /// See [`vma_flags`].
        flags: u64,
        /// Offset in the file, in pages.
        pgoff: u64,
        /// Protection key.
        pkey: u32,
        /// Bytes of the name that follows as a string, or 0.
        namelen: u32,
        /// Guard ranges in the GUARD records that follow.
        nr_guards: u32,
        /// Object reference of the address space that it is a copy of since a fork, or 0.
        origin: u32,
        /// Zero.
        reserved2: u64,
    }
}

impl Record for Vma {
    const TYPE: i16 = crate::format::VMA;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.start % 4096 == 0 && self.end % 4096 == 0,
            "mapping is not on page boundaries",
        )?;
        ensure(self.start < self.end, "mapping ends before it starts")?;
        ensure(
            self.end <= TASK_SIZE_MAX,
            "mapping is outside of user space",
        )?;
        ensure(
            self.flags & !vma_flags::ALL == 0,
            "mapping has unknown flags",
        )?;
        match self.how {
            vma_kind::ANON => ensure(self.file == 0, "anonymous mapping has a file")?,
            vma_kind::FILE => {
                ensure(self.file != 0, "file mapping has no file")?;
                ensure(
                    self.flags & vma_flags::ANON_ONLY == 0,
                    "file mapping has flags of anonymous memory",
                )?;
                ensure(self.pgoff < 1 << 51, "file offset is out of range")?;
            }
            vma_kind::SHMEM | vma_kind::SHARED => {
                ensure(self.file != 0, "shared mapping has no object")?;
                ensure(
                    self.flags & vma_flags::PRIVATE_ONLY == 0,
                    "shared mapping has flags of private memory",
                )?;
                ensure(self.pgoff < 1 << 51, "file offset is out of range")?;
            }
            vma_kind::VDSO => {
                ensure(
                    self.file == 0 && self.namelen == 0 && self.nr_guards == 0 && self.origin == 0,
                    "the vDSO has neither file nor name",
                )?;
            }
            _ => return Err(Why("mapping is of an unknown kind")),
        }
        ensure(
            self.flags & vma_flags::LOCKONFAULT == 0 || self.flags & vma_flags::LOCKED != 0,
            "mapping is locked on fault but not locked",
        )?;
        ensure(self.pkey < 16, "protection key is out of range")?;
        ensure(self.namelen <= 79, "name of a mapping is too long")?;
        ensure(
            self.nr_guards <= GUARDS_MAX
                && u64::from(self.nr_guards) <= self.end.wrapping_sub(self.start) / 4096,
            "mapping has too many guard ranges",
        )?;
        ensure(
            self.nr_guards == 0 || self.flags & vma_flags::LOCKED == 0,
            "locked mapping with guard ranges",
        )?;
        ensure(
            self.flags & vma_flags::HUGEPAGE == 0 || self.flags & vma_flags::NOHUGEPAGE == 0,
            "mapping both wants and refuses huge pages",
        )?;
        ensure(
            self.origin == 0 || matches!(self.how, vma_kind::ANON | vma_kind::FILE),
            "shared mapping is a copy of another one",
        )?;
        ensure(self.reserved2 == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_guard_range`: pages that must not be touched.
    pub struct GuardRange [16] {
        /// First address.
        start: u64,
        /// First address behind the range.
        end: u64,
    }
}
