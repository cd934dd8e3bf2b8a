// SPDX-License-Identifier: GPL-2.0

//! General registers, segments, flags.
//!
//! Follows `struct pt_regs` at the entry of a system call, as ptrace and
//! sigreturn do. Not saved: debug registers, which only a tracer can set; a
//! task that has some is refused.

use crate::format::call::goes_on;
use crate::format::call::NR_MAX;
use crate::format::cpu::seg;
use crate::format::cpu::Cpu;
use crate::format::cpu::FIXED_FLAGS;
use crate::format::cpu::USER_FLAGS;
use kernel::bindings;
use kernel::prelude::*;

/// Selector of 64-bit user code, RPL 3.
const USER_CS: u16 = bindings::GDT_ENTRY_DEFAULT_USER_CS as u16 * 8 + 3;
/// Selector of user data, RPL 3.
const USER_DS: u16 = bindings::GDT_ENTRY_DEFAULT_USER_DS as u16 * 8 + 3;
/// First thread-local storage selector, RPL 3.
const TLS: u16 = bindings::GDT_ENTRY_TLS_MIN as u16 * 8 + 3;

/// All thread-local storage selectors.
const TLS_SELECTORS: [u16; 3] = [TLS, TLS + 8, TLS + 16];

/// The trap flag of eflags.
const TRAP_FLAG: u64 = 1 << 8;

/// The image's code for a selector that user code has loaded.
///
/// `None` for a selector that an image cannot hold.
fn encode(selector: u16) -> Option<u16> {
    match selector {
        // All four null selectors are one to the processor.
        0..=3 => Some(seg::NULL),
        USER_CS => Some(seg::USER64_CS),
        USER_DS => Some(seg::USER64_DS),
        s if s & 7 == 7 => Some(seg::LDT | s >> 3),
        s if TLS_SELECTORS.contains(&s) => Some(seg::TLS | s.wrapping_sub(TLS) >> 3),
        _ => None,
    }
}

/// The selector for a code; the record was validated.
fn decode(code: u16) -> u16 {
    match code {
        seg::USER64_CS => USER_CS,
        seg::USER64_DS => USER_DS,
        c if c & seg::LDT != 0 => (c & 0x1fff) << 3 | 7,
        c if c & seg::TLS != 0 => TLS.wrapping_add((c & 3) << 3),
        _ => 0,
    }
}

/// The flags that a restarted task gets: from `image` what user code can set,
/// the rest as it is in user mode.
fn sanitise_flags(image: u64) -> u64 {
    image & USER_FLAGS | FIXED_FLAGS
}

/// The registers with which the current task entered its system call.
///
/// A restarted task returns 0 from it.
///
/// # Errors
///
/// EOPNOTSUPP for a segment selector that an image cannot hold.
pub(crate) fn save() -> Result<Cpu> {
    let mut cpu = Cpu::zeroed();
    // SAFETY: The current task is in a system call: its user registers are at
    // the top of its stack and do not change.
    let regs = unsafe { &*bindings::ckpt_regs() };
    cpu.bx = regs.bx as u64;
    cpu.cx = regs.cx as u64;
    cpu.dx = regs.dx as u64;
    cpu.si = regs.si as u64;
    cpu.di = regs.di as u64;
    cpu.bp = regs.bp as u64;
    cpu.ax = 0;
    cpu.orig_ax = u64::MAX;
    cpu.ip = regs.ip as u64;
    cpu.flags = sanitise_flags(regs.flags as u64);
    // SAFETY: Looks at the current task.
    if unsafe { bindings::ckpt_has_forced_tf() } {
        // A debugger steps through the task; the image has no debugger.
        cpu.flags &= !TRAP_FLAG;
    }
    cpu.sp = regs.sp as u64;
    cpu.r8 = regs.r8 as u64;
    cpu.r9 = regs.r9 as u64;
    cpu.r10 = regs.r10 as u64;
    cpu.r11 = regs.r11 as u64;
    cpu.r12 = regs.r12 as u64;
    cpu.r13 = regs.r13 as u64;
    cpu.r14 = regs.r14 as u64;
    cpu.r15 = regs.r15 as u64;
    let (mut ds, mut es, mut fs, mut gs) = (0, 0, 0, 0);
    // SAFETY: Reads the segment registers of this processor, which are the
    // task's: the kernel changes none of them on entry.
    unsafe {
        bindings::ckpt_read_segments(&mut ds, &mut es, &mut fs, &mut gs);
        let [fs_base, gs_base] = bases();
        cpu.fs_base = fs_base;
        cpu.gs_base = gs_base;
    }
    cpu.cs = seg::USER64_CS;
    cpu.ss = seg::USER64_DS;
    for (to, selector) in [
        (&mut cpu.ds, ds),
        (&mut cpu.es, es),
        (&mut cpu.fs, fs),
        (&mut cpu.gs, gs),
    ] {
        *to = encode(selector).ok_or(EOPNOTSUPP)?;
    }
    cpu.used_math = 1;
    cpu.has_fxsr = 1;
    cpu.xstate_size = super::fpu::size();
    Ok(cpu)
}

