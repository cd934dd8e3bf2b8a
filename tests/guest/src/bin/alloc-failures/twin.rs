// SPDX-License-Identifier: GPL-2.0

//! A process on the memory of the first of a tree, with the same handlers, that may run on
//! one processor only, and has a timer that is to signal its thread.
//!
//! It runs beside the first one: no library may be used that has thread-local memory.

use std::sync::atomic::AtomicI32;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;

use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;
use ckpt_guest::timer;

/// Words of its stack.
const STACK: usize = 4096;
static CPUS: u64 = 1;
/// Longer than all of this.
const LATER: u64 = 100_000 * timer::SECOND;
/// What it makes the handler of a signal, at the end.
const HANDLER: u64 = 0x1234;
const SIGNAL: i32 = libc::SIGWINCH;

static BEGUN: AtomicUsize = AtomicUsize::new(0);
static STOP: AtomicI32 = AtomicI32::new(0);

/// Waits until this holds.
fn until(done: impl Fn() -> bool) {
    while !done() {
        let millisecond = [0u64, timer::MILLI];
        let args = [(&raw const millisecond) as usize, 0];
        let _ = sys::plain(libc::SYS_nanosleep, &args);
    }
}

fn cpus() -> u64 {
    let mut bits = [0u64; 16];
    let args = [0, size_of_val(&bits), bits.as_mut_ptr() as usize];
    let got = sys::plain(libc::SYS_sched_getaffinity, &args);
    got.map_or(0, |_| std::hint::black_box(bits)[0])
}

/// Makes what it has. Returns the timer.
fn arrange() -> Result<usize, Errno> {
    sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize])?;
    let args = [0, size_of_val(&CPUS), (&raw const CPUS) as usize];
    sys::plain(libc::SYS_sched_setaffinity, &args)?;
    let signals = timer::Signals {
        notify: timer::SIGEV_THREAD_ID,
        signo: libc::SIGUSR1,
        value: 7,
        tid: timer::gettid(),
    };
    let id = timer::create(libc::CLOCK_MONOTONIC, signals, 0)?;
    timer::set(id, 0, LATER, 0)?;
    Ok(id)
}

extern "C" fn beside(_: *mut libc::c_void) -> libc::c_int {
    let Ok(id) = arrange() else {
        // Whoever waits for it would for ever.
        BEGUN.store(2, SeqCst);
        return 1;
    };
    BEGUN.store(1, SeqCst);
    until(|| STOP.load(SeqCst) != 0);
    let runs = timer::get(id).is_ok_and(|[value, _]| value > LATER / 2 && value <= LATER);
    let set = timer::handler(SIGNAL, HANDLER);
    libc::c_int::from(cpus() != CPUS)
        | libc::c_int::from(!runs) << 1
        | libc::c_int::from(set.is_err()) << 2
}

/// The process.
pub struct Twin(i32);

impl Twin {
    /// Starts it, and waits until it has all.
    pub fn new() -> Result<Self, Errno> {
        let stack: &mut [u64] = Box::leak(vec![0; STACK].into_boxed_slice());
        let flags = libc::CLONE_VM | libc::CLONE_SIGHAND | libc::SIGCHLD;
        // SAFETY: it has a stack of its own that is never freed.
        let pid = unsafe {
            let top = stack.as_mut_ptr().add(stack.len()).cast();
            libc::clone(beside, top, flags, std::ptr::null_mut())
        };
        let pid = sys::libc_result(pid)?;
        until(|| BEGUN.load(SeqCst) != 0);
        if BEGUN.load(SeqCst) == 1 {
            Ok(Self(pid))
        } else {
            Err(Errno(libc::EIO))
        }
    }

    /// It ends, has what it had, and its memory and handlers are ours. Needs no memory.
    pub fn ends_well(&self) -> bool {
        STOP.store(1, SeqCst);
        let ended = sys::wait_for(self.0, 30);
        let mut action = [0u64; 4];
        let args = [SIGNAL as usize, 0, action.as_mut_ptr() as usize, 8];
        let got = sys::plain(libc::SYS_rt_sigaction, &args);
        ended == Ended::Exit(0) && got.is_ok() && std::hint::black_box(action)[0] == HANDLER
    }
}
