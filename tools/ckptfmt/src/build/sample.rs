// SPDX-License-Identifier: GPL-2.0

//! Images to start from: the smallest one, and one with something of everything.

use super::Filters;
use super::Image;
use super::Mapping;
use super::OpenFile;
use super::Other;
use super::Shared;
use crate::format::call;
use crate::format::call::RestartBlock;
use crate::format::cpu;
use crate::format::cpu::seg;
use crate::format::files;
use crate::format::head;
use crate::format::mm;
use crate::format::mm::mm_flags;
use crate::format::mm::vma_flags as vf;
use crate::format::mm::vma_kind;
use crate::format::pending;
use crate::format::pending::queue;
use crate::format::pending::Siginfo;
use crate::format::seccomp::seccomp_flags;
use crate::format::seccomp::Seccomp;
use crate::format::seccomp::SeccompFilter;
use crate::format::seccomp::SockFilter;
use crate::format::shmem;
use crate::format::shmem::shmem_flags;
use crate::format::shmem::shmem_kind;
use crate::format::signal;
use crate::format::signal::ThreadSignal;
use crate::format::task;
use crate::format::timer;
use crate::format::tree::tree_flags;
use crate::format::tree::Tree;

/// Object references of the task, the address space, the descriptor table, the file system
/// view, the signal handlers.
const TASK: u32 = 1;
const MM: u32 = 2;
const TABLE: u32 = 3;
const VIEW: u32 = 4;
const HANDLERS: u32 = 5;
/// Those that a thread has of its own.
const THREAD_VIEW: u32 = 50;
const THREAD_TABLE: u32 = 51;

/// A mapping of `how` from `start` on, `nr_pages` long.
pub(super) fn mapping(how: u32, start: u64, nr_pages: u64, flags: u64) -> Mapping {
    let mut vma = mm::Vma::zeroed();
    vma.how = how;
    vma.start = start;
    vma.end = start.wrapping_add(nr_pages.wrapping_mul(4096));
    vma.flags = flags;
    Mapping {
        vma,
        name: Vec::new(),
        guards: Vec::new(),
        runs: Vec::new(),
        again: Vec::new(),
    }
}

pub(super) fn open(objref: u32, kind: u32, mode: u32, flags: u32, path: &[u8]) -> OpenFile {
    let mut file = files::File::zeroed();
    file.objref = objref;
    file.kind = kind;
    file.mode = mode;
    file.flags = flags;
    file.ino = u64::from(objref).wrapping_add(1000);
    OpenFile {
        file,
        path: path.to_vec(),
    }
}

pub(super) fn fd(fd: u32, file: u32, flags: u32) -> files::FdEnt {
    files::FdEnt {
        fd,
        file,
        flags,
        reserved: 0,
    }
}

impl Image {
    /// The smallest valid image: a task without memory and without files.
    pub fn minimal() -> Self {
        let mut image = Self {
            head: head::Head::zeroed(),
            uts: [b"7.3.0".to_vec(), b"#1 SMP".to_vec(), b"x86_64".to_vec()],
            arch: head::HeadArch::zeroed(),
            tree: Vec::new(),
            task: task::Task::zeroed(),
            files: Vec::new(),
            anons: Vec::new(),
            pipes: Vec::new(),
            sockets: Vec::new(),
            shmem: Vec::new(),
            mm: mm::Mm::zeroed(),
            auxv: Vec::new(),
            mappings: Vec::new(),
            mm_context: cpu::MmContext::zeroed(),
            ldt: Vec::new(),
            thread: cpu::Thread::zeroed(),
            cpu: cpu::Cpu::zeroed(),
            fpu: vec![0; 576],
            restart_block: None,
            fs: task::Fs::zeroed(),
            paths: [b"/".to_vec(), b"/".to_vec()],
            table: files::Files::zeroed(),
            fds: Vec::new(),
            signal: signal::Signal::zeroed(),
            pending: Vec::new(),
            itimers: pending::Itimers::zeroed(),
            timers: timer::Timers::zeroed(),
            posix: Vec::new(),
            creds: task::Creds::zeroed(),
            groups: Vec::new(),
            filters: None,
            affinity: Vec::new(),
            rlimits: task::Rlimits::zeroed(),
            others: Vec::new(),
        };
        image.fill_head();
        image.fill_task();
        image.settle();
        image
    }

