// SPDX-License-Identifier: GPL-2.0

//! POSIX timers, through the system calls: a C library hides their ids.

use crate::sys;
use crate::sys::Ret;

/// Code of a signal of a timer.
pub const SI_TIMER: i32 = -2;

/// A signal for the process.
pub const SIGEV_SIGNAL: i32 = 0;
/// No signal.
pub const SIGEV_NONE: i32 = 1;
/// A signal for a thread.
pub const SIGEV_THREAD_ID: i32 = 4;

/// Nanoseconds of a millisecond.
pub const MILLI: u64 = 1_000_000;
/// Nanoseconds of a second.
pub const SECOND: u64 = 1000 * MILLI;

/// struct sigevent.
#[repr(C)]
struct Event {
    value: u64,
    signo: i32,
    notify: i32,
    tid: i32,
    rest: [i32; 11],
}

/// siginfo_t of a timer.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)]
pub struct Info {
    pub signo: i32,
    pub errno: i32,
    pub code: i32,
    pad: i32,
    /// Of the timer.
    pub id: i32,
    pub overrun: i32,
    pub value: u64,
    rest: [u64; 12],
}

fn call(nr: libc::c_long, args: [usize; 4]) -> Ret {
    // SAFETY: pointers among the arguments are to structures of the callers, of the
    // size that the call expects.
    unsafe { sys::raw(nr as usize, [args[0], args[1], args[2], args[3], 0, 0]) }
}

/// Id of the calling thread.
pub fn gettid() -> i32 {
    sys::plain(libc::SYS_gettid, &[]).map_or(0, |id| id as i32)
}

/// What a timer signals.
#[derive(Clone, Copy, Debug)]
pub struct Signals {
    /// SIGEV_*.
    pub notify: i32,
    /// The signal.
    pub signo: i32,
    /// What comes with it.
    pub value: u64,
    /// The thread.
    pub tid: i32,
}

/// timer_create(2), with a wanted id if the process may choose it.
pub fn create(clock: i32, signals: Signals, wanted: i32) -> Result<usize, sys::Errno> {
    let event = Event {
        value: signals.value,
        signo: signals.signo,
        notify: signals.notify,
        tid: signals.tid,
        rest: [0; 11],
    };
    let mut id = wanted;
    let args = [
        clock as usize,
        (&raw const event) as usize,
        (&raw mut id) as usize,
        0,
    ];
    call(libc::SYS_timer_create, args).map(|_| id as usize)
}

/// timer_settime(2), in nanoseconds.
pub fn set(id: usize, flags: i32, value: u64, interval: u64) -> Ret {
    let time = [
        interval / SECOND,
        interval % SECOND,
        value / SECOND,
        value % SECOND,
    ];
    let args = [id, flags as usize, (&raw const time) as usize, 0];
    call(libc::SYS_timer_settime, args)
}

/// Value and interval, in nanoseconds.
pub fn get(id: usize) -> Result<[u64; 2], sys::Errno> {
    let mut time = [0u64; 4];
    let args = [id, (&raw mut time) as usize, 0, 0];
    call(libc::SYS_timer_gettime, args)?;
    Ok([time[2] * SECOND + time[3], time[0] * SECOND + time[1]])
}

/// timer_delete(2).
pub fn delete(id: usize) -> Ret {
    call(libc::SYS_timer_delete, [id, 0, 0, 0])
}

/// The signal's bit in a mask.
pub fn bit(signo: i32) -> u64 {
    1 << (signo - 1)
}

/// Blocks the signals of a mask in the calling thread.
pub fn block(mask: u64) -> Ret {
    let args = [libc::SIG_BLOCK as usize, (&raw const mask) as usize, 0, 8];
    call(libc::SYS_rt_sigprocmask, args)
}

/// Waits for one signal of `mask`, at most `seconds`. A checkpoint from outside ends the
/// call as a stop would, with EINTR: then the wait begins anew.
pub fn wait(mask: u64, seconds: u64) -> Option<Info> {
    let (time, mut info) = ([seconds, 0], Info::default());
    let args = [
        (&raw const mask) as usize,
        (&raw mut info) as usize,
        (&raw const time) as usize,
        8,
    ];
    loop {
        match call(libc::SYS_rt_sigtimedwait, args) {
            Err(errno) if errno.0 == libc::EINTR => {}
            done => return done.ok().map(|_| info),
        }
    }
}

/// Sends this process, or a thread of it, a signal with a value.
pub fn queue(signo: i32, value: u64, tid: Option<i32>) -> Ret {
    let info = Info {
        signo,
        code: -1,
        value,
        ..Info::default()
    };
    let (at, pid, signo) = (
        (&raw const info) as usize,
        sys::getpid() as usize,
        signo as usize,
    );
    match tid {
        None => call(libc::SYS_rt_sigqueueinfo, [pid, signo, at, 0]),
        Some(tid) => call(libc::SYS_rt_tgsigqueueinfo, [pid, tid as usize, signo, at]),
    }
}

/// Sets what is done about a signal.
pub fn handler(signo: i32, address: u64) -> Ret {
    let action = [address, 0x0400_0000, 0x1000, 0];
    let args = [signo as usize, (&raw const action) as usize, 0, 8];
    call(libc::SYS_rt_sigaction, args)
}
