// SPDX-License-Identifier: GPL-2.0

//! Scheduling, resource limits, and the out-of-memory score of the current
//! task.

use super::task;
use crate::format::task::AFFINITY_MAX;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

/// Adjustment of the out-of-memory score, and the lowest one allowed.
pub(crate) fn oom_score_adj() -> (i32, i32) {
    // SAFETY: The signal structure lives; each is one word.
    unsafe {
        let s = task::signal_ptr();
        ((*s).oom_score_adj.into(), (*s).oom_score_adj_min.into())
    }
}

/// May the current task have this adjustment of the out-of-memory score, and this lowest
/// one? Both as a write to its file, which can lower them by CAP_SYS_RESOURCE only.
pub(crate) fn may_set_oom_score_adj(adj: i32, lowest: i32) -> bool {
    let (own, own_lowest) = oom_score_adj();
    (adj >= own_lowest || adj == own) && lowest >= own_lowest
        || task::capable(task::CAP_SYS_RESOURCE)
}

/// Sets the adjustment of the out-of-memory score and the lowest one, -1000 to 1000; not
/// below what is allowed at this moment.
pub(crate) fn set_oom_score_adj(adj: i32, lowest: i32) {
    if !may_set_oom_score_adj(adj, lowest) {
        return;
    }
    // SAFETY: The signal structure lives; each is one word.
    unsafe {
        (*task::signal_ptr()).oom_score_adj = adj as i16;
        (*task::signal_ptr()).oom_score_adj_min = lowest as i16;
    }
}

/// Scheduling as sched_setattr(2) sees it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sched {
    pub(crate) policy: u32,
    pub(crate) nice: i32,
    pub(crate) rt_priority: u32,
    pub(crate) reset_on_fork: bool,
    /// Nanoseconds, or 0.
    pub(crate) slice: u64,
}

/// See [`Sched`].
pub(crate) fn sched() -> Sched {
    // SAFETY: Looks at the current task; each is one word.
    unsafe {
        let t = &*task::current_ptr();
        Sched {
            policy: t.policy,
            nice: bindings::ckpt_nice(),
            rt_priority: t.rt_priority,
            reset_on_fork: bindings::ckpt_sched_reset_on_fork(),
            slice: bindings::ckpt_slice(),
        }
    }
}

/// Sets the scheduling, with the rules of sched_setattr(2). That leaves the nice value of
/// other policies than the usual ones, which waits until one of these is set: as of
/// setpriority(2).
pub(crate) fn set_sched(sched: &Sched) -> Result {
    let task = task::current_ptr();
    let waits = !matches!(sched.policy, bindings::SCHED_NORMAL | bindings::SCHED_BATCH);
    // SAFETY: Both look at the current task, which runs this.
    let may =
        unsafe { sched.nice >= bindings::ckpt_nice() || bindings::can_nice(task, sched.nice) != 0 };
    if waits && !may {
        return Err(EPERM);
    }
    // SAFETY: The attributes are ours, the task is the current one.
    to_result(unsafe { bindings::sched_setattr(task, &attributes(sched)) })?;
    if waits {
        // SAFETY: The current task; a value from -20 to 19, as the record's rules say.
        unsafe { bindings::set_user_nice(task, sched.nice as c_long) };
    }
    Ok(())
}

fn attributes(sched: &Sched) -> bindings::sched_attr {
    bindings::sched_attr {
        size: size_of::<bindings::sched_attr>() as u32,
        sched_policy: sched.policy,
        sched_flags: u64::from(sched.reset_on_fork),
        sched_nice: sched.nice,
        sched_priority: sched.rt_priority,
        sched_runtime: sched.slice,
        ..Default::default()
    }
}

/// Goes back to a [`sched()`] that the task had, whatever its rights.
pub(crate) fn put_back_sched(sched: &Sched) {
    let task = task::current_ptr();
    // SAFETY: The attributes are ours, the task is the current one, and the value is one
    // that it had.
    unsafe {
        let _ = bindings::sched_setattr_nocheck(task, &attributes(sched));
        if bindings::ckpt_nice() != sched.nice {
            bindings::set_user_nice(task, sched.nice as c_long);
        }
    }
}

/// The CPUs that sched_setaffinity(2) has named, a bit for each; nothing if it was not
/// called.
pub(crate) fn affinity() -> Result<KVec<u8>> {
    // SAFETY: Only looks whether there is one.
    if unsafe { (*task::current_ptr()).user_cpus_ptr.is_null() } {
        return Ok(KVec::new());
    }
    let mut bits: KVec<u8> = KVec::from_elem(0, AFFINITY_MAX as usize, GFP_KERNEL)?;
    // SAFETY: The buffer is as long as it says; the lock is taken by the call.
    let len = unsafe { bindings::ckpt_affinity(bits.as_mut_ptr(), AFFINITY_MAX) };
    bits.truncate(len as usize);
    Ok(bits)
}

