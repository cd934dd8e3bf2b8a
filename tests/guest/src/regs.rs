// SPDX-License-Identifier: GPL-2.0

//! Registers: what user code can load, and read again after a system call.

use std::ops::Range;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::rng::Rng;
use crate::sys;

pub mod spin;

/// Names of the registers in [`Frame::load`], in order; rcx and r11 belong to a call.
pub const NAMES: [&str; 15] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14",
    "r15",
];

/// What [`call`] loads and stores.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// Registers before the call; rax is the number of the call.
    pub load: [u64; 15],
    /// eflags before the call.
    pub flags: u64,
    /// Registers after the call.
    pub stored: [u64; 15],
    /// eflags after the call.
    pub flags_stored: u64,
    /// Stack pointer before and after.
    pub sp: [u64; 2],
    mask: u64,
    load_area: u64,
    store_area: u64,
    reset_area: u64,
}

impl Frame {
    /// All zeros.
    pub const fn new() -> Self {
        Self {
            load: [0; 15],
            flags: 0,
            stored: [0; 15],
            flags_stored: 0,
            sp: [0; 2],
            mask: 0,
            load_area: 0,
            store_area: 0,
            reset_area: 0,
        }
    }
}

impl Default for Frame {
    fn default() -> Self {
        Self::new()
    }
}

static mut FRAME: Frame = Frame::new();
static BUSY: AtomicBool = AtomicBool::new(false);

// Loads everything from the frame, makes the call, stores everything. The frame has
// a fixed address, since no register is left to hold one.
std::arch::global_asm!(
    ".globl ckpt_guest_call_with_registers",
    "ckpt_guest_call_with_registers:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov rax, [rip + {f} + 272]",
    "mov rdx, rax",
    "shr rdx, 32",
    "mov rcx, [rip + {f} + 280]",
    "xrstor64 [rcx]",
    "push qword ptr [rip + {f} + 120]",
    "popfq",
    "mov rax, [rip + {f}]",
    "mov rbx, [rip + {f} + 8]",
    "mov rcx, [rip + {f} + 16]",
    "mov rdx, [rip + {f} + 24]",
    "mov rsi, [rip + {f} + 32]",
    "mov rdi, [rip + {f} + 40]",
    "mov rbp, [rip + {f} + 48]",
    "mov r8, [rip + {f} + 56]",
    "mov r9, [rip + {f} + 64]",
    "mov r10, [rip + {f} + 72]",
    "mov r11, [rip + {f} + 80]",
    "mov r12, [rip + {f} + 88]",
    "mov r13, [rip + {f} + 96]",
    "mov r14, [rip + {f} + 104]",
    "mov r15, [rip + {f} + 112]",
    "mov [rip + {f} + 256], rsp",
    "syscall",
    "mov [rip + {f} + 264], rsp",
    "mov [rip + {f} + 128], rax",
    "mov [rip + {f} + 136], rbx",
    "mov [rip + {f} + 144], rcx",
    "mov [rip + {f} + 152], rdx",
    "mov [rip + {f} + 160], rsi",
    "mov [rip + {f} + 168], rdi",
    "mov [rip + {f} + 176], rbp",
    "mov [rip + {f} + 184], r8",
    "mov [rip + {f} + 192], r9",
    "mov [rip + {f} + 200], r10",
    "mov [rip + {f} + 208], r11",
    "mov [rip + {f} + 216], r12",
    "mov [rip + {f} + 224], r13",
    "mov [rip + {f} + 232], r14",
    "mov [rip + {f} + 240], r15",
    "pushfq",
    "pop qword ptr [rip + {f} + 248]",
    "mov rax, [rip + {f} + 272]",
    "mov rdx, rax",
    "shr rdx, 32",
    "mov rcx, [rip + {f} + 288]",
    "xsave64 [rcx]",
    "mov rcx, [rip + {f} + 296]",
    "xrstor64 [rcx]",
    "push 0x202",
    "popfq",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    f = sym FRAME,
);

