// SPDX-License-Identifier: GPL-2.0

//! eventfd, signalfd, timerfd and pidfd: what is in them, and new ones.
//!
//! The functions that are called were opened for this: they take the locks of the
//! files, and tell whether a file is of their kind.

use super::file;
use super::file::FileRef;
use super::tree::Process;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// What is in a file of one of these kinds.
pub(crate) enum Anon {
    /// The counter, and whether a read takes one only.
    Eventfd(u64, bool),
    /// The signals that it takes.
    Signalfd(u64),
    /// Its timer.
    Timerfd(Timer),
    /// Its process.
    Pidfd(Pidfd),
}

/// The process of a pidfd.
pub(crate) struct Pidfd {
    /// Its id; 0 when it has ended and been waited for.
    pub(crate) pid: u32,
    /// Signals go to one thread.
    pub(crate) thread: bool,
    /// The process is killed when the pidfd is closed.
    pub(crate) kills: bool,
}

/// The timer of a timerfd.
pub(crate) type Timer = bindings::timerfd_state;

/// A timer that was set to nothing.
pub(crate) fn no_timer() -> Timer {
    Timer::default()
}

/// See [`Anon`]; `None` for other files. Changes nothing.
///
/// # Errors
///
/// EBUSY when the kernel itself signals an eventfd.
pub(crate) fn state(file: &FileRef) -> Result<Option<Anon>> {
    let file = file.as_ptr();
    let (mut count, mut flags) = (0, 0);
    let mut mask = bindings::sigset_t::default();
    let mut timer = no_timer();
    // SAFETY: The reference keeps the file; what is filled in is ours.
    unsafe {
        let done = bindings::eventfd_get_state(file, &mut count, &mut flags);
        if to_result(done) != Err(EINVAL) {
            to_result(done)?;
            let semaphore = flags & bindings::EFD_SEMAPHORE != 0;
            return Ok(Some(Anon::Eventfd(count, semaphore)));
        }
        if bindings::signalfd_get_mask(file, &mut mask) == 0 {
            let [mask] = mask.sig;
            return Ok(Some(Anon::Signalfd(mask as u64)));
        }
        if bindings::timerfd_get_state(file, &mut timer) == 0 {
            return Ok(Some(Anon::Timerfd(timer)));
        }
        let (mut pid, mut thread, mut kills) = (0, false, false);
        if bindings::ckpt_pidfd(file, &mut pid, &mut thread, &mut kills) == 0 {
            return Ok(Some(Anon::Pidfd(Pidfd { pid, thread, kills })));
        }
    }
    Ok(None)
}

/// A new eventfd.
///
/// # Errors
///
/// ENFILE, ENOMEM.
pub(crate) fn eventfd(count: u64, semaphore: bool) -> Result<FileRef> {
    let flags = if semaphore {
        bindings::EFD_SEMAPHORE
    } else {
        0
    };
    // SAFETY: The result is a file with one reference, or an error.
    unsafe {
        let file = from_err_ptr(bindings::eventfd_new_file(count, flags as i32))?;
        file::adopt(file).ok_or(EBADF)
    }
}

/// A new signalfd, which takes the signals of `mask`.
///
/// # Errors
///
/// ENFILE, ENOMEM.
pub(crate) fn signalfd(mask: u64) -> Result<FileRef> {
    const KILL_AND_STOP: u64 = 1 << 8 | 1 << 18;

    // The other way round, as the kernel has it.
    let mask = bindings::sigset_t {
        sig: [(!mask | KILL_AND_STOP) as c_ulong],
    };
    // SAFETY: The mask is ours; the result is a file with one reference, or an error.
    unsafe {
        let file = from_err_ptr(bindings::signalfd_new_file(&mask, 0))?;
        file::adopt(file).ok_or(EBADF)
    }
}

/// A new timerfd, which does not run.
///
/// # Errors
///
/// EPERM without the right to wake the machine, ENFILE, ENOMEM.
pub(crate) fn timerfd(clock: i32) -> Result<FileRef> {
    // SAFETY: The result is a file with one reference, or an error.
    unsafe {
        let file = from_err_ptr(bindings::timerfd_new_file(clock, 0))?;
        file::adopt(file).ok_or(EBADF)
    }
}

/// A new pidfd of a process.
///
/// # Errors
///
/// ESRCH when the process is gone, ENFILE, ENOMEM.
pub(crate) fn pidfd(process: &Process, thread: bool) -> Result<FileRef> {
    // SAFETY: The process is held. The result is a file with one reference, or an error.
    unsafe {
        let file = from_err_ptr(bindings::ckpt_pidfd_open(process.as_ptr(), thread))?;
        file::adopt(file).ok_or(EBADF)
    }
}

/// Sets a timerfd of [`timerfd`]. Whoever has got hold of it meanwhile may have set it.
pub(crate) fn start(file: &FileRef, timer: &Timer) {
    // SAFETY: The reference keeps the file, which is a timerfd. The call stops the timer
    // under the lock of the file, as timerfd_settime(2) does, before it sets it.
    unsafe { bindings::timerfd_set_state(file.as_ptr(), timer) };
}
