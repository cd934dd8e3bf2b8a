// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Registers, segments, thread-local storage, LDT: x86-64.
//!
//! Selectors are not stored as the kernel's numbers but as codes, so that an
//! image does not depend on the layout of the kernel's descriptor table.

use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Selector codes.
pub mod seg {
    /// The null selector.
    pub const NULL: u16 = 0;
    /// 64-bit user code.
    pub const USER64_CS: u16 = 1;
    /// 64-bit user data.
    pub const USER64_DS: u16 = 2;
    /// Thread-local storage descriptor `code - TLS`, 0 to 2.
    pub const TLS: u16 = 0x4000;
    /// LDT descriptor `code - LDT`, 0 to 8191.
    pub const LDT: u16 = 0x8000;
}

/// Thread-local storage descriptors of a task.
pub const NR_TLS: usize = 3;
/// Most entries of a local descriptor table.
pub const LDT_MAX: u32 = 8192;
/// Entries of one LDT record at most.
pub const LDT_CHUNK: usize = 1024;
/// First address that user code can never have: 47-bit address spaces.
pub const TASK_SIZE_MAX: u64 = 0x0000_7fff_ffff_f000;

wire! {
    /// `struct cr_user_desc`: a segment descriptor as modify_ldt(2) takes it.
    pub struct UserDesc [16] {
        /// Index in its table.
        entry_number: u32,
        /// Base address.
        base_addr: u32,
        /// Limit, in bytes or pages.
        limit: u32,
        /// Bits 0 seg_32bit, 1-2 contents, 3 read_exec_only, 4 limit_in_pages,
        /// 5 seg_not_present, 6 useable, 7 lm.
        flags: u32,
    }
}

impl UserDesc {
    /// Checks what no kernel accepts.
    pub fn check(&self) -> Result<(), Why> {
        ensure(self.flags <= 0xff, "descriptor has unknown flags")?;
        ensure(self.flags & 0x80 == 0, "descriptor of 64-bit code")?;
        ensure(self.limit <= 0xf_ffff, "descriptor limit is out of range")
    }
}

wire! {
    /// `struct cr_hdr_thread`: what the kernel keeps of a thread beside registers.
    pub struct Thread [136] {
        /// Number of TLS entries: [`NR_TLS`].
        ntls: u32,
        /// Bytes of one TLS entry: 16.
        sizeof_tls: u32,
        /// Descriptors; entry_number counts from 0.
        tls: [UserDesc; NR_TLS],
        /// Address of the robust futex list, or 0.
        robust_list: u64,
        /// Bytes of its head: 24, or 0 without a list.
        robust_len: u64,
        /// Address that is cleared and woken when the thread ends, or 0.
        clear_child_tid: u64,
        /// Restartable-sequence area, or 0.
        rseq_addr: u64,
        /// Bytes of it.
        rseq_len: u32,
        /// Its signature.
        rseq_sig: u32,
        /// Version of the registration, 0 to 2.
        rseq_version: u32,
        /// Bit 0: slice extensions are enabled.
        rseq_flags: u32,
        /// Zero.
        reserved: [u64; 4],
    }
}

impl Record for Thread {
    const TYPE: i16 = super::THREAD;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.ntls == NR_TLS as u32, "number of TLS entries is not 3")?;
        ensure(self.sizeof_tls == 16, "size of a TLS entry is not 16")?;
        for tls in &self.tls {
            tls.check()?;
            ensure(
                tls.entry_number < NR_TLS as u32,
                "TLS index is out of range",
            )?;
        }
        let robust = self.robust_list != 0;
        ensure(
            self.robust_len == if robust { 24 } else { 0 },
            "robust list has a wrong length",
        )?;
        ensure(
            self.robust_list < TASK_SIZE_MAX,
            "robust list is a kernel address",
        )?;
        ensure(
            self.clear_child_tid < TASK_SIZE_MAX,
            "clear_child_tid is a kernel address",
        )?;
        if self.rseq_addr == 0 {
            ensure(
                self.rseq_len == 0 && self.rseq_version == 0 && self.rseq_flags == 0,
                "restartable sequence without an address",
            )?;
        } else {
            ensure(
                self.rseq_len >= 32 && self.rseq_len <= 4096,
                "restartable sequence has a wrong length",
            )?;
            ensure(
                self.rseq_version == 1 || self.rseq_version == 2,
                "restartable sequence has an unknown version",
            )?;
            ensure(
                (self.rseq_version == 2) == (self.rseq_len > 32),
                "restartable sequence has the wrong version for its length",
            )?;
            ensure(
                self.rseq_flags <= 1,
                "restartable sequence has unknown flags",
            )?;
            ensure(
                self.rseq_addr % 32 == 0,
                "restartable sequence is unaligned",
            )?;
            ensure(
                self.rseq_addr < TASK_SIZE_MAX - 4096,
                "restartable sequence is a kernel address",
            )?;
        }
        ensure(self.reserved == [0; 4], "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_hdr_cpu`: the registers a task has in user mode.
    pub struct Cpu [256] {
        /// rbx.
        bx: u64,
        /// rcx.
        cx: u64,
        /// rdx.
        dx: u64,
        /// rsi.
        si: u64,
        /// rdi.
        di: u64,
        /// rbp.
        bp: u64,
        /// rax: what the interrupted call returns after a restart. With a call in
        /// orig_ax, -512, -513, -514 and -516 say how the call goes on, see
        /// [`super::call`].
        ax: u64,
        /// Number of the interrupted call, or -1.
        orig_ax: u64,
        /// Instruction pointer.
        ip: u64,
        /// eflags.
        flags: u64,
        /// Stack pointer.
        sp: u64,
        /// r8.
        r8: u64,
        /// r9.
        r9: u64,
        /// r10.
        r10: u64,
        /// r11.
        r11: u64,
        /// r12.
        r12: u64,
        /// r13.
        r13: u64,
        /// r14.
        r14: u64,
        /// r15.
        r15: u64,
        /// Base address of fs.
        fs_base: u64,
        /// Base address of gs.
        gs_base: u64,
        /// Selector code, see [`seg`].
        cs: u16,
        /// Selector code.
        ss: u16,
        /// Selector code.
        ds: u16,
        /// Selector code.
        es: u16,
        /// Selector code.
        fs: u16,
        /// Selector code.
        gs: u16,
        /// The task has debug registers in use: 0, they are not supported.
        uses_debug: u8,
        /// The task has used the FPU.
        used_math: u8,
        /// The processor has fxsave.
        has_fxsr: u8,
        /// Zero.
        reserved: u8,
        /// Debug registers 0 to 3, 6 and 7; zero.
        debugreg: [u64; 6],
        /// Bytes of the FPU record that follows.
        xstate_size: u32,
        /// Records that follow for the interrupted call: 0, or 1 RESTART_BLOCK.
        nr_restart: u32,
        /// Zero.
        reserved3: u64,
        /// Zero.
        reserved4: u64,
    }
}

