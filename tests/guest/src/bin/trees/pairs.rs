// SPDX-License-Identifier: GPL-2.0

//! Pairs of processes that wait for each other, and count on both sides. The calls are
//! made without the C library, which would hide an EINTR.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use ckpt_guest::act::slowness;
use ckpt_guest::mem;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;
use ckpt_guest::sys::Ret;

use crate::family::child;
use crate::family::ends_well;
use crate::family::parent;
use crate::timed::call;
use crate::timed::nap;

/// How often each side of one kind had its turn.
#[repr(C)]
pub struct Counts {
    asked: AtomicU64,
    answered: AtomicU64,
}

/// What all processes have in common, in shared memory.
#[repr(C)]
pub struct Board {
    /// Not 0: all shall end.
    pub stop: AtomicU64,
    counts: [Counts; 4],
    /// Whose turn it is at the futex: an even number says that a question is due.
    ball: AtomicU32,
}

impl Board {
    /// An empty one.
    pub fn new() -> Result<&'static Self, String> {
        // SAFETY: it has nothing but atomics.
        unsafe { mem::shared() }
    }

    fn goes_on(&self) -> bool {
        self.stop.load(Ordering::Relaxed) == 0
    }

    /// Nobody has missed anything: each question has one answer. The number of both.
    pub fn turns(&self) -> Result<u64, String> {
        let mut sum = 0;
        for (counts, (name, _)) in self.counts.iter().zip(PAIRS) {
            let of = |side: &AtomicU64| side.load(Ordering::Relaxed);
            let (asked, answered) = (of(&counts.asked), of(&counts.answered));
            if asked != answered || asked == 0 {
                return Err(format!("{name}: {asked} questions, {answered} answers"));
            }
            sum += asked + answered;
        }
        Ok(sum)
    }
}

fn count(side: &AtomicU64) {
    side.fetch_add(1, Ordering::Relaxed);
}

/// The call must return this and nothing else.
fn must(what: &str, ret: Ret, want: Ret) -> Result<(), String> {
    if ret == want {
        return Ok(());
    }
    Err(format!("{what}: {ret:?}, not {want:?}"))
}

/// Whoever answers takes its time, so that the other one is asleep in its call.
fn think() -> Result<(), String> {
    must("nanosleep", nap(2), Ok(0))
}

/// A number goes through one pipe, the next one comes back through another. The answerer
/// ends at the end of its pipe.
fn pipes(board: &Board, counts: &Counts) -> Result<(), String> {
    let pipe = || sys::pipe(0).map_err(|e| format!("pipe: {e}"));
    let (there, back) = (pipe()?, pipe()?);
    let close = |fd: i32| must("close", sys::close(fd), Ok(0));
    let other = child(|| {
        close(there[1])?;
        close(back[0])?;
        let mut number = [0; 8];
        loop {
            match sys::read(there[0], &mut number) {
                Ok(8) => {}
                ret => return must("read of the answerer", ret, Ok(0)),
            }
            think()?;
            count(&counts.answered);
            let next = (u64::from_ne_bytes(number) + 1).to_ne_bytes();
            must("write", sys::write(back[1], &next), Ok(8))?;
        }
    })?;
    close(there[0])?;
    close(back[1])?;
    let mut number = 0u64;
    while number == 0 || board.goes_on() {
        count(&counts.asked);
        let mut answer = [0; 8];
        let wrote = sys::write(there[1], &number.to_ne_bytes());
        must("write of the asker", wrote, Ok(8))?;
        must("read", sys::read(back[0], &mut answer), Ok(8))?;
        if u64::from_ne_bytes(answer) != number + 1 {
            return Err(format!("{number} was answered by {answer:?}"));
        }
        number += 1;
    }
    close(there[1])?;
    ends_well(other)
}

/// Waits for one of these signals, which is to come in the end.
fn receive(signals: &[i32]) -> Ret {
    let mask = signals.iter().fold(0u64, |mask, nr| mask | 1 << (nr - 1));
    call(
        libc::SYS_rt_sigtimedwait,
        &[(&raw const mask) as usize, 0, 0, 8],
    )
}

