// SPDX-License-Identifier: GPL-2.0

//! Mappings with known contents.

use crate::rng::Rng;
use crate::sys;
use crate::sys::Errno;
use crate::sys::Ret;

/// Bytes of a page.
pub const PAGE: usize = 4096;
/// Readable and writable.
pub const RW: i32 = libc::PROT_READ | libc::PROT_WRITE;
/// Private and anonymous.
pub const ANON: i32 = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;

/// Where and how to map.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Wanted address, or 0.
    pub at: usize,
    /// Bytes.
    pub len: usize,
    /// PROT_*.
    pub prot: i32,
    /// MAP_*.
    pub flags: i32,
    /// File, or -1.
    pub fd: i32,
    /// Offset in the file in bytes.
    pub offset: usize,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            at: 0,
            len: PAGE,
            prot: RW,
            flags: ANON,
            fd: -1,
            offset: 0,
        }
    }
}

/// A mapping of the test's own. It stays until [`Map::unmap`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Map {
    /// First address.
    pub addr: usize,
    /// Bytes.
    pub len: usize,
}

impl Map {
    /// Maps as told; never over an existing mapping.
    pub fn new(spec: Spec) -> Result<Self, Errno> {
        let fixed = if spec.at == 0 {
            0
        } else {
            libc::MAP_FIXED_NOREPLACE
        };
        let args = [
            spec.at,
            spec.len,
            spec.prot as usize,
            (spec.flags | fixed) as usize,
            spec.fd as isize as usize,
            spec.offset,
        ];
        // SAFETY: a new mapping replaces nothing, because of MAP_FIXED_NOREPLACE.
        let addr = unsafe { sys::raw(libc::SYS_mmap as usize, args) }?;
        Ok(Self {
            addr,
            len: spec.len,
        })
    }

    /// Private anonymous memory.
    pub fn anon(len: usize) -> Result<Self, Errno> {
        Self::new(Spec {
            len,
            ..Spec::default()
        })
    }

    /// First address behind the mapping.
    pub fn end(&self) -> usize {
        self.addr + self.len
    }

    /// Number of pages.
    pub fn pages(&self) -> usize {
        self.len / PAGE
    }

    /// A part of the mapping, in pages.
    pub fn part(&self, first: usize, pages: usize) -> Self {
        assert!((first + pages) * PAGE <= self.len);
        Self {
            addr: self.addr + first * PAGE,
            len: pages * PAGE,
        }
    }

    fn call(&self, nr: libc::c_long, third: usize) -> Ret {
        // SAFETY: the range belongs to this test alone; nothing of Rust lives there.
        unsafe { sys::raw(nr as usize, [self.addr, self.len, third, 0, 0, 0]) }
    }

    /// mprotect(2).
    pub fn protect(&self, prot: i32) -> Ret {
        self.call(libc::SYS_mprotect, prot as usize)
    }

    /// madvise(2).
    pub fn advise(&self, advice: i32) -> Ret {
        self.call(libc::SYS_madvise, advice as usize)
    }

    /// munmap(2).
    pub fn unmap(&self) -> Ret {
        self.call(libc::SYS_munmap, 0)
    }

    /// mlock2(2).
    pub fn lock(&self, flags: usize) -> Ret {
        self.call(libc::SYS_mlock2, flags)
    }

    /// mseal(2).
    pub fn seal(&self) -> Ret {
        self.call(462, 0)
    }

    /// Names an anonymous mapping.
    pub fn name(&self, name: &std::ffi::CStr) -> Ret {
        sys::prctl(
            libc::PR_SET_VMA,
            &[
                libc::PR_SET_VMA_ANON_NAME as usize,
                self.addr,
                self.len,
                name.as_ptr() as usize,
            ],
        )
    }

    /// The contents. The mapping must be readable.
    pub fn bytes(&self) -> &[u8] {
        // SAFETY: the range is mapped and this test's own; a page that cannot be
        // read faults, which ends the program.
        unsafe { std::slice::from_raw_parts(self.addr as *const u8, self.len) }
    }

    /// The contents. The mapping must be writable.
    #[expect(
        clippy::mut_from_ref,
        reason = "a mapping is an address range, not a borrow"
    )]
    pub fn bytes_mut(&self) -> &mut [u8] {
        // SAFETY: as in `bytes`; callers do not keep two of these.
        unsafe { std::slice::from_raw_parts_mut(self.addr as *mut u8, self.len) }
    }

    /// The page with this index.
    pub fn page(&self, index: usize) -> &[u8] {
        &self.bytes()[index * PAGE..][..PAGE]
    }

    /// Fills a page with what belongs to `seed`.
    pub fn fill_page(&self, index: usize, seed: u64) {
        Rng::new(seed).fill(&mut self.bytes_mut()[index * PAGE..][..PAGE]);
    }

    /// Whether a page holds what belongs to `seed`.
    pub fn page_is(&self, index: usize, seed: u64) -> bool {
        self.page(index) == page_of(seed)
    }

    /// Whether a page holds zeros only.
    pub fn page_is_zero(&self, index: usize) -> bool {
        self.page(index).iter().all(|b| *b == 0)
    }
}

/// A value, all zeros, that the process and the children it makes have in common for good.
///
/// # Safety
///
/// Zeros must be a valid `T`, which is used through atomics only.
pub unsafe fn shared<T>() -> Result<&'static T, String> {
    let spec = Spec {
        flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        ..Spec::default()
    };
    assert!(size_of::<T>() <= spec.len && align_of::<T>() <= PAGE);
    let map = Map::new(spec).map_err(|e| format!("mmap: {e}"))?;
    // SAFETY: the mapping has room for it, and stays; the rest is the caller's promise.
    Ok(unsafe { &*(map.addr as *const T) })
}

/// The page that belongs to `seed`.
pub fn page_of(seed: u64) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    Rng::new(seed).fill(&mut page);
    page
}

/// Whether reading a byte faults, as seen by a child that tries.
pub fn faults(addr: usize) -> bool {
    let ended = sys::in_child(10, || {
        // SAFETY: a fault ends the child, which is what is asked for.
        let value = unsafe { (addr as *const u8).read_volatile() };
        i32::from(value) & 0x3f
    });
    ended == sys::Ended::Signal(libc::SIGSEGV) || ended == sys::Ended::Signal(libc::SIGBUS)
}
