// SPDX-License-Identifier: GPL-2.0

//! The current task: what it is, what it may, and the values that it can set
//! on itself.

use crate::format::task::COMM_LEN;
use kernel::bindings;
use kernel::prelude::*;

/// CAP_SYS_PTRACE.
pub(crate) const CAP_SYS_PTRACE: u32 = bindings::CAP_SYS_PTRACE;
/// CAP_BLOCK_SUSPEND.
pub(crate) const CAP_BLOCK_SUSPEND: u32 = bindings::CAP_BLOCK_SUSPEND;
/// CAP_SYS_ADMIN.
pub(crate) const CAP_SYS_ADMIN: u32 = bindings::CAP_SYS_ADMIN;
/// CAP_SYS_RESOURCE.
pub(crate) const CAP_SYS_RESOURCE: u32 = bindings::CAP_SYS_RESOURCE;
/// CAP_CHECKPOINT_RESTORE.
pub(crate) const CAP_CHECKPOINT_RESTORE: u32 = bindings::CAP_CHECKPOINT_RESTORE;

/// The current task.
pub(crate) fn current_ptr() -> *mut bindings::task_struct {
    current!().as_ptr()
}

/// The signal structure of the current process.
pub(crate) fn signal_ptr() -> *mut bindings::signal_struct {
    // SAFETY: A running task has one, and it outlives the task.
    unsafe { (*current_ptr()).signal }
}

/// The descriptor table of the current task.
pub(crate) fn files_ptr() -> *mut bindings::files_struct {
    // SAFETY: Only the current task changes its pointer.
    unsafe { (*current_ptr()).files }
}

/// The sysctl kernel.checkpoint_restart.
pub(crate) fn sysctl() -> i32 {
    // SAFETY: A word that its sysctl changes as a whole.
    unsafe { core::ptr::read_volatile(&raw const bindings::sysctl_checkpoint_restart) }
}

/// The capability in the first user namespace: for what counts machine-wide.
pub(crate) fn capable(cap: u32) -> bool {
    // SAFETY: Looks at the current task.
    unsafe { bindings::capable(cap as i32) }
}

/// The user on whose account the task is, as a number of the first user namespace.
pub(crate) fn real_uid() -> u32 {
    // SAFETY: Looks at the current task.
    unsafe { bindings::ckpt_real_uid() }
}

/// The capability in the task's own user namespace.
pub(crate) fn ns_capable(cap: u32) -> bool {
    // SAFETY: The credentials hold the namespace.
    unsafe { bindings::ns_capable(bindings::ckpt_user_ns(), cap as i32) }
}

/// Is the current task on its way out?
pub(crate) fn is_exiting() -> bool {
    // The first of these is set when it begins to exit, and PF_EXITING late.
    let ending = bindings::PF_POSTCOREDUMP | bindings::PF_SIGNALED | bindings::PF_EXITING;
    flags() & ending != 0
}

/// Is the current task a child of vfork(2) that still uses its parent's memory?
pub(crate) fn is_vfork_child() -> bool {
    super::park::is_vfork_child(current!())
}

/// Is the current task the first thread of its process?
pub(crate) fn is_first_thread() -> bool {
    // SAFETY: Only exec changes it, in the task itself.
    unsafe { (*current_ptr()).group_leader == current_ptr() }
}

/// Process id of the current task in its own namespace.
pub(crate) fn pid_in_ns() -> i32 {
    ids().tgid
}

/// Numbers of the current task in its own namespace.
pub(crate) struct Ids {
    pub(crate) tgid: i32,
    pub(crate) ppid: i32,
    pub(crate) pgid: i32,
    pub(crate) sid: i32,
}

/// See [`Ids`].
pub(crate) fn ids() -> Ids {
    // SAFETY: Looks at the current task only; takes the RCU lock itself.
    unsafe {
        Ids {
            tgid: bindings::ckpt_pid_of(bindings::pid_type_PIDTYPE_TGID),
            ppid: bindings::ckpt_ppid(),
            pgid: bindings::ckpt_pid_of(bindings::pid_type_PIDTYPE_PGID),
            sid: bindings::ckpt_pid_of(bindings::pid_type_PIDTYPE_SID),
        }
    }
}

/// Does anybody share this process's memory, or is there another thread?
pub(crate) fn is_single() -> bool {
    // SAFETY: Looks at the current task; the lists are read under locks.
    unsafe { bindings::ckpt_thread_group_empty() && bindings::current_is_single_threaded() }
}

/// Number of a task in the namespace of the current one.
pub(crate) fn number(task: &kernel::task::Task) -> u32 {
    // SAFETY: The task is held; the call takes the RCU lock itself.
    unsafe { bindings::ckpt_pid_nr(task.as_ptr(), bindings::pid_type_PIDTYPE_PID) as u32 }
}

/// The number of the current process for the kernel itself.
pub(crate) fn process_number() -> i32 {
    // SAFETY: It does not change as long as the task runs.
    unsafe { (*current_ptr()).tgid }
}