const _: () = {
    assert!(std::mem::offset_of!(Frame, flags) == 120);
    assert!(std::mem::offset_of!(Frame, stored) == 128);
    assert!(std::mem::offset_of!(Frame, flags_stored) == 248);
    assert!(std::mem::offset_of!(Frame, sp) == 256);
    assert!(std::mem::offset_of!(Frame, mask) == 272);
    assert!(std::mem::offset_of!(Frame, load_area) == 280);
    assert!(std::mem::offset_of!(Frame, store_area) == 288);
    assert!(std::mem::offset_of!(Frame, reset_area) == 296);
};

extern "C" {
    fn ckpt_guest_call_with_registers();
}

/// Bytes of an XSAVE area here, at least.
pub const AREA: usize = 16384;

/// An XSAVE area.
#[repr(C, align(64))]
#[derive(Clone)]
pub struct Area(pub [u8; AREA]);

impl Area {
    /// The state that every program starts with.
    pub fn initial() -> Box<Self> {
        let mut area = Box::new(Self([0; AREA]));
        area.0[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
        area
    }
}

/// A part of the vector state: component number, name, bytes of the area.
#[derive(Clone, Debug)]
pub struct Component {
    /// Bit in XCR0.
    pub bit: u32,
    /// Name.
    pub name: &'static str,
    /// Bytes of the area in the non-compacted layout.
    pub at: Range<usize>,
}

fn cpuid(leaf: u32, subleaf: u32) -> std::arch::x86_64::CpuidResult {
    std::arch::x86_64::__cpuid_count(leaf, subleaf)
}

/// Whether XSAVE can be used.
pub fn has_xsave() -> bool {
    cpuid(1, 0).ecx >> 27 & 1 == 1
}

/// Whether the kernel has turned protection keys on.
pub fn has_pkeys() -> bool {
    cpuid(0, 0).eax >= 7 && cpuid(7, 0).ecx >> 4 & 1 == 1
}

/// Components that user code can use at once and that are compared as bytes.
pub fn components() -> Vec<Component> {
    let enabled = xcr0();
    let mut all = vec![
        Component {
            bit: 0,
            name: "x87",
            at: 32..160,
        },
        Component {
            bit: 1,
            name: "sse",
            at: 160..416,
        },
    ];
    for (bit, name) in [(2, "avx"), (5, "opmask"), (6, "zmm_hi256"), (7, "hi16_zmm")] {
        if enabled >> bit & 1 == 1 {
            let place = cpuid(0xd, bit);
            let start = place.ebx as usize;
            all.push(Component {
                bit,
                name,
                at: start..start + place.eax as usize,
            });
        }
    }
    all
}

fn xcr0() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: only called where XSAVE can be used, so that xgetbv exists.
    unsafe {
        std::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high);
    }
    u64::from(high) << 32 | u64::from(low)
}

/// x87 control word of [`random_area`]: rounds up, double precision, all masked.
pub const FCW: u16 = 0x0a7f;
/// x87 status word of it: top of stack 3, a condition code, two masked exceptions.
pub const FSW: u16 = 0x5921;
/// MXCSR of it: flush to zero, rounds to zero, all masked, all flags raised.
pub const MXCSR: u32 = 0xffbf;

/// An area with random contents in all components.
pub fn random_area(components: &[Component], rng: &mut Rng) -> Box<Area> {
    let mut area = Area::initial();
    let bytes = &mut area.0;
    bytes[0..2].copy_from_slice(&FCW.to_le_bytes());
    bytes[2..4].copy_from_slice(&FSW.to_le_bytes());
    bytes[4] = 0xff;
    bytes[24..28].copy_from_slice(&MXCSR.to_le_bytes());
    let mut present = 0u64;
    for component in components {
        rng.fill(&mut bytes[component.at.clone()]);
        present |= 1 << component.bit;
    }
    // Six bytes behind each x87 register are reserved.
    for register in 0..8 {
        bytes[32 + register * 16 + 10..32 + register * 16 + 16].fill(0);
    }
    bytes[512..520].copy_from_slice(&present.to_le_bytes());
    area
}

