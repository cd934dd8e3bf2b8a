// SPDX-License-Identifier: GPL-2.0

//! Clocks, rescheduling, checksums.

use kernel::bindings;
use kernel::prelude::*;

/// Gives way to others in a long loop, and ends it when the task is killed.
///
/// # Errors
///
/// EINTR when a fatal signal is pending.
pub(crate) fn breathe() -> Result {
    // SAFETY: Called in task context without locks: it may sleep.
    unsafe { bindings::ckpt_cond_resched() };
    // SAFETY: Only looks at the current task.
    if unsafe { bindings::ckpt_fatal_signal_pending() } {
        return Err(EINTR);
    }
    Ok(())
}

/// Sleeps about this long.
///
/// # Errors
///
/// ERESTARTSYS when the current task has a signal.
pub(crate) fn sleep_interruptible(ms: u32) -> Result {
    let jiffies = kernel::time::msecs_to_jiffies(ms).max(1) as c_long;
    // SAFETY: Called in task context without locks: it may sleep.
    unsafe { bindings::schedule_timeout_interruptible(jiffies) };
    // SAFETY: Only looks at the current task.
    if unsafe { bindings::ckpt_signal_pending() } {
        return Err(ERESTARTSYS);
    }
    Ok(())
}

/// How many ticks of the clock this is.
pub(crate) fn ticks(ms: u32) -> u32 {
    u32::try_from(kernel::time::msecs_to_jiffies(ms)).unwrap_or(u32::MAX)
}

/// Sleeps for one tick of the clock, whatever comes.
pub(crate) fn sleep_tick() {
    // SAFETY: Called in task context without locks: it may sleep.
    unsafe { bindings::schedule_timeout_uninterruptible(1) };
}

/// While it lives, the current task counts as frozen in its control group.
pub(crate) struct Frozen(());

impl Frozen {
    /// See [`Frozen`].
    pub(crate) fn enter() -> Self {
        // SAFETY: The current task is at its way back to user mode, and takes no
        // lock of the control groups.
        unsafe { bindings::ckpt_frozen_enter() };
        Self(())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // SAFETY: As above. If its group is frozen, the task stays so.
        unsafe { bindings::ckpt_frozen_leave() };
    }
}

/// While it lives, visits and other task work do not interrupt the current task's
/// waits; signals do.
pub(crate) struct Quiet(c_uint);

impl Quiet {
    /// See [`Quiet`].
    pub(crate) fn enter() -> Self {
        // SAFETY: Changes a flag of the current task, which only itself changes.
        Self(unsafe { bindings::ckpt_quiet_enter() })
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // SAFETY: As above.
        unsafe { bindings::ckpt_quiet_leave(self.0) };
    }
}

/// Is the current task being killed?
pub(crate) fn is_killed() -> bool {
    // SAFETY: Only looks at the current task.
    unsafe { bindings::ckpt_fatal_signal_pending() }
}

/// Continues a crc32c (0 at the start) over `bytes`.
pub(crate) fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    // SAFETY: The slice is valid for its length.
    unsafe { bindings::ckpt_crc32c(crc, bytes.as_ptr().cast(), bytes.len()) }
}

/// Wall clock, CLOCK_MONOTONIC and CLOCK_BOOTTIME in nanoseconds, the last two as the
/// current task's time namespace shows them.
pub(crate) fn clocks() -> (u64, u64, u64) {
    // SAFETY: Reading clocks has no preconditions.
    unsafe {
        (
            bindings::ckpt_realtime_ns(),
            bindings::ckpt_monotonic_ns(),
            bindings::ckpt_boottime_ns(),
        )
    }
}

/// Release, version and machine of the kernel, as uname(2) tells them.
pub(crate) fn utsname() -> [KVec<u8>; 3] {
    // SAFETY: The task's UTS namespace lives as long as the task; a string
    // that changes while it is copied is copied mixed, as in uname(2), and
    // every one of the arrays ends with a NUL.
    let uts = unsafe { *bindings::ckpt_utsname() };
    let copy = |chars: &[c_char]| {
        let mut text = KVec::new();
        for c in chars.iter().take_while(|c| **c != 0) {
            // Without memory the string is short; it is only information.
            if text.push(*c, GFP_KERNEL).is_err() {
                break;
            }
        }
        text
    };
    [copy(&uts.release), copy(&uts.version), copy(&uts.machine)]
}

/// Major, minor and patch number of the kernel.
pub(crate) fn kernel_version() -> (u16, u16, u16) {
    // SAFETY: Returns a constant.
    let code = unsafe { bindings::ckpt_kernel_version() };
    (
        (code >> 16) as u16,
        (code >> 8 & 0xff) as u16,
        (code & 0xff) as u16,
    )
}
