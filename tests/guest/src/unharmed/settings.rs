// SPDX-License-Identifier: GPL-2.0

//! What a caller has set on itself, and what waits for it: scheduling, priorities,
//! values of prctl, signals, timers, descriptor tables of the processor.

use crate::sys;
use crate::timer;

/// Ids of POSIX timers that are compared: 0 to this.
const TIMERS: usize = 16;
/// Bytes of the local descriptor table that are compared.
const TABLE: usize = 4096;
/// Selectors of the TLS array, for user mode.
const TLS: [u16; 3] = [12 << 3 | 3, 13 << 3 | 3, 14 << 3 | 3];

/// Values that prctl(2) returns.
const RETURNED: [i32; 8] = [
    libc::PR_GET_DUMPABLE,
    libc::PR_GET_KEEPCAPS,
    libc::PR_GET_SECUREBITS,
    libc::PR_GET_NO_NEW_PRIVS,
    libc::PR_GET_TIMERSLACK,
    libc::PR_GET_THP_DISABLE,
    libc::PR_MCE_KILL_GET,
    libc::PR_GET_MDWE,
];
/// Values that it writes to memory.
const WRITTEN: [i32; 2] = [libc::PR_GET_CHILD_SUBREAPER, libc::PR_GET_PDEATHSIG];

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Settings {
    personality: usize,
    /// struct sched_attr, and the nice value as getpriority(2) has it.
    scheduling: ([u64; 7], usize),
    affinity: [u64; 16],
    io_priority: usize,
    /// Signals of the process and of the thread that are pending.
    pending: u64,
    /// Of the three interval timers, and of the POSIX timers.
    clocks: [Clock; 3],
    timers: [Clock; TIMERS],
    /// Access rights and limits.
    tls: [[u32; 2]; 3],
    /// A sum, and the length.
    ldt: (u64, usize),
    values: [usize; RETURNED.len()],
    written: [u32; WRITTEN.len()],
    files: [[u8; 16]; 2],
    threads: usize,
    children: bool,
}

/// A timer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Clock {
    there: bool,
    interval: u64,
    /// What is left, in the unit of the interval.
    left: u64,
}

impl Clock {
    const NONE: Self = Self {
        there: false,
        interval: 0,
        left: 0,
    };

    /// Meanwhile time goes on: less may be left, but not more.
    fn same(&self, after: &Self) -> bool {
        self.there == after.there
            && self.interval == after.interval
            && (self.left == 0) == (after.left == 0)
            && (after.left <= self.left || self.interval != 0)
    }
}

fn number(nr: libc::c_long, args: &[usize]) -> usize {
    sys::plain(nr, args).unwrap_or_else(|e| usize::MAX - e.0 as usize)
}

/// Access rights and limit of a segment; zeros if the selector is of none.
fn segment(selector: u16) -> [u32; 2] {
    let (mut rights, mut limit) = (0u32, 0u32);
    // SAFETY: looks at the descriptor tables; the registers stay if there is no segment.
    unsafe {
        std::arch::asm!("lar {:e}, {:e}", inout(reg) rights, in(reg) u32::from(selector));
        std::arch::asm!("lsl {:e}, {:e}", inout(reg) limit, in(reg) u32::from(selector));
    }
    [rights, limit]
}

impl Settings {
    /// Nothing.
    pub(super) const fn empty() -> Self {
        Self {
            personality: 0,
            scheduling: ([0; 7], 0),
            affinity: [0; 16],
            io_priority: 0,
            pending: 0,
            clocks: [Clock::NONE; 3],
            timers: [Clock::NONE; TIMERS],
            tls: [[0; 2]; 3],
            ldt: (0, 0),
            values: [0; RETURNED.len()],
            written: [0; WRITTEN.len()],
            files: [[0; 16]; 2],
            threads: 0,
            children: false,
        }
    }

