// SPDX-License-Identifier: GPL-2.0

//! 200 random mappings with known contents and protections.
//!
//! Compared: every line of /proc/self/smaps that says how a mapping was made, and
//! every byte, also behind PROT_NONE.

use std::os::fd::AsRawFd;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::ANON;
use ckpt_guest::mem::PAGE;
use ckpt_guest::mem::RW;
use ckpt_guest::procfs;
use ckpt_guest::procfs::Text;
use ckpt_guest::rng::Rng;

const COUNT: usize = 200;
const FILE_PAGES: usize = 64;
const BASE: usize = 0x10_0000_0000;

/// What a page is known to hold.
#[derive(Clone, Copy, Debug)]
enum Page {
    Hole,
    Seed(u64),
}

struct Known {
    map: Map,
    pages: Vec<Page>,
    prot: i32,
    what: String,
}

fn make(rng: &mut Rng, at: usize, file: i32) -> Known {
    let pages = 1 + rng.below(16) as usize;
    let from_file = rng.one_in(3);
    let first = rng.below(FILE_PAGES as u64 - 16) as usize;
    let mut spec = Spec {
        at,
        len: pages * PAGE,
        ..Spec::default()
    };
    if from_file {
        spec.flags = libc::MAP_PRIVATE;
        spec.fd = file;
        spec.offset = first * PAGE;
    } else if rng.one_in(4) {
        spec.flags = ANON | libc::MAP_NORESERVE;
    }
    let map = check::need("mmap", Map::new(spec));
    let mut known = Vec::new();
    for page in 0..pages {
        let seed = rng.next_u64();
        // Pages of a file that are not written keep the file's contents.
        known.push(match (rng.one_in(3), from_file) {
            (false, _) => {
                map.fill_page(page, seed);
                Page::Seed(seed)
            }
            (true, true) => Page::Seed((first + page) as u64),
            (true, false) => Page::Hole,
        });
    }
    let prots = [
        RW,
        RW,
        libc::PROT_READ,
        libc::PROT_NONE,
        libc::PROT_READ | libc::PROT_EXEC,
        RW | libc::PROT_EXEC,
    ];
    let prot = prots[rng.below(prots.len() as u64) as usize];
    check::need("mprotect", map.protect(prot));
    Known {
        map,
        pages: known,
        prot,
        what: format!("{spec:x?} prot {prot}"),
    }
}

fn main() -> ExitCode {
    let life = Life::start();
    let path = life.file("mapped");
    let contents: Vec<u8> = (0..FILE_PAGES as u64).flat_map(mem::page_of).collect();
    check::need("write a file", std::fs::write(&path, contents));
    let file = check::need("open it", std::fs::File::open(&path));

    let mut rng = Rng::new(200);
    let mut at = BASE;
    let mut all = Vec::new();
    for _ in 0..COUNT {
        let known = make(&mut rng, at, file.as_raw_fd());
        at = known.map.end() + rng.below(4) as usize * PAGE;
        all.push(known);
    }
    drop(file);
    let (mut before, mut after) = (Text::with_room(1 << 20), Text::with_room(1 << 20));
    before.read(c"/proc/self/smaps");
    before.read(c"/proc/self/smaps");

    let back = life.checkpoint();

    after.read(c"/proc/self/smaps");
    procfs::same_mappings(before.text(), after.text());
    for known in &all {
        if known.prot == libc::PROT_NONE {
            check::need("mprotect", known.map.protect(libc::PROT_READ));
        }
        for (i, page) in known.pages.iter().enumerate() {
            let good = match page {
                Page::Hole => known.map.page_is_zero(i),
                Page::Seed(seed) => known.map.page_is(i, *seed),
            };
            check::that(good, format!("page {i} ({page:?}) of {}", known.what));
        }
        // Memory that was not writable can be made writable again.
        check::need("mprotect", known.map.protect(RW));
        known.map.fill_page(0, 1);
        check::that(
            known.map.page_is(0, 1),
            format!("writing to {}", known.what),
        );
    }
    check::detail(format!(
        "{back:?}, {} mappings in all",
        before.text().matches("VmFlags").count()
    ));
    check::verdict()
}