/// The registers of the current task at its way back to user mode, wherever it
/// came from.
///
/// # Errors
///
/// As [`save`].
pub(crate) fn save_interrupted() -> Result<Cpu> {
    let mut cpu = save()?;
    // SAFETY: As in save().
    let regs = unsafe { &*bindings::ckpt_regs() };
    cpu.ax = regs.ax as u64;
    // Like the entry code, which takes the number from the lower half.
    cpu.orig_ax = match regs.orig_ax as u32 {
        nr if u64::from(nr) <= NR_MAX => nr.into(),
        u32::MAX => u64::MAX,
        _ if goes_on(cpu.ax) => return Err(EOPNOTSUPP),
        _ => u64::MAX,
    };
    Ok(cpu)
}

/// Is the current task between two instructions of user code, as far as its
/// registers tell? Not when it runs task work in the middle of a call.
pub(crate) fn at_boundary() -> bool {
    // SAFETY: As in save(). The entry code stores -ENOSYS until there is a result.
    let regs = unsafe { &*bindings::ckpt_regs() };
    regs.orig_ax as isize == -1 || regs.ax as isize != ENOSYS.to_errno() as isize
}

/// Ends a restartable sequence in progress, as every interruption does.
pub(crate) fn settle() {
    // SAFETY: As in save(); the call changes the instruction pointer only if it
    // is in such a sequence.
    unsafe { bindings::ckpt_rseq_abort(bindings::ckpt_regs()) };
}

/// # Safety
///
/// Reads the bases of the current processor.
unsafe fn bases() -> [u64; 2] {
    // SAFETY: By the contract; the shim disables preemption for each.
    unsafe { [bindings::ckpt_fs_base(), bindings::ckpt_gs_base()] }
}

/// The segment registers of the current task.
///
/// A context switch in the middle of a restart reloads selectors when the
/// descriptors of the caller are not in place; dropping loads them again.
pub(crate) struct Segments {
    selectors: [u16; 4],
    bases: [u64; 2],
    keep: bool,
}

impl Segments {
    /// Remembers the segment registers.
    pub(crate) fn remember() -> Self {
        let mut selectors = [0; 4];
        let [ds, es, fs, gs] = &mut selectors;
        // SAFETY: Reads the segment registers of this processor, which are
        // the task's: the kernel changes none of them on entry.
        let bases = unsafe {
            bindings::ckpt_read_segments(ds, es, fs, gs);
            bases()
        };
        Self {
            selectors,
            bases,
            keep: true,
        }
    }

    /// Forgets them: the restarted task has its own.
    pub(crate) fn forget(&mut self) {
        self.keep = false;
    }
}

impl Drop for Segments {
    fn drop(&mut self) {
        if self.keep {
            let [ds, es, fs, gs] = self.selectors;
            let [fs_base, gs_base] = self.bases;
            // SAFETY: These are the values that user code had.
            unsafe { bindings::ckpt_load_segments(ds, es, fs, gs, fs_base, gs_base) };
        }
    }
}

