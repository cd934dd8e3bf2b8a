// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! POSIX timers.
//!
//! They belong to the process, and are records of its first thread. Signals to other
//! threads wait among the records of those.
//!
//! A restart creates them when the threads are there to which they send signals, whose
//! ids may be other ones than in the image. The ids of timers may be those that the
//! caller's own have: the new ones are created aside, within the caller's limit of
//! pending signals, and get their ids when the caller's are gone.

use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Locate;
use crate::error::Outcome;
use crate::error::Place;
use crate::format::pending::Siginfo;
use crate::format::pending::TIMER_MAX;
use crate::format::timer::cpu_clock;
use crate::format::timer::notify;
use crate::format::timer::timer_flags;
use crate::format::timer::Pairs;
use crate::format::timer::Sent;
use crate::format::timer::Timer;
use crate::format::timer::Timers;
use crate::format::timer::TIMERS_MAX;
use crate::format::tree::Tree;
use crate::format::Record;
use crate::image::Written;
use crate::kapi::task;
use crate::kapi::timer;
use crate::kapi::timer::Created;
use crate::kapi::timer::Seen;
use crate::res::used::Spent;
use kernel::alloc::Flags;
use kernel::prelude::*;

/// The timers, at one moment, in the order of their ids; and when those of CPU time expire,
/// by their clocks.
pub(crate) struct Now(KVVec<(Timer, u64)>);

impl Now {
    /// No timers.
    pub(crate) fn none() -> Self {
        Self(KVVec::new())
    }

    /// Has timers of CPU time run from the moment at which the clock was noted that goes on
    /// after a restart: `own` that of the current task, `all` that of its process.
    pub(crate) fn since_record(&mut self, own: &Spent, all: &Spent) {
        use cpu_clock as c;

        let pid = task::number(kernel::current!());
        for (timer, expires) in &mut self.0 {
            let then = match timer.clock {
                c::PROCESS_PROF => all.prof,
                c::PROCESS_VIRT => all.virt,
                c::PROCESS_SCHED => all.sched,
                // Other threads note their clocks later, and hardly do anything until then.
                _ if timer.clock_tid != pid => continue,
                c::THREAD_PROF => own.prof,
                c::THREAD_VIRT => own.virt,
                c::THREAD_SCHED => own.sched,
                _ => continue,
            };
            // What has passed is counted as overruns already, if a signal waits.
            if timer.value == 0 || timer.waits() {
                continue;
            }
            timer.value = left(*expires, then);
            if timer.notify == notify::NONE && timer.interval != 0 {
                // The next time of many.
                let passed = timer.value.wrapping_sub(1).checked_rem(timer.interval);
                timer.value = passed.unwrap_or(0).saturating_add(1);
            }
        }
    }
}

/// Nanoseconds from a moment until a timer expires that is not disarmed.
pub(super) fn left(expires: u64, then: u64) -> u64 {
    expires.saturating_sub(then).clamp(1, TIMER_MAX)
}

/// Timers of the process at hand whose signals wait for single threads, by their ids.
pub(crate) struct Sending(KVVec<u32>);

impl Sending {
    /// No timers.
    pub(crate) fn none() -> Self {
        Self(KVVec::new())
    }

    /// Is this timer one of them?
    pub(crate) fn has(&self, id: u64) -> bool {
        self.0.binary_search_by_key(&id, |id| (*id).into()).is_ok()
    }
}

/// Looks at what can be saved.
pub(crate) fn look() -> Outcome<Now> {
    let mut timers = KVVec::new();
    timer::each(|seen| {
        may_save(&seen).at(Place::Number(seen.timer.id.into()))?;
        ensure(
            timers.len() < TIMERS_MAX as usize,
            EOPNOTSUPP,
            "too many POSIX timers",
        )?;
        timers.push((seen.timer, seen.expires), GFP_KERNEL)?;
        Ok::<_, Failure>(())
    })?;
    let timers = sorted(&timers, |(timer, _)| timer.id, GFP_KERNEL)?;
    Ok(Now(timers))
}

/// The items in the order of their keys. A sort of themselves would move so many of them
/// through the stack that they need a quarter of it.
fn sorted<T: Copy, K: Ord>(items: &[T], key: impl Fn(&T) -> K, flags: Flags) -> Result<KVVec<T>> {
    let mut order = KVVec::with_capacity(items.len(), flags)?;
    for at in 0..items.len() {
        order.push(at as u32, flags)?;
    }
    let item = |at: &u32| items.get(*at as usize);
    order.sort_unstable_by_key(|at| item(at).map(&key));
    let mut sorted = KVVec::with_capacity(items.len(), flags)?;
    for item in order.iter().filter_map(item) {
        sorted.push(*item, flags)?;
    }
    Ok(sorted)
}

