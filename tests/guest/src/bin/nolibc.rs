// SPDX-License-Identifier: GPL-2.0
#![no_std]
#![no_main]

//! A statically linked program without a C library: its own start, its own calls.
//!
//! `nolibc IMAGE` checkpoints itself into IMAGE and verifies its memory. As the
//! smallest image there is, it also serves the tests that break images.
//! `nolibc IMAGE family` has before, in short, what an image can have besides: children,
//! one that has ended and one that sleeps, a thread, pipes, sockets, counters, timers,
//! signals, filters, guards, segments, a lock.
//! `nolibc loop` writes images of one and the same state to standard output, until
//! that is closed. `nolibc loop family` does so with the family.

#[path = "nolibc/mem.rs"]
mod mem;

use core::arch::asm;
use core::arch::global_asm;

const SYS_WRITE: usize = 1;
const SYS_OPEN: usize = 2;
const SYS_MMAP: isize = 9;
const SYS_GETPID: usize = 39;
/// Ends all threads.
const SYS_EXIT: usize = 231;
const SYS_CHECKPOINT: usize = 473;
/// O_WRONLY | O_CREAT | O_TRUNC
const CREATE: usize = 0o1101;
const LOG: usize = 1;
const KILL: usize = 2;

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
             in("rdx") c, in("r10") d, in("r8") 0usize, lateout("rcx") _, lateout("r11") _);
    }
    ret
}

/// MAP_ANONYMOUS, and MAP_SHARED or MAP_PRIVATE.
const SHARED: usize = 0x21;
const PRIVATE: usize = 0x22;

/// Four pages of new memory, to read and to write.
fn map(flags: usize) -> isize {
    let ret: isize;
    // SAFETY: a new mapping, where the kernel likes.
    unsafe {
        asm!("syscall", inlateout("rax") SYS_MMAP => ret, in("rdi") 0, in("rsi") 4 * 4096,
             in("rdx") 3, in("r10") flags, in("r8") -1, in("r9") 0, lateout("rcx") _,
             lateout("r11") _);
    }
    if ret < 0 {
        say(b"FAILED: mmap\n");
        exit(1);
    }
    ret
}

