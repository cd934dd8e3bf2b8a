// SPDX-License-Identifier: GPL-2.0

//! Address spaces, mappings, pages, shared memory.

use ckptfmt::build::Image;
use ckptfmt::format::mm::mm_flags;
use ckptfmt::format::mm::vma_flags;
use ckptfmt::format::mm::vma_kind;
use ckptfmt::format::shmem::shmem_kind;

use super::check;
use super::KERNEL;
use super::RESERVED;

#[test]
fn memory() {
    let image = Image::sample();
    let outside = "address space has a field outside of user space";
    check(
        image.mm,
        &[
            (|r| r.objref = 0, "address space has no object reference"),
            (|r| r.map_count = u32::MAX, "too many mappings"),
            (|r| r.start_code = KERNEL, outside),
            (|r| r.end_data = KERNEL, outside),
            (|r| r.brk = KERNEL, outside),
            (|r| r.start_stack = KERNEL, outside),
            (|r| r.env_end = KERNEL, outside),
            (|r| r.mmap_base = KERNEL, outside),
            (|r| r.vdso = KERNEL, outside),
            (|r| r.end_code = 0, "code ends before it starts"),
            (
                |r| r.mmap_base += 1,
                "base of mappings is not on a page boundary",
            ),
            (|r| r.brk = 0, "heap ends before it starts"),
            (|r| r.vdso = 1, "vDSO is not on a page boundary"),
            (|r| r.flags = 1 << 63, "address space has unknown flags"),
            (
                |r| r.flags = r.flags & !mm_flags::MDWE | mm_flags::MDWE_NO_INHERIT,
                "children do not inherit a restriction that there is not",
            ),
            (|r| r.nr_auxv = 129, "auxiliary vector is too long"),
            (|r| r.task_size = 0, "address space is not one of 47 bits"),
            (
                |r| r.hiwater_rss = 1 << 35,
                "address space was larger than it can be",
            ),
            (
                |r| r.hiwater_vm = u64::MAX,
                "address space was larger than it can be",
            ),
            (|r| r.reserved[3] = 1, RESERVED),
        ],
    );
    check(
        image.mappings[2].vma,
        &[
            (|r| r.start += 1, "mapping is not on page boundaries"),
            (|r| r.end = r.start, "mapping ends before it starts"),
            (|r| r.end = KERNEL, "mapping is outside of user space"),
            (|r| r.flags |= 1 << 63, "mapping has unknown flags"),
            (|r| r.file = 10, "anonymous mapping has a file"),
            (|r| r.how = vma_kind::FILE, "file mapping has no file"),
            (
                |r| (r.how, r.file, r.pgoff) = (vma_kind::FILE, 10, u64::MAX),
                "file offset is out of range",
            ),
            (
                |r| (r.how, r.namelen) = (vma_kind::VDSO, 1),
                "the vDSO has neither file nor name",
            ),
            (|r| r.how = 99, "mapping is of an unknown kind"),
            (|r| r.pkey = 16, "protection key is out of range"),
            (|r| r.namelen = 80, "name of a mapping is too long"),
            (|r| r.nr_guards = 17, "mapping has too many guard ranges"),
            (
                |r| r.flags |= 3 << 13,
                "mapping both wants and refuses huge pages",
            ),
            (
                |r| (r.how, r.file) = (vma_kind::SHMEM, 0),
                "shared mapping has no object",
            ),
            (|r| r.reserved2 = 1, RESERVED),
            (
                |r| (r.how, r.origin) = (vma_kind::VDSO, 2),
                "the vDSO has neither file nor name",
            ),
        ],
    );
    let private = "shared mapping has flags of private memory";
    check(
        image.mappings[5].vma,
        &[
            (|r| r.flags |= vma_flags::ACCOUNT, private),
            (|r| r.flags |= vma_flags::MERGEABLE, private),
            (|r| r.flags |= vma_flags::WIPEONFORK, private),
            (|r| r.flags |= vma_flags::DROPPABLE, private),
            (|r| r.flags |= vma_flags::GROWSDOWN, private),
            (|r| r.pgoff = 1 << 51, "file offset is out of range"),
            (|r| r.origin = 2, "shared mapping is a copy of another one"),
        ],
    );
    check(
        image.mappings[7].vma,
        &[
            (|r| r.file = 0, "shared mapping has no object"),
            (|r| r.flags |= vma_flags::ACCOUNT, private),
            (|r| r.pgoff = u64::MAX, "file offset is out of range"),
        ],
    );
    let size = "size of shared memory is out of range";
    check(
        image.shmem[0].object,
        &[
            (|r| r.objref = 0, "shared memory has no object reference"),
            (|r| r.how = 0, "shared memory is of an unknown kind"),
            (|r| r.how = 99, "shared memory is of an unknown kind"),
            (|r| r.size = 0, size),
            (|r| r.size += 1, size),
            (|r| r.size = KERNEL, size),
            (|r| r.flags |= 4, "shared memory has unknown flags"),
            (|r| r.flags |= 2, "a seal that is not there is late"),
            (
                |r| r.mode = 0o600,
                "anonymous memory has the attributes of a file",
            ),
            (
                |r| r.gid = 1,
                "anonymous memory has the attributes of a file",
            ),
            (
                |r| r.namelen = 1,
                "anonymous memory has the attributes of a file",
            ),
            (|r| r.seals = 1, "seals on what cannot have any"),
            (|r| r.reserved[2] = 1, RESERVED),
        ],
    );
    let name = "name of shared memory is too long or missing";
    check(
        image.shmem[1].object,
        &[
            (|r| r.size = 1 << 63, size),
            (
                |r| r.mode = 0o10000,
                "shared memory has unknown permissions",
            ),
            (|r| r.namelen = 0, name),
            (|r| r.namelen = 256, name),
            (|r| r.flags |= 1, "a file has flags of anonymous memory"),
            (|r| r.seals |= 1 << 6, "unknown seals"),
            (|r| r.seals |= 8, "a seal that is not there is late"),
            (
                |r| r.how = shmem_kind::UNLINKED,
                "seals on what cannot have any",
            ),
        ],
    );
    check(
        ckptfmt::format::mm::Pgarr::zeroed(),
        &[
            (|r| r.nr_pages = 4097, "run of pages is too long"),
            (|r| r.nr_pages = u32::MAX, "run of pages is too long"),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
    let mut page = ckptfmt::format::mm::Pgref::zeroed();
    (page.nr_pages, page.mm) = (1, 2);
    let outside = "shared pages are outside of user space";
    let boundary = "shared page is not on a page boundary";
    check(
        page,
        &[
            (|r| r.mm = 0, "shared pages of no address space"),
            (|r| r.nr_pages = 0, "no shared pages"),
            (|r| r.addr = 8, boundary),
            (|r| r.from = 4095, boundary),
            (|r| r.nr_pages = u64::MAX, outside),
            (|r| r.nr_pages = 1 << 35, outside),
            (|r| r.addr = 1 << 47, outside),
            (|r| r.from = u64::MAX - 4095, outside),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
}
