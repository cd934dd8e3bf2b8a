// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What tasks have used: time, switches, faults, input and output, memory.

use crate::format::task::Task;
use crate::format::task::NR_USED;
use crate::format::task::USED_MAX;
use crate::kapi::task;
use crate::kapi::task::Used;

/// Notes what the task has used, the first thread for the process as well.
pub(super) fn save(rec: &mut Task, counted: &mut Counted) {
    let times = task::times();
    rec.gtime = times.gtime;
    rec.start_time = times.start_time;
    rec.real_start_time = times.start_boottime;
    let now = task::used();
    counted.own = now;
    let own = within(now);
    (rec.utime, rec.stime) = (own.utime, own.stime);
    rec.sum_exec_runtime = own.runtime;
    (rec.prev_utime, rec.prev_stime) = (own.prev_utime, own.prev_stime);
    (rec.nvcsw, rec.nivcsw) = (own.nvcsw, own.nivcsw);
    (rec.min_flt, rec.maj_flt) = (own.min_flt, own.maj_flt);
    [
        rec.rchar,
        rec.wchar,
        rec.syscr,
        rec.syscw,
        rec.read_bytes,
        rec.write_bytes,
        rec.cancelled_write_bytes,
    ] = own.io;
    if task::is_first_thread() {
        counted.all = save_process(rec, kernel::current!());
    }
}

/// What was used, within what an image may have: a child that claims to have used more than
/// can be must not be in the way.
fn within(u: Used) -> Used {
    used(values(&u).map(|value| value.min(USED_MAX)))
}

/// Notes what a process has used that may have ended; returns what it itself has.
pub(super) fn save_process(rec: &mut Task, leader: &kernel::task::Task) -> Used {
    let (now, children) = task::used_by_process(leader);
    let (all, children) = (within(now), within(children));
    (rec.group_utime, rec.group_stime) = (all.utime, all.stime);
    rec.group_runtime = all.runtime;
    (rec.group_prev_utime, rec.group_prev_stime) = (all.prev_utime, all.prev_stime);
    (rec.group_nvcsw, rec.group_nivcsw) = (all.nvcsw, all.nivcsw);
    (rec.group_min_flt, rec.group_maj_flt) = (all.min_flt, all.maj_flt);
    (rec.group_inblock, rec.group_oublock) = (all.inblock, all.oublock);
    rec.group_maxrss = all.maxrss;
    [
        rec.group_rchar,
        rec.group_wchar,
        rec.group_syscr,
        rec.group_syscw,
        rec.group_read_bytes,
        rec.group_write_bytes,
        rec.group_cancelled_write_bytes,
    ] = all.io;
    (rec.children_utime, rec.children_stime) = (children.utime, children.stime);
    (rec.children_nvcsw, rec.children_nivcsw) = (children.nvcsw, children.nivcsw);
    (rec.children_min_flt, rec.children_maj_flt) = (children.min_flt, children.maj_flt);
    (rec.children_inblock, rec.children_oublock) = (children.inblock, children.oublock);
    rec.children_maxrss = children.maxrss;
    now
}

/// In the order of [`Task::used`].
fn values(used: &Used) -> [u64; NR_USED] {
    let [rchar, wchar, syscr, syscw, read_bytes, write_bytes, cancelled] = used.io;
    [
        used.utime,
        used.stime,
        used.runtime,
        used.prev_utime,
        used.prev_stime,
        used.nvcsw,
        used.nivcsw,
        used.min_flt,
        used.maj_flt,
        used.inblock,
        used.oublock,
        used.maxrss,
        rchar,
        wchar,
        syscr,
        syscw,
        read_bytes,
        write_bytes,
        cancelled,
    ]
}

/// The record of what was used, out of the values in the order of [`values`].
pub(super) fn used(values: [u64; NR_USED]) -> Used {
    let [utime, stime, runtime, prev_utime, prev_stime, nvcsw, nivcsw, min_flt, maj_flt, inblock, oublock, maxrss, io @ ..] =
        values;
    Used {
        utime,
        stime,
        runtime,
        prev_utime,
        prev_stime,
        nvcsw,
        nivcsw,
        min_flt,
        maj_flt,
        inblock,
        oublock,
        maxrss,
        io,
    }
}

/// What the task at hand had used when its record was written, and its process.
#[derive(Default)]
pub(crate) struct Counted {
    own: Used,
    all: Used,
}

/// Time on a processor, in nanoseconds.
pub(crate) struct Spent {
    /// In user and in kernel mode.
    pub(crate) prof: u64,
    /// In user mode.
    pub(crate) virt: u64,
    /// As the scheduler counts.
    pub(crate) sched: u64,
}

impl Counted {
    /// What the process had spent then on a processor, in nanoseconds, as the scheduler
    /// counts: threads follow the first one of their process.
    pub(crate) fn spent_by_process(&self) -> u64 {
        self.all.runtime
    }

    /// What the current task, the first thread of its process, had spent then, and the
    /// process.
    pub(crate) fn spent(&self) -> (Spent, Spent) {
        let spent = |used: &Used| Spent {
            prof: used.utime.saturating_add(used.stime),
            virt: used.utime,
            sched: used.runtime,
        };
        (spent(&self.own), spent(&self.all))
    }
}
