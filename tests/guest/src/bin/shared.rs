// SPDX-License-Identifier: GPL-2.0

//! Shared anonymous memory: contents and holes, one object in several mappings, with
//! protections, names, locks and guards of their own; it is shared with children.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::mem::RW;
use ckpt_guest::procfs;
use ckpt_guest::procfs::Text;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;

const SHARED: i32 = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
const PAGES: usize = 64;
/// Pages of the sparse object, and how far apart those with contents are.
const SPARSE: usize = 16384;
const STEP: usize = 1021;
const MADV_GUARD_INSTALL: i32 = 102;

fn map(pages: usize, flags: i32) -> Map {
    let spec = Spec {
        len: pages * PAGE,
        flags: SHARED | flags,
        ..Spec::default()
    };
    check::need("mmap", Map::new(spec))
}

/// A second mapping of the pages behind `map`, which stays where it is.
fn again(map: &Map) -> Map {
    let args = [map.addr, 0, map.len, libc::MREMAP_MAYMOVE as usize, 0, 0];
    // SAFETY: an old size of zero leaves the old mapping alone.
    let addr = check::need("mremap", unsafe {
        sys::raw(libc::SYS_mremap as usize, args)
    });
    Map { addr, ..*map }
}

/// The mapping made larger than its object.
fn grown(map: &Map, pages: usize) -> Map {
    let len = pages * PAGE;
    let args = [map.addr, map.len, len, libc::MREMAP_MAYMOVE as usize, 0, 0];
    // SAFETY: nothing of Rust lives in the mapping.
    let addr = check::need("mremap", unsafe {
        sys::raw(libc::SYS_mremap as usize, args)
    });
    Map { addr, len }
}

/// Which pages are in memory: those of a hole are not.
fn resident(map: &Map) -> Vec<u8> {
    let mut pages = vec![0u8; map.pages()];
    let args = [map.addr, map.len, pages.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: the vector has a byte for each page.
    check::need("mincore", unsafe {
        sys::raw(libc::SYS_mincore as usize, args)
    });
    pages.iter_mut().for_each(|page| *page &= 1);
    pages
}

/// The bits of the object at hand: which pages have contents.
fn used(page: usize) -> bool {
    !page.is_multiple_of(3)
}

fn main() -> ExitCode {
    let life = Life::start();
    let object = map(PAGES, 0);
    (0..PAGES).filter(|p| used(*p)).for_each(|p| {
        object.fill_page(p, p as u64);
    });
    let second = again(&object);
    // A part of it, which ends up in three mappings: read-only, none, executable.
    let third = again(&object);
    check::need("munmap", third.part(0, 10).unmap());
    check::need("mprotect", third.part(10, 5).protect(libc::PROT_READ));
    check::need("mprotect", third.part(15, 5).protect(libc::PROT_NONE));
    let exec = libc::PROT_READ | libc::PROT_EXEC;
    check::need("mprotect", third.part(40, 4).protect(exec));
    check::need("name", second.part(0, 20).name(c"shared ring"));
    check::need("advise", second.part(20, 4).advise(libc::MADV_DONTFORK));
    check::need("advise", second.part(24, 4).advise(libc::MADV_RANDOM));
    check::need("mlock", second.part(28, 2).lock(0));
    let guards = second.part(60, 2).advise(MADV_GUARD_INSTALL).is_ok();

    let sparse = map(SPARSE, libc::MAP_NORESERVE);
    let marked: Vec<usize> = (0..SPARSE).step_by(STEP).collect();
    marked.iter().for_each(|p| sparse.fill_page(*p, *p as u64));
    let large = grown(&map(4, 0), 8);
    large.fill_page(3, 3);
    let hidden = map(2, 0);
    hidden.fill_page(1, 77);
    check::need("mprotect", hidden.protect(libc::PROT_NONE));
    let sealed = map(2, 0);
    sealed.fill_page(0, 5);
    check::need("mseal", sealed.seal());
    let untouched = map(16, 0);
    let names = (resident(&object), resident(&sparse), resident(&untouched));
    let (mut before, mut after) = (Text::with_room(1 << 20), Text::with_room(1 << 20));
    before.read(c"/proc/self/smaps");
    before.read(c"/proc/self/smaps");

    let back = life.checkpoint();

    after.read(c"/proc/self/smaps");
    procfs::same_mappings(before.text(), after.text());
    let end = sys::lseek(life.image(), 0, libc::SEEK_CUR).unwrap_or(0);
    check::that(
        end < 16 << 20,
        format!("{end} bytes: holes are in the image"),
    );
    check::same("pages of the object", &names.0, &resident(&object));
    check::same("pages of the sparse one", &names.1, &resident(&sparse));
    check::same(
        "pages of the untouched one",
        &names.2,
        &resident(&untouched),
    );
    for page in 0..PAGES {
        let good = match used(page) {
            true => object.page_is(page, page as u64),
            false => object.page_is_zero(page),
        };
        check::that(good, format!("page {page} of the object"));
    }
    for page in 0..SPARSE {
        if page.is_multiple_of(STEP) {
            check::that(sparse.page_is(page, page as u64), format!("page {page}"));
        }
    }
    check::that(large.page_is(3, 3), "the last page of an object");
    check::that(mem::faults(large.addr + 5 * PAGE), "a page behind its end");
    check::need("mprotect", hidden.protect(libc::PROT_READ));
    check::that(hidden.page_is(1, 77), "memory without protection");
    check::that(sealed.page_is(0, 5), "sealed memory");
    check::that(sealed.unmap().is_err(), "sealed memory can be unmapped");
    if guards {
        check::that(mem::faults(second.addr + 60 * PAGE), "a guard");
    }
    one_object(&object, &second, &third);
    with_children(&object);
    check::detail(format!("{back:?}"));
    check::verdict()
}

/// What is written through one mapping is seen through the others.
fn one_object(object: &Map, second: &Map, third: &Map) {
    let mut rng = Rng::new(9);
    for page in [0, 12, 30, 41, 63] {
        let seed = rng.next_u64();
        object.fill_page(page, seed);
        check::that(second.page_is(page, seed), format!("{page} in the second"));
        if page >= 10 {
            check::that(third.page_is(page, seed), format!("{page} in the third"));
        }
    }
    second.fill_page(3, 33);
    check::that(object.page_is(3, 33), "writing through the second");
    // What was read-only may become writable.
    check::need("mprotect", third.part(10, 5).protect(RW));
    third.fill_page(11, 44);
    check::that(object.page_is(11, 44), "writing through the third");
}

/// A child writes to the same memory, not to a copy.
fn with_children(object: &Map) {
    let ended = sys::in_child(10, || {
        let saw = object.page_is(3, 33);
        object.fill_page(50, 1234);
        i32::from(saw)
    });
    check::same("the child", &sys::Ended::Exit(1), &ended);
    check::that(object.page_is(50, 1234), "what a child has written");
}