/// Name with its NUL, the rest zero.
pub(crate) fn comm() -> [u8; COMM_LEN] {
    comm_of(current!())
}

/// Name of a task that stands still or has ended.
pub(crate) fn comm_of(task: &kernel::task::Task) -> [u8; COMM_LEN] {
    // SAFETY: The task is held. Only it changes its name in a way that matters;
    // the array always ends with a NUL.
    let mut comm = unsafe { (*task.as_ptr()).comm };
    if let Some(end) = comm.iter().position(|c| *c == 0) {
        comm.iter_mut().skip(end).for_each(|c| *c = 0);
    }
    comm
}

/// Sets the name; it ends with a NUL.
pub(crate) fn set_comm(comm: &[u8; COMM_LEN]) {
    debug_assert!(comm.last() == Some(&0));
    // SAFETY: The name ends with a NUL: the record was validated.
    unsafe { bindings::__set_task_comm(current_ptr(), comm.as_ptr().cast(), false) };
}

/// personality(2).
pub(crate) fn personality() -> u32 {
    // SAFETY: Only the task itself changes it.
    unsafe { (*current_ptr()).personality }
}

/// Sets personality(2).
pub(crate) fn set_personality(personality: u32) {
    // SAFETY: Only the task itself changes it.
    unsafe { (*current_ptr()).personality = personality };
}

/// PF_* flags.
pub(crate) fn flags() -> u32 {
    // SAFETY: Only the task itself changes its flags.
    unsafe { (*current_ptr()).flags }
}

/// Changes PF_* flags.
pub(crate) fn set_flags(clear: u32, set: u32) {
    // SAFETY: Only the task itself changes its flags.
    unsafe {
        let flags = &raw mut (*current_ptr()).flags;
        *flags = *flags & !clear | set;
    }
}

/// no_new_privs.
pub(crate) fn no_new_privs() -> bool {
    // SAFETY: Looks at the current task.
    unsafe { bindings::ckpt_no_new_privs() }
}

/// Sets no_new_privs for good.
pub(crate) fn set_no_new_privs() {
    // SAFETY: Changes an atomic flag of the current task.
    unsafe { bindings::ckpt_set_no_new_privs() };
}

/// PR_SET_CHILD_SUBREAPER.
pub(crate) fn is_subreaper() -> bool {
    // SAFETY: Looks at the current process.
    unsafe { bindings::ckpt_is_subreaper() }
}

/// Sets PR_SET_CHILD_SUBREAPER; what this says to children is theirs to know.
pub(crate) fn set_subreaper(on: bool) {
    // SAFETY: The flag belongs to the current process.
    unsafe { bindings::ckpt_set_subreaper(current_ptr(), on) };
}

/// Who may trace the current task and get its core dumps.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dumpable {
    /// Nobody may have dumps.
    Off,
    /// Its owner.
    Owner,
    /// Dumps are root's.
    Root,
}

/// See [`Dumpable`].
pub(crate) fn dumpable() -> Dumpable {
    // SAFETY: Takes the locks it needs.
    match unsafe { bindings::task_exec_state_get_dumpable(current_ptr()) } {
        bindings::task_dumpable_TASK_DUMPABLE_OWNER => Dumpable::Owner,
        bindings::task_dumpable_TASK_DUMPABLE_ROOT => Dumpable::Root,
        _ => Dumpable::Off,
    }
}

/// Sets it. Dumps for root, which are written with root's rights, only where
/// fs.suid_dumpable has them for a change of ids; none otherwise.
pub(crate) fn set_dumpable(who: Dumpable) {
    // SAFETY: One word that a sysctl sets.
    let of_changed = unsafe { (&raw const bindings::suid_dumpable).read_volatile() };
    let value = match who {
        Dumpable::Owner => bindings::task_dumpable_TASK_DUMPABLE_OWNER,
        Dumpable::Root if of_changed == bindings::task_dumpable_TASK_DUMPABLE_ROOT as i32 => {
            bindings::task_dumpable_TASK_DUMPABLE_ROOT
        }
        Dumpable::Root | Dumpable::Off => bindings::task_dumpable_TASK_DUMPABLE_OFF,
    };
    // SAFETY: Changes a word of the current task's exec state.
    unsafe { bindings::task_exec_state_set_dumpable(value) };
}

/// Parent-death signal.
pub(crate) fn pdeath_signal() -> u32 {
    // SAFETY: Only the task itself changes it.
    unsafe { (*current_ptr()).pdeath_signal as u32 }
}

/// Sets the parent-death signal, 0 to 64.
pub(crate) fn set_pdeath_signal(signal: u32) {
    // SAFETY: Only the task itself changes it.
    unsafe { (*current_ptr()).pdeath_signal = signal as i32 };
}

/// Timer slack and the one that prctl resets to, in nanoseconds.
pub(crate) fn timer_slack() -> (u64, u64) {
    // SAFETY: A change by another task is a change of one word.
    unsafe {
        let t = current_ptr();
        ((*t).timer_slack_ns, (*t).default_timer_slack_ns)
    }
}

