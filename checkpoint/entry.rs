// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The system calls: arguments, rights, and where the answer goes.

use crate::ctx;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Text;
use crate::herd::Member;
use crate::kapi::birth;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::imagefile::ImageFile;
use crate::kapi::park;
use crate::kapi::refuse;
use crate::kapi::task;
use crate::kapi::tree;
use kernel::bindings::SIGKILL;
use kernel::fmt::Write as _;
use kernel::prelude::*;

/// The fourth argument names a descriptor for the log. Also `RESTART_LOG`.
const FLAG_LOG: usize = 1;
/// The processes are killed when their image is complete.
const FLAG_KILL: usize = 2;
/// The processes are stopped, as by SIGSTOP, when their image is complete.
const FLAG_STOP: usize = 4;
/// Of restart: the new tasks take any free process ids.
const FLAG_NEWPIDS: usize = 2;

/// `checkpoint(pid, fd, flags, logfd)`: writes an image of a process and of all
/// processes below it, with all their threads.
///
/// The process is the caller's (its own pid, or 0) or another one that it could
/// trace. Returns the identifier of the image, or a negative errno. A task that
/// has saved itself and is restarted returns 0 from the same call.
#[export]
pub(crate) extern "C" fn ckpt_sys_checkpoint(pid: i32, fd: i32, flags: usize, logfd: i32) -> isize {
    const KNOWN: usize = FLAG_LOG | FLAG_KILL | FLAG_STOP;
    if flags & (FLAG_KILL | FLAG_STOP) == FLAG_KILL | FLAG_STOP {
        return EINVAL.to_errno() as isize;
    }
    let (image, log) = match open(fd, flags, KNOWN, logfd, file::may_write) {
        Ok(files) => files,
        Err(errno) => return errno.to_errno() as isize,
    };
    match may_use().and_then(|()| checkpoint(pid, image, flags)) {
        Ok(crid) => crid as isize,
        Err(failure) => {
            let pid = match (failure.pid, pid) {
                (0, 0) => task::pid_in_ns(),
                (0, pid) => pid,
                (pid, _) => pid as i32,
            };
            report("checkpoint", pid, log, &failure)
        }
    }
}

fn checkpoint(pid: i32, image: FileRef, flags: usize) -> Outcome<i32> {
    let then = |members: &[Member]| {
        let myself = birth::myself();
        for member in members.iter().filter(|member| member.entry.is_process()) {
            let task = member.task().unwrap_or(&myself);
            if flags & FLAG_KILL != 0 {
                park::signal(task, SIGKILL);
            } else if flags & FLAG_STOP != 0 {
                park::stop(task);
            }
        }
    };
    let task = if pid == 0 {
        tree::leader(kernel::current!())
    } else {
        park::find(pid).and_then(|task| tree::leader(&task))
    };
    let task = task.ok_or(Failure::new(ESRCH, "no such task"))?;
    ensure(
        flags & (FLAG_KILL | FLAG_STOP) == 0 || !refuse::is_first_of_machine(&task),
        EPERM,
        "the first process of the machine cannot be killed or stopped",
    )?;
    ctx::save::checkpoint(&task, image, flags, then)
}

/// `restart(crid, fd, flags, logfd)`: becomes the first process of an image, with
/// all that were below it.
///
/// Returns only on failure: then the caller is what it was before, and nothing is
/// left of what was made. On success each task goes on in the image's call with
/// the image's result.
#[export]
pub(crate) extern "C" fn ckpt_sys_restart(_crid: i32, fd: i32, flags: usize, logfd: i32) -> isize {
    const KNOWN: usize = FLAG_LOG | FLAG_NEWPIDS;
    let (image, log) = match open(fd, flags, KNOWN, logfd, file::may_read) {
        Ok(files) => files,
        Err(errno) => return errno.to_errno() as isize,
    };
    let new_pids = flags & FLAG_NEWPIDS != 0;
    match may_use().and_then(|()| ctx::restore::restart(image, new_pids, log.clone())) {
        Ok(result) => result,
        Err(failure) => report("restart", task::pid_in_ns(), log, &failure),
    }
}

/// Checks the flags and opens the two descriptors.
fn open(
    fd: i32,
    flags: usize,
    known: usize,
    logfd: i32,
    usable: fn(&FileRef) -> bool,
) -> Result<(FileRef, Option<FileRef>)> {
    if flags & !known != 0 {
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

/// Bytes of a line of the log in which the reason ends; behind them there is room for the
/// record and the errno.
const LINE_REASON: usize = 576;

/// Writes the failure to the log and returns its errno.
fn report(call: &str, pid: i32, log: Option<FileRef>, failure: &Failure) -> isize {
    if failure.again {
        return ERESTARTSYS.to_errno() as isize;
    }
    if let Some(log) = log {
        let mut line = [0u8; 640];
        let mut text = Text::new(line.get_mut(..LINE_REASON).unwrap_or_default());
        let _ = write!(text, "{call}: pid {pid}: ");
        if failure.pid != 0 && failure.pid != pid as u32 {
            let _ = write!(text, "process {} of the image: ", failure.pid);
        }
        failure.write(&mut text);
        let len = text.done().len();
        let mut text = Text::behind(&mut line, len);
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
        let _ = ImageFile::new(log).write_log(line);
    }
    match failure.errno.to_errno() {
        // A call that is restarted would begin a second image.
        -516..=-512 => EINTR.to_errno() as isize,
        errno => errno as isize,
    }
}
