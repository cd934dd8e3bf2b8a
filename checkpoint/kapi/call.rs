// SPDX-License-Identifier: GPL-2.0

//! The restart block of the current task: how an interrupted call goes on.

use super::task::current_ptr;
use crate::format::call::flags;
use crate::format::call::kind;
use crate::format::call::RestartBlock;
use crate::format::call::CLOCK_PROCESS;
use crate::format::call::REMAINING_MAX;
use crate::format::call::SOCKET_CALLS;
use crate::format::cpu::TASK_SIZE_MAX;
use crate::format::timer::cpu_clock::PROCESS_SCHED;
use kernel::bindings;
use kernel::prelude::*;

const CLOCK_MONOTONIC: u32 = bindings::CLOCK_MONOTONIC;
const CLOCK_REALTIME: u32 = bindings::CLOCK_REALTIME;
const NSEC_PER_SEC: i64 = 1_000_000_000;

/// Flags of futex waits, kernel/futex/futex.h; other bits are not supported.
const FUTEX_SIZE_32: u32 = 0x2;
const FUTEX_SHARED: u32 = 0x10;
const FUTEX_REALTIME: u32 = 0x20;
const FUTEX_TIMEOUT: u32 = 0x40;

type Function = unsafe extern "C" fn(*mut bindings::restart_block) -> c_long;

/// Calls whose arguments are in the registers, with a point in time of the monotonic
/// clock, and the functions that continue them.
const WAITS: &[(u32, Function)] = &[
    #[cfg(CONFIG_EPOLL)]
    (kind::EPOLL_WAIT, bindings::do_restart_epoll_wait),
    #[cfg(CONFIG_EPOLL)]
    (kind::EPOLL_PWAIT, bindings::do_restart_epoll_pwait),
    (kind::SIGTIMEDWAIT, bindings::do_restart_sigtimedwait),
    #[cfg(CONFIG_SYSVIPC)]
    (kind::SEMTIMEDOP, bindings::do_restart_semtimedop),
    (kind::SOCKET, bindings::do_restart_socket),
];

/// restart_syscall(2), with which an interrupted call is continued.
pub(crate) const NR_RESTART_SYSCALL: u64 = bindings::ckpt_value_CKPT_NR_RESTART_SYSCALL as u64;

fn now(clock: u32) -> i64 {
    // SAFETY: Reads a clock.
    unsafe { bindings::ckpt_clock_ns(clock as bindings::clockid_t) }
}

fn left(clock: u32, deadline: i64) -> u64 {
    u64::try_from(deadline.saturating_sub(now(clock)))
        .unwrap_or(0)
        .min(REMAINING_MAX)
}

fn deadline(clock: u32, left: u64) -> i64 {
    now(clock).saturating_add_unsigned(left)
}

type Poll = bindings::restart_block__bindgen_ty_1__bindgen_ty_3;

/// The point in time of a restart block of poll(2), or of a call of [`WAITS`].
fn until(poll: &Poll) -> i64 {
    let end = poll.end_time.tv_sec.saturating_mul(NSEC_PER_SEC);
    end.saturating_add(poll.end_time.tv_nsec as i64)
}

fn set_until(poll: &mut Poll, left: u64) {
    let end = deadline(CLOCK_MONOTONIC, left);
    poll.end_time.tv_sec = end.div_euclid(NSEC_PER_SEC);
    poll.end_time.tv_nsec = end.rem_euclid(NSEC_PER_SEC) as c_long;
}

/// A user address, or one that faults as what is there instead: nobody has looked
/// at it yet.
fn user(addr: u64) -> u64 {
    if addr < TASK_SIZE_MAX {
        addr
    } else {
        1
    }
}

/// Has the current task no restart block?
pub(crate) fn is_none() -> bool {
    // SAFETY: Only the task itself changes its restart block.
    unsafe {
        (*current_ptr())
            .restart_block
            .fn_
            .is_none_or(|f| core::ptr::fn_addr_eq(f, bindings::do_no_restart_syscall as Function))
    }
}

/// Is it a sleep on the time that the own process spends on a processor? Then with what is
/// left of it, if `spent`, in nanoseconds, is what the process has spent.
///
/// # Safety
///
/// The block is the current task's.
unsafe fn process_sleep(block: &bindings::restart_block, spent: u64) -> Option<u64> {
    let is = |f: Function| block.fn_.is_some_and(|g| core::ptr::fn_addr_eq(g, f));
    // Not begun again yet since a restart.
    let anew = is(bindings::posix_cpu_nsleep_continue);
    if !anew && !is(bindings::posix_cpu_nsleep_restart) {
        return None;
    }
    // SAFETY: Both functions use this member of the union, which only the task itself
    // changes.
    let sleep = unsafe { &block.__bindgen_anon_1.nanosleep };
    // A number without a sign there, and so the end of a sleep for ever.
    let expires = sleep.expires as u64;
    let left = expires.saturating_sub(if anew { 0 } else { spent });
    (sleep.clockid == PROCESS_SCHED).then_some(left.min(REMAINING_MAX))
}

