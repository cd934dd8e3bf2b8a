// SPDX-License-Identifier: GPL-2.0

//! A victim of which one thread has a futex with priority inheritance, and another one
//! waits for it. The word names who has it; that this one has the priority of the other is
//! known to the kernel alone.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::timer::gettid;
use ckpt_guest::victim::Scene;

use crate::family::act;

/// The word of the futex, and whether the one that waits has got it.
static WORD: AtomicU32 = AtomicU32::new(0);
static GOT: AtomicBool = AtomicBool::new(false);

/// Priority of the one that waits, of SCHED_FIFO, and how /proc/PID/stat shows it.
const FIFO: i32 = 7;
const LENT: i32 = -1 - FIFO;
/// How often one waits for another one, 2 ms each time.
const PATIENCE: u32 = 10_000;

fn futex(operation: i32) -> sys::Ret {
    let word = (&raw const WORD) as usize;
    let operation = operation | libc::FUTEX_PRIVATE_FLAG;
    sys::plain(libc::SYS_futex, &[word, operation as usize, 0, 0])
}

/// The priority of the calling thread, with what is lent.
fn priority() -> Result<i32, String> {
    let stat = std::fs::read_to_string("/proc/thread-self/stat").map_err(|e| e.to_string())?;
    // Behind the name: the state is the third field, the priority the 18th.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let field = behind.split_ascii_whitespace().nth(15);
    let field = field.and_then(|field| field.parse().ok());
    field.ok_or(format!("no priority: {stat}"))
}

fn until_lent(scene: &Scene) -> Result<(), String> {
    for _ in 0..PATIENCE {
        if priority()? == LENT {
            return Ok(());
        }
        scene.pause(2);
    }
    Err(format!("the priority {} is not lent", priority()?))
}

/// Has it, and gives it back at the end.
fn owner(scene: &Scene) -> Result<(), String> {
    let (tid, own) = (gettid() as u32, priority()?);
    // As a library does where nobody has it.
    WORD.store(tid, SeqCst);
    until_lent(scene)?;
    scene.announce();
    scene.wait();
    // Whoever waits was interrupted, and comes back by itself.
    until_lent(scene)?;
    let word = WORD.load(SeqCst);
    if word != tid | libc::FUTEX_WAITERS || GOT.load(SeqCst) {
        return Err(format!("{tid:#x} had it, the word is {word:#x}"));
    }
    futex(libc::FUTEX_UNLOCK_PI).map_err(|e| format!("unlock: {e}"))?;
    match priority()? {
        now if now == own => Ok(()),
        now => Err(format!("the priority {own} became {now}")),
    }
}

/// Waits for it, with a priority of its own.
fn waiter(scene: &Scene) -> Result<(), String> {
    let priority = FIFO;
    let at = (&raw const priority) as usize;
    let args = [0, libc::SCHED_FIFO as usize, at];
    sys::plain(libc::SYS_sched_setscheduler, &args).map_err(|e| format!("scheduler: {e}"))?;
    while WORD.load(SeqCst) == 0 {
        scene.pause(1);
    }
    let locked = futex(libc::FUTEX_LOCK_PI);
    GOT.store(true, SeqCst);
    let (tid, word) = (gettid() as u32, WORD.load(SeqCst));
    if locked != Ok(0) || word & libc::FUTEX_TID_MASK != tid {
        return Err(format!(
            "lock by {tid:#x}: {locked:?}, the word is {word:#x}"
        ));
    }
    futex(libc::FUTEX_UNLOCK_PI).map_err(|e| format!("unlock by the second: {e}"))?;
    match WORD.load(SeqCst) {
        0 => Ok(()),
        word => Err(format!("nobody has it, and the word is {word:#x}")),
    }
}

/// Neither of them is the first thread, which has another id after a restart.
fn between_threads(scene: &Scene) -> Result<(), String> {
    thread::scope(|scope| {
        [owner, waiter]
            .map(|body| scope.spawn(move || body(scene)))
            .into_iter()
            .map(|thread| thread.join().map_err(|_| "it panicked")?)
            .collect::<Result<Vec<()>, String>>()
            .map(|_| ())
    })
}

/// Victims with such a futex.
pub const ACTS: &[Act] = &[act("priority-inheritance", between_threads).there()];
