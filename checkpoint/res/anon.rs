// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! eventfd, signalfd, timerfd and pidfd: files that are no more than what is in them.
//!
//! Nothing is changed by a look: a timer that has expired and counts on is counted
//! here. A timer runs for the time that was left from its restart on, but for one
//! that was set to a point in time of the wall clock. Like pipes, counters and
//! timers must not be those of a process that is not saved, too.

use crate::charge::charged;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format::anon::eventfd_flags;
use crate::format::anon::pidfd_flags;
use crate::format::anon::timerfd_flags;
use crate::format::anon::Eventfd;
use crate::format::anon::Pidfd;
use crate::format::anon::Signalfd;
use crate::format::anon::Timerfd;
use crate::format::files::file_kind as kind;
use crate::format::files::File;
use crate::image::Written;
use crate::kapi::anon;
use crate::kapi::anon::Anon;
use crate::kapi::anon::Timer;
use crate::kapi::file::FileRef;
use kernel::prelude::*;

/// Image bits and the flags of timerfd_settime(2) that they stand for.
const FLAGS: [(u32, u32); 2] = [
    (timerfd_flags::ABSOLUTE, kernel::bindings::TFD_TIMER_ABSTIME),
    (
        timerfd_flags::CANCEL_ON_SET,
        kernel::bindings::TFD_TIMER_CANCEL_ON_SET,
    ),
];

/// What is in a file, if it is of one of these kinds.
pub(super) fn look(file: &FileRef) -> Outcome<Option<Anon>> {
    anon::state(file).map_err(|_| {
        Failure::new(
            EOPNOTSUPP,
            "an eventfd that the kernel signals is not supported",
        )
    })
}

/// The kind of open file.
pub(super) fn kind(anon: &Anon) -> u32 {
    match anon {
        Anon::Eventfd(..) => kind::EVENTFD,
        Anon::Signalfd(_) => kind::SIGNALFD,
        Anon::Timerfd(_) => kind::TIMERFD,
        Anon::Pidfd(_) => kind::PIDFD,
    }
}

/// Writes what is in a file, behind the file itself.
pub(super) fn save(
    ctx: &mut SaveCtx,
    file: &FileRef,
    objref: u32,
    fd: u32,
    anon: &Anon,
) -> Outcome {
    match anon {
        Anon::Eventfd(count, semaphore) => {
            ctx.pipes.hold(
                file,
                fd,
                "an eventfd is also held by a process that is not saved",
            )?;
            let rec = Eventfd {
                count: *count,
                flags: if *semaphore {
                    eventfd_flags::SEMAPHORE
                } else {
                    0
                },
                reserved: 0,
            };
            ctx.writer.record(objref, &rec).written()
        }
        Anon::Signalfd(mask) => {
            let rec = Signalfd {
                mask: *mask,
                reserved: 0,
            };
            ctx.writer.record(objref, &rec).written()
        }
        Anon::Timerfd(timer) => {
            ctx.pipes.hold(
                file,
                fd,
                "a timerfd is also held by a process that is not saved",
            )?;
            ctx.writer.record(objref, &describe(timer)?).written()
        }
        Anon::Pidfd(pidfd) => {
            ensure(
                !pidfd.kills,
                EOPNOTSUPP,
                "a pidfd that kills when it is closed is not supported",
            )?;
            ensure(
                ctx.processes.binary_search(&pidfd.pid).is_ok(),
                EOPNOTSUPP,
                "a pidfd of what is no process of the image is not supported",
            )?;
            let rec = Pidfd {
                pid: pidfd.pid,
                flags: if pidfd.thread { pidfd_flags::THREAD } else { 0 },
            };
            ctx.writer.record(objref, &rec).written()
        }
    }
}

fn describe(timer: &Timer) -> Outcome<Timerfd> {
    ensure(
        !timer.cancelled,
        EOPNOTSUPP,
        "a timer whose clock has been set is not supported",
    )?;
    let mut rec = Timerfd::zeroed();
    rec.clock = timer.clockid as u32;
    for (image, kernel) in FLAGS {
        rec.flags |= if timer.flags & kernel != 0 { image } else { 0 };
    }
    rec.ticks = timer.ticks;
    rec.interval = timer.interval.max(0) as u64;
    let mut left = 0;
    if timer.armed {
        // In this moment it may be about to expire.
        left = timer.left.max(1) as u64;
    } else if timer.expired && rec.interval != 0 {
        // The kernel counts on when somebody reads.
        let late = timer.left.min(0).unsigned_abs();
        let periods = late.checked_div(rec.interval).unwrap_or(0);
        let rest = late.checked_rem(rec.interval).unwrap_or(0);
        rec.ticks = rec.ticks.saturating_add(periods);
        left = rec.interval.saturating_sub(rest);
    }
    rec.value = left;
    if left != 0 && rec.is_date() {
        let now = timer.expires.saturating_sub(timer.left);
        rec.value = now.saturating_add(left as i64).max(1) as u64;
    }
    super::valid(&rec)?;
    Ok(rec)
}

/// Reads what is in a file, and makes the file.
pub(super) fn restore(ctx: &mut RestoreCtx, file: &File) -> Outcome<FileRef> {
    match file.kind {
        kind::EVENTFD => {
            let rec: Eventfd = ctx.reader.record(file.objref)?;
            anon::eventfd(rec.count, rec.flags & eventfd_flags::SEMAPHORE != 0)
                .why("an eventfd cannot be created")
        }
        kind::SIGNALFD => {
            let rec: Signalfd = ctx.reader.record(file.objref)?;
            anon::signalfd(rec.mask).why("a signalfd cannot be created")
        }
        kind::PIDFD => {
            let rec: Pidfd = ctx.reader.record(file.objref)?;
            let process = ctx.process_of(rec.pid)?;
            anon::pidfd(process, rec.flags & pidfd_flags::THREAD != 0)
                .why("a pidfd cannot be created")
        }
        _ => {
            let rec: Timerfd = ctx.reader.record(file.objref)?;
            let new = anon::timerfd(rec.clock as i32).why("a timerfd cannot be created")?;
            let mut timer = anon::no_timer();
            for (image, kernel) in FLAGS {
                timer.flags |= if rec.flags & image != 0 { kernel } else { 0 };
            }
            timer.ticks = rec.ticks;
            timer.interval = rec.interval as i64;
            timer.armed = rec.value != 0;
            if rec.is_date() {
                timer.expires = rec.value as i64;
            } else {
                timer.left = rec.value as i64;
            }
            ctx.timers.push((new.clone(), timer), charged())?;
            Ok(new)
        }
    }
}

/// Lets the timers run. It is late: what a restart takes does not count.
pub(super) fn finish(ctx: &RestoreCtx) {
    for (file, timer) in &ctx.timers {
        anon::start(file, timer);
    }
}
