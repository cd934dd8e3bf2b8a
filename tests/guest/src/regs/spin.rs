// SPDX-License-Identifier: GPL-2.0

//! A loop in user code with all registers loaded, until a signal ends it: for tasks that
//! are stopped there, each thread for itself.

use super::random_area;
use super::Area;
use super::Component;
use super::Frame;
use super::NAMES;
use crate::rng::Rng;
use crate::sys;

// As for a call, but the frame is where gs begins: each thread has its own.
std::arch::global_asm!(
    ".globl ckpt_guest_spin_with_registers",
    "ckpt_guest_spin_with_registers:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov rax, gs:[272]",
    "mov rdx, rax",
    "shr rdx, 32",
    "mov rcx, gs:[280]",
    "xrstor64 [rcx]",
    "push qword ptr gs:[120]",
    "popfq",
    "mov rax, gs:[0]",
    "mov rbx, gs:[8]",
    "mov rcx, gs:[16]",
    "mov rdx, gs:[24]",
    "mov rsi, gs:[32]",
    "mov rdi, gs:[40]",
    "mov rbp, gs:[48]",
    "mov r8, gs:[56]",
    "mov r9, gs:[64]",
    "mov r10, gs:[72]",
    "mov r11, gs:[80]",
    "mov r12, gs:[88]",
    "mov r13, gs:[96]",
    "mov r14, gs:[104]",
    "mov r15, gs:[112]",
    "mov gs:[256], rsp",
    ".globl ckpt_guest_spins",
    "ckpt_guest_spins:",
    "jmp ckpt_guest_spins",
    ".globl ckpt_guest_has_spun",
    "ckpt_guest_has_spun:",
    "mov gs:[264], rsp",
    "mov gs:[128], rax",
    "mov gs:[136], rbx",
    "mov gs:[144], rcx",
    "mov gs:[152], rdx",
    "mov gs:[160], rsi",
    "mov gs:[168], rdi",
    "mov gs:[176], rbp",
    "mov gs:[184], r8",
    "mov gs:[192], r9",
    "mov gs:[200], r10",
    "mov gs:[208], r11",
    "mov gs:[216], r12",
    "mov gs:[224], r13",
    "mov gs:[232], r14",
    "mov gs:[240], r15",
    "pushfq",
    "pop qword ptr gs:[248]",
    "mov rax, gs:[272]",
    "mov rdx, rax",
    "shr rdx, 32",
    "mov rcx, gs:[288]",
    "xsave64 [rcx]",
    "mov rcx, gs:[296]",
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
);

extern "C" {
    fn ckpt_guest_spin_with_registers();
    fn ckpt_guest_spins();
    fn ckpt_guest_has_spun();
}

/// Ends the loop of [`spin`], when it has begun.
pub const SIGNAL: i32 = libc::SIGUSR1;

/// Carry, parity, adjust, zero, sign, direction, overflow, nested task, identification.
/// Not alignment check: the handler runs with it.
const FLAGS: u64 = 0x0020_4cd5;
/// Always set in user mode.
const FIXED: u64 = 0x202;

extern "C" fn leave(_: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let context = context.cast::<libc::ucontext_t>();
    let spins: unsafe extern "C" fn() = ckpt_guest_spins;
    let behind: unsafe extern "C" fn() = ckpt_guest_has_spun;
    // SAFETY: the kernel hands over the context of what was interrupted.
    unsafe {
        let at = &raw mut (*context).uc_mcontext.gregs[libc::REG_RIP as usize];
        if *at == spins as usize as i64 {
            *at = behind as usize as i64;
        }
    }
}

/// Has [`SIGNAL`] end the loops of this process.
pub fn handle_end() -> Result<(), sys::Errno> {
    // SAFETY: zeros are a valid sigaction, whose members are set.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = leave as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_RESTART;
        let set = libc::sigaction(SIGNAL, &action, std::ptr::null_mut());
        sys::libc_result(set).map(|_| ())
    }
}

/// Loops with registers of random contents until [`SIGNAL`] comes, for which
/// [`handle_end`] was called. An error names the first register that is another one then.
/// The thread's gs base is used.
pub fn spin(components: &[Component], rng: &mut Rng) -> Result<(), String> {
    let loaded = random_area(components, rng);
    let mut stored = Box::new(Area([0; super::AREA]));
    let reset = Area::initial();
    let mut frame = Box::new(Frame::new());
    frame.load = std::array::from_fn(|_| rng.next_u64());
    frame.flags = FLAGS | FIXED;
    frame.mask = components.iter().fold(0, |mask, c| mask | 1 << c.bit);
    frame.load_area = loaded.0.as_ptr() as u64;
    frame.store_area = stored.0.as_mut_ptr() as u64;
    frame.reset_area = reset.0.as_ptr() as u64;
    let at = &raw mut *frame;
    super::set_gs_base(at as usize).map_err(|e| format!("gs base: {e}"))?;
    // SAFETY: gs begins at the frame, which lives as long as the loop, as the areas do; the
    // assembly follows the C calling convention. It changes the frame behind the
    // compiler's back: it is read through the pointer.
    let frame = unsafe {
        ckpt_guest_spin_with_registers();
        at.read_volatile()
    };
    if super::gs_base() != at as u64 {
        return Err(format!("gs base {at:p} became {:#x}", super::gs_base()));
    }
    for (i, name) in NAMES.iter().enumerate() {
        differs(name, frame.load[i], frame.stored[i])?;
    }
    differs("flags", frame.flags, frame.flags_stored)?;
    differs("rsp", frame.sp[0], frame.sp[1])?;
    // Control and status of x87, MXCSR, and the contents.
    let parts = [("x87 control", 0..4), ("MXCSR", 24..28)];
    let contents = components.iter().map(|c| (c.name, c.at.clone()));
    for (name, part) in parts.into_iter().chain(contents) {
        if loaded.0[part.clone()] != stored.0[part] {
            return Err(format!("{name} differs"));
        }
    }
    Ok(())
}

fn differs(name: &str, before: u64, now: u64) -> Result<(), String> {
    if before == now {
        return Ok(());
    }
    Err(format!("{name} {before:#x} became {now:#x}"))
}
