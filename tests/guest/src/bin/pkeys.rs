// SPDX-License-Identifier: GPL-2.0

//! Protection keys: which are allocated, what they guard, and the rights register.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::procfs;
use ckpt_guest::regs;
use ckpt_guest::sys;

fn alloc() -> sys::Ret {
    sys::plain(libc::SYS_pkey_alloc, &[0, 0])
}

fn key_of(map: &Map) -> usize {
    let all = procfs::own_mappings();
    let found = procfs::mapping_at(&all, map.addr);
    *found
        .and_then(|m| m.numbers.get("ProtectionKey"))
        .unwrap_or(&0)
}

/// Is the page there, so that touching it will not fault?
fn is_there(map: &Map) -> bool {
    let mut there = 0u8;
    let args = [map.addr, map.len, (&raw mut there) as usize];
    let done = sys::plain(libc::SYS_mincore, &args).is_ok();
    done && std::hint::black_box(there) & 1 == 1
}

fn main() -> ExitCode {
    if !regs::has_pkeys() {
        check::skip("the processor or the kernel has no protection keys");
    }
    let life = Life::start();
    let first = check::need("pkey_alloc", alloc());
    let second = check::need("pkey_alloc", alloc());
    let gap = check::need("pkey_alloc", alloc());
    let third = check::need("pkey_alloc", alloc());
    check::need("pkey_free", sys::plain(libc::SYS_pkey_free, &[gap]));
    let memory = check::need("mmap", Map::anon(4 * mem::PAGE));
    for page in 0..4 {
        memory.fill_page(page, page as u64);
    }
    for (page, key) in [(0, first), (2, second)] {
        let part = memory.part(page, 1);
        let args = [part.addr, part.len, mem::RW as usize, key];
        let ret = sys::plain(libc::SYS_pkey_mprotect, &args);
        check::need("pkey_mprotect", ret);
    }
    let held = Spec {
        prot: libc::PROT_READ,
        ..Spec::default()
    };
    let held = check::need("mmap", Map::new(held));
    let args = [held.addr, held.len, libc::PROT_READ as usize, first];
    let ret = sys::plain(libc::SYS_pkey_mprotect, &args);
    check::need("pkey_mprotect", ret);
    check::need("mlock", held.lock(0));
    check::that(is_there(&held), "locked memory is not there");
    let exec = check::need("mmap", Map::anon(mem::PAGE));
    check::need("execute-only memory", exec.protect(libc::PROT_EXEC));
    // No access by the first key, no writing by the second.
    let rights = regs::pkru() & !(3 << (2 * first) | 3 << (2 * second));
    regs::set_pkru(rights | 1 << (2 * first) | 2 << (2 * second));
    let before = (regs::pkru(), key_of(&exec));
    let next = sys::in_child(10, || alloc().map_or(99, |key| key as i32));

    let back = life.checkpoint();

    check::same(
        "rights and execute-only key",
        &before,
        &(regs::pkru(), key_of(&exec)),
    );
    check::that(mem::faults(memory.addr), "the first key no longer guards");
    check::that(
        is_there(&held),
        "locked memory that a key guards is not there",
    );
    check::that(
        !mem::faults(memory.part(2, 1).addr),
        "the second key forbids reading",
    );
    check::same("key of page 0", &first, &key_of(&memory.part(0, 1)));
    check::same("key of page 2", &second, &key_of(&memory.part(2, 1)));
    regs::set_pkru(rights);
    for page in 0..4 {
        check::that(
            memory.page_is(page, page as u64),
            format!("page {page} differs"),
        );
    }
    let again = sys::in_child(10, || alloc().map_or(99, |key| key as i32));
    check::same("the next key to be had", &next, &again);
    let freed = sys::plain(libc::SYS_pkey_free, &[third]);
    check::that(freed.is_ok(), "the third key is no longer allocated");
    check::detail(format!("{back:?}, keys {first} {second} {third}"));
    check::verdict()
}
