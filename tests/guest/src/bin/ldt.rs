// SPDX-License-Identifier: GPL-2.0

//! Entries of the local descriptor table in use: a data segment that is read through gs,
//! and two that ds and es name.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::ANON;
use ckpt_guest::regs;
use ckpt_guest::sys;

/// 32-bit segment, limit in pages, usable.
const FLAGS: u32 = 1 | 1 << 4 | 1 << 6;

fn set(entry: u32, base: u32, limit: u32) -> sys::Ret {
    let desc = [entry, base, limit, FLAGS];
    let at = desc.as_ptr() as usize;
    // SAFETY: the kernel reads 16 bytes; nothing here uses the table but this test.
    unsafe { sys::raw(libc::SYS_modify_ldt as usize, [0x11, at, 16, 0, 0, 0]) }
}

fn table() -> Vec<u8> {
    let mut bytes = vec![0u8; 8192 * 8];
    let at = bytes.as_mut_ptr() as usize;
    // SAFETY: the kernel writes at most the length that it is told.
    let ret = unsafe { sys::raw(libc::SYS_modify_ldt as usize, [0, at, bytes.len(), 0, 0, 0]) };
    bytes.truncate(check::need("read the table", ret));
    bytes
}

fn main() -> ExitCode {
    let life = Life::start();
    let low = Spec {
        flags: ANON | libc::MAP_32BIT,
        ..Spec::default()
    };
    let memory = check::need("mmap below 4 GiB", Map::new(low));
    memory.fill_page(0, 11);
    for (entry, base, limit) in [
        (3, memory.addr as u32, 0),
        (0, 0x1000, 7),
        (700, 0, 0xfffff),
    ] {
        match set(entry, base, limit) {
            Err(errno) if errno.0 == libc::ENOSYS => check::skip("no modify_ldt"),
            ret => check::need("modify_ldt", ret),
        };
    }
    regs::set_gs_selector(3 << 3 | 7);
    let (before, word, selector) = (table(), regs::read_gs(16), regs::gs_selector());
    // Nothing is read through these two: 64-bit code has them flat.
    regs::set_data_selectors(700 << 3 | 7, 3 << 3 | 7);
    let data = regs::data_selectors();
    check::same("ds and es", &(700 << 3 | 7, 3 << 3 | 7), &data);
    check::that(
        word.to_le_bytes() == memory.page(0)[16..24],
        "the segment does not work",
    );

    let back = life.checkpoint();

    check::same("the gs selector", &selector, &regs::gs_selector());
    check::same("ds and es", &data, &regs::data_selectors());
    check::same("a word read through the segment", &word, &regs::read_gs(16));
    check::that(before == table(), "the table differs");
    check::need("modify_ldt afterwards", set(4, 0, 1));
    regs::set_gs_selector(0);
    regs::set_data_selectors(0, 0);
    check::detail(format!("{back:?}, table of {} bytes", before.len()));
    check::verdict()
}
