// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Tasks that are made for a restart, from their birth to their first instruction.
//!
//! Each builds its own state in its own context, on order of the caller, and then
//! waits until all have done so. What it has built is dropped by itself when the
//! restart fails, and then it ends: nobody finds it or its id any more.

use crate::arch;
use crate::ctx::built::Open;
use crate::ctx::built::Process;
use crate::ctx::built::Thread;
use crate::ctx::built::ThreadLast;
use crate::ctx::built::ThreadReady;
use crate::ctx::restore::RestoreCtx;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format::tree::Tree;
use crate::kapi::birth;
use crate::kapi::birth::Kind;
use crate::kapi::fs;
use crate::kapi::park::Baton;
use crate::kapi::park::Fate;
use crate::kapi::park::Host;
use crate::kapi::park::Visit;
use crate::kapi::sched;
use crate::kapi::task;
use crate::mailbox::Mailbox;
use crate::res::task::Ended;
use core::cell::Cell;
use kernel::prelude::*;
use kernel::sync::Arc;

mod born;

pub(crate) use born::Born;

/// Longest time in which a task that was killed must be gone, in ticks.
const MOURNING: u32 = 3000;

/// The same for all of them together.
const MOURNING_ALL: u32 = MOURNING * 4;

/// What the caller wants of a new task.
pub(crate) enum Order {
    /// Close what was inherited: before it is given anything that would have to wait for it.
    Settle,
    /// Build the process at this place of the forest.
    Build(Baton<RestoreCtx>, usize),
    /// Build this thread.
    Load(Baton<ThreadReady>),
    /// Become what was built.
    Commit,
    /// Go to user mode.
    Go,
    /// Be a zombie.
    End(KBox<Ended>),
}

/// What a new task has to say.
pub(crate) enum Report {
    /// Nothing is open any more that it was born with.
    Settled,
    /// The process is built, with its threads, or has failed.
    Built(Baton<RestoreCtx>, Outcome<Births>),
    /// The thread is built, or has failed.
    Loaded(Outcome),
    /// It is what was built.
    Committed,
    /// It is about to end.
    Gone,
}

/// Where a new task and the caller meet.
pub(crate) type Cradle = Mailbox<Order, Report>;

/// What a task has built.
enum Built {
    Nothing,
    Process(KBox<Process>),
    Thread(KBox<Thread>),
    /// It has become what it was to be, but for the signals of a thread: a process
    /// that sets its handlers drops signals of its threads that it ignores. And nobody
    /// may look at it before all have left their old memory.
    Committed(Option<ThreadLast>, Option<Open>),
}

// Their results are large, and the stack is what all below them share.
impl Built {
    /// Builds the process at this place of the forest.
    #[inline(never)]
    fn build(&mut self, mut ctx: KBox<RestoreCtx>, place: usize) -> Report {
        // Whoever visits the task must not end the image.
        let _quiet = sched::Quiet::enter();
        let done = ctx.process(place).and_then(|(process, births)| {
            process.schedule()?;
            // If it dies it must not take the terminal along.
            process.leave();
            *self = Built::Process(process);
            Ok(births)
        });
        Report::Built(Baton(ctx), done)
    }

    /// Builds a thread.
    #[inline(never)]
    fn load(&mut self, ready: KBox<ThreadReady>) -> Report {
        Report::Loaded(Thread::load(ready).map(|thread| *self = Built::Thread(thread)))
    }

    /// Becomes what was built.
    #[inline(never)]
    fn commit(self) -> Self {
        let (result, signals, open) = match self {
            Built::Process(process) => {
                let (result, open) = process.commit();
                (result, None, Some(open))
            }
            Built::Thread(thread) => {
                let (result, signals) = thread.commit();
                (result, Some(signals), None)
            }
            Built::Nothing | Built::Committed(..) => return Built::Committed(None, None),
        };
        arch::cpu::set_result(result);
        Built::Committed(signals, open)
    }
}

impl Host for Cradle {
    fn arrive(visit: &Arc<Visit<Self>>, more: bool) -> Fate {
        // Works that its maker has left it, for its uprobes as an example, belong to the
        // memory that it is about to leave: they come first.
        if more && Visit::send(visit, current!()).is_ok() {
            return Fate::GoOn;
        }
        let mut built = Built::Nothing;
        while let Some(order) = visit.next_order() {
            match order {
                Order::Settle => {
                    fs::close_inherited();
                    visit.report(Report::Settled);
                }
                Order::Build(Baton(ctx), place) => visit.report(built.build(ctx, place)),
                Order::Load(Baton(ready)) => visit.report(built.load(ready)),
                Order::Commit => {
                    built = built.commit();
                    visit.report(Report::Committed);
                }
                Order::Go => break,
                Order::End(ended) => return Fate::Exit(ended.commit()),
            }
        }
        if let Built::Committed(signals, open) = built {
            if let Some(signals) = signals {
                signals.commit();
            }
            if let Some(open) = open {
                drop(open.commit());
            }
            return Fate::GoOn;
        }
        drop(built);
        visit.leave(Report::Gone);
        Fate::Exit(0)
    }
}

/// The failure that a task is gone which was made for the restart.
pub(crate) fn killed() -> Failure {
    Failure::new(ESRCH, "a new task was killed")
}

/// All tasks that were made.
pub(crate) struct Births {
    born: KVVec<Born>,
    /// For each place of the forest, one more than the place in `born`.
    index: KVVec<u32>,
    certain: Cell<bool>,
}

