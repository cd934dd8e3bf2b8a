// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Shared memory: objects that live in memory alone, for mappings and open files.

use super::cpu::TASK_SIZE_MAX;
use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Longest name of an object in bytes.
pub const SHMEM_NAME_MAX: u32 = 255;

/// Kinds of shared memory.
pub mod shmem_kind {
    /// Shared anonymous memory: MAP_SHARED with MAP_ANONYMOUS.
    pub const ANON: u32 = 1;
    /// A file of memfd_create(2).
    pub const MEMFD: u32 = 2;
    /// A file of tmpfs that has been unlinked.
    pub const UNLINKED: u32 = 3;
}

/// Bits of [`Shmem::flags`].
pub mod shmem_flags {
    /// No swap space is reserved.
    pub const NORESERVE: u32 = 1 << 0;
    /// A writable mapping is older than F_SEAL_FUTURE_WRITE.
    pub const SEAL_LATE: u32 = 1 << 1;
    /// All bits.
    pub const ALL: u32 = (1 << 2) - 1;
}

/// Bits of [`Shmem::seals`], as F_GET_SEALS of fcntl(2) has them.
pub mod seals {
    /// No further seals.
    pub const SEAL: u32 = 1 << 0;
    /// The file does not become shorter.
    pub const SHRINK: u32 = 1 << 1;
    /// The file does not grow.
    pub const GROW: u32 = 1 << 2;
    /// The file is not written to.
    pub const WRITE: u32 = 1 << 3;
    /// The file is written to through mappings only that are there already.
    pub const FUTURE_WRITE: u32 = 1 << 4;
    /// The file does not become executable, or stops to be.
    pub const EXEC: u32 = 1 << 5;
    /// All bits.
    pub const ALL: u32 = (1 << 6) - 1;
}

wire! {
    /// `struct cr_hdr_shmem`: a shared memory object; its name and pages follow.
    pub struct Shmem [64] {
        /// Object reference.
        objref: u32,
        /// See [`shmem_kind`].
        how: u32,
        /// Size in bytes.
        size: u64,
        /// See [`shmem_flags`].
        flags: u32,
        /// Permissions, as st_mode without the type; 0 for anonymous memory.
        mode: u32,
        /// See [`seals`]; 0 unless it is a file of memfd_create.
        seals: u32,
        /// Bytes of the name that follows as a string; 0 for anonymous memory.
        namelen: u32,
        /// User id of the owner; 0 for anonymous memory.
        uid: u32,
        /// Group id of the owner; 0 for anonymous memory.
        gid: u32,
        /// Zero.
        reserved: [u64; 3],
    }
}

impl Record for Shmem {
    const TYPE: i16 = super::SHMEM;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.objref != 0, "shared memory has no object reference")?;
        ensure(
            self.flags & !shmem_flags::ALL == 0,
            "shared memory has unknown flags",
        )?;
        match self.how {
            shmem_kind::ANON => {
                ensure(
                    self.size != 0 && self.size % 4096 == 0 && self.size <= TASK_SIZE_MAX,
                    "size of shared memory is out of range",
                )?;
                ensure(
                    self.mode == 0 && self.namelen == 0 && self.uid == 0 && self.gid == 0,
                    "anonymous memory has the attributes of a file",
                )?;
            }
            shmem_kind::MEMFD | shmem_kind::UNLINKED => {
                ensure(
                    self.size <= i64::MAX as u64,
                    "size of shared memory is out of range",
                )?;
                ensure(
                    self.mode & !0o7777 == 0,
                    "shared memory has unknown permissions",
                )?;
                ensure(
                    self.namelen != 0 && self.namelen <= SHMEM_NAME_MAX,
                    "name of shared memory is too long or missing",
                )?;
                ensure(
                    self.flags & shmem_flags::NORESERVE == 0,
                    "a file has flags of anonymous memory",
                )?;
            }
            _ => return Err(Why("shared memory is of an unknown kind")),
        }
        ensure(self.seals & !seals::ALL == 0, "unknown seals")?;
        ensure(
            self.seals == 0 || self.how == shmem_kind::MEMFD,
            "seals on what cannot have any",
        )?;
        ensure(
            self.flags & shmem_flags::SEAL_LATE == 0
                || self.seals & (seals::FUTURE_WRITE | seals::WRITE) == seals::FUTURE_WRITE,
            "a seal that is not there is late",
        )?;
        ensure(self.reserved == [0; 3], "reserved field is not zero")
    }
}
