// SPDX-License-Identifier: GPL-2.0

//! Images to start from: the smallest one, and one with something of everything.

use super::Filters;
use super::Image;
use super::OpenFile;
use super::Other;
use crate::format::cpu;
use crate::format::cpu::seg;
use crate::format::files;
use crate::format::head;
use crate::format::mm;
use crate::format::pending;
use crate::format::pending::Siginfo;
use crate::format::seccomp::seccomp_flags;
use crate::format::seccomp::Seccomp;
use crate::format::seccomp::SeccompFilter;
use crate::format::seccomp::SockFilter;
use crate::format::signal;
use crate::format::signal::ThreadSignal;
use crate::format::task;
use crate::format::timer;
use crate::format::tree::tree_flags;
use crate::format::tree::Tree;

/// Object references of the task, the address space, the descriptor table, the file system
/// view, the signal handlers.
const TASK: u32 = 1;
pub(super) const MM: u32 = 2;
const TABLE: u32 = 3;
const VIEW: u32 = 4;
const HANDLERS: u32 = 5;
/// Those that a thread has of its own.
const THREAD_VIEW: u32 = 50;
const THREAD_TABLE: u32 = 51;

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
        nr_locks: 0,
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
            openers: Vec::new(),
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
            locks: Vec::new(),
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
        self.head.last_pid = 120;
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
