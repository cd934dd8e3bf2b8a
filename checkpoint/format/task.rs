// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! A task: identity, accounting, credentials, limits, file system view.

mod rules;

use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Bytes of a task's name with its NUL.
pub const COMM_LEN: usize = 16;
/// [`Task::exit_state`] of a process that has ended.
pub const EXIT_ZOMBIE: u32 = 1;
/// [`Task::state`] of a task that a signal has stopped.
pub const STATE_STOPPED: u32 = 1;
/// Most bytes of a CPU affinity: a bit for each of 8192 CPUs.
pub const AFFINITY_MAX: u32 = 1024;
/// Shortest and longest scheduling slice in nanoseconds.
pub const SLICE_MIN: u64 = 100_000;
/// See [`SLICE_MIN`].
pub const SLICE_MAX: u64 = 100_000_000;
/// Resource limits of a process.
pub const NR_RLIMITS: usize = 16;
/// Most supplementary groups.
pub const GROUPS_MAX: usize = 65536;
/// [`Creds::seccomp`]: only read, write, exit and sigreturn.
pub const SECCOMP_STRICT: u32 = 1;
/// [`Creds::seccomp`]: what the filters allow.
pub const SECCOMP_FILTER: u32 = 2;
/// All bits of prctl(2), PR_SET_SECUREBITS.
const SECUREBITS_MAX: u32 = (1 << 12) - 1;
/// Groups of one record at most.
pub const GROUPS_CHUNK: usize = 4096;

/// Bits of [`Task::flags`].
pub mod task_flags {
    /// no_new_privs is set.
    pub const NO_NEW_PRIVS: u32 = 1 << 0;
    /// The task adopts orphans below it.
    pub const CHILD_SUBREAPER: u32 = 1 << 1;
    /// Core dumps and tracing by the owner are allowed.
    pub const DUMPABLE: u32 = 1 << 2;
    /// The task was forked and has not called exec since.
    pub const FORKNOEXEC: u32 = 1 << 3;
    /// The task has used superuser privileges.
    pub const SUPERPRIV: u32 = 1 << 4;
    /// Kill early on a memory failure: set by the task itself.
    pub const MCE_EARLY: u32 = 1 << 5;
    /// The memory failure policy was set by the task itself.
    pub const MCE_PROCESS: u32 = 1 << 6;
    /// Children go back to the default scheduling policy.
    pub const RESET_ON_FORK: u32 = 1 << 7;
    /// The process has been continued, and its parent has not asked for that yet.
    pub const CONTINUED: u32 = 1 << 8;
    /// Core dumps are allowed for root only, and tracing for whoever may trace all: what
    /// fs.suid_dumpable says of programs with changed ids. Without [`DUMPABLE`].
    pub const DUMPABLE_ROOT: u32 = 1 << 9;
    /// All bits.
    pub const ALL: u32 = (1 << 10) - 1;
}

/// Scheduling policies.
pub mod policy {
    /// Time sharing.
    pub const NORMAL: u32 = 0;
    /// Real time, first in first out.
    pub const FIFO: u32 = 1;
    /// Real time, round robin.
    pub const RR: u32 = 2;
    /// Batch.
    pub const BATCH: u32 = 3;
    /// Idle.
    pub const IDLE: u32 = 5;
}

/// Numbers that tell what a task has used.
pub(crate) const NR_USED: usize = 19;
/// Largest time, in nanoseconds, or number of anything, that a task has used.
pub const USED_MAX: u64 = 1 << 60;

