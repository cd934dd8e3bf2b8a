// SPDX-License-Identifier: GPL-2.0
#![no_std]
#![no_main]

//! A statically linked program without a C library: its own start, its own calls.
//!
//! `nolibc IMAGE` checkpoints itself into IMAGE and verifies its memory. As the
//! smallest image there is, it also serves the tests that break images.
//! `nolibc loop` writes images of one and the same state to standard output, until
//! that is closed.

use core::arch::asm;
use core::arch::global_asm;

const SYS_WRITE: usize = 1;
const SYS_OPEN: usize = 2;
const SYS_MMAP: isize = 9;
const SYS_GETPID: usize = 39;
const SYS_EXIT: usize = 60;
const SYS_CHECKPOINT: usize = 473;
/// O_WRONLY | O_CREAT | O_TRUNC
const CREATE: usize = 0o1101;
const LOG: usize = 1;

static mut DATA: [u32; 64] = [0x5eed; 64];
static mut ZEROS: [u32; 64] = [0; 64];

global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "mov rdi, rsp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    main = sym start,
);

// The loop holds no counter and no result: what it checkpoints is always the same.
// The flags are made equal, too, before each call.
global_asm!(
    ".globl ckpt_nolibc_loop",
    "ckpt_nolibc_loop:",
    "mov edi, 0",
    "mov esi, 1",
    "mov edx, 0",
    "mov r10d, 0",
    "2:",
    "mov eax, 473",
    "xor r8d, r8d",
    "syscall",
    "test rax, rax",
    "jg 2b",
    "mov edi, eax",
    "neg edi",
    "mov eax, 60",
    "syscall",
    "ud2",
);

extern "C" {
    fn ckpt_nolibc_loop() -> !;
}

/// # Safety
///
/// As for the call.
unsafe fn call(nr: usize, a: usize, b: usize, c: usize, d: usize) -> isize {
    let ret;
    // SAFETY: the kernel clobbers rax, rcx and r11 only.
    unsafe {
        asm!("syscall", inlateout("rax") nr as isize => ret, in("rdi") a, in("rsi") b,
             in("rdx") c, in("r10") d, lateout("rcx") _, lateout("r11") _);
    }
    ret
}

/// Shared memory of four pages, of which the last is written.
fn share() -> *mut u32 {
    let ret: isize;
    // PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS.
    // SAFETY: a new mapping, where the kernel likes.
    unsafe {
        asm!("syscall", inlateout("rax") SYS_MMAP => ret, in("rdi") 0, in("rsi") 4 * 4096,
             in("rdx") 3, in("r10") 0x21, in("r8") -1, in("r9") 0, lateout("rcx") _,
             lateout("r11") _);
    }
    if ret < 0 {
        say(b"FAILED: mmap\n");
        exit(1);
    }
    // SAFETY: the last page of the mapping.
    let last = unsafe { (ret as *mut u8).add(3 * 4096) }.cast::<u32>();
    // SAFETY: as above.
    unsafe { last.write_volatile(0x5ea) };
    last
}

fn say(text: &[u8]) {
    // SAFETY: the kernel reads the slice only.
    unsafe { call(SYS_WRITE, 1, text.as_ptr() as usize, text.len(), 0) };
}

fn exit(status: usize) -> ! {
    // SAFETY: the call does not return.
    unsafe { call(SYS_EXIT, status, 0, 0, 0) };
    loop {
        core::hint::spin_loop();
    }
}

/// The words at the start of the stack: argc, argv, a null, the environment.
fn word(stack: *const usize, index: usize) -> usize {
    // SAFETY: the kernel puts them there; the index is below argc, or the null.
    unsafe { stack.add(index).read() }
}

fn environment_has(stack: *const usize, name: &[u8]) -> bool {
    let mut at = word(stack, 0) + 2;
    loop {
        let text = word(stack, at) as *const u8;
        if text.is_null() {
            return false;
        }
        // SAFETY: a C string; the comparison stops at the first difference.
        if (0..name.len()).all(|i| unsafe { text.add(i).read() } == name[i]) {
            return true;
        }
        at += 1;
    }
}

extern "C" fn start(stack: *const usize) -> ! {
    if word(stack, 0) < 2 {
        say(b"FAILED: the image's path is missing\n");
        exit(1);
    }
    let path = word(stack, 2);
    // SAFETY: a C string of at least one byte; the second is read if there is a first.
    if unsafe { (path as *const u8).read() } == b'l' {
        // SAFETY: does not return.
        unsafe { ckpt_nolibc_loop() };
    }
    // SAFETY: `path` is a C string.
    let fd = unsafe { call(SYS_OPEN, path, CREATE, 0o644, 0) };
    if fd < 0 {
        say(b"FAILED: cannot create the image\n");
        exit(1);
    }
    let shared = share();
    let mut local = [0u32; 64];
    for (i, value) in local.iter_mut().enumerate() {
        *value = i as u32;
        // SAFETY: one thread; the index is below 64.
        unsafe {
            (&raw mut ZEROS)
                .cast::<u32>()
                .add(i)
                .write_volatile(!*value)
        };
    }
    let dry = environment_has(stack, b"CKPT_DRY=");
    let nr = if dry { SYS_GETPID } else { SYS_CHECKPOINT };
    // SAFETY: no memory is written.
    let ret = unsafe { call(nr, 0, fd as usize, LOG, 2) };
    if ret < 0 {
        say(b"FAILED: checkpoint\n");
        exit(1);
    }
    // SAFETY: the page of share().
    if unsafe { shared.read_volatile() } != 0x5ea {
        say(b"FAILED: shared memory differs\n");
        exit(1);
    }
    for (i, value) in local.iter().enumerate() {
        // SAFETY: one thread; the index is below 64.
        let (zero, data) = unsafe {
            (
                (&raw const ZEROS).cast::<u32>().add(i).read_volatile(),
                (&raw const DATA).cast::<u32>().add(i).read_volatile(),
            )
        };
        let value = core::hint::black_box(*value);
        if value != i as u32 || zero != !value || data != 0x5eed {
            say(b"FAILED: memory differs\n");
            exit(1);
        }
    }
    exit(0)
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    say(b"FAILED: panic\n");
    exit(1)
}

// Without a C library these must come from somewhere.

/// # Safety
///
/// As for memset(3).
#[no_mangle]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("rep stosb", inout("rdi") to => _, in("al") value as u8, inout("rcx") len => _);
    }
    to
}

/// # Safety
///
/// As for memcpy(3).
#[no_mangle]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") len => _);
    }
    to
}
