// SPDX-License-Identifier: GPL-2.0

//! Values of prctl(2) and its like that are not supported, and odd files.

use std::mem::size_of_val;
use std::sync::atomic::AtomicU64;

use ckpt_guest::desk::Desk;
use ckpt_guest::odd;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;

use crate::arrange::fd;
use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::with_data;
use crate::arrange::Place;
use crate::arrange::Thing;

const NOWHERE: Result<Place, String> = Ok(Place::Nowhere);

fn prctl(option: i32, args: &[usize]) -> Result<Place, String> {
    had("prctl", sys::prctl(option, args))?;
    NOWHERE
}

fn io_flusher(_: &Desk) -> Result<Place, String> {
    prctl(57, &[1])
}

fn memory_merge(_: &Desk) -> Result<Place, String> {
    prctl(67, &[1])
}

fn no_tsc(_: &Desk) -> Result<Place, String> {
    prctl(libc::PR_SET_TSC, &[libc::PR_TSC_SIGSEGV as usize])
}

/// PR_SPEC_STORE_BYPASS, PR_SPEC_DISABLE.
fn speculation(_: &Desk) -> Result<Place, String> {
    prctl(libc::PR_SET_SPECULATION_CTRL, &[0, 4])
}

/// PR_SCHED_CORE_CREATE, this thread.
fn core_cookie(_: &Desk) -> Result<Place, String> {
    prctl(62, &[1, 0, 0, 0])
}

/// The kernel tells here on which processor the task is.
#[repr(align(256))]
struct RseqArea([AtomicU64; 32]);

extern "C" {
    /// Of the C library: where its own area is, behind the thread pointer.
    static __rseq_offset: isize;
}

/// PR_RSEQ_SLICE_EXTENSION_SET, PR_RSEQ_SLICE_EXT_ENABLE; for which the area must be
/// larger than that of the C library.
fn rseq_slice(_: &Desk) -> Result<Place, String> {
    const UNREGISTER: usize = 1;
    const SIGNATURE: usize = 0x5305_3053;
    static AREA: RseqArea = RseqArea([const { AtomicU64::new(0) }; 32]);
    let thread: usize;
    // SAFETY: the first word of a thread's own memory is its address; the number of the
    // C library does not change.
    let old = unsafe {
        std::arch::asm!("mov {}, fs:0", out(reg) thread, options(nostack, readonly));
        thread.wrapping_add_signed(__rseq_offset)
    };
    let rseq = |args: &[usize]| had("rseq", plain(libc::SYS_rseq, args));
    rseq(&[old, 32, UNREGISTER, SIGNATURE])?;
    rseq(&[AREA.0.as_ptr() as usize, size_of_val(&AREA), 0, SIGNATURE])?;
    prctl(79, &[2, 1])
}

/// PR_FUTEX_HASH_SET_SLOTS.
fn futex_hash(_: &Desk) -> Result<Place, String> {
    prctl(78, &[1, 16, 0])
}

fn like_memfd(_: &Desk) -> Result<Place, String> {
    let path = c"/dev/shm/memfd:refused";
    let opened = sys::open(path, libc::O_RDWR | libc::O_CREAT, 0o600);
    let _ = plain(libc::SYS_unlink, &[path.as_ptr() as usize]);
    fd("open", opened.map(|fd| fd as usize))
}

fn child_namespace(_: &Desk) -> Result<Place, String> {
    let flags = libc::CLONE_NEWPID as usize;
    had("unshare", plain(libc::SYS_unshare, &[flags]))?;
    NOWHERE
}

/// MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED.
fn membarrier(_: &Desk) -> Result<Place, String> {
    had("membarrier", plain(libc::SYS_membarrier, &[1 << 4, 0, 0]))?;
    NOWHERE
}

fn keyring(_: &Desk) -> Result<Place, String> {
    had("keyctl", odd::keyring())?;
    NOWHERE
}

fn user_event(_: &Desk) -> Result<Place, String> {
    had("user_reg", odd::user_event())?;
    NOWHERE
}

/// Opened with access mode 3.
fn for_ioctl(_: &Desk) -> Result<Place, String> {
    fd("open", sys::open(c"/dev/null", 3, 0).map(|fd| fd as usize))
}

/// A timer of the wall clock that is to tell that this was set, and it was.
fn clock_was_set(_: &Desk) -> Result<Place, String> {
    let clock = libc::CLOCK_REALTIME as usize;
    let timer = had("timerfd", plain(libc::SYS_timerfd_create, &[clock, 0]))?;
    // TFD_TIMER_ABSTIME and TFD_TIMER_CANCEL_ON_SET, far in the future.
    let mut value = [0u64, 0, 1 << 33, 0];
    let args = [timer, 3, 0, 0, 0, 0];
    let set = with_data(libc::SYS_timerfd_settime, args, 2, &mut value);
    had("timerfd_settime", set)?;
    let mut now = [0u64; 2];
    let args = [clock, 0, 0, 0, 0, 0];
    had(
        "clock_gettime",
        with_data(libc::SYS_clock_gettime, args, 1, &mut now),
    )?;
    had(
        "clock_settime",
        with_data(libc::SYS_clock_settime, args, 1, &mut now),
    )?;
    Ok(Place::Fd(timer as i32))
}

/// A pidfd whose end is the end of its process.
fn autokill(_: &Desk) -> Result<Place, String> {
    const CLONE_AUTOREAP: u64 = 1 << 34;
    const CLONE_PIDFD_AUTOKILL: u64 = 1 << 36;
    let mut pidfd = -1i32;
    let mut args = [0u64; 11];
    args[0] = libc::CLONE_PIDFD as u64 | CLONE_AUTOREAP | CLONE_PIDFD_AUTOKILL;
    args[1] = (&raw mut pidfd) as u64;
    let size = size_of_val(&args);
    let made = with_data(libc::SYS_clone3, [0, size, 0, 0, 0, 0], 0, &mut args);
    if had("clone3", made)? == 0 {
        loop {
            let _ = plain(libc::SYS_pause, &[]);
        }
    }
    Ok(Place::Fd(std::hint::black_box(pidfd)))
}

/// Values and files.
pub const THINGS: &[Thing] = &[
    thing("task-io-flusher", io_flusher, &["PR_SET_IO_FLUSHER"]),
    thing("task-memory-merge", memory_merge, &["PR_SET_MEMORY_MERGE"]),
    thing("task-no-tsc", no_tsc, &["TSC"]),
    thing("task-speculation", speculation, &["speculation"]),
    thing("task-core-cookie", core_cookie, &["cookie"]),
    thing("task-rseq-slice", rseq_slice, &["slice extensions"]),
    thing(
        "task-child-namespace",
        child_namespace,
        &["only children enter"],
    ),
    thing("task-membarrier", membarrier, &["membarrier"]),
    thing("task-futex-hash", futex_hash, &["hash of futexes"]),
    thing("task-keyring", keyring, &["keyring"]),
    thing("task-user-event", user_event, &["user trace events"]),
    thing("fd-like-memfd", like_memfd, &["name of a memfd"]),
    thing("fd-for-ioctl", for_ioctl, &["ioctl only"]),
    thing("fd-clock-was-set", clock_was_set, &["clock has been set"]),
    thing("fd-pidfd-autokill", autokill, &["kills when it is closed"]),
];