/// Bits of eflags that user code can set: those that sigreturn(2) restores,
/// and the nested-task and identification flags, which popf can set.
pub const USER_FLAGS: u64 = 0x0025_4dd5;
/// Bits that are always set in user mode: bit 1 and the interrupt flag.
pub const FIXED_FLAGS: u64 = 0x202;

fn data_selector(code: u16) -> Result<(), Why> {
    ensure(
        matches!(code, seg::NULL | seg::USER64_DS)
            || code.wrapping_sub(seg::TLS) < NR_TLS as u16
            || code.wrapping_sub(seg::LDT) < LDT_MAX as u16,
        "segment selector is not one that user code can have",
    )
}

impl Record for Cpu {
    const TYPE: i16 = super::CPU;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.cs == seg::USER64_CS,
            "cs is not the 64-bit user segment",
        )?;
        ensure(self.ss == seg::USER64_DS, "ss is not the user data segment")?;
        for code in [self.ds, self.es, self.fs, self.gs] {
            data_selector(code)?;
        }
        ensure(
            self.flags & !(USER_FLAGS | FIXED_FLAGS) == 0,
            "flags have bits that user code cannot set",
        )?;
        ensure(self.ip < TASK_SIZE_MAX, "ip is not a user address")?;
        ensure(
            self.fs_base < TASK_SIZE_MAX,
            "fs base is not a user address",
        )?;
        ensure(
            self.gs_base < TASK_SIZE_MAX,
            "gs base is not a user address",
        )?;
        ensure(
            self.orig_ax == u64::MAX || self.orig_ax <= super::call::NR_MAX,
            "number of the interrupted call is out of range",
        )?;
        ensure(
            self.nr_restart <= 1,
            "an interrupted call has more than one restart block",
        )?;
        ensure(self.uses_debug == 0, "debug registers are not supported")?;
        ensure(self.debugreg == [0; 6], "debug registers are not supported")?;
        ensure(
            self.used_math <= 1 && self.has_fxsr == 1,
            "FPU fields are wrong",
        )?;
        ensure(
            self.reserved == 0 && self.reserved3 == 0 && self.reserved4 == 0,
            "reserved field is not zero",
        )
    }
}

wire! {
    /// `struct cr_hdr_mm_context`: LDT and protection keys of an address space.
    pub struct MmContext [32] {
        /// Bytes of one LDT entry: 16.
        ldt_entry_size: u32,
        /// Number of LDT entries, in LDT records that follow.
        nldt: u32,
        /// Bit n: protection key n is allocated.
        pkey_map: u32,
        /// Key of execute-only mappings, or 0.
        execute_only_pkey: u32,
        /// Zero.
        reserved: [u64; 2],
    }
}

impl Record for MmContext {
    const TYPE: i16 = super::MM_CONTEXT;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.ldt_entry_size == 16, "size of an LDT entry is not 16")?;
        ensure(self.nldt <= LDT_MAX, "LDT has too many entries")?;
        ensure(self.pkey_map <= 0xffff, "protection keys are out of range")?;
        ensure(
            self.execute_only_pkey < 16,
            "execute-only protection key is out of range",
        )?;
        ensure(
            self.execute_only_pkey == 0 || self.pkey_map >> self.execute_only_pkey & 1 == 1,
            "execute-only protection key is not allocated",
        )?;
        ensure(self.reserved == [0; 2], "reserved field is not zero")
    }
}
