// SPDX-License-Identifier: GPL-2.0

//! Registers, threads, signals.

use ckptfmt::build::Image;
use ckptfmt::format::pending::PENDING_MAX;

use super::check;
use super::KERNEL;
use super::RESERVED;

#[test]
fn registers() {
    let image = Image::sample();
    let segment = "segment selector is not one that user code can have";
    let bits = "flags have bits that user code cannot set";
    check(
        image.cpu,
        &[
            (|r| r.cs = 0x10, "cs is not the 64-bit user segment"),
            (|r| r.ss = 0, "ss is not the user data segment"),
            (|r| r.ds = 1, segment),
            (|r| r.es = 0x3fff, segment),
            (|r| r.fs = 0x4003, segment),
            (|r| r.gs = 0x7fff, segment),
            (|r| r.gs = 0xa000, segment),
            // I/O privilege level, virtual 8086 mode, virtual interrupts.
            (|r| r.flags |= 0x3000, bits),
            (|r| r.flags |= 0x2_0000, bits),
            (|r| r.flags |= 0x10_0000, bits),
            (|r| r.flags |= 1 << 63, bits),
            (|r| r.ip = KERNEL, "ip is not a user address"),
            (|r| r.fs_base = KERNEL, "fs base is not a user address"),
            (
                |r| r.gs_base = 0x0000_8000_0000_0000,
                "gs base is not a user address",
            ),
            (|r| r.uses_debug = 1, "debug registers are not supported"),
            (|r| r.debugreg[5] = 1, "debug registers are not supported"),
            (|r| r.used_math = 2, "FPU fields are wrong"),
            (|r| r.reserved = 1, RESERVED),
            (|r| r.reserved3 = 1, RESERVED),
            (|r| r.reserved4 = 1, RESERVED),
        ],
    );
    check(
        image.thread,
        &[
            (|r| r.ntls = 4, "number of TLS entries is not 3"),
            (|r| r.sizeof_tls = 8, "size of a TLS entry is not 16"),
            (|r| r.tls[2].entry_number = 3, "TLS index is out of range"),
            (|r| r.tls[0].flags = 0x100, "descriptor has unknown flags"),
            (|r| r.tls[0].flags = 0x80, "descriptor of 64-bit code"),
            (
                |r| r.tls[0].limit = 1 << 20,
                "descriptor limit is out of range",
            ),
            (|r| r.robust_len = 24, "robust list has a wrong length"),
            (|r| r.robust_list = 8, "robust list has a wrong length"),
            (
                |r| (r.robust_list, r.robust_len) = (KERNEL, 24),
                "robust list is a kernel address",
            ),
            (
                |r| r.clear_child_tid = KERNEL,
                "clear_child_tid is a kernel address",
            ),
            (
                |r| r.rseq_len = 32,
                "restartable sequence without an address",
            ),
            (
                |r| r.rseq_addr = 64,
                "restartable sequence has a wrong length",
            ),
            (
                |r| (r.rseq_addr, r.rseq_len) = (64, 32),
                "restartable sequence has an unknown version",
            ),
            (
                |r| (r.rseq_addr, r.rseq_len, r.rseq_version) = (KERNEL, 32, 1),
                "restartable sequence is a kernel address",
            ),
            (
                |r| (r.rseq_addr, r.rseq_len, r.rseq_version) = (65, 32, 1),
                "restartable sequence is unaligned",
            ),
            (|r| r.reserved[3] = 1, RESERVED),
        ],
    );
    check(
        image.mm_context,
        &[
            (|r| r.ldt_entry_size = 8, "size of an LDT entry is not 16"),
            (|r| r.nldt = 8193, "LDT has too many entries"),
            (|r| r.pkey_map = 1 << 16, "protection keys are out of range"),
            (
                |r| r.execute_only_pkey = 16,
                "execute-only protection key is out of range",
            ),
            (
                |r| r.execute_only_pkey = 15,
                "execute-only protection key is not allocated",
            ),
            (|r| r.reserved[1] = 1, RESERVED),
        ],
    );
    check(
        image.signal,
        &[
            (|r| r.nr_actions = 63, "number of signals is not 64"),
            (
                |r| r.nr_pending = PENDING_MAX + 1,
                "too many signals are pending",
            ),
            (|r| r.blocked = 1 << 8, "SIGKILL or SIGSTOP is blocked"),
            (
                |r| r.actions[0].flags = 1 << 63,
                "signal action has unknown flags",
            ),
            (
                |r| r.actions[0].mask = 1 << 18,
                "signal action blocks SIGKILL or SIGSTOP",
            ),
            (
                |r| r.actions[63].handler = KERNEL,
                "signal handler is a kernel address",
            ),
            (
                |r| r.actions[8].handler = 1,
                "SIGKILL or SIGSTOP has a handler",
            ),
            (|r| r.ss_flags = 4, "alternate stack has unknown flags"),
            (|r| r.ss_sp = KERNEL, "alternate stack is a kernel address"),
            (|r| r.reserved2[0] = 1, RESERVED),
        ],
    );
}
