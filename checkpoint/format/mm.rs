// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! An address space: its fields, its mappings, their pages.

use super::cpu::TASK_SIZE_MAX;
use super::ensure;
use super::wire;
use super::Record;
use super::Why;

mod pages;
mod vma;

pub use pages::Pgarr;
pub use pages::Pgref;
pub use vma::vma_flags;
pub use vma::vma_kind;
pub use vma::GuardRange;
pub use vma::Vma;

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
        /// Most pages that were in memory at a time. Varies.
        hiwater_rss: u64,
        /// Most pages that were mapped at a time.
        hiwater_vm: u64,
        /// Zero.
        reserved: [u64; 4],
    }
}

/// Pages of an address space at most.
pub(crate) const SPACE_PAGES: u64 = TASK_SIZE_MAX >> 12;

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
            self.mmap_base % 4096 == 0,
            "base of mappings is not on a page boundary",
        )?;
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
            self.flags & mm_flags::MDWE_NO_INHERIT == 0 || self.flags & mm_flags::MDWE != 0,
            "children do not inherit a restriction that there is not",
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
        ensure(
            self.hiwater_rss.max(self.hiwater_vm) <= SPACE_PAGES,
            "address space was larger than it can be",
        )?;
        ensure(self.reserved == [0; 4], "reserved field is not zero")
    }
}
