// SPDX-License-Identifier: GPL-2.0

//! The memory of a sample image.

use super::sample::MM;
use super::Image;
use super::Mapping;
use super::Shared;
use crate::format::mm;
use crate::format::mm::mm_flags;
use crate::format::mm::vma_flags as vf;
use crate::format::mm::vma_kind;
use crate::format::shmem;
use crate::format::shmem::shmem_flags;
use crate::format::shmem::shmem_kind;

/// A mapping of `how` from `start` on, `nr_pages` long.
fn mapping(how: u32, start: u64, nr_pages: u64, flags: u64) -> Mapping {
    let mut vma = mm::Vma::zeroed();
    vma.how = how;
    vma.start = start;
    vma.end = start.wrapping_add(nr_pages.wrapping_mul(4096));
    vma.flags = flags;
    Mapping {
        vma,
        name: Vec::new(),
        guards: Vec::new(),
        runs: Vec::new(),
        again: Vec::new(),
    }
}

impl Image {
    pub(super) fn fill_memory(&mut self) {
        let rw = vf::READ | vf::WRITE;
        let mut code = mapping(vma_kind::FILE, 0x40_0000, 2, vf::READ | vf::EXEC);
        code.vma.file = 10;
        let mut data = mapping(vma_kind::FILE, 0x40_2000, 1, rw | vf::ACCOUNT);
        data.vma.file = 10;
        data.vma.pgoff = 2;
        data.runs = vec![vec![0x40_2000]];
        let mut heap = mapping(vma_kind::ANON, 0x50_0000, 16, rw | vf::GUARD | vf::ACCOUNT);
        heap.name = b"arena".to_vec();
        heap.guards = vec![mm::GuardRange {
            start: 0x50_8000,
            end: 0x50_a000,
        }];
        heap.runs = vec![vec![0x50_0000, 0x50_2000], vec![0x50_f000]];
        // The page of the data, once more.
        heap.vma.origin = MM;
        let mut page = mm::Pgref::zeroed();
        (page.addr, page.from) = (0x50_4000, 0x40_2000);
        (page.nr_pages, page.mm) = (1, MM);
        heap.again = vec![page];
        let stack = mapping(vma_kind::ANON, 0x7ffd_0000_0000, 33, rw | vf::GROWSDOWN);
        let vdso = mapping(vma_kind::VDSO, 0x7ffe_0000_0000, 2, vf::READ | vf::EXEC);
        self.mm.vdso = vdso.vma.start;
        self.mappings = vec![code, data, heap, stack, vdso];
        let shared = self.share();
        self.mappings.extend(shared);
        self.mm.exe_file = 10;
        self.mm.start_code = 0x40_0000;
        self.mm.end_code = 0x40_2000;
        self.mm.start_brk = 0x50_0000;
        self.mm.brk = 0x51_0000;
        self.mm.flags = mm_flags::TOPDOWN | 0x33;
        self.auxv = vec![6, 4096, 0, 0];
        self.arch.vdso_size = 8192;
    }

    /// Shares memory of 8 pages, one of them used, in two mappings; and a page of a
    /// file.
    fn share(&mut self) -> [Mapping; 3] {
        let mut object = shmem::Shmem::zeroed();
        object.objref = 40;
        object.how = shmem_kind::ANON;
        object.size = 8 << 12;
        object.flags = shmem_flags::NORESERVE;
        self.shmem = vec![Shared {
            object,
            name: Vec::new(),
            runs: vec![vec![0x3000]],
        }];
        let rw = vf::READ | vf::WRITE;
        let mut all = mapping(vma_kind::SHMEM, 0x7fff_0000_0000, 8, rw | vf::NORESERVE);
        all.name = b"ring".to_vec();
        let mut end = mapping(
            vma_kind::SHMEM,
            0x7fff_0000_8000,
            2,
            vf::READ | vf::NORESERVE,
        );
        end.vma.pgoff = 6;
        (all.vma.file, end.vma.file) = (40, 40);
        let mut log = mapping(vma_kind::SHARED, 0x7fff_0001_0000, 1, rw);
        log.vma.file = 19;
        [all, end, log]
    }
}
