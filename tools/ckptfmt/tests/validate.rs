// SPDX-License-Identifier: GPL-2.0

//! One bad record for each rule of each `validate()`: the rule is what is named.

#[path = "validate/anon.rs"]
mod anon;
#[path = "validate/call.rs"]
mod call;
#[path = "validate/files.rs"]
mod files;
#[path = "validate/forest.rs"]
mod forest;
#[path = "validate/memory.rs"]
mod memory;
#[path = "validate/pending.rs"]
mod pending;
#[path = "validate/pipe.rs"]
mod pipe;
#[path = "validate/registers.rs"]
mod registers;
#[path = "validate/socket.rs"]
mod socket;
#[path = "validate/timer.rs"]
mod timer;

use ckptfmt::build::Image;
use ckptfmt::format::task::policy;
use ckptfmt::format::task::task_flags;
use ckptfmt::format::task::USED_MAX;
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
const USED: &str = "what the task has used is out of range";
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
            (
                |r| r.last_pid = tree::PID_LIMIT,
                "last process id is out of range",
            ),
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
            (
                |r| r.flags |= task_flags::DUMPABLE | task_flags::DUMPABLE_ROOT,
                "task is dumpable in two ways",
            ),
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
                |r| r.oom_score_adj_min = -1001,
                "oom_score_adj is out of range",
            ),
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
            (|r| r.utime = USED_MAX + 1, USED),
            (|r| r.sum_exec_runtime = u64::MAX, USED),
            (|r| r.group_runtime = u64::MAX, USED),
            (|r| r.group_prev_stime = USED_MAX + 1, USED),
            (|r| r.group_maj_flt = USED_MAX + 1, USED),
            (|r| r.children_utime = USED_MAX + 1, USED),
            (|r| r.children_maj_flt = u64::MAX, USED),
            (|r| r.cancelled_write_bytes = u64::MAX, USED),
            (|r| r.group_maxrss = USED_MAX + 1, USED),
            (|r| r.children_oublock = u64::MAX, USED),
            (|r| r.reserved = 1, RESERVED),
        ],
    );
    check(
        image.creds,
        &[
            (|r| r.ngroups = 65537, "too many supplementary groups"),
            (|r| r.seccomp = 3, "mode of seccomp is unknown"),
            (|r| r.fsuid = u32::MAX, "credentials have no user or group"),
            (|r| r.gid = u32::MAX, "credentials have no user or group"),
            (
                |r| r.securebits = 1 << 12,
                "credentials have unknown secure bits",
            ),
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
