// SPDX-License-Identifier: GPL-2.0

//! What a sample image waits for: a call, signals, timers.

use super::Image;
use crate::format::call;
use crate::format::call::RestartBlock;
use crate::format::pending;
use crate::format::pending::queue;
use crate::format::pending::Siginfo;
use crate::format::timer;

impl Image {
    /// Interrupts the task in a nanosleep(2) with 1.5 seconds left.
    pub(super) fn sleep(&mut self) {
        self.cpu.orig_ax = 35;
        self.cpu.ax = call::CONTINUE.cast_unsigned();
        let mut block = RestartBlock::zeroed();
        block.kind = call::kind::NANOSLEEP;
        block.flags = call::flags::TIMEOUT;
        block.clock = 1;
        block.addr = 0x7ffd_0001_fff0;
        block.remaining_ns = 1_500_000_000;
        self.restart_block = Some(block);
    }

    /// Lets blocked signals wait, and the timer of the wall clock run: 0.25 seconds
    /// are left, and it comes again every 2 seconds.
    pub(super) fn wait(&mut self) {
        // From tkill(2), and from sigqueue(3) with the value 42.
        for (queue, signo, code, sender, value) in [
            (queue::TASK, 10, -6, (100, 0), 0),
            (queue::PROCESS, 34, -1, (7, 1000), 42),
        ] {
            let mut info = Siginfo::zeroed();
            (info.queue, info.signo, info.code) = (queue, signo, code);
            let (pid, uid): (u64, u64) = sender;
            info.fields = [pid | uid << 32, value, 0, 0];
            self.pending.push(info);
        }
        let [real, ..] = &mut self.itimers.timers;
        (real.value, real.interval) = (250_000_000, 2_000_000_000);
    }

    /// Four POSIX timers: one that runs, one whose signal 36 waits, one of the time on a
    /// processor that has the first thread as its target, and one whose signal 38
    /// waits for the other thread.
    pub(super) fn time(&mut self) {
        let new = |id, clock, notify, signo| {
            let mut timer = timer::Timer::zeroed();
            (timer.id, timer.clock, timer.notify, timer.signo) = (id, clock, notify, signo);
            timer.overrun = -1;
            timer
        };
        let mut runs = new(0, 0, timer::notify::SIGNAL, 14);
        runs.flags = timer::timer_flags::ABSOLUTE;
        runs.value = 3_000_000_000;
        let mut waits = new(2, 1, timer::notify::SIGNAL, 36);
        waits.flags = timer::timer_flags::PENDING;
        (waits.value, waits.interval) = (500_000, 1_000_000);
        (waits.sigval, waits.overrun, waits.overrun_last) = (7, 40, 3);
        let mut of_thread = new(
            5,
            timer::cpu_clock::THREAD_SCHED,
            timer::notify::THREAD_ID,
            37,
        );
        (of_thread.tid, of_thread.clock_tid) = (self.task.pid, self.task.pid);
        let mut of_other = new(9, 1, timer::notify::THREAD_ID, 38);
        (of_other.tid, of_other.flags) = (101, timer::timer_flags::PENDING);
        (of_other.sigval, of_other.overrun) = (8, 0);
        self.posix = vec![runs, waits, of_thread, of_other];
        self.timers.next_id = 10;
        let mut info = Siginfo::zeroed();
        (info.queue, info.signo, info.code) = (queue::PROCESS, 36, pending::SI_TIMER);
        info.flags = pending::siginfo_flags::TIMER;
        info.fields = [2, 7, 0, 0];
        self.pending.push(info);
    }
}
