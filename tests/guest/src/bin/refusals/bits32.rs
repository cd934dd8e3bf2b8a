// SPDX-License-Identifier: GPL-2.0

//! 32-bit programs and 32-bit calls are refused by name.

use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::sys;
use ckpt_guest::sys32;

const REFUSED: i32 = libc::EOPNOTSUPP;
const WORD: &str = "32-bit";
/// Where the program is loaded.
const BASE: u32 = 0x0804_8000;
const HEADERS: u32 = 52 + 32;

/// `exit(-checkpoint(0, image, LOG, log))`, as a program of one segment for i386.
fn program(image: i32, log: i32) -> Vec<u8> {
    let mut code = Vec::new();
    let mut load = |register: u8, value: u32| {
        code.push(0xb8 | register);
        code.extend(value.to_le_bytes());
    };
    // eax, ebx, ecx, edx, esi
    load(0, sys::NR_CHECKPOINT as u32);
    load(3, 0);
    load(1, image as u32);
    load(2, sys::LOG as u32);
    load(6, log as u32);
    // int 0x80; neg eax; mov ebx, eax; mov eax, 1; int 0x80
    code.extend([
        0xcd, 0x80, 0xf7, 0xd8, 0x89, 0xc3, 0xb8, 1, 0, 0, 0, 0xcd, 0x80,
    ]);
    let size = HEADERS + code.len() as u32;
    let mut file = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    // Executable, i386, version 1.
    for half in [2u16, 3, 1, 0] {
        file.extend(half.to_le_bytes());
    }
    // Entry, program headers at 52, no sections, no flags.
    for word in [BASE + HEADERS, 52, 0, 0] {
        file.extend(word.to_le_bytes());
    }
    for half in [52u16, 32, 1, 40, 0, 0] {
        file.extend(half.to_le_bytes());
    }
    // Load all of it, readable and executable.
    for word in [1, 0, BASE, BASE, size, size, 5, 0x1000] {
        file.extend(word.to_le_bytes());
    }
    file.extend(code);
    file
}

fn says_why(desk: &Desk, code: Option<i32>) -> Case {
    let said = desk.said();
    if code != Some(REFUSED) {
        return Err(format!("{code:?}, not {}: {said}", sys::Errno(REFUSED)));
    }
    if !said.contains(WORD) {
        return Err(format!("the log does not say {WORD}: {said}"));
    }
    pass_with(said)
}

/// A program of its own.
pub fn task(desk: &Desk) -> Case {
    if !sys32::available() {
        return skip("no 32-bit system calls in this kernel");
    }
    let path = desk.dir.join("bits32");
    let mut file = std::fs::File::create(&path).map_err(|e| e.to_string())?;
    file.write_all(&program(desk.image, desk.log))
        .map_err(|e| e.to_string())?;
    // SAFETY: a plain call on an open descriptor.
    unsafe { libc::fchmod(file.as_raw_fd(), 0o755) };
    drop(file);
    let (image, log) = (desk.image, desk.log);
    let mut command = std::process::Command::new(&path);
    // SAFETY: fcntl is safe between fork and exec.
    let keep = unsafe {
        command.pre_exec(move || {
            for fd in [image, log] {
                libc::fcntl(fd, libc::F_SETFD, 0);
            }
            Ok(())
        })
    };
    let status = keep.status().map_err(|e| format!("exec: {e}"))?;
    says_why(desk, status.code())
}

/// A 32-bit call of a 64-bit program.
pub fn call(desk: &Desk) -> Case {
    if !sys32::available() {
        return skip("no 32-bit system calls in this kernel");
    }
    let args = [0, desk.image as u32, sys::LOG as u32, desk.log as u32];
    let ret = sys32::call(sys::NR_CHECKPOINT as u32, args);
    says_why(desk, ret.err().map(|e| e.0))
}
