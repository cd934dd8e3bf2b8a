// SPDX-License-Identifier: GPL-2.0

//! 64 MiB of memory: dense, with huge pages, and sparse; holes stay holes, also where the
//! system makes large pages of all memory. What nobody has touched, and pages of a file
//! that nobody has changed, are not in the image, page by page.

use std::path::Path;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::image;
use ckpt_guest::life;
use ckpt_guest::life::c_path;
use ckpt_guest::life::Back;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::ANON;
use ckpt_guest::mem::PAGE;
use ckpt_guest::procfs;
use ckpt_guest::sys;

const MIB: usize = 1 << 20;
const HUGE: usize = 2 * MIB;
const MADV_GUARD_INSTALL: i32 = 102;
const DENSE: usize = 24 * MIB;
const SPARSE: usize = 40 * MIB;
/// One page of this many is touched in the sparse part.
const STEP: usize = 37;
const UNTOUCHED: usize = 256 * MIB;
const CLEAN: usize = 4 * MIB;
/// The page of the file's mapping that is written.
const CHANGED: usize = 777;

/// Whether a new page comes with its neighbours, where nothing asks for that.
fn with_neighbours(always: bool) {
    let set = |knob: &str, value: &str| {
        let path = format!("/sys/kernel/mm/transparent_hugepage/{knob}");
        check::need(&path, std::fs::write(&path, value));
    };
    // Nor does khugepaged put pages into holes meanwhile.
    let holes = if always { "0" } else { "511" };
    set("khugepaged/max_ptes_none", holes);
    set(
        "hugepages-64kB/enabled",
        if always { "always" } else { "never" },
    );
}

/// Two words per page tell pages apart, at the price of two writes.
fn mark(map: &Map, page: usize) {
    let at = page * PAGE;
    let bytes = map.bytes_mut();
    bytes[at..at + 8].copy_from_slice(&(page as u64 + 1).to_le_bytes());
    bytes[at + PAGE - 8..at + PAGE].copy_from_slice(&(!(page as u64)).to_le_bytes());
}

fn marked(map: &Map, page: usize) -> bool {
    let bytes = map.page(page);
    bytes[..8] == (page as u64 + 1).to_le_bytes()
        && bytes[PAGE - 8..] == (!(page as u64)).to_le_bytes()
        && bytes[8..PAGE - 8].iter().all(|b| *b == 0)
}

/// kB of a kind in the mapping.
fn kib(map: &Map, what: &str) -> usize {
    procfs::own_mappings()
        .iter()
        .filter(|m| m.start < map.end() && map.addr < m.end)
        .filter_map(|m| m.numbers.get(what))
        .sum()
}

/// A page of the file, or what is written to it in memory.
fn page_of_file(page: usize) -> [u8; PAGE] {
    let mut bytes = [0xc1; PAGE];
    bytes[..8].copy_from_slice(&page.to_le_bytes());
    bytes
}

/// A private mapping of a file; one of its pages is written.
fn clean(life: &Life) -> Map {
    let path = life.file("clean");
    let bytes: Vec<[u8; PAGE]> = (0..CLEAN / PAGE).map(page_of_file).collect();
    check::need("write a file", std::fs::write(&path, bytes.concat()));
    let fd = check::need("open", sys::open(&c_path(&path), libc::O_RDONLY, 0));
    let spec = Spec {
        len: CLEAN,
        flags: libc::MAP_PRIVATE,
        fd,
        ..Spec::default()
    };
    let map = check::need("mmap", Map::new(spec));
    let _ = sys::close(fd);
    map.bytes_mut()[CHANGED * PAGE..][..PAGE].copy_from_slice(&page_of_file(CLEAN));
    map
}

/// Reads all of its pages, which are in memory then.
fn read_clean(map: &Map) {
    for page in 0..map.pages() {
        let of_file = if page == CHANGED { CLEAN } else { page };
        check::that(
            map.page(page) == page_of_file(of_file),
            format!("page {page} of the file"),
        );
    }
}

/// Addresses of the pages that the image has. It is mapped: of all the pages, on the host,
/// only those with records are read.
fn stored() -> Vec<usize> {
    let path = c_path(Path::new(&life::variable(life::IMAGE)));
    let fd = check::need("open", sys::open(&path, libc::O_RDONLY, 0));
    let spec = Spec {
        len: check::need("lseek", sys::lseek(fd, 0, libc::SEEK_END)),
        prot: libc::PROT_READ,
        flags: libc::MAP_PRIVATE,
        fd,
        ..Spec::default()
    };
    let map = check::need("mmap", Map::new(spec));
    let _ = sys::close(fd);
    let bytes = map.bytes();
    let mut addrs = Vec::new();
    for span in check::need("the image", image::spans(bytes)) {
        let pages = (span.all.end - span.meta.end) / PAGE;
        let list = &bytes[span.meta.end - pages * 8..span.meta.end];
        let list = list.chunks_exact(8).map(|c| c.try_into());
        addrs.extend(list.flatten().map(usize::from_le_bytes));
    }
    let _ = map.unmap();
    addrs.sort_unstable();
    addrs
}

