// SPDX-License-Identifier: GPL-2.0

//! A task: registers, interrupted call, file system view, signals, timers,
//! limits.

use super::cut;
use super::rule;
use super::Event;
use super::Step;
use super::Walker;
use crate::format;
use crate::format::call::RestartBlock;
use crate::format::cpu::Cpu;
use crate::format::cpu::Thread;
use crate::format::head::ErrorRec;
use crate::format::pending::queue;
use crate::format::pending::Itimers;
use crate::format::pending::Siginfo;
use crate::format::signal::Signal;
use crate::format::signal::ThreadSignal;
use crate::format::task;
use crate::format::timer;
use crate::format::tree::Tree;
use crate::stream::Source;

impl<S: Source<Failed = ErrorRec>> Walker<'_, S> {
    pub(super) fn task(&mut self, entry: &Tree) -> Step<S> {
        let task: task::Task = self.record(0)?;
        self.object(task.objref)?;
        rule(
            (task.pid, task.tgid) == (entry.pid, entry.tgid)
                && (task.exit_state == task::EXIT_ZOMBIE) == entry.is_zombie(),
            "task is another one than in the forest",
        )?;
        self.task = task.objref;
        self.tid = task.pid;
        (self.on)(&Event::Task(&task));
        if entry.is_zombie() {
            return Ok(());
        }
        let len = task.affinity_len as usize;
        if len != 0 {
            self.bytes(format::AFFINITY, self.task, len)?;
            (self.on)(&Event::Affinity(cut(&self.buf, len)));
        }
        self.handlers(&task, entry)?;
        if !self.spaces.contains(&task.mm) {
            self.mm(task.mm)?;
            self.mm_context()?;
        }
        self.registers()?;
        if self.views.insert(task.fs) {
            self.fs(task.fs)?;
        }
        if self.tables.insert(task.files) {
            self.files(task.files)?;
        }
        if !entry.is_process() {
            self.thread_signals()?;
            return self.creds();
        }
        self.signals()?;
        self.creds()?;
        let limits: task::Rlimits = self.record(self.task)?;
        (self.on)(&Event::Rlimits(&limits));
        Ok(())
    }

    /// What threads of a process must share, and processes with the same handlers.
    fn handlers(&mut self, task: &task::Task, entry: &Tree) -> Step<S> {
        let own = (task.mm, task.handlers);
        if !entry.is_process() {
            return rule(
                own == self.process,
                "threads of a process have different memory or handlers",
            );
        }
        self.process = own;
        match self.handlers.get(&task.handlers) {
            Some(mm) => rule(*mm == task.mm, "processes share handlers and no memory"),
            None => {
                self.object(task.handlers)?;
                self.handlers.insert(task.handlers, task.mm);
                Ok(())
            }
        }
    }

    fn registers(&mut self) -> Step<S> {
        let thread: Thread = self.record(self.task)?;
        (self.on)(&Event::Thread(&thread));
        let cpu: Cpu = self.record(self.task)?;
        rule(
            cpu.xstate_size == self.xsave_size,
            "FPU state is not of the size that the header states",
        )?;
        (self.on)(&Event::Cpu(&cpu));
        let len = cpu.xstate_size as usize;
        self.bytes(format::FPU, self.task, len)?;
        (self.on)(&Event::Fpu(cut(&self.buf, len)));
        // A valid CPU record announces at most one.
        if cpu.nr_restart != 0 {
            let block: RestartBlock = self.record(self.task)?;
            (self.on)(&Event::RestartBlock(&block));
        }
        Ok(())
    }

    fn fs(&mut self, objref: u32) -> Step<S> {
        let fs: task::Fs = self.record(self.task)?;
        self.object(fs.objref)?;
        rule(
            fs.objref == objref,
            "file system view is another one than the task's",
        )?;
        (self.on)(&Event::Fs(&fs));
        let len = self.string(self.task, format::STR_MAX)?;
        (self.on)(&Event::Root(cut(&self.buf, len)));
        let len = self.string(self.task, format::STR_MAX)?;
        (self.on)(&Event::Cwd(cut(&self.buf, len)));
        Ok(())
    }

    fn signals(&mut self) -> Step<S> {
        let signal: Signal = self.record(self.task)?;
        (self.on)(&Event::Signal(&signal));
        for _ in 0..signal.nr_pending {
            let info: Siginfo = self.record(self.task)?;
            (self.on)(&Event::Siginfo(&info));
            self.sent(&info)?;
        }
        let timers: Itimers = self.record(self.task)?;
        (self.on)(&Event::Itimers(&timers));
        self.timers()
    }

    fn sent(&mut self, info: &Siginfo) -> Step<S> {
        if info.timer().is_some() {
            // Each timer has one at most.
            rule(
                self.sent.len() < timer::TIMERS_MAX as usize,
                "pending signal is of no POSIX timer",
            )?;
            self.sent.push(timer::Sent {
                tid: self.tid,
                info: *info,
            });
        }
        Ok(())
    }

    fn timers(&mut self) -> Step<S> {
        let common: timer::Timers = self.record(self.task)?;
        (self.on)(&Event::Timers(&common));
        for _ in 0..common.nr_timers {
            let timer: timer::Timer = self.record(self.task)?;
            for tid in [timer.tid, timer.clock_tid] {
                let thread = self.places.get(&tid).and_then(|at| self.tree.get(*at));
                rule(
                    tid == 0 || thread.is_some_and(|thread| thread.tgid == self.tid),
                    "POSIX timer of a thread that is not in the image",
                )?;
            }
            (self.on)(&Event::Timer(&timer));
            self.timers.push(timer);
        }
        Ok(())
    }

    /// The end of a process and its threads: what its timers have sent is there.
    pub(super) fn pairs(&mut self) -> Step<S> {
        self.sent.sort_unstable_by_key(timer::Sent::timer);
        let mut pairs = timer::Pairs::new(&self.sent);
        for timer in &self.timers {
            pairs.next(timer)?;
        }
        pairs.end()?;
        self.timers.clear();
        self.sent.clear();
        Ok(())
    }

    fn thread_signals(&mut self) -> Step<S> {
        let signal: ThreadSignal = self.record(self.task)?;
        (self.on)(&Event::ThreadSignal(&signal));
        for _ in 0..signal.nr_pending {
            let info: Siginfo = self.record(self.task)?;
            rule(
                info.queue == queue::TASK,
                "signal of the process is pending for a thread",
            )?;
            (self.on)(&Event::Siginfo(&info));
            self.sent(&info)?;
        }
        Ok(())
    }
}
