// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! An address space: its fields, its mappings, their pages.

use super::cpu::TASK_SIZE_MAX;
use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Pages of one run at most.
pub const PGARR_MAX: u32 = 4096;
/// Guard ranges of one mapping at most.
pub const GUARDS_MAX: u32 = 1 << 20;
/// Guard ranges of one record at most.
pub const GUARD_CHUNK: usize = 1024;
/// Entries of an auxiliary vector at most.
pub const AUXV_MAX: usize = 128;

/// Bits of [`Mm::flags`].
pub mod mm_flags {
    /// Core dump filter: the bits of /proc/PID/coredump_filter.
    pub const DUMP_FILTER: u64 = 0x1ff;
    /// No huge pages at all.
    pub const THP_DISABLE: u64 = 1 << 16;
    /// No huge pages but where advised.
    pub const THP_DISABLE_EXCEPT_ADVISED: u64 = 1 << 17;
    /// Memory is never writable and executable (PR_SET_MDWE).
    pub const MDWE: u64 = 1 << 18;
    /// Children do not inherit the former.
    pub const MDWE_NO_INHERIT: u64 = 1 << 19;
    /// All memory may be merged (PR_SET_MEMORY_MERGE).
    pub const MERGE_ANY: u64 = 1 << 20;
    /// Mappings are placed from the top down.
    pub const TOPDOWN: u64 = 1 << 21;
    /// Future mappings are locked (mlockall MCL_FUTURE).
    pub const LOCK_FUTURE: u64 = 1 << 22;
    /// They are locked when touched (MCL_ONFAULT).
    pub const LOCK_ONFAULT: u64 = 1 << 23;
    /// All bits.
    pub const ALL: u64 = DUMP_FILTER
        | THP_DISABLE
        | THP_DISABLE_EXCEPT_ADVISED
        | MDWE
        | MDWE_NO_INHERIT
        | MERGE_ANY
        | TOPDOWN
        | LOCK_FUTURE
        | LOCK_ONFAULT;
}

wire! {
    /// `struct cr_hdr_mm`: fields of an address space; auxv and mappings follow.
    pub struct Mm [184] {
        /// Object reference of the address space.
        objref: u32,
        /// Number of mappings.
        map_count: u32,
        /// Start of the program's code.
        start_code: u64,
        /// End of the program's code.
        end_code: u64,
        /// Start of the program's data.
        start_data: u64,
        /// End of the program's data.
        end_data: u64,
        /// Start of the heap.
        start_brk: u64,
        /// End of the heap.
        brk: u64,
        /// Start of the stack.
        start_stack: u64,
        /// Start of the arguments.
        arg_start: u64,
        /// End of the arguments.
        arg_end: u64,
        /// Start of the environment.
        env_start: u64,
        /// End of the environment.
        env_end: u64,
        /// Where mappings without a wish are placed.
        mmap_base: u64,
        /// Address of the vDSO code, or 0.
        vdso: u64,
        /// See [`mm_flags`].
        flags: u64,
        /// Object reference of the program's file, or 0.
        exe_file: u32,
        /// Entries of the AUXV record that follows.
        nr_auxv: u32,
        /// Address space limit of the caller: 47 bits.
        task_size: u64,
        /// Zero.
        reserved: [u64; 6],
    }
}

impl Record for Mm {
    const TYPE: i16 = super::MM;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.objref != 0, "address space has no object reference")?;
        ensure(self.map_count <= 1 << 20, "too many mappings")?;
        for addr in [
            self.start_code,
            self.end_code,
            self.start_data,
            self.end_data,
            self.start_brk,
            self.brk,
            self.start_stack,
            self.arg_start,
            self.arg_end,
            self.env_start,
            self.env_end,
            self.mmap_base,
            self.vdso,
        ] {
            ensure(
                addr <= TASK_SIZE_MAX,
                "address space has a field outside of user space",
            )?;
        }
        ensure(
            self.start_code <= self.end_code,
            "code ends before it starts",
        )?;
        ensure(
            self.start_data <= self.end_data,
            "data ends before it starts",
        )?;
        ensure(self.start_brk <= self.brk, "heap ends before it starts")?;
        ensure(
            self.arg_start <= self.arg_end,
            "arguments end before they start",
        )?;
        ensure(
            self.env_start <= self.env_end,
            "environment ends before it starts",
        )?;
        ensure(self.vdso % 4096 == 0, "vDSO is not on a page boundary")?;
        ensure(
            self.flags & !mm_flags::ALL == 0,
            "address space has unknown flags",
        )?;
        ensure(
            self.flags & mm_flags::LOCK_ONFAULT == 0 || self.flags & mm_flags::LOCK_FUTURE != 0,
            "future mappings are locked on fault but not locked",
        )?;
        ensure(
            self.nr_auxv as usize <= AUXV_MAX,
            "auxiliary vector is too long",
        )?;
        ensure(
            self.task_size == TASK_SIZE_MAX,
            "address space is not one of 47 bits",
        )?;
        ensure(self.reserved == [0; 6], "reserved field is not zero")
    }
}

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
    const TYPE: i16 = super::VMA;

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

wire! {
    /// `struct cr_hdr_pgarr`: addresses and contents of `nr_pages` pages follow.
    pub struct Pgarr [8] {
        /// Number of pages; 0 ends the mapping.
        nr_pages: u32,
        /// Zero.
        reserved: u32,
    }
}

impl Record for Pgarr {
    const TYPE: i16 = super::PGARR;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.nr_pages <= PGARR_MAX, "run of pages is too long")?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_hdr_pgref`: pages that are in the image already, in the mapping of an
    /// address space before this one.
    pub struct Pgref [32] {
        /// Address of the first page.
        addr: u64,
        /// Its address in that address space.
        from: u64,
        /// Number of pages.
        nr_pages: u64,
        /// Object reference of that address space.
        mm: u32,
        /// Zero.
        reserved: u32,
    }
}

impl Record for Pgref {
    const TYPE: i16 = super::PGREF;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.mm != 0, "shared pages of no address space")?;
        ensure(self.nr_pages != 0, "no shared pages")?;
        for addr in [self.addr, self.from] {
            ensure(addr % 4096 == 0, "shared page is not on a page boundary")?;
            ensure(
                addr <= TASK_SIZE_MAX && self.nr_pages <= TASK_SIZE_MAX.wrapping_sub(addr) / 4096,
                "shared pages are outside of user space",
            )?;
        }
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}