    /// Asks the kernel. Allocates nothing.
    pub(super) fn fill(&mut self) {
        let ask = |nr: libc::c_long, args: [usize; 4]| {
            let args = [args[0], args[1], args[2], args[3], 0, 0];
            // SAFETY: every pointer below is to a variable of this function or a field
            // of this value, which has the size that the call writes.
            unsafe { sys::raw(nr as usize, args) }
        };
        self.personality = number(libc::SYS_personality, &[0xffff_ffff]);
        let attr = self.scheduling.0.as_mut_ptr() as usize;
        let _ = ask(libc::SYS_sched_getattr, [0, attr, 56, 0]);
        self.scheduling.1 = number(libc::SYS_getpriority, &[0, 0]);
        let cpus = self.affinity.as_mut_ptr() as usize;
        let _ = ask(libc::SYS_sched_getaffinity, [0, 128, cpus, 0]);
        self.io_priority = number(libc::SYS_ioprio_get, &[1, 0]);
        let pending = (&raw mut self.pending) as usize;
        let _ = ask(libc::SYS_rt_sigpending, [pending, 8, 0, 0]);
        for (which, clock) in self.clocks.iter_mut().enumerate() {
            let mut value = [0u64; 4];
            let to = value.as_mut_ptr() as usize;
            clock.there = ask(libc::SYS_getitimer, [which, to, 0, 0]).is_ok();
            clock.interval = value[0] * 1_000_000 + value[1];
            clock.left = value[2] * 1_000_000 + value[3];
        }
        for (id, clock) in self.timers.iter_mut().enumerate() {
            if let Ok([left, interval]) = timer::get(id) {
                (clock.there, clock.left, clock.interval) = (true, left, interval);
            }
        }
        self.tls = TLS.map(segment);
        let mut table = [0u64; TABLE / 8];
        let to = table.as_mut_ptr() as usize;
        let len = ask(libc::SYS_modify_ldt, [0, to, TABLE, 0]).unwrap_or(0);
        let sum = table.iter().fold(0u64, |sum, entry| {
            (sum.rotate_left(5) ^ entry).wrapping_mul(0x517c_c1b7_2722_0a95)
        });
        self.ldt = (sum, len);
        for (value, option) in self.values.iter_mut().zip(RETURNED) {
            *value = number(libc::SYS_prctl, &[option as usize, 0, 0, 0, 0]);
        }
        for (value, option) in self.written.iter_mut().zip(WRITTEN) {
            let to = (&raw mut *value) as usize;
            let _ = ask(libc::SYS_prctl, [option as usize, to, 0, 0]);
        }
        let names = [c"/proc/self/oom_score_adj", c"/proc/self/coredump_filter"];
        for (text, name) in self.files.iter_mut().zip(names) {
            if let Ok(fd) = sys::open(name, libc::O_RDONLY | libc::O_CLOEXEC, 0) {
                let _ = sys::read(fd, text);
                let _ = sys::close(fd);
            }
        }
        // SAFETY: zeros are a valid one.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let (path, to) = (
            c"/proc/self/task".as_ptr() as usize,
            (&raw mut stat) as usize,
        );
        let _ = ask(libc::SYS_stat, [path, to, 0, 0]);
        self.threads = stat.st_nlink as usize;
        let wait = libc::WNOHANG | libc::WNOWAIT | libc::WEXITED | libc::__WALL;
        let args = [libc::P_ALL as usize, 0, 0, wait as usize];
        self.children = ask(libc::SYS_waitid, args).is_ok();
    }

    /// What differs first.
    pub(super) fn first_difference(&self, after: &Self) -> Option<&'static str> {
        let clocks = self.clocks.iter().zip(&after.clocks);
        let timers = self.timers.iter().zip(&after.timers);
        let parts = [
            (self.personality == after.personality, "personality"),
            (self.scheduling == after.scheduling, "scheduling"),
            (self.affinity == after.affinity, "CPUs"),
            (self.io_priority == after.io_priority, "I/O priority"),
            (self.pending == after.pending, "pending signals"),
            (
                clocks.into_iter().all(|(a, b)| a.same(b)),
                "interval timers",
            ),
            (timers.into_iter().all(|(a, b)| a.same(b)), "POSIX timers"),
            (self.tls == after.tls, "entries of the TLS array"),
            (self.ldt == after.ldt, "entries of the LDT"),
            (self.values == after.values, "values of prctl"),
            (
                self.written == after.written,
                "subreaper or signal of death",
            ),
            (
                self.files == after.files,
                "oom_score_adj or coredump filter",
            ),
            (self.threads == after.threads, "threads"),
            (self.children == after.children, "children"),
        ];
        parts.into_iter().find(|p| !p.0).map(|p| p.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_noticed() {
        let now = || {
            let mut settings = Settings::empty();
            settings.fill();
            // Other tests run in this process.
            (settings.threads, settings.children) = (0, false);
            settings
        };
        // Those that a thread of the test's own can have.
        let prctl = libc::SYS_prctl;
        let slack = [libc::PR_SET_TIMERSLACK as usize, 4321, 0, 0, 0];
        let attr = [56u32, 3, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let scheduling = [0, attr.as_ptr() as usize, 0];
        for (nr, args, what) in [
            (libc::SYS_personality, &[0x004_0000][..], "personality"),
            (libc::SYS_sched_setattr, &scheduling, "scheduling"),
            (libc::SYS_ioprio_set, &[1, 0, 2 << 13 | 7], "I/O priority"),
            (prctl, &slack, "values of prctl"),
        ] {
            let before = now();
            assert_eq!(before.first_difference(&now()), None);
            sys::plain(nr, args).unwrap();
            assert_eq!(before.first_difference(&now()), Some(what));
        }
        std::hint::black_box(attr);
    }

    #[test]
    fn time_goes_on() {
        let clock = |left, interval| Clock {
            there: true,
            left,
            interval,
        };
        assert!(clock(9, 0).same(&clock(8, 0)));
        assert!(!clock(9, 0).same(&clock(10, 0)));
        assert!(!clock(9, 0).same(&clock(0, 0)));
        assert!(!clock(9, 3).same(&clock(9, 4)));
        assert!(clock(1, 3).same(&clock(2, 3)));
        assert!(!clock(1, 3).same(&Clock::NONE));
    }
}