    fn fill_head(&mut self) {
        self.head.magic = head::HEAD_MAGIC;
        self.head.version = head::VERSION;
        self.head.arch = head::ARCH_X86_64;
        self.head.page_size = 4096;
        self.head.major = 7;
        self.head.minor = 3;
        self.head.nr_strings = 3;
        self.head.crid = 1;
        self.arch.xfeatures = 3;
    }

    fn fill_task(&mut self) {
        let mut entry = Tree::zeroed();
        (entry.pid, entry.tgid) = (100, 100);
        (entry.pgid, entry.sid) = (100, 90);
        entry.exit_signal = 17;
        self.tree = vec![entry];
        self.task.objref = TASK;
        (self.task.mm, self.task.files) = (MM, TABLE);
        (self.task.fs, self.task.handlers) = (VIEW, HANDLERS);
        self.task.exit_signal = 17;
        self.task.pid = 100;
        self.task.tgid = 100;
        self.task.task_comm_len = 16;
        self.task.comm = *b"ckpt\0\0\0\0\0\0\0\0\0\0\0\0";
        self.task.timer_slack_ns = 50_000;
        self.task.default_timer_slack_ns = 50_000;
        self.mm.objref = MM;
        self.mm.task_size = cpu::TASK_SIZE_MAX;
        self.mm_context.ldt_entry_size = 16;
        self.mm_context.pkey_map = 1;
        self.thread.ntls = 3;
        self.thread.sizeof_tls = 16;
        for (tls, i) in self.thread.tls.iter_mut().zip(0..) {
            tls.entry_number = i;
        }
        self.cpu.cs = seg::USER64_CS;
        self.cpu.ss = seg::USER64_DS;
        self.cpu.flags = cpu::FIXED_FLAGS;
        self.cpu.orig_ax = u64::MAX;
        self.cpu.has_fxsr = 1;
        self.fs.umask = 0o022;
        self.fs.nr_paths = 2;
        self.fs.objref = VIEW;
        self.table.objref = TABLE;
        self.signal.nr_actions = 64;
    }

    /// A small image with something of everything.
    pub fn sample() -> Self {
        let mut image = Self::minimal();
        image.head.realtime_ns = 1_790_000_000_000_000_000;
        image.arch.cpuid[2] = 1 << 5;
        image.fill_memory();
        image.fill_files();
        image.cpu.ip = 0x40_1000;
        image.cpu.sp = 0x7ffd_0002_0000;
        image.cpu.fs = seg::TLS;
        image.cpu.used_math = 1;
        image.sleep();
        image.ldt = (0..2)
            .map(|entry_number| cpu::UserDesc {
                entry_number,
                base_addr: 0,
                limit: 0xfffff,
                flags: 0x51,
            })
            .collect();
        if let Some(action) = image.signal.actions.get_mut(9) {
            action.handler = 0x40_1100;
            action.flags = 0x0400_0000;
            action.restorer = 0x40_1200;
        }
        image.signal.blocked = 1 << 9 | 1 << 33;
        image.wait();
        image.time();
        image.groups = vec![4, 24, 27];
        image.restrict();
        image.affinity = vec![0b1001_0111, 0, 0, 0, 0, 0, 0, 0x80];
        image.task.ioprio = 2 << 13 | 3;
        image.task.slice_ns = 3_000_000;
        image.add_others();
        for limit in &mut image.rlimits.limits {
            limit.cur = 1024;
            limit.max = u64::MAX;
        }
        image.settle();
        image
    }

