// SPDX-License-Identifier: GPL-2.0

//! Signals and timers of the current process.

use crate::format::signal::Sigaction;
use crate::format::signal::NR_SIGNALS;
use kernel::bindings;
use kernel::prelude::*;

/// The alternate signal stack.
#[derive(Clone, Copy)]
pub(crate) struct Altstack {
    pub(crate) sp: u64,
    pub(crate) size: u64,
    pub(crate) flags: u64,
}

/// Has the current task something to do about its signals before it goes on?
pub(crate) fn is_due() -> bool {
    // SAFETY: Looks at a flag of the current task.
    unsafe { bindings::ckpt_signal_due() }
}

/// How a process is stopped by a signal, or was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stop {
    /// The signal that has stopped the current task, or 0.
    pub(crate) signal: u32,
    /// What wait(2) is still to tell of it, or 0.
    pub(crate) code: u32,
    /// wait(2) is still to tell that the process goes on.
    pub(crate) continued: bool,
}

/// Is the current task stopped? Nothing while its parent is to be told that the process
/// was stopped or continued.
pub(crate) fn stop() -> Option<Stop> {
    let (mut signal, mut code, mut continued) = (0, 0, false);
    // SAFETY: Looks at the current task and process, under the signal lock, and fills in
    // what is ours. SIGCONT may come at any time, and is then either seen or not.
    let told = unsafe { bindings::ckpt_stop_state(&mut signal, &mut code, &mut continued) };
    told.then_some(Stop {
        signal,
        code,
        continued,
    })
}

/// Is the parent of the process still to be told that it was stopped or continued?
pub(crate) fn is_to_tell() -> bool {
    const TO_TELL: u32 = bindings::SIGNAL_CLD_STOPPED | bindings::SIGNAL_CLD_CONTINUED;
    // SAFETY: One word of the current process, which may change at once.
    let flags = unsafe { core::ptr::read_volatile(&raw const (*super::task::signal_ptr()).flags) };
    flags & TO_TELL != 0
}

/// Has the current task, which is the first of its process, stop or go on at its way to
/// user mode; nobody is told.
pub(crate) fn set_stop(stop: &Stop) {
    // SAFETY: Acts on the current task and process, under the signal lock.
    unsafe { bindings::ckpt_set_stop_state(stop.signal, stop.code, stop.continued) };
}

/// Has the current task stop as the first of its process has, if that has not been
/// continued since. When that has been set.
pub(crate) fn stop_too(signal: u32) {
    if signal != 0 {
        // SAFETY: As in set_stop().
        unsafe { bindings::ckpt_stop(signal) };
    }
}

/// Ends all timers of the process: those of an image take their places.
pub(crate) fn stop_timers() {
    // SAFETY: As exec does it for POSIX timers: other threads, if there are any, wait
    // for us in the kernel. The interval timers belong to the current process and are
    // changed under the signal lock.
    unsafe {
        bindings::exit_itimers(super::task::current_ptr());
        bindings::ckpt_stop_timers();
        bindings::ckpt_siglock();
        let signal = super::task::signal_ptr();
        (*signal).it_real_incr = 0;
        for it in &mut (*signal).it {
            it.expires = 0;
            it.incr = 0;
        }
        bindings::ckpt_sigunlock();
    }
}

/// Blocked signals; not those that a call like ppoll(2) blocks while it waits.
pub(crate) fn blocked() -> u64 {
    // SAFETY: Only the task itself changes its masks.
    unsafe {
        let t = super::task::current_ptr();
        if bindings::ckpt_restores_sigmask() {
            (*t).saved_sigmask.sig[0] as u64
        } else {
            (*t).blocked.sig[0] as u64
        }
    }
}

/// Sets the blocked signals; SIGKILL and SIGSTOP never are.
pub(crate) fn set_blocked(mask: u64) {
    let mut set = bindings::sigset_t {
        sig: [mask as c_ulong],
    };
    // SAFETY: Takes the signal lock itself.
    unsafe { bindings::set_current_blocked(&mut set) };
}

/// While it lives, the current task has all signals blocked.
pub(crate) struct BlockAll(bindings::sigset_t);

impl BlockAll {
    /// See [`BlockAll`].
    pub(crate) fn enter() -> Self {
        // SAFETY: Only the task itself changes its mask.
        let former = unsafe { (*super::task::current_ptr()).blocked };
        set_blocked(u64::MAX);
        Self(former)
    }
}

impl Drop for BlockAll {
    fn drop(&mut self) {
        // SAFETY: As in set_blocked(). The mask is what the task had.
        unsafe { bindings::set_current_blocked(&mut self.0) };
    }
}

/// Looks at the pending signals anew: has the way back to user mode to deliver one?
pub(crate) fn recalculate() {
    // SAFETY: The signal lock is held.
    unsafe {
        bindings::ckpt_siglock();
        bindings::recalc_sigpending();
        bindings::ckpt_sigunlock();
    }
}

/// The alternate stack.
pub(crate) fn altstack() -> Altstack {
    // SAFETY: Only the task itself changes it.
    unsafe {
        let t = super::task::current_ptr();
        Altstack {
            sp: (*t).sas_ss_sp as u64,
            size: (*t).sas_ss_size as u64,
            flags: (*t).sas_ss_flags.into(),
        }
    }
}

/// Sets the alternate stack; the kernel treats its address as hostile.
pub(crate) fn set_altstack(stack: &Altstack) {
    // SAFETY: Only the task itself changes it.
    unsafe {
        let t = super::task::current_ptr();
        (*t).sas_ss_sp = stack.sp as c_ulong;
        (*t).sas_ss_size = stack.size as usize;
        (*t).sas_ss_flags = stack.flags as u32;
    }
}

/// Stores what the process does about each signal.
pub(crate) fn actions(actions: &mut [Sigaction; NR_SIGNALS]) {
    // SAFETY: The signal lock is held.
    unsafe {
        bindings::ckpt_siglock();
        let sighand = (*super::task::current_ptr()).sighand;
        for (to, from) in actions.iter_mut().zip(&(*sighand).action) {
            to.handler = handler_address(&from.sa);
            to.flags = from.sa.sa_flags as u64;
            to.restorer = from.sa.sa_restorer.map_or(0, |f| f as usize as u64);
            to.mask = from.sa.sa_mask.sig[0] as u64;
        }
        bindings::ckpt_sigunlock();
    }
}

fn handler_address(sa: &bindings::sigaction) -> u64 {
    sa.sa_handler.map_or(0, |f| f as usize as u64)
}

/// Sets what the process does about signal `nr`, 1 to 64.
///
/// Pending signals that become ignored are dropped, as sigaction(2) does.
/// The addresses are user addresses: only user mode ever jumps to them.
pub(crate) fn set_action(nr: usize, action: &Sigaction) {
    let mut ka = bindings::k_sigaction::default();
    // SAFETY: A function pointer that may be NULL has the layout of an
    // address; the kernel never calls it. The structure is ours; the call
    // refuses SIGKILL and SIGSTOP, and nothing else that a record can hold.
    unsafe {
        ka.sa.sa_handler = core::mem::transmute::<usize, Option<unsafe extern "C" fn(i32)>>(
            action.handler as usize,
        );
        ka.sa.sa_restorer =
            core::mem::transmute::<usize, Option<unsafe extern "C" fn()>>(action.restorer as usize);
        ka.sa.sa_flags = action.flags as c_ulong;
        ka.sa.sa_mask.sig[0] = action.mask as c_ulong;
        bindings::do_sigaction(nr as i32, &mut ka, core::ptr::null_mut());
    }
}
