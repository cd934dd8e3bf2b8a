// SPDX-License-Identifier: GPL-2.0

//! Pending signals of the current thread; those of its process and the interval
//! timers belong to the first one.

use super::task;
use crate::format::pending::queue;
use crate::format::pending::siginfo_flags;
use crate::format::pending::Itimer;
use crate::format::pending::Siginfo;
use crate::format::pending::NSEC_PER_SEC;
use crate::format::pending::TIMER_MAX;
use core::mem::offset_of;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;

const ITIMER_REAL: i32 = 0;

/// What the kernel keeps of a siginfo_t, in the middle of a [`Siginfo`].
const INFO_AT: usize = offset_of!(Siginfo, signo);
const INFO_BYTES: usize = size_of::<bindings::kernel_siginfo_t>();
const _: () = assert!(INFO_AT + INFO_BYTES == offset_of!(Siginfo, reserved3));

/// Signals that wait in the thread's queue, and in that of the process if it is the
/// first thread, in the order of the queues.
///
/// # Errors
///
/// EAGAIN when there are more than `list` has room for.
fn collect(list: &mut KVVec<Siginfo>) -> Result {
    // SAFETY: The signal lock is held, under which the queues change. Nothing
    // below sleeps or allocates.
    unsafe {
        bindings::ckpt_siglock();
        let shared = &raw const (*task::signal_ptr()).shared_pending;
        let mut done = collect_queue(list, &raw const (*task::current_ptr()).pending, queue::TASK);
        if task::is_first_thread() {
            done = done.and_then(|()| collect_queue(list, shared, queue::PROCESS));
        }
        bindings::ckpt_sigunlock();
        done
    }
}

/// # Safety
///
/// The signal lock is held, and `pending` is one of the task's two queues.
unsafe fn collect_queue(
    list: &mut KVVec<Siginfo>,
    pending: *const bindings::sigpending,
    queue: u32,
) -> Result {
    let mut seen = 0u64;
    // SAFETY: By the contract the list is stable; each entry of it is the first
    // field of a sigqueue, and its info is initialised memory.
    unsafe {
        let head = &raw const (*pending).list;
        let mut entry = (*head).next.cast_const();
        while entry != head {
            let queued = entry.cast::<bindings::sigqueue>().cast_mut();
            let info = &raw const (*queued).info;
            let mut rec = Siginfo::zeroed();
            rec.queue = queue;
            let of_timer = bindings::ckpt_sigqueue_of_timer(queued);
            if of_timer {
                rec.flags = siginfo_flags::TIMER;
            }
            (&raw mut rec)
                .byte_add(INFO_AT)
                .cast::<bindings::kernel_siginfo_t>()
                .write_unaligned(info.read());
            // Behind the three numbers is a hole.
            rec.reserved2 = 0;
            seen |= bit(rec.signo);
            entry = (*entry).next;
            // The kernel drops it when it would be delivered.
            if of_timer && bindings::ckpt_sigqueue_is_stale(queued) {
                continue;
            }
            list.push_within_capacity(rec).map_err(|_| EAGAIN)?;
        }
        // Signals for which there was no memory: their number is all that is known.
        let bare = (*pending).signal.sig[0] as u64 & !seen;
        for nr in (0..64i32).filter(|nr| bare >> nr & 1 == 1) {
            let mut rec = Siginfo::zeroed();
            rec.queue = queue;
            rec.signo = nr.wrapping_add(1);
            list.push_within_capacity(rec).map_err(|_| EAGAIN)?;
        }
    }
    Ok(())
}

const fn bit(signo: i32) -> u64 {
    1 << (signo.wrapping_sub(1) & 63)
}

/// All pending signals.
pub(crate) fn list() -> Result<KVVec<Siginfo>> {
    let mut room = 16;
    loop {
        let mut list = KVVec::with_capacity(room, GFP_KERNEL)?;
        match collect(&mut list) {
            Err(errno) if errno == EAGAIN => room = room.checked_mul(2).ok_or(ENOMEM)?,
            done => return done.map(|()| list),
        }
    }
}

/// Why there is no entry for a signal: EAGAIN at the limit of pending signals, which is
/// tried as sigqueue_alloc() does, and ENOMEM below it.
pub(super) fn no_entry() -> Error {
    const KIND: bindings::rlimit_type = bindings::rlimit_type_UCOUNT_RLIMIT_SIGPENDING;

    // SAFETY: The credentials of the current task hold the counts of its user. What is
    // counted is taken back at once.
    unsafe {
        let rlim = (*task::signal_ptr()).rlim;
        let limit = rlim
            .get(bindings::RLIMIT_SIGPENDING as usize)
            .map_or(0, |limit| limit.rlim_cur);
        let counts = (*bindings::ckpt_current_cred()).ucounts;
        let nr = bindings::inc_rlimit_get_ucounts(counts, KIND, false);
        if nr == 0 {
            return EAGAIN;
        }
        bindings::dec_rlimit_put_ucounts(counts, KIND);
        if nr as usize > limit {
            EAGAIN
        } else {
            ENOMEM
        }
    }
}

