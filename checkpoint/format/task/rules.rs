// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What holds for the record of a task.

use super::policy;
use super::task_flags;
use super::Task;
use super::AFFINITY_MAX;
use super::COMM_LEN;
use super::EXIT_ZOMBIE;
use super::NR_USED;
use super::SLICE_MAX;
use super::SLICE_MIN;
use super::STATE_STOPPED;
use super::USED_MAX;
use crate::format::ensure;
use crate::format::Record;
use crate::format::Why;

impl Record for Task {
    const TYPE: i16 = crate::format::TASK;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.objref != 0, "task has no object reference")?;
        ensure(
            self.state <= STATE_STOPPED
                && (self.exit_state == EXIT_ZOMBIE && self.state == 0
                    || (self.exit_state == 0 && self.exit_code == 0)),
            "state of the task is unknown",
        )?;
        ensure(
            if self.state == STATE_STOPPED {
                (1..=64).contains(&self.stop_signal)
                    && (self.stop_code == 0 || (1..=64).contains(&self.stop_code))
                    && self.flags & task_flags::CONTINUED == 0
            } else {
                self.stop_signal == 0 && self.stop_code == 0
            },
            "stop of the task is not valid",
        )?;
        ensure(self.exit_signal <= 64, "exit signal is out of range")?;
        ensure(
            self.pdeath_signal <= 64,
            "parent-death signal is out of range",
        )?;
        ensure(self.flags & !task_flags::ALL == 0, "task has unknown flags")?;
        let dumpable = task_flags::DUMPABLE | task_flags::DUMPABLE_ROOT;
        ensure(
            self.flags & dumpable != dumpable,
            "task is dumpable in two ways",
        )?;
        ensure(
            (-20..=19).contains(&self.nice),
            "nice value is out of range",
        )?;
        let real_time = matches!(self.policy, policy::FIFO | policy::RR);
        ensure(
            real_time || matches!(self.policy, policy::NORMAL | policy::BATCH | policy::IDLE),
            "scheduling policy is unknown",
        )?;
        ensure(
            if real_time {
                (1..=99).contains(&self.rt_priority)
            } else {
                self.rt_priority == 0
            },
            "real-time priority is out of range",
        )?;
        ensure(
            [self.oom_score_adj, self.oom_score_adj_min]
                .iter()
                .all(|adj| (-1000..=1000).contains(adj)),
            "oom_score_adj is out of range",
        )?;
        ensure(
            self.task_comm_len == COMM_LEN as u32,
            "length of the task name is not 16",
        )?;
        ensure(self.comm.last() == Some(&0), "task name has no end")?;
        ensure(
            real_time == (self.timer_slack_ns == 0),
            "timer slack does not fit the policy",
        )?;
        ensure(self.default_timer_slack_ns != 0, "timer slack is zero")?;
        ensure(
            self.slice_ns == 0 || !real_time && (SLICE_MIN..=SLICE_MAX).contains(&self.slice_ns),
            "scheduling slice is out of range",
        )?;
        ensure(self.ioprio <= 0xffff, "I/O priority is out of range")?;
        ensure(
            self.affinity_len <= AFFINITY_MAX && self.affinity_len % 8 == 0,
            "CPU affinity is too long",
        )?;
        ensure(
            self.affinity_len == 0 || self.exit_state == 0,
            "task that has ended has a CPU affinity",
        )?;
        ensure(
            [self.mm, self.files, self.fs, self.handlers]
                .iter()
                .all(|objref| (*objref == 0) == (self.exit_state != 0)),
            "memory, descriptors, view or handlers do not fit the state of the task",
        )?;
        ensure(
            self.used().iter().flatten().all(|used| *used <= USED_MAX),
            "what the task has used is out of range",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

impl Task {
    /// What the task itself has used, its process, and the children of that: user time,
    /// system time, time on a CPU, both reported times, switches and faults of either kind,
    /// blocks read and written, memory, and what /proc/PID/io shows.
    pub fn used(&self) -> [[u64; NR_USED]; 3] {
        [
            [
                self.utime,
                self.stime,
                self.sum_exec_runtime,
                self.prev_utime,
                self.prev_stime,
                self.nvcsw,
                self.nivcsw,
                self.min_flt,
                self.maj_flt,
                0,
                0,
                0,
                self.rchar,
                self.wchar,
                self.syscr,
                self.syscw,
                self.read_bytes,
                self.write_bytes,
                self.cancelled_write_bytes,
            ],
            [
                self.group_utime,
                self.group_stime,
                self.group_runtime,
                self.group_prev_utime,
                self.group_prev_stime,
                self.group_nvcsw,
                self.group_nivcsw,
                self.group_min_flt,
                self.group_maj_flt,
                self.group_inblock,
                self.group_oublock,
                self.group_maxrss,
                self.group_rchar,
                self.group_wchar,
                self.group_syscr,
                self.group_syscw,
                self.group_read_bytes,
                self.group_write_bytes,
                self.group_cancelled_write_bytes,
            ],
            [
                self.children_utime,
                self.children_stime,
                0,
                0,
                0,
                self.children_nvcsw,
                self.children_nivcsw,
                self.children_min_flt,
                self.children_maj_flt,
                self.children_inblock,
                self.children_oublock,
                self.children_maxrss,
                0,
                0,
                0,
                0,
                0,
                0,
                0,
            ],
        ]
    }
}