/// When the restart has failed: ends all, and waits until their ids are free.
impl Drop for Births {
    fn drop(&mut self) {
        if self.certain.get() {
            self.going_on().for_each(|born| born.visit.close());
            return;
        }
        self.born.iter().for_each(Born::abandon);
        let mut left = MOURNING_ALL;
        self.born.iter().for_each(|born| born.mourn(&mut left));
    }
}

impl Births {
    /// Nobody.
    pub(crate) fn new() -> Self {
        Self {
            born: KVVec::new(),
            index: KVVec::new(),
            certain: Cell::new(false),
        }
    }

    /// Makes the process at this place of the forest.
    pub(crate) fn process(&mut self, place: usize, pid: Option<u32>) -> Outcome {
        self.born.reserve(1, GFP_KERNEL_ACCOUNT)?;
        let born = Born::new(Kind::Process, pid, place)?;
        self.keep(born)?;
        self.enter(place)
    }

    /// Makes a thread of the current process, which builds itself at once.
    pub(crate) fn thread(
        &mut self,
        ready: KBox<ThreadReady>,
        place: usize,
        pid: Option<u32>,
    ) -> Outcome {
        self.born.reserve(1, GFP_KERNEL_ACCOUNT)?;
        let born = Born::new(Kind::Thread, pid, place)?;
        born.visit.order(Order::Load(Baton(ready)));
        let done = match born.visit.next_report() {
            Ok(Report::Loaded(done)) => done,
            Ok(_) => Err(killed()),
            Err(errno) => Err(errno.into()),
        };
        self.keep(born)?;
        done
    }

    /// Takes one in, for which there is room.
    fn keep(&mut self, born: Born) -> Outcome {
        self.born
            .push_within_capacity(born)
            .map_err(|_| Failure::new(ENOMEM, "out of memory"))
    }

    /// Adds others.
    pub(crate) fn adopt(&mut self, mut others: Births) -> Outcome {
        self.born.reserve(others.born.len(), GFP_KERNEL_ACCOUNT)?;
        // There is room for all.
        while let Some(born) = others.born.pop() {
            let place = born.place;
            self.keep(born)?;
            self.enter(place)?;
        }
        Ok(())
    }

    /// Notes the place of the last one.
    fn enter(&mut self, place: usize) -> Outcome {
        let missing = place.saturating_add(1).saturating_sub(self.index.len());
        for _ in 0..missing {
            self.index.push(0, GFP_KERNEL_ACCOUNT)?;
        }
        if let Some(slot) = self.index.get_mut(place) {
            *slot = self.born.len() as u32;
        }
        Ok(())
    }

    /// The one at this place of the forest.
    pub(crate) fn find(&self, place: usize) -> Option<&Born> {
        let entered = self.index.get(place).copied().unwrap_or(0);
        self.born.get((entered as usize).checked_sub(1)?)
    }

    /// Has the process at this place build itself and its threads.
    pub(crate) fn build(
        &mut self,
        ctx: KBox<RestoreCtx>,
        place: usize,
    ) -> (Option<KBox<RestoreCtx>>, Outcome) {
        let Some(born) = self.find(place) else {
            return (Some(ctx), Err(killed()));
        };
        let (ctx, done) = born.build(ctx);
        let done = match done {
            // What it was doing then has failed, as to read the image.
            Err(_) if birth::is_dying(born.task()) => Err(killed()),
            done => done.and_then(|threads| self.adopt(threads)),
        };
        (ctx, done)
    }

    /// Fails when one that is to live was killed since it was built.
    pub(crate) fn alive(&self) -> Outcome {
        match self.born.iter().find(|born| birth::is_dying(&born.task)) {
            Some(_) => Err(killed()),
            None => Ok(()),
        }
    }

    /// The number of the thread at this place, if it is one of these that were made
    /// one after the other and not been adopted yet.
    pub(crate) fn thread_at(&self, place: usize) -> Option<u32> {
        let at = self.born.binary_search_by_key(&place, |born| born.place);
        let number = task::number(self.born.get(at.ok()?)?.task());
        (number != 0).then_some(number)
    }

    /// From here on all go on, whatever becomes of the caller.
    pub(crate) fn be_certain(&self) {
        self.certain.set(true);
    }

    /// Waits until those that only end have ended.
    pub(crate) fn await_ends(&self) {
        let mut left = MOURNING_ALL;
        for born in self.born.iter().filter(|born| born.ends.get()) {
            born.await_end(&mut left);
        }
    }

    /// Has all become what they built, but for those that only end.
    pub(crate) fn commit(&self, forest: &[Tree]) {
        let lives = |born: &&Born| !forest.get(born.place).is_some_and(|task| task.is_zombie());
        // A process arms timers of its threads' times, which these have by then.
        for thread in [true, false] {
            let round = || {
                self.born
                    .iter()
                    .filter(lives)
                    .filter(|b| b.thread == thread)
            };
            for born in round() {
                born.visit.order(Order::Commit);
            }
            for born in round() {
                // It may be killed, and says so.
                born.visit.last_report();
            }
        }
    }

    /// Has the process at this place end as a zombie.
    pub(crate) fn end(&self, place: usize, ended: KBox<Ended>) {
        if let Some(born) = self.find(place) {
            born.ends.set(true);
            born.visit.order(Order::End(ended));
        }
    }

    /// All but those that were told to end: no other word may come before that.
    fn going_on(&self) -> impl Iterator<Item = &Born> {
        self.born.iter().filter(|born| !born.ends.get())
    }

    /// Lets all go to user mode.
    pub(crate) fn go(&self) {
        self.going_on().for_each(|born| born.visit.order(Order::Go));
    }
}