/// Writes the registers of a validated record. Cannot fail.
///
/// Returns what the system call returns. The way back to user mode sees that
/// the registers are not those of a plain return and takes the full path.
pub(crate) fn restore(cpu: &Cpu) -> isize {
    // SAFETY: The user registers of the current task, which is in a system
    // call. Only what user code can set is taken from the image: ip is below
    // the end of user space, flags are masked, cs and ss are fixed.
    unsafe {
        bindings::ckpt_regs_replaced();
        let regs = &mut *bindings::ckpt_regs();
        regs.bx = cpu.bx as usize;
        regs.cx = cpu.cx as usize;
        regs.dx = cpu.dx as usize;
        regs.si = cpu.si as usize;
        regs.di = cpu.di as usize;
        regs.bp = cpu.bp as usize;
        regs.ax = cpu.ax as usize;
        regs.orig_ax = cpu.orig_ax as usize;
        regs.ip = cpu.ip as usize;
        regs.flags = sanitise_flags(cpu.flags) as usize;
        regs.sp = cpu.sp as usize;
        regs.r8 = cpu.r8 as usize;
        regs.r9 = cpu.r9 as usize;
        regs.r10 = cpu.r10 as usize;
        regs.r11 = cpu.r11 as usize;
        regs.r12 = cpu.r12 as usize;
        regs.r13 = cpu.r13 as usize;
        regs.r14 = cpu.r14 as usize;
        regs.r15 = cpu.r15 as usize;
        regs.__bindgen_anon_1.cs = USER_CS;
        regs.__bindgen_anon_2.ss = USER_DS;
        // A selector without a descriptor loads as null: the loads catch the
        // fault. The bases come last, because a selector sets its base.
        bindings::ckpt_load_segments(
            decode(cpu.ds),
            decode(cpu.es),
            decode(cpu.fs),
            decode(cpu.gs),
            cpu.fs_base,
            cpu.gs_base,
        );
    }
    cpu.ax as isize
}

/// Sets the result of the system call of a task at its way back to user mode.
pub(crate) fn set_result(result: isize) {
    // SAFETY: As in restore().
    unsafe { (*bindings::ckpt_regs()).ax = result as usize };
}

#[cfg(CONFIG_CHECKPOINT_KUNIT_TEST)]
#[kunit_tests(checkpoint_arch_cpu)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::format::Record;

    fn valid() -> Cpu {
        let mut cpu = Cpu::zeroed();
        cpu.cs = seg::USER64_CS;
        cpu.ss = seg::USER64_DS;
        cpu.orig_ax = u64::MAX;
        cpu.flags = FIXED_FLAGS;
        cpu.has_fxsr = 1;
        cpu
    }

    #[test]
    fn selectors_survive() {
        for selector in [0, USER_CS, USER_DS, TLS, TLS + 8, TLS + 16, 7, 15, 0xffff] {
            assert_eq!(encode(selector).map(decode), Some(selector));
        }
    }

    #[test]
    fn kernel_selectors_do_not() {
        for selector in [0x10, 0x18, 0x20, 0x28, 0x40, 0x7b] {
            assert_eq!(encode(selector), None);
        }
    }

    #[test]
    fn privileged_flags_are_dropped() {
        // IOPL, VM, VIF, VIP.
        for bit in [12, 13, 17, 19, 20] {
            assert_eq!(sanitise_flags(1 << bit), FIXED_FLAGS);
        }
        assert_eq!(sanitise_flags(0), FIXED_FLAGS);
        // Carry, direction, alignment check.
        assert_eq!(sanitise_flags(0x4_0401), 0x4_0401 | FIXED_FLAGS);
    }

    #[test]
    fn a_valid_record_is_accepted() {
        assert!(valid().validate().is_ok());
    }

    #[test]
    fn kernel_addresses_are_refused() {
        let kernel = 0xffff_ffff_8100_0000;
        for change in [
            (|cpu, addr| cpu.ip = addr) as fn(&mut Cpu, u64),
            |cpu, addr| cpu.fs_base = addr,
            |cpu, addr| cpu.gs_base = addr,
        ] {
            for addr in [kernel, 1 << 63, 0x8000_0000_0000, 0x7fff_ffff_f000] {
                let mut cpu = valid();
                change(&mut cpu, addr);
                assert!(cpu.validate().is_err());
            }
        }
    }

    #[test]
    fn privileged_bits_are_refused() {
        let mut cpu = valid();
        cpu.flags |= 3 << 12;
        assert!(cpu.validate().is_err());
        cpu = valid();
        cpu.cs = 0x10;
        assert!(cpu.validate().is_err());
        cpu = valid();
        cpu.ds = 0x18;
        assert!(cpu.validate().is_err());
        cpu = valid();
        cpu.gs = seg::TLS + 3;
        assert!(cpu.validate().is_err());
    }
}