/// Stores the restart block; `None` when it is of a kind that cannot be kept. `spent` is the
/// time on a processor of the process that is in the image, in nanoseconds.
pub(crate) fn save(spent: u64) -> Option<RestartBlock> {
    let mut rec = RestartBlock::zeroed();
    // SAFETY: Only the task itself changes its restart block. The function
    // tells which member of the union is in use.
    unsafe {
        let block = &(*current_ptr()).restart_block;
        let is = |f: Function| block.fn_.is_some_and(|g| core::ptr::fn_addr_eq(g, f));
        let process_sleep = process_sleep(block, spent);
        if process_sleep.is_some() || is(bindings::hrtimer_nanosleep_restart) {
            let sleep = &block.__bindgen_anon_1.nanosleep;
            if sleep.type_ == bindings::timespec_type_TT_COMPAT {
                return None;
            }
            rec.kind = kind::NANOSLEEP;
            rec.flags = flags::TIMEOUT;
            if sleep.type_ == bindings::timespec_type_TT_NATIVE {
                rec.addr = user(sleep.__bindgen_anon_1.rmtp as u64);
            }
            if let Some(left) = process_sleep {
                rec.clock = CLOCK_PROCESS;
                rec.remaining_ns = left;
            } else {
                rec.clock = sleep.clockid as u32;
                rec.remaining_ns = left(rec.clock, sleep.expires);
            }
        } else if is(bindings::do_restart_poll) {
            let poll = &block.__bindgen_anon_1.poll;
            rec.kind = kind::POLL;
            rec.nr_fds = poll.nfds as u32;
            if rec.nr_fds != 0 {
                rec.addr = user(poll.ufds as u64);
            }
            if poll.has_timeout != 0 {
                rec.flags = flags::TIMEOUT;
                rec.remaining_ns = left(CLOCK_MONOTONIC, until(poll));
            }
        } else if is(bindings::futex_wait_restart) {
            let futex = &block.__bindgen_anon_1.futex;
            let known = FUTEX_SIZE_32 | FUTEX_SHARED | FUTEX_REALTIME | FUTEX_TIMEOUT;
            if futex.flags & !known != 0 || futex.flags & FUTEX_SIZE_32 == 0 {
                return None;
            }
            rec.kind = kind::FUTEX;
            rec.flags = flags::TIMEOUT;
            let mut clock = CLOCK_MONOTONIC;
            if futex.flags & FUTEX_SHARED != 0 {
                rec.flags |= flags::FUTEX_SHARED;
            }
            if futex.flags & FUTEX_REALTIME != 0 {
                rec.flags |= flags::FUTEX_REALTIME;
                clock = CLOCK_REALTIME;
            }
            rec.addr = futex.uaddr as u64;
            rec.value = futex.val;
            rec.bitset = futex.bitset;
            rec.remaining_ns = left(clock, futex.time);
        } else if let Some((wait, _)) = WAITS.iter().find(|wait| is(wait.1)) {
            rec.kind = *wait;
            rec.flags = flags::TIMEOUT;
            let poll = &block.__bindgen_anon_1.poll;
            rec.remaining_ns = left(CLOCK_MONOTONIC, until(poll));
            if rec.kind == kind::SOCKET {
                rec.call = poll.nfds as u32;
                if !SOCKET_CALLS.contains(&rec.call) {
                    return None;
                }
            }
        } else {
            return None;
        }
    }
    Some(rec)
}