fn may_save(seen: &Seen) -> Outcome {
    let timer = &seen.timer;
    ensure(
        !seen.foreign,
        EOPNOTSUPP,
        "a POSIX timer of another task's clock is not supported",
    )?;
    ensure(
        timer.notify != notify::THREAD_ID || timer.tid != 0,
        EOPNOTSUPP,
        "a POSIX timer of a thread that has ended is not supported",
    )?;
    ensure(
        !seen.lost,
        EOPNOTSUPP,
        "a POSIX timer that waits for a lost signal is not supported",
    )?;
    timer
        .validate()
        .map_err(|_| Failure::new(EOPNOTSUPP, "a POSIX timer of this clock is not supported"))
}

/// Writes the records of the timers.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, task: u32, now: &Now) -> Outcome {
    let mut common = timer::common();
    common.nr_timers = now.0.len() as u32;
    ctx.writer.record(task, &common).written()?;
    ctx.sent = Sending::none();
    for (timer, _) in &now.0 {
        ctx.writer.record(task, timer).written()?;
        if timer.tid != 0 && timer.flags & timer_flags::PENDING != 0 {
            ctx.sent.0.push(timer.id, GFP_KERNEL)?;
        }
    }
    Ok(())
}

/// Signals of a process and its threads that timers have sent.
pub(crate) struct Signals(KVVec<Sent>);

impl Signals {
    /// No signals.
    pub(crate) fn none() -> Self {
        Self(KVVec::new())
    }

    /// One more, among the records of the thread that had `tid` when it was saved.
    pub(crate) fn add(&mut self, tid: u32, info: Siginfo) -> Outcome {
        // Each timer has one at most.
        ensure(
            self.0.len() < TIMERS_MAX as usize,
            EINVAL,
            "pending signal is of no POSIX timer",
        )?;
        Ok(self.0.push(Sent { tid, info }, GFP_KERNEL_ACCOUNT)?)
    }
}

/// Timers that were read, and then created.
pub(crate) struct Ready {
    common: Timers,
    records: KVVec<Timer>,
    timers: KVVec<Created>,
}

/// Reads the timers of a process.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, task: u32, entry: &Tree) -> Outcome<Ready> {
    let common: Timers = ctx.reader.record(task)?;
    let mut records = KVVec::new();
    for _ in 0..common.nr_timers {
        let rec: Timer = ctx.reader.record(task)?;
        for tid in [rec.tid, rec.clock_tid] {
            ensure(
                tid == 0 || ctx.forest.thread(entry, tid).is_some(),
                EINVAL,
                "POSIX timer of a thread that is not in the image",
            )?;
        }
        records.push(rec, GFP_KERNEL_ACCOUNT)?;
    }
    Ok(Ready {
        common,
        records,
        timers: KVVec::new(),
    })
}

fn failed(errno: Error) -> Failure {
    match errno {
        EAGAIN => Failure::new(
            EAGAIN,
            "the caller may not have so many POSIX timers (RLIMIT_SIGPENDING)",
        ),
        ENOMEM => ENOMEM.into(),
        errno => Failure::new(errno, "a new task was killed"),
    }
}

impl Ready {
    /// Creates the timers, some of which have sent `signals`, when the threads of the
    /// process are there. `number` is what the thread id of an image has become.
    #[inline(never)]
    pub(crate) fn create(
        &mut self,
        signals: Signals,
        number: impl Fn(u32) -> Option<u32>,
    ) -> Outcome {
        let signals = sorted(&signals.0, Sent::timer, GFP_KERNEL_ACCOUNT)?;
        let mut pairs = Pairs::new(&signals);
        for rec in &self.records {
            pairs.next(rec)?;
            let now = |tid: u32| match tid {
                0 => Ok(0),
                tid => number(tid).ok_or(Failure::new(ESRCH, "a new task was killed")),
            };
            let timer = Created::new(rec, now(rec.tid)?, now(rec.clock_tid)?).map_err(failed)?;
            self.timers.push(timer, GFP_KERNEL_ACCOUNT)?;
        }
        Ok(pairs.end()?)
    }

    /// Gives the timers to the process, which has no other ones. Cannot fail.
    pub(crate) fn publish(&mut self) {
        timer::set_common(&self.common);
        for timer in &mut self.timers {
            timer.publish();
        }
    }

    /// Starts the timers. Cannot fail. When all signals that wait are in their queues.
    pub(crate) fn start(&self) {
        for timer in &self.timers {
            timer.start();
        }
    }
}