/// Makes a system call with all registers loaded, and says what they are afterwards.
///
/// # Safety
///
/// As for the call that `frame` describes; the program has one thread.
pub unsafe fn call(frame: &mut Frame, mask: u64, load: &Area, store: &mut Area) {
    assert!(!BUSY.swap(true, Ordering::Acquire), "one call at a time");
    let reset = Area::initial();
    frame.mask = mask;
    frame.load_area = load.0.as_ptr() as u64;
    frame.store_area = store.0.as_mut_ptr() as u64;
    frame.reset_area = reset.0.as_ptr() as u64;
    // SAFETY: BUSY keeps the frame ours; the areas are aligned and large enough;
    // the assembly follows the C calling convention.
    unsafe {
        (&raw mut FRAME).write(*frame);
        ckpt_guest_call_with_registers();
        *frame = (&raw const FRAME).read();
    }
    BUSY.store(false, Ordering::Release);
}

const ARCH_SET_GS: usize = 0x1001;
const ARCH_GET_FS: usize = 0x1003;
const ARCH_GET_GS: usize = 0x1004;

fn base(which: usize) -> u64 {
    let mut value = 0u64;
    let to = (&raw mut value) as usize;
    // SAFETY: the kernel writes eight bytes to `value`.
    let _ = unsafe { sys::raw(libc::SYS_arch_prctl as usize, [which, to, 0, 0, 0, 0]) };
    value
}

/// Base address of fs, as the kernel knows it.
pub fn fs_base() -> u64 {
    base(ARCH_GET_FS)
}

/// Base address of gs, as the kernel knows it.
pub fn gs_base() -> u64 {
    base(ARCH_GET_GS)
}

/// Sets the base address of gs, which nothing else in this program uses.
pub fn set_gs_base(value: usize) -> sys::Ret {
    sys::plain(libc::SYS_arch_prctl, &[ARCH_SET_GS, value])
}

/// Reads eight bytes through gs. The address must be mapped.
pub fn read_gs(offset: usize) -> u64 {
    let value: u64;
    // SAFETY: reads memory only; an unmapped address ends the program.
    unsafe { std::arch::asm!("mov {}, gs:[{}]", out(reg) value, in(reg) offset) };
    value
}

/// The gs selector.
pub fn gs_selector() -> u16 {
    let value: u32;
    // SAFETY: reads a register.
    unsafe { std::arch::asm!("mov {:e}, gs", out(reg) value) };
    value as u16
}

/// Loads the gs selector, which nothing else in this program uses.
pub fn set_gs_selector(selector: u16) {
    // SAFETY: gs is not used by compiled code; a bad selector ends the program.
    unsafe { std::arch::asm!("mov gs, {:x}", in(reg) selector) };
}

/// The ds and es selectors.
pub fn data_selectors() -> (u16, u16) {
    let (ds, es): (u32, u32);
    // SAFETY: reads registers.
    unsafe { std::arch::asm!("mov {:e}, ds", "mov {:e}, es", out(reg) ds, out(reg) es) };
    (ds as u16, es as u16)
}

/// Loads the ds and es selectors.
pub fn set_data_selectors(ds: u16, es: u16) {
    // SAFETY: in 64-bit mode nothing is addressed by them; a bad one ends the program.
    unsafe { std::arch::asm!("mov ds, {:x}", "mov es, {:x}", in(reg) ds, in(reg) es) };
}

/// The protection-key rights register. Only where [`has_pkeys`].
pub fn pkru() -> u32 {
    let value: u32;
    // SAFETY: the caller has made sure that the register exists.
    unsafe { std::arch::asm!("rdpkru", in("ecx") 0, out("eax") value, out("edx") _) };
    value
}

/// Sets the protection-key rights register. Only where [`has_pkeys`].
pub fn set_pkru(value: u32) {
    // SAFETY: as in `pkru`; the tests change the rights of their own keys only.
    unsafe { std::arch::asm!("wrpkru", in("eax") value, in("ecx") 0, in("edx") 0) };
}

extern "C" {
    static __rseq_offset: isize;
    static __rseq_size: libc::c_uint;
}

/// The C library's restartable-sequence area; empty if it has none.
pub fn rseq_area() -> Range<usize> {
    // SAFETY: constants of the C library, set before main.
    let (offset, size) = unsafe { (__rseq_offset, __rseq_size) };
    if size == 0 {
        return 0..0;
    }
    let thread: usize;
    // SAFETY: the first word of the thread block is its own address.
    unsafe { std::arch::asm!("mov {}, fs:[0]", out(reg) thread) };
    let start = thread.wrapping_add_signed(offset);
    start..start + (size as usize).max(32)
}
