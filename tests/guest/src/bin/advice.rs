// SPDX-License-Identifier: GPL-2.0

//! What else a mapping can be: advised, named, guarded, sealed, locked.
//!
//! Compared through the flags of /proc/self/smaps; and each attribute is seen to
//! work afterwards, where a program can see it.

use std::process::ExitCode;
use std::time::Duration;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::ANON;
use ckpt_guest::mem::PAGE;
use ckpt_guest::procfs;
use ckpt_guest::procfs::Text;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Ret;

const MADV_GUARD_INSTALL: i32 = 102;
const MAP_DROPPABLE: i32 = 0x08;
const MLOCK_ONFAULT: usize = 1;
const PAGES: usize = 8;
/// Bytes of a huge page.
const HUGE: usize = 2 << 20;

type Make = fn(&Map) -> Ret;

/// Name and how it is made; the first page is filled before.
const KINDS: &[(&str, Make)] = &[
    ("plain", |_| Ok(0)),
    ("sequential", |m| m.advise(libc::MADV_SEQUENTIAL)),
    ("random", |m| m.advise(libc::MADV_RANDOM)),
    ("dontfork", |m| m.advise(libc::MADV_DONTFORK)),
    ("wipeonfork", |m| m.advise(libc::MADV_WIPEONFORK)),
    ("dontdump", |m| m.advise(libc::MADV_DONTDUMP)),
    ("hugepage", |m| m.advise(libc::MADV_HUGEPAGE)),
    ("nohugepage", |m| m.advise(libc::MADV_NOHUGEPAGE)),
    ("mergeable", |m| m.advise(libc::MADV_MERGEABLE)),
    ("named", |m| m.name(c"a name, with blanks")),
    ("guarded", |m| m.part(2, 3).advise(MADV_GUARD_INSTALL)),
    ("guarded-twice", |m| {
        m.part(1, 1).advise(MADV_GUARD_INSTALL)?;
        m.part(PAGES - 1, 1).advise(MADV_GUARD_INSTALL)
    }),
    ("locked", |m| m.lock(0)),
    ("locked-on-fault", |m| m.lock(MLOCK_ONFAULT)),
    ("sealed", |m| m.seal()),
    ("no-access", |m| m.protect(libc::PROT_NONE)),
    ("read-only", |m| m.protect(libc::PROT_READ)),
    ("half-read-only", |m| m.part(0, 4).protect(libc::PROT_READ)),
];

/// Kinds that mmap(2) makes.
const FLAGS: &[(&str, i32)] = &[
    ("growsdown", ANON | libc::MAP_GROWSDOWN),
    ("noreserve", ANON | libc::MAP_NORESERVE),
    ("stack", ANON | libc::MAP_STACK),
    ("droppable", libc::MAP_ANONYMOUS | MAP_DROPPABLE),
];

fn spec(flags: i32) -> Spec {
    Spec {
        len: PAGES * PAGE,
        flags,
        ..Spec::default()
    }
}

/// All kinds that this kernel has, each between two pages without access.
fn arrange(absent: &mut Vec<&'static str>) -> Vec<(&'static str, Map)> {
    let mut made = Vec::new();
    for (name, make) in KINDS {
        let map = check::need(name, Map::new(spec(ANON)));
        map.fill_page(0, 7);
        match make(&map) {
            Ok(_) => made.push((*name, map)),
            Err(_) => absent.push(name),
        }
        fence();
    }
    for (name, flags) in FLAGS {
        match Map::new(spec(*flags)) {
            Ok(map) => {
                map.fill_page(0, 7);
                made.push((*name, map));
            }
            Err(_) => absent.push(name),
        }
        fence();
    }
    made
}

/// Keeps neighbours from being joined.
fn fence() {
    let spec = Spec {
        prot: libc::PROT_NONE,
        ..Spec::default()
    };
    check::need("mmap", Map::new(spec));
}

/// Whether the kind still does what it is for.
fn works(name: &str, map: &Map) {
    match name {
        "guarded" => {
            for page in 0..PAGES {
                let expected = (2..5).contains(&page);
                let fault = mem::faults(map.addr + page * PAGE);
                check::same(&format!("guard at page {page}"), &expected, &fault);
            }
        }
        "guarded-twice" => {
            check::that(mem::faults(map.addr + PAGE), "no guard at page 1");
            check::that(mem::faults(map.end() - 1), "no guard at the end");
        }
        "no-access" => check::that(mem::faults(map.addr), "no-access memory can be read"),
        "dontfork" => check::that(mem::faults(map.addr), "dontfork memory is in the child"),
        "wipeonfork" => {
            let ended = sys::in_child(10, || i32::from(!map.page_is_zero(0)));
            check::same("wiped memory in a child", &Ended::Exit(0), &ended);
        }
        "sealed" => {
            let eperm = Err(sys::Errno(libc::EPERM));
            check::same("unmapping sealed memory", &eperm, &map.unmap());
        }
        _ => {}
    }
    if name != "no-access" && name != "droppable" {
        check::that(map.page_is(0, 7), format!("contents of {name} memory"));
    }
}

/// Memory of small pages that may become huge ones.
fn small_pages() -> Map {
    let map = check::need("mmap", Map::anon(2 * HUGE));
    let skip = map.addr.next_multiple_of(HUGE) - map.addr;
    let map = map.part(skip / PAGE, HUGE / PAGE);
    check::need("small pages", map.advise(libc::MADV_NOHUGEPAGE));
    for page in 0..map.pages() {
        map.fill_page(page, page as u64);
    }
    check::need("huge pages", map.advise(libc::MADV_HUGEPAGE));
    map
}

/// Whether khugepaged finds the memory. Each time that it is told its pause it looks.
fn becomes_huge(map: &Map) -> bool {
    const PAUSE: &str = "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs";
    let pause = std::fs::read(PAUSE);
    (0..300).any(|_| {
        if let Ok(pause) = &pause {
            check::need("khugepaged", std::fs::write(PAUSE, pause));
        }
        std::thread::sleep(Duration::from_millis(100));
        let all = procfs::own_mappings();
        let found = procfs::mapping_at(&all, map.addr);
        found.is_some_and(|m| m.numbers.get("AnonHugePages") == Some(&(HUGE / 1024)))
    })
}

fn main() -> ExitCode {
    let life = Life::start();
    let mut absent = Vec::new();
    let made = arrange(&mut absent);
    let small = small_pages();
    let (mut before, mut after) = (Text::with_room(1 << 20), Text::with_room(1 << 20));
    let lock = sys::plain(libc::SYS_mlockall, &[libc::MCL_FUTURE as usize]);
    check::need("mlockall", lock);
    before.read(c"/proc/self/smaps");
    before.read(c"/proc/self/smaps");

    let back = life.checkpoint();

    after.read(c"/proc/self/smaps");
    procfs::same_mappings(before.text(), after.text());
    let new = check::need("mmap", Map::anon(PAGE));
    let all = procfs::own_mappings();
    let locked =
        procfs::mapping_at(&all, new.addr).is_some_and(|m| m.flags.contains(&"lo".to_string()));
    check::that(locked, "future memory is no longer locked (mlockall)");
    for (name, map) in &made {
        works(name, map);
    }
    check::that(becomes_huge(&small), "khugepaged does not know the memory");
    for page in 0..small.pages() {
        check::that(
            small.page_is(page, page as u64),
            format!("page {page} of a huge one"),
        );
    }
    check::detail(format!(
        "{back:?}, {} kinds, absent: [{}]",
        made.len(),
        absent.join(" ")
    ));
    check::verdict()
}