/// A pending signal that is not in a queue yet.
///
/// # Invariants
///
/// The entry belongs to this value, and is in no list.
pub(crate) struct Queued {
    entry: NonNull<bindings::sigqueue>,
    queue: u32,
}

impl Queued {
    /// Makes an entry for a validated record.
    ///
    /// # Errors
    ///
    /// EAGAIN above the limit of pending signals; ENOMEM.
    pub(crate) fn new(rec: &Siginfo) -> Result<Self> {
        // SAFETY: The task is the current one. The record has the layout of the
        // kernel's structure at its place; user code may send itself any such
        // signal with rt_sigqueueinfo(2).
        unsafe {
            let entry =
                bindings::sigqueue_alloc(rec.signo, task::current_ptr(), bindings::GFP_KERNEL, 0);
            let entry = NonNull::new(entry).ok_or_else(no_entry)?;
            (*entry.as_ptr()).info = core::ptr::from_ref(rec)
                .byte_add(INFO_AT)
                .cast::<bindings::kernel_siginfo_t>()
                .read_unaligned();
            Ok(Self {
                entry,
                queue: rec.queue,
            })
        }
    }

    /// Puts the signal into its queue. Cannot fail.
    pub(crate) fn send(self) {
        // SAFETY: The signal lock is held. The entry is ours and in no list; from
        // here on it belongs to the queue. Whoever sends the last one looks at the
        // queues anew; an epoll that watches a signalfd is told here.
        unsafe {
            bindings::ckpt_siglock();
            let pending = if self.queue == queue::PROCESS {
                &raw mut (*task::signal_ptr()).shared_pending
            } else {
                &raw mut (*task::current_ptr()).pending
            };
            let signo = (*self.entry.as_ptr()).info.__bindgen_anon_1.si_signo;
            bindings::ckpt_list_add_tail(
                &raw mut (*self.entry.as_ptr()).list,
                &raw mut (*pending).list,
            );
            (*pending).signal.sig[0] |= bit(signo) as c_ulong;
            bindings::ckpt_signalfd_wake();
            bindings::ckpt_sigunlock();
        }
        core::mem::forget(self);
    }
}

impl Drop for Queued {
    fn drop(&mut self) {
        // SAFETY: The entry is ours and in no list.
        unsafe { bindings::__sigqueue_free(self.entry.as_ptr()) };
    }
}

/// An interval timer: ITIMER_REAL, ITIMER_VIRTUAL or ITIMER_PROF.
pub(crate) fn itimer(which: i32) -> Itimer {
    let mut value = bindings::itimerspec64::default();
    // SAFETY: The structure is ours; the call takes the locks it needs, and fails
    // only for a timer that does not exist.
    unsafe { bindings::do_getitimer(which, &mut value) };
    Itimer {
        value: nanoseconds(&value.it_value).min(TIMER_MAX),
        interval: nanoseconds(&value.it_interval).min(TIMER_MAX),
    }
}

/// When ITIMER_VIRTUAL and ITIMER_PROF are to expire, by their clocks, in nanoseconds.
///
/// setitimer(2) adds a tick so that they do not expire too early, and does so again
/// after a restart: it is left out here.
pub(crate) fn cpu_itimers() -> (u64, u64) {
    let (mut virt, mut prof) = (0, 0);
    // SAFETY: The numbers are ours; the call takes the signal lock.
    unsafe { bindings::ckpt_cpu_itimers(&mut virt, &mut prof) };
    (virt, prof)
}

fn nanoseconds(time: &bindings::timespec64) -> u64 {
    (time.tv_sec as u64)
        .saturating_mul(NSEC_PER_SEC)
        .saturating_add(time.tv_nsec as u64)
}

/// Sets an interval timer from a validated record.
pub(crate) fn set_itimer(which: i32, timer: &Itimer) {
    let time = |ns: u64| bindings::timespec64 {
        tv_sec: (ns / NSEC_PER_SEC) as i64,
        tv_nsec: (ns % NSEC_PER_SEC) as c_long,
    };
    let mut value = bindings::itimerspec64 {
        it_value: time(timer.value),
        it_interval: time(timer.interval),
    };
    // SAFETY: As in itimer().
    let done =
        to_result(unsafe { bindings::do_setitimer(which, &mut value, core::ptr::null_mut()) });
    debug_assert!(done.is_ok());
    if which == ITIMER_REAL && timer.value == 0 && timer.interval != 0 {
        // It has expired, and starts anew when its signal is taken from the queue.
        // SAFETY: Interval and expiry change under the signal lock, which is held; the
        // timer was stopped above.
        unsafe {
            bindings::ckpt_siglock();
            bindings::ckpt_restart_real_timer();
            (*task::signal_ptr()).it_real_incr = timer.interval as i64;
            bindings::ckpt_sigunlock();
        }
    }
}
