// SPDX-License-Identifier: GPL-2.0

//! Processes on the same memory that wait for each other at a futex.

use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use super::memory::start_on_memory;
use super::nap;
use super::until;
use super::VM;
use crate::family::ends_well;

const WAIT: usize = 0;
const WAKE: usize = 1;
const PRIVATE: usize = 128;

/// What the other process is to do, and has begun.
static GO: AtomicI32 = AtomicI32::new(0);
static WAITS: AtomicI32 = AtomicI32::new(0);
/// The word of the futex.
static WORD: AtomicI32 = AtomicI32::new(7);

fn futex(operation: usize, value: usize, time: usize) -> sys::Ret {
    let word = (&raw const WORD) as usize;
    sys::plain(libc::SYS_futex, &[word, operation | PRIVATE, value, time])
}

/// Runs beside its parent on the same memory: no library may be used that has
/// thread-local memory.
extern "C" fn waiter(_: *mut libc::c_void) -> libc::c_int {
    while GO.load(SeqCst) == 0 {
        nap();
    }
    WAITS.store(1, SeqCst);
    let time = [60u64, 0];
    let woken = futex(WAIT, 7, time.as_ptr() as usize);
    libc::c_int::from(std::hint::black_box(woken) != Ok(0))
}

fn is_asleep(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.contains(") S ")
}

/// A process with the same memory waits at a private futex while the first thread besides
/// the two is made. That is when the kernel would otherwise choose where they wait.
pub fn at_a_futex(scene: &Scene) -> Result<(), String> {
    let pid = start_on_memory(waiter, VM)?;
    scene.announce();
    scene.wait();
    GO.store(1, SeqCst);
    until(scene, "the waiter", || WAITS.load(SeqCst) == 1)?;
    until(scene, "its sleep", || is_asleep(pid))?;
    let thread = thread::spawn(|| ());
    let woken = futex(WAKE, 1, 0);
    thread.join().map_err(|_| "it panicked")?;
    if woken != Ok(1) {
        let args = [pid as usize, libc::SIGKILL as usize];
        let _ = sys::plain(libc::SYS_kill, &args);
        return Err(format!("woken: {woken:?}"));
    }
    ends_well(pid)
}