/// Pages that are in the image, by their addresses: those that were written, and no other.
fn only_what_was_written(sparse: &Map, untouched: &Map, clean: &Map) {
    let all = stored();
    let stored = |map: &Map| -> Vec<usize> {
        let addrs = all.iter().copied();
        addrs
            .filter(|a| (map.addr..map.end()).contains(a))
            .collect()
    };
    let none: Vec<usize> = Vec::new();
    check::same("untouched pages stored", &none, &stored(untouched));
    let changed = vec![clean.addr + CHANGED * PAGE];
    check::same("pages of the file stored", &changed, &stored(clean));
    let marked: Vec<usize> = (0..sparse.pages())
        .step_by(STEP)
        .map(|page| sparse.addr + page * PAGE)
        .collect();
    let found = stored(sparse);
    check::that(
        found == marked,
        format!("{} sparse pages stored, not {}", found.len(), marked.len()),
    );
}

fn main() -> ExitCode {
    let life = Life::start();
    let dense = check::need("mmap", Map::anon(DENSE + HUGE));
    let first = (dense.addr.next_multiple_of(HUGE) - dense.addr) / PAGE;
    let dense = dense.part(first, DENSE / PAGE);
    // Huge pages in one half, where the kernel has them.
    let _ = dense.part(0, DENSE / 2 / PAGE).advise(libc::MADV_HUGEPAGE);
    (0..dense.pages()).for_each(|page| mark(&dense, page));
    // Part of a huge page is given back: the rest is no longer mapped as one.
    let torn = dense.part(HUGE / PAGE + 5, 3);
    check::need("madvise", torn.advise(libc::MADV_DONTNEED));
    // The mapping is searched for guards, which leaves its huge pages whole.
    let guarded = torn.part(1, 1).advise(MADV_GUARD_INSTALL).is_ok();

    let sparse = check::need("mmap", Map::anon(SPARSE));
    (0..sparse.pages())
        .step_by(STEP)
        .for_each(|page| mark(&sparse, page));
    // Reading maps the zero page, which need not be stored.
    (1..sparse.pages()).step_by(STEP).for_each(|page| {
        check::that(sparse.page_is_zero(page), "new memory is not zero");
    });
    // A flag that no neighbour has: it stays a mapping of its own.
    let spec = Spec {
        len: UNTOUCHED,
        flags: ANON | libc::MAP_NORESERVE,
        ..Spec::default()
    };
    let untouched = check::need("mmap", Map::new(spec));
    let clean = clean(&life);
    read_clean(&clean);
    let whole = kib(&clean, "Rss");
    check::same("kB of the file in memory", &(CLEAN / 1024), &whole);
    let touched = kib(&sparse, "Rss");
    let huge = kib(&dense, "AnonHugePages");

    // A page that a restart brings back stays alone, whatever other pages do.
    with_neighbours(true);
    let back = life.checkpoint();
    with_neighbours(false);

    if back == Back::Restarted {
        let rss = kib(&sparse, "Rss");
        check::that(
            rss <= touched,
            format!("holes became pages: {touched} kB, now {rss} kB"),
        );
    }
    check::same("kB of untouched memory", &0, &kib(&untouched, "Rss"));
    if back != Back::Restarted {
        // The checkpoint has brought nothing in, and has taken nothing out.
        check::same("kB of sparse memory", &touched, &kib(&sparse, "Rss"));
        check::same("kB of the file", &whole, &kib(&clean, "Rss"));
        let now = kib(&dense, "AnonHugePages");
        check::same("kB in huge pages", &huge, &now);
    }
    for page in 0..dense.pages() {
        if guarded && page == HUGE / PAGE + 6 {
            continue;
        }
        let hole = (HUGE / PAGE + 5..HUGE / PAGE + 8).contains(&page);
        let good = if hole {
            dense.page_is_zero(page)
        } else {
            marked(&dense, page)
        };
        check::that(good, format!("dense page {page}"));
    }
    for page in 0..sparse.pages() {
        let good = if page % STEP == 0 {
            marked(&sparse, page)
        } else {
            sparse.page_is_zero(page)
        };
        check::that(good, format!("sparse page {page}"));
    }
    read_clean(&clean);
    if !life.dry() {
        only_what_was_written(&sparse, &untouched, &clean);
    }
    if let Ok(end) = sys::lseek(life.image(), 0, libc::SEEK_CUR) {
        let most = DENSE + SPARSE / STEP + 4 * MIB;
        check::that(
            end <= most,
            format!("the image of {end} bytes holds what it need not"),
        );
    }
    check::detail(format!("{back:?}, {huge} kB in huge pages"));
    check::verdict()
}