    /// Adds a thread with two signals that wait, and a child that has ended.
    fn add_others(&mut self) {
        let mut thread = Tree::zeroed();
        (thread.pid, thread.tgid) = (101, 100);
        (thread.pgid, thread.sid) = (100, 90);
        let mut child = Tree::zeroed();
        (child.pid, child.tgid, child.parent) = (102, 102, 101);
        (child.pgid, child.sid) = (102, 102);
        child.flags = tree_flags::ZOMBIE | tree_flags::SESSION_LEADER;
        (child.exit_signal, child.exit_code) = (17, 7 << 8);
        self.tree.extend([thread, child]);
        let mut task = self.task;
        (task.objref, task.pid, task.exit_signal) = (20, 101, 0);
        (task.state, task.stop_signal) = (task::STATE_STOPPED, 20);
        (task.fs, task.files) = (THREAD_VIEW, THREAD_TABLE);
        let mut fs = self.fs;
        (fs.objref, fs.umask) = (THREAD_VIEW, 0o077);
        let mut table = self.table;
        table.objref = THREAD_TABLE;
        let mut cpu = self.cpu;
        (cpu.orig_ax, cpu.ax) = (u64::MAX, 0);
        let mut signal = ThreadSignal::zeroed();
        signal.blocked = 1 << 9;
        let mut info = Siginfo::zeroed();
        (info.signo, info.code) = (10, -6);
        let mut sent = Siginfo::zeroed();
        (sent.signo, sent.code, sent.fields) = (38, pending::SI_TIMER, [9, 8, 0, 0]);
        sent.flags = pending::siginfo_flags::TIMER;
        self.others.push(Other::Thread {
            task,
            thread: self.thread,
            cpu,
            fpu: self.fpu.clone(),
            restart_block: None,
            fs: Some((fs, [b"/".to_vec(), b"/var".to_vec()])),
            table: Some((table, vec![fd(1, 12, 0)])),
            signal,
            pending: vec![info, sent],
            creds: self.creds,
            filters: Some(filters(32, &[])),
        });
        let mut zombie = self.task;
        (zombie.objref, zombie.pid, zombie.tgid) = (21, 102, 102);
        (zombie.exit_state, zombie.exit_code) = (task::EXIT_ZOMBIE, 7 << 8);
        (zombie.mm, zombie.files, zombie.fs, zombie.handlers) = (0, 0, 0, 0);
        self.others.push(Other::Zombie(zombie));
    }

    /// Two filters, the first of which a thread has, too.
    fn restrict(&mut self) {
        self.creds.seccomp = task::SECCOMP_FILTER;
        self.filters = Some(filters(33, &[(32, 0), (33, 32)]));
    }

    /// Interrupts the task in a nanosleep(2) with 1.5 seconds left.
    fn sleep(&mut self) {
        self.cpu.orig_ax = 35;
        self.cpu.ax = call::CONTINUE.cast_unsigned();
        let mut block = RestartBlock::zeroed();
        block.kind = call::kind::NANOSLEEP;
        block.flags = call::flags::TIMEOUT;
        block.clock = 1;
        block.addr = 0x7ffd_0001_fff0;
        block.remaining_ns = 1_500_000_000;
        self.restart_block = Some(block);
    }

    /// Lets blocked signals wait, and the timer of the wall clock run: 0.25 seconds
    /// are left, and it comes again every 2 seconds.
    fn wait(&mut self) {
        // From tkill(2), and from sigqueue(3) with the value 42.
        for (queue, signo, code, sender, value) in [
            (queue::TASK, 10, -6, (100, 0), 0),
            (queue::PROCESS, 34, -1, (7, 1000), 42),
        ] {
            let mut info = Siginfo::zeroed();
            (info.queue, info.signo, info.code) = (queue, signo, code);
            let (pid, uid): (u64, u64) = sender;
            info.fields = [pid | uid << 32, value, 0, 0];
            self.pending.push(info);
        }
        let [real, ..] = &mut self.itimers.timers;
        (real.value, real.interval) = (250_000_000, 2_000_000_000);
    }

    /// Four POSIX timers: one that runs, one whose signal 36 waits, one of the time on a
    /// processor that has the first thread as its target, and one whose signal 38
    /// waits for the other thread.
    fn time(&mut self) {
        let new = |id, clock, notify, signo| {
            let mut timer = timer::Timer::zeroed();
            (timer.id, timer.clock, timer.notify, timer.signo) = (id, clock, notify, signo);
            timer.overrun = -1;
            timer
        };
        let mut runs = new(0, 0, timer::notify::SIGNAL, 14);
        runs.flags = timer::timer_flags::ABSOLUTE;
        runs.value = 3_000_000_000;
        let mut waits = new(2, 1, timer::notify::SIGNAL, 36);
        waits.flags = timer::timer_flags::PENDING;
        (waits.value, waits.interval) = (500_000, 1_000_000);
        (waits.sigval, waits.overrun, waits.overrun_last) = (7, 40, 3);
        let mut of_thread = new(
            5,
            timer::cpu_clock::THREAD_SCHED,
            timer::notify::THREAD_ID,
            37,
        );
        (of_thread.tid, of_thread.clock_tid) = (self.task.pid, self.task.pid);
        let mut of_other = new(9, 1, timer::notify::THREAD_ID, 38);
        (of_other.tid, of_other.flags) = (101, timer::timer_flags::PENDING);
        (of_other.sigval, of_other.overrun) = (8, 0);
        self.posix = vec![runs, waits, of_thread, of_other];
        self.timers.next_id = 10;
        let mut info = Siginfo::zeroed();
        (info.queue, info.signo, info.code) = (queue::PROCESS, 36, pending::SI_TIMER);
        info.flags = pending::siginfo_flags::TIMER;
        info.fields = [2, 7, 0, 0];
        self.pending.push(info);
    }

