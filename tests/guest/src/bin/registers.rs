// SPDX-License-Identifier: GPL-2.0

//! Every register and flag, loaded before the call and compared after it.
//!
//! rcx and r11 belong to the system call. Compared as well: x87 with its control
//! and status words, MXCSR, SSE, AVX and AVX-512 where the processor has them.

use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::regs;
use ckpt_guest::regs::Area;
use ckpt_guest::regs::Frame;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;

/// Carry, parity, adjust, zero, sign, direction, overflow, nested task, alignment check,
/// identification. Not the two of debuggers, trap and resume.
const FLAGS: u64 = 0x0024_4cd5;
/// Always set in user mode.
const FIXED: u64 = 0x202;

fn main() -> ExitCode {
    if !regs::has_xsave() {
        check::skip("the processor has no xsave");
    }
    let life = Life::start();
    let mut rng = Rng::new(1);
    let components = regs::components();
    let mask = components.iter().fold(0, |m, c| m | 1 << c.bit);
    let loaded = regs::random_area(&components, &mut rng);
    let mut stored = Box::new(Area([0; regs::AREA]));

    let mut frame = Frame::new();
    frame.load = std::array::from_fn(|_| rng.next_u64());
    frame.load[0] = life.call_number() as u64;
    frame.load[3] = life.flags() as u64;
    frame.load[4] = life.image() as u64;
    frame.load[5] = 0;
    frame.load[9] = 2;
    frame.flags = FLAGS | FIXED;
    // SAFETY: checkpoint(2) takes numbers, and comes back with the same memory.
    unsafe { regs::call(&mut frame, mask, &loaded, &mut stored) };
    let back = life.returned(sys::result(frame.stored[0] as isize));

    for (i, name) in regs::NAMES.iter().enumerate() {
        if !["rax", "rcx", "r11"].contains(name) {
            check::same(name, &hex(frame.load[i]), &hex(frame.stored[i]));
        }
    }
    check::same("rsp", &hex(frame.sp[0]), &hex(frame.sp[1]));
    check::same("flags", &hex(frame.flags), &hex(frame.flags_stored));
    for (name, at) in [
        ("x87 control word", 0..2),
        ("x87 status word", 2..4),
        ("MXCSR", 24..28),
    ] {
        check::same(name, &loaded.0[at.clone()], &stored.0[at]);
    }
    check::same("x87 tags", &loaded.0[4], &stored.0[4]);
    for component in &components {
        let step = if component.bit == 0 { 16 } else { 8 };
        for start in component.at.clone().step_by(step) {
            // Ten bytes of each x87 register are its value.
            let end = start + if component.bit == 0 { 10 } else { 8 };
            let what = format!("{} at byte {start}", component.name);
            check::same(&what, &loaded.0[start..end], &stored.0[start..end]);
        }
    }
    let names: Vec<&str> = components.iter().map(|c| c.name).collect();
    check::detail(format!("{back:?}, {}", names.join(" ")));
    check::verdict()
}

fn hex(value: u64) -> String {
    format!("{value:#x}")
}