/// Shared memory of four pages, of which the last is written.
fn share() -> *mut u32 {
    let ret = map(SHARED);
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

/// The numbers of the calls of [`family`].
mod nr {
    pub const READ: usize = 0;
    pub const CLOSE: usize = 3;
    pub const SIGPROCMASK: usize = 14;
    pub const MADVISE: usize = 28;
    pub const NANOSLEEP: usize = 35;
    pub const SOCKETPAIR: usize = 53;
    pub const CLONE: usize = 56;
    pub const FORK: usize = 57;
    pub const KILL: usize = 62;
    pub const FCNTL: usize = 72;
    pub const MODIFY_LDT: usize = 154;
    pub const PRCTL: usize = 157;
    pub const SETAFFINITY: usize = 203;
    pub const TIMER_CREATE: usize = 222;
    pub const TIMER_SETTIME: usize = 223;
    pub const EPOLL_CTL: usize = 233;
    pub const WAITID: usize = 247;
    pub const TIMERFD_CREATE: usize = 283;
    pub const TIMERFD_SETTIME: usize = 286;
    pub const SIGNALFD: usize = 289;
    pub const EVENTFD: usize = 290;
    pub const EPOLL_CREATE: usize = 291;
    pub const PIPE: usize = 293;
    pub const SECCOMP: usize = 317;
    pub const PIDFD_OPEN: usize = 434;
}

/// A call that must not fail.
fn must(number: usize, a: usize, b: usize, c: usize, d: usize) -> usize {
    // SAFETY: those who call pass memory of their own, which is large enough.
    let ret = unsafe { call(number, a, b, c, d) };
    if ret < 0 {
        say(b"FAILED: a call of the family\n");
        exit(1);
    }
    ret as usize
}

fn pipe() -> [u32; 2] {
    let mut ends = [0u32; 2];
    must(nr::PIPE, (&raw mut ends) as usize, 0, 0, 0);
    // SAFETY: our own; the kernel has written it.
    unsafe { (&raw const ends).read_volatile() }
}

/// AF_UNIX, and SOCK_SEQPACKET or SOCK_STREAM.
fn sockets(kind: usize) -> [usize; 2] {
    let mut ends = [0u32; 2];
    must(nr::SOCKETPAIR, 1, kind, 0, (&raw mut ends) as usize);
    // SAFETY: our own; the kernel has written it.
    unsafe { (&raw const ends).read_volatile() }.map(|end| end as usize)
}

/// A thread that does nothing, until the process ends.
fn thread() {
    // CLONE_VM, _FS, _FILES, _SIGHAND, _THREAD, _SYSVSEM.
    const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000;
    let stack = map(PRIVATE) as usize + 4 * 4096;
    let ret: isize;
    // SAFETY: the thread has a stack of its own, which it does not use: it calls pause(2)
    // only. What it does not return from is none of the compiler's business.
    unsafe {
        asm!("syscall", "test rax, rax", "jnz 3f", "2:", "mov eax, 34", "syscall", "jmp 2b",
             "3:", inlateout("rax") nr::CLONE as isize => ret, in("rdi") FLAGS,
             in("rsi") stack, in("rdx") 0, in("r10") 0, in("r8") 0, lateout("rcx") _,
             lateout("r11") _);
    }
    if ret < 0 {
        say(b"FAILED: clone\n");
        exit(1);
    }
}

/// What an image of one process can have, and that of the smallest one has not.
fn equip() {
    // MADV_GUARD_INSTALL.
    must(nr::MADVISE, map(PRIVATE) as usize, 4096, 102, 0);
    // An entry of 16 bytes: number 0, at 4096, a limit of 16 pages, 32 bits, in pages.
    let entry = [0u32, 4096, 16, 0x51];
    must(nr::MODIFY_LDT, 0x11, (&raw const entry) as usize, 16, 0);
    let cpus = 1u64;
    must(nr::SETAFFINITY, 0, 8, (&raw const cpus) as usize, 0);
}

/// All that the image of a family has and that of one process has not.
fn family() {
    equip();
    // F_SETLK: F_RDLCK on all of what standard input is, which all may have.
    let lock = [0u64; 4];
    must(nr::FCNTL, 0, 6, (&raw const lock) as usize, 0);
    let full = pipe();
    must(SYS_WRITE, full[1] as usize, c"data".as_ptr() as usize, 4, 0);
    // Messages on both ways, and one that the closed end has left, and has not read.
    let talk = sockets(5);
    must(SYS_WRITE, talk[0], c"question".as_ptr() as usize, 8, 0);
    must(SYS_WRITE, talk[1], c"answer".as_ptr() as usize, 6, 0);
    let left = sockets(1);
    must(SYS_WRITE, left[0], c"unread".as_ptr() as usize, 6, 0);
    must(SYS_WRITE, left[1], c"left".as_ptr() as usize, 4, 0);
    must(nr::CLOSE, left[1], 0, 0, 0);
    let counter = must(nr::EVENTFD, 3, 0, 0, 0);
    let epoll = must(nr::EPOLL_CREATE, 0, 0, 0, 0);
    // EPOLLIN, and what it is told with.
    let event = [1u32, 7, 0];
    for fd in [counter, full[0] as usize] {
        // EPOLL_CTL_ADD
        must(nr::EPOLL_CTL, epoll, 1, fd, (&raw const event) as usize);
    }
    // In 1000 seconds, by the monotonic clock.
    let later = [0u64, 0, 1000, 0];
    let at = (&raw const later) as usize;
    let timer = must(nr::TIMERFD_CREATE, 1, 0, 0, 0);
    must(nr::TIMERFD_SETTIME, timer, 0, at, 0);
    let mut id = 0u32;
    must(nr::TIMER_CREATE, 1, 0, (&raw mut id) as usize, 0);
    must(nr::TIMER_SETTIME, id as usize, 0, at, 0);
    // SIGUSR1 is blocked, and waits.
    let mask = 1u64 << 9;
    must(nr::SIGNALFD, usize::MAX, (&raw const mask) as usize, 8, 0);
    must(nr::SIGPROCMASK, 0, (&raw const mask) as usize, 0, 8);
    must(nr::KILL, must(SYS_GETPID, 0, 0, 0, 0), 10, 0, 0);
    // Two filters that allow everything: SECCOMP_SET_MODE_FILTER, one with its flag LOG.
    let allow = [0x7fff_0000_0000_0006u64];
    let program = [1, allow.as_ptr() as usize];
    for flags in [0, 2] {
        must(nr::SECCOMP, 1, flags, (&raw const program) as usize, 0);
    }
    let ended = must(nr::FORK, 0, 0, 0, 0);
    if ended == 0 {
        exit(7);
    }
    // P_PID, WEXITED | WNOWAIT.
    must(nr::WAITID, 1, ended, 0, 4 | 0x0100_0000);
    must(nr::PIDFD_OPEN, ended, 0, 0, 0);
    // Not for long: whoever has lost its parent may have lost the signal of that, too.
    let (sleep, moment) = ([5u64, 0], [0u64, 200_000_000]);
    if must(nr::FORK, 0, 0, 0, 0) == 0 {
        must(nr::PRCTL, 1, 9, 0, 0);
        must(nr::NANOSLEEP, (&raw const sleep) as usize, 0, 0, 0);
        exit(0);
    }
    let hold = pipe();
    if must(nr::FORK, 0, 0, 0, 0) == 0 {
        // PR_SET_PDEATHSIG, SIGKILL.
        must(nr::PRCTL, 1, 9, 0, 0);
        must(nr::CLOSE, hold[1] as usize, 0, 0, 0);
        let mut byte = 0u8;
        must(nr::READ, hold[0] as usize, (&raw mut byte) as usize, 1, 0);
        exit(0);
    }
    thread();
    // Until the one sleeps and the other reads.
    must(nr::NANOSLEEP, (&raw const moment) as usize, 0, 0, 0);
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
        if word(stack, 0) > 2 {
            family();
        }
        // SAFETY: does not return.
        unsafe { ckpt_nolibc_loop() };
    }
    // SAFETY: `path` is a C string.
    let fd = unsafe { call(SYS_OPEN, path, CREATE, 0o644, 0) };
    if fd < 0 {
        say(b"FAILED: cannot create the image\n");
        exit(1);
    }
    if word(stack, 0) > 2 {
        family();
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
    let kill = environment_has(stack, b"CKPT_KILL=");
    let flags = if kill { LOG | KILL } else { LOG };
    // SAFETY: no memory is written.
    let ret = unsafe { call(nr, 0, fd as usize, flags, 2) };
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