    fn fill_memory(&mut self) {
        let rw = vf::READ | vf::WRITE;
        let mut code = mapping(vma_kind::FILE, 0x40_0000, 2, vf::READ | vf::EXEC);
        code.vma.file = 10;
        let mut data = mapping(vma_kind::FILE, 0x40_2000, 1, rw | vf::ACCOUNT);
        data.vma.file = 10;
        data.vma.pgoff = 2;
        data.runs = vec![vec![0x40_2000]];
        let mut heap = mapping(vma_kind::ANON, 0x50_0000, 16, rw | vf::GUARD | vf::ACCOUNT);
        heap.name = b"arena".to_vec();
        heap.guards = vec![mm::GuardRange {
            start: 0x50_8000,
            end: 0x50_a000,
        }];
        heap.runs = vec![vec![0x50_0000, 0x50_2000], vec![0x50_f000]];
        // The page of the data, once more.
        heap.vma.origin = MM;
        let mut page = mm::Pgref::zeroed();
        (page.addr, page.from) = (0x50_4000, 0x40_2000);
        (page.nr_pages, page.mm) = (1, MM);
        heap.again = vec![page];
        let stack = mapping(vma_kind::ANON, 0x7ffd_0000_0000, 33, rw | vf::GROWSDOWN);
        let vdso = mapping(vma_kind::VDSO, 0x7ffe_0000_0000, 2, vf::READ | vf::EXEC);
        self.mm.vdso = vdso.vma.start;
        self.mappings = vec![code, data, heap, stack, vdso];
        let shared = self.share();
        self.mappings.extend(shared);
        self.mm.exe_file = 10;
        self.mm.start_code = 0x40_0000;
        self.mm.end_code = 0x40_2000;
        self.mm.start_brk = 0x50_0000;
        self.mm.brk = 0x51_0000;
        self.mm.flags = mm_flags::TOPDOWN | 0x33;
        self.auxv = vec![6, 4096, 0, 0];
        self.arch.vdso_size = 8192;
    }

    /// Shares memory of 8 pages, one of them used, in two mappings; and a page of a
    /// file.
    fn share(&mut self) -> [Mapping; 3] {
        let mut object = shmem::Shmem::zeroed();
        object.objref = 40;
        object.how = shmem_kind::ANON;
        object.size = 8 << 12;
        object.flags = shmem_flags::NORESERVE;
        self.shmem = vec![Shared {
            object,
            name: Vec::new(),
            runs: vec![vec![0x3000]],
        }];
        let rw = vf::READ | vf::WRITE;
        let mut all = mapping(vma_kind::SHMEM, 0x7fff_0000_0000, 8, rw | vf::NORESERVE);
        all.name = b"ring".to_vec();
        let mut end = mapping(
            vma_kind::SHMEM,
            0x7fff_0000_8000,
            2,
            vf::READ | vf::NORESERVE,
        );
        end.vma.pgoff = 6;
        (all.vma.file, end.vma.file) = (40, 40);
        let mut log = mapping(vma_kind::SHARED, 0x7fff_0001_0000, 1, rw);
        log.vma.file = 19;
        [all, end, log]
    }
}

/// Filters that allow everything, each with the one before it.
fn filters(last: u32, new: &[(u32, u32)]) -> Filters {
    let mut chain = Filters {
        seccomp: Seccomp::zeroed(),
        new: Vec::new(),
    };
    chain.seccomp.filter = last;
    for (objref, prev) in new {
        let mut filter = SeccompFilter::zeroed();
        (filter.objref, filter.prev) = (*objref, *prev);
        filter.flags = seccomp_flags::LOG;
        let code = vec![SockFilter {
            code: 6,
            jt: 0,
            jf: 0,
            k: 0x7fff_0000,
        }];
        chain.new.push((filter, code));
    }
    chain.settle();
    chain
}
