// SPDX-License-Identifier: GPL-2.0

//! restart(2) with random registers, which are all compared when it has failed.

use std::hint::black_box;

use ckpt_guest::desk::Desk;
use ckpt_guest::regs;
use ckpt_guest::regs::Area;
use ckpt_guest::regs::Frame;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;

/// Carry, parity, adjust, zero, sign, direction, overflow, alignment check.
const FLAGS: u64 = 0x0004_0cd5;
/// Always set in user mode.
const FIXED: u64 = 0x202;
/// Words of the stack that are compared.
const STACK: usize = 2048;
/// The data segment of user mode, and one of the LDT.
const SEGMENTS: [u16; 2] = [0x2b, 70 << 3 | 7];

/// ds, es, fs, gs.
fn segments() -> [u16; 4] {
    let (ds, es) = regs::data_selectors();
    let fs: u32;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mov {:e}, fs", out(reg) fs) };
    [ds, es, fs as u16, regs::gs_selector()]
}

/// All that is beside the frame: segments, their bases, keys.
fn others() -> ([u16; 4], [u64; 2], u32) {
    let pkru = if regs::has_pkeys() { regs::pkru() } else { 0 };
    (segments(), [regs::fs_base(), regs::gs_base()], pkru)
}

/// The call, which must fail; its errno.
pub fn refused(desk: &Desk, rng: &mut Rng) -> Result<Errno, String> {
    if !regs::has_xsave() {
        return Err("the processor has no xsave".to_string());
    }
    let components = regs::components();
    let mask = components.iter().fold(0, |m, c| m | 1 << c.bit);
    let loaded = regs::random_area(&components, rng);
    let mut stored = Box::new(Area([0; regs::AREA]));
    let mut frame = Frame::new();
    frame.load = std::array::from_fn(|_| rng.next_u64());
    frame.load[0] = sys::NR_RESTART as u64;
    frame.load[3] = sys::LOG as u64;
    frame.load[4] = desk.image as u64;
    frame.load[5] = 0;
    frame.load[9] = desk.log as u64;
    frame.flags = rng.next_u64() & FLAGS | FIXED;
    let stack: [u64; STACK] = std::array::from_fn(|_| rng.next_u64());
    let copy = Box::new(stack);
    regs::set_data_selectors(SEGMENTS[0], SEGMENTS[1]);
    if regs::has_pkeys() {
        // All rights to what has no key of its own.
        regs::set_pkru(rng.next_u64() as u32 & !3);
    }
    let before = others();
    let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
    // SAFETY: restart(2) takes numbers, and comes back with the same memory.
    unsafe { regs::call(&mut frame, mask, &loaded, &mut stored) };
    let after = others();
    regs::set_data_selectors(0, 0);
    if *black_box(&stack) != *copy {
        return Err("the stack differs".to_string());
    }
    if before != after {
        return Err(format!(
            "segments, bases, keys: {before:x?}, then {after:x?}"
        ));
    }
    for (i, name) in regs::NAMES.iter().enumerate() {
        if !["rax", "rcx", "r11"].contains(name) && frame.load[i] != frame.stored[i] {
            let (was, is) = (frame.load[i], frame.stored[i]);
            return Err(format!("{name} was {was:#x}, is {is:#x}"));
        }
    }
    if frame.sp[0] != frame.sp[1] || frame.flags != frame.flags_stored {
        return Err(format!("stack pointer or flags: {frame:x?}"));
    }
    // Control and status word, tags, MXCSR.
    let mut parts = vec![("x87", 0..5), ("MXCSR", 24..28)];
    for component in &components {
        let step = if component.bit == 0 { 16 } else { 8 };
        for start in component.at.clone().step_by(step) {
            // Ten bytes of each x87 register are its value.
            let end = start + if component.bit == 0 { 10 } else { 8 };
            parts.push((component.name, start..end));
        }
    }
    for (name, at) in parts {
        if loaded.0[at.clone()] != stored.0[at.clone()] {
            return Err(format!("{name} differs at byte {}", at.start));
        }
    }
    match sys::result(frame.stored[0] as isize) {
        Err(errno) => Ok(errno),
        Ok(value) => Err(format!("the call returned {value}")),
    }
}