/// A signal is answered by another one. The answerer ends at a third one.
fn signals(board: &Board, counts: &Counts) -> Result<(), String> {
    const ASK: i32 = libc::SIGUSR1;
    const ANSWER: i32 = libc::SIGUSR2;
    const END: i32 = libc::SIGTERM;
    let mask = [ASK, ANSWER, END].map(|nr| 1u64 << (nr - 1));
    let mask = mask.iter().fold(0, |all, bit| all | bit);
    let args = [0, (&raw const mask) as usize, 0, 8];
    must("mask", call(libc::SYS_rt_sigprocmask, &args), Ok(0))?;
    let send = |pid: i32, signal: i32| {
        let sent = call(libc::SYS_kill, &[pid as usize, signal as usize]);
        must("kill", sent, Ok(0))
    };
    let other = child(|| loop {
        match receive(&[ASK, END]) {
            Ok(nr) if nr == ASK as usize => {}
            ret => return must("wait of the answerer", ret, Ok(END as usize)),
        }
        think()?;
        count(&counts.answered);
        send(parent(), ANSWER)?;
    })?;
    let mut asked = 0;
    while asked == 0 || board.goes_on() {
        asked += 1;
        count(&counts.asked);
        send(other, ASK)?;
        must("wait", receive(&[ANSWER]), Ok(ANSWER as usize))?;
    }
    send(other, END)?;
    ends_well(other)
}

/// Ends the game at the futex.
const LAST: u32 = u32::MAX - 1;

/// Waits until the ball is on this side. A wake-up may be one of before; that one was
/// lost is known when nobody wakes for half a minute.
fn until_on(ball: &AtomicU32, side: u32) -> Result<u32, String> {
    let patience = [30 * slowness() as i64, 0];
    loop {
        let now = ball.load(Ordering::SeqCst);
        if now % 2 == side || now == LAST {
            return Ok(now);
        }
        let at = (
            std::ptr::from_ref(ball) as usize,
            patience.as_ptr() as usize,
        );
        let args = [at.0, libc::FUTEX_WAIT as usize, now as usize, at.1];
        match call(libc::SYS_futex, &args) {
            Ok(0) | Err(Errno(libc::EAGAIN)) => {}
            ret => return Err(format!("futex wait: {ret:?}")),
        }
    }
}

fn pass_on(ball: &AtomicU32, number: u32) -> Result<(), String> {
    ball.store(number, Ordering::SeqCst);
    let at = std::ptr::from_ref(ball) as usize;
    match call(libc::SYS_futex, &[at, libc::FUTEX_WAKE as usize, 1]) {
        Ok(0 | 1) => Ok(()),
        ret => must("futex wake", ret, Ok(1)),
    }
}

/// A number goes to and fro in a word of shared memory. The answerer ends when it is
/// the last one.
fn futexes(board: &Board, counts: &Counts) -> Result<(), String> {
    let ball = &board.ball;
    let other = child(|| loop {
        let number = until_on(ball, 1)?;
        if number == LAST {
            return Ok(());
        }
        think()?;
        count(&counts.answered);
        pass_on(ball, number + 1)?;
    })?;
    let mut number = 0;
    while number == 0 || board.goes_on() {
        count(&counts.asked);
        pass_on(ball, number + 1)?;
        let next = until_on(ball, 0)?;
        if next != number + 2 {
            return Err(format!("{number} was followed by {next}"));
        }
        number = next;
    }
    pass_on(ball, LAST)?;
    ends_well(other)
}

/// Children that end soon, and are waited for.
fn waits(board: &Board, counts: &Counts) -> Result<(), String> {
    let mut nr = 0;
    while nr == 0 || board.goes_on() {
        nr = nr % 100 + 1;
        count(&counts.asked);
        let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if pid == 0 {
            let thought = think();
            count(&counts.answered);
            sys::exit(if thought.is_ok() { nr } else { 0 });
        }
        let mut status = 0i32;
        let args = [pid as usize, (&raw mut status) as usize, 0, 0];
        must("wait4", call(libc::SYS_wait4, &args), Ok(pid as usize))?;
        if status != nr << 8 {
            return Err(format!("child {nr}: status {status:#x}"));
        }
    }
    Ok(())
}

type Pair = fn(&Board, &Counts) -> Result<(), String>;

const PAIRS: [(&str, Pair); 4] = [
    ("pipes", pipes),
    ("signals", signals),
    ("futexes", futexes),
    ("wait4", waits),
];

/// Starts all of them.
pub fn start(board: &'static Board) -> Result<Vec<i32>, String> {
    let pairs = PAIRS.iter().zip(&board.counts);
    pairs
        .map(|((name, pair), counts)| {
            child(|| pair(board, counts).map_err(|why| format!("{name}: {why}")))
        })
        .collect()
}