wire! {
    /// `struct cr_hdr_task`: one task.
    pub struct Task [528] {
        /// Object reference of the task: owner of its records.
        objref: u32,
        /// Running or asleep: 0; stopped by a signal: [`STATE_STOPPED`].
        state: u32,
        /// Alive: 0; ended, [`EXIT_ZOMBIE`].
        exit_state: u32,
        /// Exit code as wait(2) tells it: 0 while alive.
        exit_code: u32,
        /// Signal for the parent when the task ends.
        exit_signal: u32,
        /// Thread id, as in the forest.
        pid: u32,
        /// Process id, as in the forest.
        tgid: u32,
        /// Parent's process id. For people.
        ppid: u32,
        /// Process group. For people.
        pgid: u32,
        /// Session. For people.
        sid: u32,
        /// See [`task_flags`].
        flags: u32,
        /// personality(2).
        personality: u32,
        /// Nice value, -20 to 19.
        nice: i32,
        /// See [`policy`].
        policy: u32,
        /// Real-time priority, 0 to 99.
        rt_priority: u32,
        /// Signal when the parent ends, or 0.
        pdeath_signal: u32,
        /// Score adjustment of the out-of-memory killer.
        oom_score_adj: i32,
        /// Bytes of `comm` in use, with the NUL.
        task_comm_len: u32,
        /// Name.
        comm: [u8; COMM_LEN],
        /// Timer slack in nanoseconds.
        timer_slack_ns: u64,
        /// Timer slack that prctl resets to, in nanoseconds.
        default_timer_slack_ns: u64,
        /// User time in nanoseconds. Varies.
        utime: u64,
        /// System time in nanoseconds. Varies.
        stime: u64,
        /// Time of virtual guests in nanoseconds. Varies.
        gtime: u64,
        /// Reported user time in nanoseconds. Varies.
        prev_utime: u64,
        /// Reported system time in nanoseconds. Varies.
        prev_stime: u64,
        /// Time on a CPU in nanoseconds. Varies.
        sum_exec_runtime: u64,
        /// Voluntary context switches. Varies.
        nvcsw: u64,
        /// Involuntary context switches. Varies.
        nivcsw: u64,
        /// CLOCK_MONOTONIC at the start in nanoseconds.
        start_time: u64,
        /// CLOCK_BOOTTIME at the start in nanoseconds.
        real_start_time: u64,
        /// Faults without I/O. Varies.
        min_flt: u64,
        /// Faults with I/O. Varies.
        maj_flt: u64,
        /// Signal that has stopped the task, or 0.
        stop_signal: u32,
        /// Of a stopped process: the signal that wait(2) is still to tell its parent of,
        /// or 0 when it has.
        stop_code: u32,
        /// Slice of the time-sharing policies in nanoseconds, or 0 for the system's.
        slice_ns: u64,
        /// I/O priority, as ioprio_get(2) tells it; 0 if none was set.
        ioprio: u32,
        /// Bytes of the AFFINITY record that follows, or 0 for all CPUs.
        affinity_len: u32,
        /// Address space: its MM record follows if it was not met before.
        mm: u32,
        /// Descriptor table: its FILES record follows if it was not met before.
        files: u32,
        /// File system view: its FS record follows if it was not met before.
        fs: u32,
        /// Signal handlers, which are those of the process's SIGNAL record.
        handlers: u32,
        /// Of the first thread: user time of all threads, also ended ones, in nanoseconds. Varies.
        group_utime: u64,
        /// Their system time in nanoseconds. Varies.
        group_stime: u64,
        /// Their time on a CPU in nanoseconds. Varies.
        group_runtime: u64,
        /// Their reported user time in nanoseconds. Varies.
        group_prev_utime: u64,
        /// Their reported system time in nanoseconds. Varies.
        group_prev_stime: u64,
        /// Their voluntary context switches. Varies.
        group_nvcsw: u64,
        /// Their involuntary context switches. Varies.
        group_nivcsw: u64,
        /// Their faults without I/O. Varies.
        group_min_flt: u64,
        /// Their faults with I/O. Varies.
        group_maj_flt: u64,
        /// Of the first thread: user time of children that were waited for, in nanoseconds. Varies.
        children_utime: u64,
        /// Their system time in nanoseconds. Varies.
        children_stime: u64,
        /// Their voluntary context switches. Varies.
        children_nvcsw: u64,
        /// Their involuntary context switches. Varies.
        children_nivcsw: u64,
        /// Their faults without I/O. Varies.
        children_min_flt: u64,
        /// Their faults with I/O. Varies.
        children_maj_flt: u64,
        /// Bytes read by calls, as in /proc/PID/io. Varies.
        rchar: u64,
        /// Bytes written by calls, as in /proc/PID/io. Varies.
        wchar: u64,
        /// Calls that read, as in /proc/PID/io. Varies.
        syscr: u64,
        /// Calls that write, as in /proc/PID/io. Varies.
        syscw: u64,
        /// Bytes read from storage, as in /proc/PID/io. Varies.
        read_bytes: u64,
        /// Bytes to be written to storage, as in /proc/PID/io. Varies.
        write_bytes: u64,
        /// Bytes that were not written to storage in the end, as in /proc/PID/io. Varies.
        cancelled_write_bytes: u64,
        /// Their count of the same as rchar, with that of the waited-for children. Varies.
        group_rchar: u64,
        /// Their count of the same as wchar, with that of the waited-for children. Varies.
        group_wchar: u64,
        /// Their count of the same as syscr, with that of the waited-for children. Varies.
        group_syscr: u64,
        /// Their count of the same as syscw, with that of the waited-for children. Varies.
        group_syscw: u64,
        /// Their count of the same as read_bytes, with that of the waited-for children. Varies.
        group_read_bytes: u64,
        /// Their count of the same as write_bytes, with that of the waited-for children. Varies.
        group_write_bytes: u64,
        /// Their count of the same as cancelled_write_bytes, with that of the waited-for children. Varies.
        group_cancelled_write_bytes: u64,
        /// Blocks of 512 bytes that all threads have read from storage. Varies.
        group_inblock: u64,
        /// Blocks that they have written. Varies.
        group_oublock: u64,
        /// Most memory at a time, in pages: of memory that was left by execve(2), or by
        /// the end. Varies.
        group_maxrss: u64,
        /// Blocks that the waited-for children have read. Varies.
        children_inblock: u64,
        /// Blocks that they have written. Varies.
        children_oublock: u64,
        /// Most memory of one of them at a time, in pages. Varies.
        children_maxrss: u64,
        /// Lowest score adjustment that the task may set without CAP_SYS_RESOURCE.
        oom_score_adj_min: i32,
        /// Zero.
        reserved: u32,
    }
}

