// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The system calls: arguments, rights, and where the answer goes.

use crate::ctx;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Text;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::task;
use kernel::fmt::Write as _;
use kernel::prelude::*;

/// The fourth argument names a descriptor for the log. Also `RESTART_LOG`.
pub(crate) const FLAG_LOG: usize = 1;

/// `checkpoint(pid, fd, flags, logfd)`: writes an image of the calling task.
///
/// Returns the identifier of the image, or a negative errno. The restarted
/// task returns 0 from the same call.
#[export]
pub(crate) extern "C" fn ckpt_sys_checkpoint(pid: i32, fd: i32, flags: usize, logfd: i32) -> isize {
    let (image, log) = match open(fd, flags, logfd, file::may_write) {
        Ok(files) => files,
        Err(errno) => return errno.to_errno() as isize,
    };
    match may_use()
        .and_then(|()| is_caller(pid))
        .and_then(|()| ctx::save::checkpoint(image, flags))
    {
        Ok(crid) => crid as isize,
        Err(failure) => report("checkpoint", log, &failure),
    }
}

/// `restart(crid, fd, flags, logfd)`: becomes the task of an image.
///
/// Returns only on failure: then the caller is what it was before. On success
/// the task goes on in the image's call with the image's result.
#[export]
pub(crate) extern "C" fn ckpt_sys_restart(_crid: i32, fd: i32, flags: usize, logfd: i32) -> isize {
    let (image, log) = match open(fd, flags, logfd, file::may_read) {
        Ok(files) => files,
        Err(errno) => return errno.to_errno() as isize,
    };
    match may_use().and_then(|()| ctx::restore::restart(image)) {
        Ok(result) => result,
        Err(failure) => report("restart", log, &failure),
    }
}

/// Checks the flags and opens the two descriptors.
fn open(
    fd: i32,
    flags: usize,
    logfd: i32,
    usable: fn(&FileRef) -> bool,
) -> Result<(FileRef, Option<FileRef>)> {
    if flags & !FLAG_LOG != 0 {
        return Err(EINVAL);
    }
    let get = |fd: i32| u32::try_from(fd).ok().and_then(file::fget).ok_or(EBADF);
    let image = get(fd)?;
    if !usable(&image) {
        return Err(EBADF);
    }
    let log = if flags & FLAG_LOG != 0 {
        let log = get(logfd)?;
        if !file::may_write(&log) {
            return Err(EBADF);
        }
        Some(log)
    } else {
        None
    };
    Ok((image, log))
}

/// The sysctl kernel.checkpoint_restart: 0 off, 1 privileged, 2 everybody.
fn may_use() -> Outcome {
    let ok = match task::sysctl() {
        0 => false,
        1 => task::capable(task::CAP_CHECKPOINT_RESTORE) || task::capable(task::CAP_SYS_ADMIN),
        _ => true,
    };
    ensure(ok, EPERM, "not allowed by kernel.checkpoint_restart")
}

/// Only the caller itself can be saved.
fn is_caller(pid: i32) -> Outcome {
    if pid == 0 || pid == task::pid_in_ns() {
        return Ok(());
    }
    match task::may_trace(pid) {
        None => return Err(Failure::new(ESRCH, "no such task")),
        Some(ok) => ensure(ok, EPERM, "no right to the task")?,
    }
    Err(Failure::new(
        EOPNOTSUPP,
        "a task can only checkpoint itself",
    ))
}

/// Writes the failure to the log and returns its errno.
fn report(call: &str, log: Option<FileRef>, failure: &Failure) -> isize {
    if let Some(log) = log {
        let mut reason = [0u8; 512];
        let reason = failure.describe(&mut reason);
        let mut line = [0u8; 640];
        let mut text = Text::new(&mut line);
        let _ = write!(text, "{call}: pid {}: ", task::pid_in_ns());
        text.push(reason);
        if failure.kind != 0 {
            let _ = write!(text, " [{}]", crate::format::type_name(failure.kind));
        }
        let _ = write!(text, " (errno {})", failure.errno.to_errno().unsigned_abs());
        let len = text.done().len();
        if let Some(end) = line.get_mut(len) {
            *end = b'\n';
        }
        let line = line.get(..len.saturating_add(1)).unwrap_or_default();
        // The log is a courtesy: when it cannot be written, the errno remains.
        let _ = file::ImageFile::new(log).write_all(line);
    }
    match failure.errno.to_errno() {
        // A call that is restarted would begin a second image.
        -516..=-512 => EINTR.to_errno() as isize,
        errno => errno as isize,
    }
}
