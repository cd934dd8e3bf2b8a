// SPDX-License-Identifier: GPL-2.0

//! Entries of the TLS array, which 32-bit programs set, one in use through gs.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::ANON;
use ckpt_guest::regs;
use ckpt_guest::sys;
use ckpt_guest::sys32;

/// Numbers in the 32-bit table.
const SET_THREAD_AREA: u32 = 243;
const GET_THREAD_AREA: u32 = 244;
/// The first entry of the array in the global descriptor table.
const FIRST: u32 = 12;
/// 32-bit segment, limit in pages, usable.
const FLAGS: u32 = 1 | 1 << 4 | 1 << 6;
/// Any entry that is free.
const ANY: u32 = u32::MAX;

/// A descriptor where a 32-bit call can find it.
struct Desk(Map);

impl Desk {
    fn at(&self) -> *mut [u32; 4] {
        self.0.addr as *mut [u32; 4]
    }

    fn set(&self, entry: u32, base: u32, limit: u32) -> Result<u32, sys::Errno> {
        // SAFETY: the page is ours, mapped and writable.
        unsafe { self.at().write([entry, base, limit, FLAGS]) };
        sys32::call(SET_THREAD_AREA, [self.0.addr as u32, 0, 0, 0])?;
        // SAFETY: as above; the kernel wrote the number of the entry.
        Ok(unsafe { self.at().read() }[0])
    }

    fn get(&self, entry: u32) -> [u32; 4] {
        // SAFETY: as above.
        unsafe { self.at().write([entry, 0, 0, 0]) };
        check::need(
            "get_thread_area",
            sys32::call(GET_THREAD_AREA, [self.0.addr as u32, 0, 0, 0]),
        );
        // SAFETY: as above.
        unsafe { self.at().read() }
    }

    fn table(&self) -> [[u32; 4]; 3] {
        [FIRST, FIRST + 1, FIRST + 2].map(|entry| self.get(entry))
    }
}

fn main() -> ExitCode {
    if !sys32::available() {
        check::skip("no 32-bit system calls in this kernel");
    }
    let life = Life::start();
    let low = || Spec {
        flags: ANON | libc::MAP_32BIT,
        ..Spec::default()
    };
    let desk = Desk(check::need("mmap below 4 GiB", Map::new(low())));
    let memory = check::need("mmap below 4 GiB", Map::new(low()));
    memory.fill_page(0, 12);
    let entry = check::need("set_thread_area", desk.set(ANY, memory.addr as u32, 0));
    check::same("the entry", &FIRST, &entry);
    check::need("set_thread_area", desk.set(FIRST + 2, 0x5000, 3));
    let selector = (entry << 3 | 3) as u16;
    regs::set_gs_selector(selector);
    let (before, word) = (desk.table(), regs::read_gs(24));
    check::that(
        word.to_le_bytes() == memory.page(0)[24..32],
        "the segment does not work",
    );

    let back = life.checkpoint();

    check::same("the gs selector", &selector, &regs::gs_selector());
    check::same("a word read through the segment", &word, &regs::read_gs(24));
    check::same("the array", &before, &desk.table());
    let entry = check::need("set_thread_area afterwards", desk.set(ANY, 0, 1));
    check::same("the entry that was free", &(FIRST + 1), &entry);
    regs::set_gs_selector(0);
    check::detail(format!("{back:?}"));
    check::verdict()
}