/// Has the machine any of these CPUs, and has it all of them?
pub(crate) fn affinity_here(bits: &[u8]) -> (bool, bool) {
    let mut all = false;
    // SAFETY: The slice is valid for its length.
    let any = unsafe { bindings::ckpt_affinity_here(bits.as_ptr(), bits.len() as u32, &mut all) };
    (any, all)
}

/// Has the current task run on these CPUs, as far as they are there; or else on all, and
/// so it does if none is named.
///
/// # Errors
///
/// Those of sched_setaffinity(2).
pub(crate) fn set_affinity(bits: &[u8]) -> Result {
    // SAFETY: The slice is valid for its length.
    to_result(unsafe { bindings::ckpt_set_affinity(bits.as_ptr(), bits.len() as u32) } as i32)
}

/// Goes back to an [`affinity()`] that the task had.
pub(crate) fn put_back_affinity(bits: &[u8]) {
    // Where there was none: on all, which then is what nobody has asked for. Without memory
    // for that the task keeps what it has, and that it has asked for it.
    if set_affinity(bits).is_ok() && bits.is_empty() {
        // SAFETY: Changes the current task, under its lock, which the call takes.
        unsafe { bindings::ckpt_forget_affinity() };
    }
}

/// The I/O priority that the current task has set, or 0.
pub(crate) fn ioprio() -> u32 {
    // SAFETY: Looks at the current task.
    unsafe { bindings::ckpt_ioprio() as u32 }
}

/// May the current task have this I/O priority, by the rules of ioprio_set(2)?
pub(crate) fn may_set_ioprio(ioprio: u32) -> Result {
    // SAFETY: Looks at the current task.
    to_result(unsafe { bindings::ckpt_may_set_ioprio(ioprio as i32) })
}

/// Goes back to an I/O priority that the task had.
pub(crate) fn put_back_ioprio(ioprio: u32) {
    // SAFETY: Changes the current task only.
    unsafe { bindings::ckpt_put_back_ioprio(ioprio as i32) };
}

/// Sets the I/O priority, with the rules of ioprio_set(2).
pub(crate) fn set_ioprio(ioprio: u32) -> Result {
    // SAFETY: Changes the current task, which takes its own lock.
    to_result(unsafe { bindings::ckpt_set_ioprio(ioprio as i32) })
}

/// Resource limits, soft and hard.
pub(crate) fn rlimits() -> [(u64, u64); 16] {
    // SAFETY: The limits change under the task lock of the group leader, which is held, and
    // lives as long as the current task.
    unsafe {
        let leader = (*task::current_ptr()).group_leader;
        bindings::ckpt_task_lock(leader);
        let rlim = (*task::signal_ptr()).rlim;
        bindings::ckpt_task_unlock(leader);
        rlim.map(|limit| (limit.rlim_cur as u64, limit.rlim_max as u64))
    }
}

/// Sets the resource limits. Without CAP_SYS_RESOURCE none is raised: one
/// that was lowered since it was checked stays lowered.
pub(crate) fn set_rlimits(limits: &[(u64, u64); 16]) {
    let privileged = task::capable(task::CAP_SYS_RESOURCE);
    // SAFETY: As in rlimits(); update_rlimit_cpu() takes the signal lock.
    unsafe {
        let leader = (*task::current_ptr()).group_leader;
        bindings::ckpt_task_lock(leader);
        let rlim = &mut (*task::signal_ptr()).rlim;
        for (to, from) in rlim.iter_mut().zip(limits) {
            let max = from.1 as c_ulong;
            to.rlim_max = if privileged {
                max
            } else {
                max.min(to.rlim_max)
            };
            to.rlim_cur = (from.0 as c_ulong).min(to.rlim_max);
        }
        bindings::ckpt_task_unlock(leader);
        let cpu = limits
            .get(bindings::RLIMIT_CPU as usize)
            .map_or(u64::MAX, |l| l.0);
        if cpu != u64::MAX {
            bindings::update_rlimit_cpu(task::current_ptr(), cpu as c_ulong);
        }
    }
}

/// Open files that descriptors and mappings of the task can hold.
pub(crate) fn files_allowed() -> u64 {
    // The default of vm.max_map_count.
    const MAPPINGS: u64 = 65530;

    rlimits()
        .get(bindings::RLIMIT_NOFILE as usize)
        .map_or(0, |limit| limit.0)
        .saturating_add(MAPPINGS)
}

/// The largest number of descriptors that a limit may allow.
pub(crate) fn nr_open() -> u64 {
    // SAFETY: A word that its sysctl changes as a whole.
    unsafe { core::ptr::read_volatile(&raw const bindings::sysctl_nr_open) }.into()
}

/// Does the security module allow this limit?
pub(crate) fn may_set_rlimit(resource: usize, cur: u64, max: u64) -> Result {
    let mut limit = bindings::rlimit {
        rlim_cur: cur as c_ulong,
        rlim_max: max as c_ulong,
    };
    // SAFETY: Looks at the current task; the limit is ours.
    to_result(unsafe { bindings::ckpt_may_set_rlimit(resource as c_uint, &mut limit) })
}
