// SPDX-License-Identifier: GPL-2.0

//! Thread-local variables, the bases of fs and gs, and what the kernel keeps per thread.

use std::cell::Cell;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::mem::Map;
use ckpt_guest::regs;
use ckpt_guest::sys;

thread_local! {
    static NUMBER: Cell<u64> = const { Cell::new(1) };
    static TEXT: Cell<[u8; 64]> = const { Cell::new([b'.'; 64]) };
}

/// Head and length of the robust futex list.
fn robust_list() -> [usize; 2] {
    let mut list = [0usize; 2];
    let at = list.as_mut_ptr() as usize;
    // SAFETY: the kernel writes two words.
    let ret = unsafe { sys::raw(libc::SYS_get_robust_list as usize, [0, at, at + 8, 0, 0, 0]) };
    check::need("get_robust_list", ret);
    list
}

/// Whether the restartable-sequence area is registered: the kernel refuses a second one.
fn rseq_again() -> Option<sys::Errno> {
    let area = regs::rseq_area();
    if area.is_empty() {
        return None;
    }
    // SAFETY: registering anew is refused; it would name the same area.
    let ret = unsafe {
        sys::raw(
            libc::SYS_rseq as usize,
            [area.start, 32, 0, 0x5305_3053, 0, 0],
        )
    };
    ret.err()
}

fn main() -> ExitCode {
    let life = Life::start();
    NUMBER.set(0xdead_beef_0000_0001);
    TEXT.set(std::array::from_fn(|i| i as u8));
    let memory = check::need("mmap", Map::anon(4096));
    memory.fill_page(0, 3);
    check::need("set the gs base", regs::set_gs_base(memory.addr + 64));
    let word = regs::read_gs(8);
    let before = (
        regs::fs_base(),
        regs::gs_base(),
        robust_list(),
        rseq_again(),
    );
    // errno is thread-local, too.
    // SAFETY: the C library's errno of this thread.
    unsafe { *libc::__errno_location() = 1234 };

    let back = life.checkpoint();

    // SAFETY: as above.
    let errno = unsafe { *libc::__errno_location() };
    check::same("errno", &1234, &errno);
    check::same(
        "a thread-local number",
        &0xdead_beef_0000_0001,
        &NUMBER.get(),
    );
    let text: [u8; 64] = std::array::from_fn(|i| i as u8);
    check::same("a thread-local array", &text, &TEXT.get());
    check::same("a word read through gs", &word, &regs::read_gs(8));
    let after = (
        regs::fs_base(),
        regs::gs_base(),
        robust_list(),
        rseq_again(),
    );
    check::same("fs base, gs base, robust list, rseq", &before, &after);
    let area = regs::rseq_area();
    if !area.is_empty() {
        // SAFETY: the area is in the thread block; its second word is the cpu.
        let cpu = unsafe { ((area.start + 4) as *const u32).read_volatile() };
        check::that(cpu < 4096, format!("rseq has no cpu number but {cpu:#x}"));
    }
    check::detail(format!("{back:?}"));
    check::verdict()
}
