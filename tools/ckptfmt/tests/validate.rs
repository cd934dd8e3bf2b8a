// SPDX-License-Identifier: GPL-2.0

//! One bad record for each rule of each `validate()`: the rule is what is named.

#[path = "validate/anon.rs"]
mod anon;
#[path = "validate/call.rs"]
mod call;
#[path = "validate/forest.rs"]
mod forest;
#[path = "validate/pending.rs"]
mod pending;
#[path = "validate/pipe.rs"]
mod pipe;
#[path = "validate/socket.rs"]
mod socket;
#[path = "validate/timer.rs"]
mod timer;

use ckptfmt::build::Image;
use ckptfmt::format::files::file_flags;
use ckptfmt::format::files::file_kind;
use ckptfmt::format::mm::vma_flags;
use ckptfmt::format::mm::vma_kind;
use ckptfmt::format::pending::PENDING_MAX;
use ckptfmt::format::shmem::shmem_kind;
use ckptfmt::format::task::policy;
use ckptfmt::format::task::task_flags;
use ckptfmt::format::tree;
use ckptfmt::format::Record;
use ckptfmt::format::Why;

/// A change that breaks one rule, and the rule.
type Case<R> = (fn(&mut R), &'static str);

/// Each case is refused for its reason; the record itself is accepted.
fn check<R: Record + Copy>(good: R, cases: &[Case<R>]) {
    assert_eq!(good.validate(), Ok(()));
    for (change, why) in cases {
        let mut bad = good;
        change(&mut bad);
        assert_eq!(bad.validate(), Err(Why(why)));
    }
}

const RESERVED: &str = "reserved field is not zero";
/// The kernel's half of the address space.
const KERNEL: u64 = 0xffff_8000_0000_0000;

#[test]
fn head() {
    let image = Image::sample();
    check(
        image.head,
        &[
            (|r| r.magic = 0, "not a checkpoint image (magic)"),
            (|r| r.version = 2, "image format version is not 1"),
            (
                |r| r.incompat = 1,
                "image needs a feature that is not known here",
            ),
            (|r| r.arch = 1, "image is of another architecture"),
            (|r| r.page_size = 65536, "image has another page size"),
            (|r| r.nr_strings = 4, "header must have three strings"),
            (|r| r.nr_tasks = 0, "number of tasks is out of range"),
            (
                |r| r.nr_tasks = tree::TASKS_MAX + 1,
                "number of tasks is out of range",
            ),
            (|r| r.crid = 0, "image identifier is zero"),
            (|r| r.reserved = 1, RESERVED),
            (|r| r.flags = 6, "image was made with unknown flags"),
            (|r| r.flags = 8, "image was made with unknown flags"),
            (|r| r.flags = u32::MAX, "image was made with unknown flags"),
        ],
    );
    for flags in 0..=5 {
        let mut made = image.head;
        made.flags = flags;
        assert_eq!(made.validate(), Ok(()));
    }
    check(
        image.arch,
        &[
            (|r| r.reserved = 1, RESERVED),
            (|r| r.reserved2 = 1, RESERVED),
            (|r| r.xfeatures = 1, "x87 and SSE state are missing"),
            (|r| r.xsave_size = 575, "FPU state size is out of range"),
            (|r| r.xsave_size = 16385, "FPU state size is out of range"),
            (|r| r.vdso_size = 1, "vDSO size is out of range"),
            (|r| r.vdso_size = 2 << 20, "vDSO size is out of range"),
        ],
    );
}

#[test]
fn task() {
    let image = Image::sample();
    let have = "memory, descriptors, view or handlers do not fit the state of the task";
    check(
        image.task,
        &[
            (|r| r.objref = 0, "task has no object reference"),
            (|r| r.state = 2, "state of the task is unknown"),
            (|r| r.state = 1, "stop of the task is not valid"),
            (|r| r.stop_signal = 19, "stop of the task is not valid"),
            (|r| r.stop_code = 19, "stop of the task is not valid"),
            (
                |r| (r.state, r.stop_signal) = (1, 65),
                "stop of the task is not valid",
            ),
            (
                |r| (r.state, r.stop_signal, r.stop_code) = (1, 19, 65),
                "stop of the task is not valid",
            ),
            (
                |r| {
                    (r.state, r.stop_signal) = (1, 19);
                    r.flags |= task_flags::CONTINUED;
                },
                "stop of the task is not valid",
            ),
            (|r| r.exit_state = 2, "state of the task is unknown"),
            (|r| r.exit_code = 1, "state of the task is unknown"),
            (|r| r.exit_signal = 65, "exit signal is out of range"),
            (
                |r| r.pdeath_signal = 65,
                "parent-death signal is out of range",
            ),
            (|r| r.flags = 1 << 31, "task has unknown flags"),
            (|r| r.nice = 20, "nice value is out of range"),
            (|r| r.nice = i32::MIN, "nice value is out of range"),
            (|r| r.policy = 4, "scheduling policy is unknown"),
            (
                |r| r.policy = policy::FIFO,
                "real-time priority is out of range",
            ),
            (|r| r.rt_priority = 1, "real-time priority is out of range"),
            (|r| r.slice_ns = 1, "scheduling slice is out of range"),
            (
                |r| r.slice_ns = 100_000_001,
                "scheduling slice is out of range",
            ),
            (|r| r.ioprio = 1 << 16, "I/O priority is out of range"),
            (|r| r.affinity_len = 1032, "CPU affinity is too long"),
            (|r| r.affinity_len = 4, "CPU affinity is too long"),
            (|r| r.oom_score_adj = 1001, "oom_score_adj is out of range"),
            (
                |r| r.task_comm_len = 17,
                "length of the task name is not 16",
            ),
            (|r| r.comm = [b'x'; 16], "task name has no end"),
            (
                |r| r.timer_slack_ns = 0,
                "timer slack does not fit the policy",
            ),
            (|r| r.mm = 0, have),
            (|r| r.handlers = 0, have),
            (|r| (r.exit_state, r.affinity_len) = (1, 0), have),
            (|r| r.reserved[2] = 1, RESERVED),
        ],
    );
    check(
        image.creds,
        &[
            (|r| r.ngroups = 65537, "too many supplementary groups"),
            (|r| r.seccomp = 3, "mode of seccomp is unknown"),
            (|r| r.reserved2 = 1, RESERVED),
        ],
    );
    let filters = image.filters.unwrap();
    check(
        filters.seccomp,
        &[
            (|r| r.filter = 0, "task has no filter of system calls"),
            (|r| r.nr_filters = 6554, "too many filters of system calls"),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
    check(
        filters.new[1].0,
        &[
            (
                |r| r.objref = 0,
                "filter of system calls has no object reference",
            ),
            (
                |r| r.prev = r.objref,
                "filter of system calls has no object reference",
            ),
            (|r| r.flags = 2, "filter of system calls has unknown flags"),
            (
                |r| r.len = 0,
                "length of a filter of system calls is out of range",
            ),
            (
                |r| r.len = 4097,
                "length of a filter of system calls is out of range",
            ),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
    check(
        image.rlimits,
        &[(
            |r| r.limits[15].max = 0,
            "soft limit is above the hard limit",
        )],
    );
    check(
        image.fs,
        &[
            (|r| r.umask = 0o1000, "umask is out of range"),
            (|r| r.nr_paths = 1, "root and current directory are missing"),
            (|r| r.objref = 0, "view has no object reference"),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
}

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

#[test]
fn memory() {
    let image = Image::sample();
    let outside = "address space has a field outside of user space";
    check(
        image.mm,
        &[
            (|r| r.objref = 0, "address space has no object reference"),
            (|r| r.map_count = u32::MAX, "too many mappings"),
            (|r| r.start_code = KERNEL, outside),
            (|r| r.end_data = KERNEL, outside),
            (|r| r.brk = KERNEL, outside),
            (|r| r.start_stack = KERNEL, outside),
            (|r| r.env_end = KERNEL, outside),
            (|r| r.mmap_base = KERNEL, outside),
            (|r| r.vdso = KERNEL, outside),
            (|r| r.end_code = 0, "code ends before it starts"),
            (|r| r.brk = 0, "heap ends before it starts"),
            (|r| r.vdso = 1, "vDSO is not on a page boundary"),
            (|r| r.flags = 1 << 63, "address space has unknown flags"),
            (|r| r.nr_auxv = 129, "auxiliary vector is too long"),
            (|r| r.task_size = 0, "address space is not one of 47 bits"),
            (|r| r.reserved[5] = 1, RESERVED),
        ],
    );
    check(
        image.mappings[2].vma,
        &[
            (|r| r.start += 1, "mapping is not on page boundaries"),
            (|r| r.end = r.start, "mapping ends before it starts"),
            (|r| r.end = KERNEL, "mapping is outside of user space"),
            (|r| r.flags |= 1 << 63, "mapping has unknown flags"),
            (|r| r.file = 10, "anonymous mapping has a file"),
            (|r| r.how = vma_kind::FILE, "file mapping has no file"),
            (
                |r| (r.how, r.file, r.pgoff) = (vma_kind::FILE, 10, u64::MAX),
                "file offset is out of range",
            ),
            (
                |r| (r.how, r.namelen) = (vma_kind::VDSO, 1),
                "the vDSO has neither file nor name",
            ),
            (|r| r.how = 99, "mapping is of an unknown kind"),
            (|r| r.pkey = 16, "protection key is out of range"),
            (|r| r.namelen = 80, "name of a mapping is too long"),
            (|r| r.nr_guards = 17, "mapping has too many guard ranges"),
            (
                |r| r.flags |= 3 << 13,
                "mapping both wants and refuses huge pages",
            ),
            (
                |r| (r.how, r.file) = (vma_kind::SHMEM, 0),
                "shared mapping has no object",
            ),
            (|r| r.reserved2 = 1, RESERVED),
            (
                |r| (r.how, r.origin) = (vma_kind::VDSO, 2),
                "the vDSO has neither file nor name",
            ),
        ],
    );
    let private = "shared mapping has flags of private memory";
    check(
        image.mappings[5].vma,
        &[
            (|r| r.flags |= vma_flags::ACCOUNT, private),
            (|r| r.flags |= vma_flags::MERGEABLE, private),
            (|r| r.flags |= vma_flags::WIPEONFORK, private),
            (|r| r.flags |= vma_flags::DROPPABLE, private),
            (|r| r.flags |= vma_flags::GROWSDOWN, private),
            (|r| r.pgoff = 1 << 51, "file offset is out of range"),
            (|r| r.origin = 2, "shared mapping is a copy of another one"),
        ],
    );
    check(
        image.mappings[7].vma,
        &[
            (|r| r.file = 0, "shared mapping has no object"),
            (|r| r.flags |= vma_flags::ACCOUNT, private),
            (|r| r.pgoff = u64::MAX, "file offset is out of range"),
        ],
    );
    let size = "size of shared memory is out of range";
    check(
        image.shmem[0].object,
        &[
            (|r| r.objref = 0, "shared memory has no object reference"),
            (|r| r.how = 0, "shared memory is of an unknown kind"),
            (|r| r.how = 99, "shared memory is of an unknown kind"),
            (|r| r.size = 0, size),
            (|r| r.size += 1, size),
            (|r| r.size = KERNEL, size),
            (|r| r.flags |= 4, "shared memory has unknown flags"),
            (|r| r.flags |= 2, "a seal that is not there is late"),
            (
                |r| r.mode = 0o600,
                "anonymous memory has the attributes of a file",
            ),
            (
                |r| r.gid = 1,
                "anonymous memory has the attributes of a file",
            ),
            (
                |r| r.namelen = 1,
                "anonymous memory has the attributes of a file",
            ),
            (|r| r.seals = 1, "seals on what cannot have any"),
            (|r| r.reserved[2] = 1, RESERVED),
        ],
    );
    let name = "name of shared memory is too long or missing";
    check(
        image.shmem[1].object,
        &[
            (|r| r.size = 1 << 63, size),
            (
                |r| r.mode = 0o10000,
                "shared memory has unknown permissions",
            ),
            (|r| r.namelen = 0, name),
            (|r| r.namelen = 256, name),
            (|r| r.flags |= 1, "a file has flags of anonymous memory"),
            (|r| r.seals |= 1 << 6, "unknown seals"),
            (|r| r.seals |= 8, "a seal that is not there is late"),
            (
                |r| r.how = shmem_kind::UNLINKED,
                "seals on what cannot have any",
            ),
        ],
    );
    check(
        ckptfmt::format::mm::Pgarr::zeroed(),
        &[
            (|r| r.nr_pages = 4097, "run of pages is too long"),
            (|r| r.nr_pages = u32::MAX, "run of pages is too long"),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
    let mut page = ckptfmt::format::mm::Pgref::zeroed();
    (page.nr_pages, page.mm) = (1, 2);
    let outside = "shared pages are outside of user space";
    let boundary = "shared page is not on a page boundary";
    check(
        page,
        &[
            (|r| r.mm = 0, "shared pages of no address space"),
            (|r| r.nr_pages = 0, "no shared pages"),
            (|r| r.addr = 8, boundary),
            (|r| r.from = 4095, boundary),
            (|r| r.nr_pages = u64::MAX, outside),
            (|r| r.nr_pages = 1 << 35, outside),
            (|r| r.addr = 1 << 47, outside),
            (|r| r.from = u64::MAX - 4095, outside),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
}

#[test]
fn files() {
    let image = Image::sample();
    let kinds = "kind and mode of a file differ";
    check(
        image.files[3].file,
        &[
            (|r| r.objref = 0, "file has no object reference"),
            (|r| r.flags |= 1 << 31, "file has unknown flags"),
            (|r| r.flags |= 3, "file has an unknown access mode"),
            (|r| r.pos = 1 << 63, "file position is out of range"),
            (|r| r.size = 1 << 63, "file size is out of range"),
            (
                |r| r.mtime_nsec = 1_000_000_000,
                "nanoseconds of the time stamp are out of range",
            ),
            (|r| r.kind = file_kind::DIRECTORY, kinds),
            (|r| r.kind = file_kind::TTY, kinds),
            (|r| r.mode = 0, kinds),
            (|r| r.kind = file_kind::PATH, "location without O_PATH"),
            (|r| r.flags |= 1 << 8, "O_PATH on an open file"),
            (|r| r.kind = 0, "file is of an unknown kind"),
            (|r| r.stream_fd = 1, "file has a stream's descriptor"),
            (|r| r.path_len = 0, "file has no path"),
            (|r| r.path_len = 4096, "path is too long"),
            (
                |r| r.pid_at = 1,
                "file is not in the directory of a process",
            ),
            (|r| r.flags |= 1 << 14, "file has flags of a pipe"),
            (
                |r| r.object = 30,
                "an end of a pipe, a socket or a file in memory, and nothing else, has an object",
            ),
        ],
    );
    let ways = "file is mapped in two ways";
    check(
        image.files[1].file,
        &[
            (|r| r.flags |= file_flags::MAPPED, ways),
            (|r| (r.kind, r.mode) = (file_kind::TTY, 0o020_620), ways),
        ],
    );
    check(
        image.files[10].file,
        &[
            (
                |r| r.object = 0,
                "an end of a pipe, a socket or a file in memory, and nothing else, has an object",
            ),
            (|r| r.path_len = 1, "file has no path"),
            (|r| r.mode = 0, kinds),
            (
                |r| r.flags |= file_flags::IMAGE,
                "image is not in a regular file",
            ),
        ],
    );
    check(
        image.files[4].file,
        &[(|r| r.stream_fd = u32::MAX, "descriptor is out of range")],
    );
    check(
        image.table,
        &[
            (|r| r.objref = 0, "descriptor table has no object reference"),
            (|r| r.nr_fds = u32::MAX, "too many descriptors"),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
    check(
        image.fds[0],
        &[
            (|r| r.fd = u32::MAX, "descriptor is out of range"),
            (|r| r.file = 0, "descriptor without a file"),
            (|r| r.flags = 2, "descriptor has unknown flags"),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
}