/// Sets the timer slack, if there is one, and the default one, in nanoseconds.
pub(crate) fn set_timer_slack(own: Option<u64>, default: u64) {
    // SAFETY: A change by another task is a change of one word.
    unsafe {
        let t = current_ptr();
        if let Some(own) = own {
            (*t).timer_slack_ns = own;
        }
        (*t).default_timer_slack_ns = default;
    }
}

/// What a task, its process, and the children of that have used.
pub(crate) type Used = bindings::ckpt_used;

/// The times of the current task that nothing is added to.
pub(crate) struct Times {
    pub(crate) gtime: u64,
    pub(crate) start_time: u64,
    pub(crate) start_boottime: u64,
}

/// See [`Times`].
pub(crate) fn times() -> Times {
    // SAFETY: Looks at the current task; each is one word.
    let t = unsafe { &*current_ptr() };
    Times {
        gtime: t.gtime,
        start_time: t.start_time,
        start_boottime: t.start_boottime,
    }
}

/// What the current task has used.
pub(crate) fn used() -> Used {
    let mut own = Used::default();
    // SAFETY: Looks at the current task.
    unsafe { bindings::ckpt_used(&mut own) };
    own
}

/// What all threads of a process have used, also those that have ended; and the children
/// that it has waited for. `leader` is its first thread, and may have ended.
pub(crate) fn used_by_process(leader: &kernel::task::Task) -> (Used, Used) {
    let (mut all, mut children) = (Used::default(), Used::default());
    // SAFETY: The reference keeps the task, and that the sums of its process, which are
    // looked at under their lock.
    unsafe { bindings::ckpt_used_by_group(leader.as_ptr(), &mut all, &mut children) };
    (all, children)
}

/// Counts for the current task what it has used in an earlier life, as part of what its
/// process has used.
pub(crate) fn count_used(own: &Used) {
    // SAFETY: Of the current task, under the locks of its run queue and of the sums.
    unsafe { bindings::ckpt_use(own) };
}

/// Counts for the current process what it has used in an earlier life, before its threads
/// take their parts, or behind that.
pub(crate) fn count_used_by_process(all: &Used, children: &Used) {
    // SAFETY: Of the current process, under the lock of the sums.
    unsafe { bindings::ckpt_use_by_group(all, children) };
}

/// Signal that the parent gets at the end; 0 for threads that are not the first.
pub(crate) fn exit_signal() -> u32 {
    // SAFETY: Only looked at.
    u32::try_from(unsafe { (*current_ptr()).exit_signal }).unwrap_or(0)
}

/// The robust futex list and the address cleared at exit.
pub(crate) fn user_pointers() -> (u64, u64) {
    // SAFETY: Only the task itself changes them.
    unsafe {
        (
            bindings::ckpt_robust_list() as u64,
            (*current_ptr()).clear_child_tid as u64,
        )
    }
}

/// Sets what [`user_pointers`] returns; the kernel treats them as hostile.
pub(crate) fn set_user_pointers(robust_list: u64, clear_child_tid: u64) {
    // SAFETY: Only the task itself changes them.
    unsafe {
        bindings::ckpt_robust_list_set(robust_list as usize as *mut _);
        (*current_ptr()).clear_child_tid = clear_child_tid as usize as *mut _;
    }
}

/// A registration for restartable sequences.
#[derive(Clone, Copy, Default)]
pub(crate) struct Rseq {
    pub(crate) addr: u64,
    pub(crate) len: u32,
    pub(crate) sig: u32,
    pub(crate) version: u32,
}

/// See [`Rseq`].
pub(crate) fn rseq() -> Rseq {
    // SAFETY: Only the task itself changes its registration.
    unsafe {
        let r = &(*current_ptr()).rseq;
        Rseq {
            addr: r.usrptr as u64,
            len: r.len,
            sig: r.sig,
            version: bindings::ckpt_rseq_version().into(),
        }
    }
}

/// Registers for restartable sequences; the area is updated on the way back
/// to user mode. Called after the old registration was reset.
pub(crate) fn set_rseq(rseq: &Rseq) {
    if rseq.addr == 0 {
        return;
    }
    // SAFETY: Only the task itself changes its registration. The address is
    // in user space; the kernel treats it as hostile.
    unsafe {
        let r = &raw mut (*current_ptr()).rseq;
        (*r).usrptr = rseq.addr as usize as *mut _;
        (*r).len = rseq.len;
        (*r).sig = rseq.sig;
        bindings::ckpt_rseq_set_version(rseq.version as u8);
        bindings::ckpt_rseq_force_update();
    }
}

/// Has the way back to user mode look for a call that is to go on.
pub(crate) fn notify_signal() {
    // SAFETY: Sets a flag of the current task, which that way clears.
    unsafe { bindings::ckpt_notify_signal() };
}