/// Sets the restart block from a validated record, or to "interrupted".
///
/// The addresses are user addresses: the functions treat them as hostile, as
/// they were when the call was made.
pub(crate) fn restore(rec: Option<&RestartBlock>) {
    // SAFETY: Only the task itself changes its restart block; the function is
    // set to match the member of the union that is written.
    unsafe {
        let block = &raw mut (*current_ptr()).restart_block;
        (*block).fn_ = Some(bindings::do_no_restart_syscall);
        let Some(rec) = rec else {
            return;
        };
        (*block).arch_data = 0;
        let union = &raw mut (*block).__bindgen_anon_1;
        match rec.kind {
            kind::NANOSLEEP => {
                let sleep = &raw mut (*union).nanosleep;
                (*sleep).type_ = if rec.addr == 0 {
                    bindings::timespec_type_TT_NONE
                } else {
                    bindings::timespec_type_TT_NATIVE
                };
                (*sleep).__bindgen_anon_1.rmtp = rec.addr as usize as *mut _;
                if rec.clock == CLOCK_PROCESS {
                    (*sleep).clockid = PROCESS_SCHED;
                    (*sleep).expires = rec.remaining_ns as i64;
                    (*block).fn_ = Some(bindings::posix_cpu_nsleep_continue);
                } else {
                    (*sleep).clockid = rec.clock as bindings::clockid_t;
                    (*sleep).expires = deadline(rec.clock, rec.remaining_ns);
                    (*block).fn_ = Some(bindings::hrtimer_nanosleep_restart);
                }
            }
            kind::POLL => {
                let poll = &raw mut (*union).poll;
                (*poll).ufds = rec.addr as usize as *mut _;
                (*poll).nfds = rec.nr_fds as c_int;
                (*poll).has_timeout = (rec.flags & flags::TIMEOUT) as c_int;
                set_until(&mut *poll, rec.remaining_ns);
                (*block).fn_ = Some(bindings::do_restart_poll);
            }
            kind::FUTEX => {
                let futex = &raw mut (*union).futex;
                (*futex).uaddr = rec.addr as usize as *mut _;
                (*futex).val = rec.value;
                (*futex).bitset = rec.bitset;
                (*futex).flags = FUTEX_SIZE_32 | FUTEX_TIMEOUT;
                let mut clock = CLOCK_MONOTONIC;
                if rec.flags & flags::FUTEX_SHARED != 0 {
                    (*futex).flags |= FUTEX_SHARED;
                }
                if rec.flags & flags::FUTEX_REALTIME != 0 {
                    (*futex).flags |= FUTEX_REALTIME;
                    clock = CLOCK_REALTIME;
                }
                (*futex).time = deadline(clock, rec.remaining_ns);
                (*block).fn_ = Some(bindings::futex_wait_restart);
            }
            wait => {
                if let Some((_, function)) = WAITS.iter().find(|known| known.0 == wait) {
                    let poll = &raw mut (*union).poll;
                    (*poll).has_timeout = 1;
                    // The number of the call, where one is needed.
                    (*poll).nfds = rec.call as c_int;
                    set_until(&mut *poll, rec.remaining_ns);
                    (*block).fn_ = Some(*function);
                }
            }
        }
    }
}

#[cfg(CONFIG_CHECKPOINT_KUNIT_TEST)]
#[kunit_tests(checkpoint_kapi_call)]
mod tests {
    use super::*;
    use crate::format::Record;

    fn record(kind: u32, flags: u32) -> RestartBlock {
        let mut rec = RestartBlock::zeroed();
        rec.kind = kind;
        rec.flags = flags;
        rec.addr = 0x7000;
        rec.remaining_ns = 5_000_000_000;
        rec
    }

    /// What is set comes back, but for the time that has passed.
    fn survives(rec: &RestartBlock) {
        assert!(rec.validate().is_ok());
        restore(Some(rec));
        let saved = save(0);
        restore(None);
        let mut saved = saved.unwrap_or(RestartBlock::zeroed());
        assert!(saved.validate().is_ok());
        assert!(saved.remaining_ns <= rec.remaining_ns);
        assert!(saved.remaining_ns.saturating_add(4_000_000_000) > rec.remaining_ns);
        saved.remaining_ns = rec.remaining_ns;
        assert!(saved == *rec);
    }

    #[test]
    fn sleeps_survive() {
        for clock in crate::format::call::CLOCKS {
            let mut rec = record(kind::NANOSLEEP, flags::TIMEOUT);
            rec.clock = clock;
            survives(&rec);
            rec.addr = 0;
            survives(&rec);
        }
    }

    #[test]
    fn polls_survive() {
        let mut rec = record(kind::POLL, flags::TIMEOUT);
        rec.nr_fds = 3;
        survives(&rec);
        rec.flags = 0;
        rec.remaining_ns = 0;
        restore(Some(&rec));
        assert!(save(0) == Some(rec));
        restore(None);
    }

    #[test]
    fn futexes_survive() {
        for more in [0, flags::FUTEX_SHARED, flags::FUTEX_REALTIME] {
            let mut rec = record(kind::FUTEX, flags::TIMEOUT | more);
            rec.value = 17;
            rec.bitset = u32::MAX;
            survives(&rec);
        }
    }

    #[test]
    fn waits_survive() {
        for (known, _) in WAITS {
            let mut rec = record(*known, flags::TIMEOUT);
            rec.addr = 0;
            if rec.kind != kind::SOCKET {
                survives(&rec);
                continue;
            }
            for call in SOCKET_CALLS {
                rec.call = call;
                survives(&rec);
            }
        }
    }

    #[test]
    fn other_functions_are_refused() {
        restore(None);
        assert!(save(0).is_none());
    }

    #[test]
    fn a_deadline_that_has_passed_leaves_nothing() {
        assert_eq!(left(CLOCK_MONOTONIC, 0), 0);
        assert_eq!(left(CLOCK_MONOTONIC, i64::MIN), 0);
        assert_eq!(left(CLOCK_MONOTONIC, i64::MAX), REMAINING_MAX);
    }
}