wire! {
    /// `struct cr_hdr_creds`: who the task is, in its user namespace.
    pub struct Creds [96] {
        /// Real user id.
        uid: u32,
        /// Effective user id.
        euid: u32,
        /// Saved user id.
        suid: u32,
        /// File system user id.
        fsuid: u32,
        /// Real group id.
        gid: u32,
        /// Effective group id.
        egid: u32,
        /// Saved group id.
        sgid: u32,
        /// File system group id.
        fsgid: u32,
        /// Inheritable, permitted, effective, bounding and ambient capabilities.
        caps: [u64; 5],
        /// Secure bits.
        securebits: u32,
        /// Supplementary groups, in GROUPS records that follow.
        ngroups: u32,
        /// Mode of seccomp: 0 none; 1 strict; 2 filters, in the SECCOMP record that follows.
        seccomp: u32,
        /// How far the user namespace is below the first one: where the capabilities count.
        level: u32,
        /// Zero.
        reserved2: u64,
    }
}

impl Record for Creds {
    const TYPE: i16 = super::CREDS;

    fn validate(&self) -> Result<(), Why> {
        ensure(
            self.ngroups as usize <= GROUPS_MAX,
            "too many supplementary groups",
        )?;
        ensure(self.seccomp <= SECCOMP_FILTER, "mode of seccomp is unknown")?;
        ensure(
            [self.uid, self.euid, self.suid, self.fsuid]
                .iter()
                .chain(&[self.gid, self.egid, self.sgid, self.fsgid])
                .all(|id| *id != u32::MAX),
            "credentials have no user or group",
        )?;
        ensure(
            self.securebits <= SECUREBITS_MAX,
            "credentials have unknown secure bits",
        )?;
        ensure(self.reserved2 == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_rlimit`: one resource limit; all bits set means unlimited.
    pub struct Rlimit [16] {
        /// Soft limit.
        cur: u64,
        /// Hard limit.
        max: u64,
    }
}

wire! {
    /// `struct cr_hdr_rlimits`: limits in the order of getrlimit(2) numbers.
    pub struct Rlimits [256] {
        /// The limits.
        limits: [Rlimit; NR_RLIMITS],
    }
}

impl Record for Rlimits {
    const TYPE: i16 = super::RLIMITS;

    fn validate(&self) -> Result<(), Why> {
        for limit in &self.limits {
            ensure(limit.cur <= limit.max, "soft limit is above the hard limit")?;
        }
        Ok(())
    }
}

wire! {
    /// `struct cr_hdr_fs`: paths of root and current directory follow.
    pub struct Fs [16] {
        /// File mode creation mask.
        umask: u32,
        /// Number of paths that follow: 2.
        nr_paths: u32,
        /// Object reference of the view.
        objref: u32,
        /// Zero.
        reserved: u32,
    }
}

impl Record for Fs {
    const TYPE: i16 = super::FS;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.umask <= 0o777, "umask is out of range")?;
        ensure(self.nr_paths == 2, "root and current directory are missing")?;
        ensure(self.objref != 0, "view has no object reference")?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}
