// SPDX-License-Identifier: GPL-2.0

//! Victims with several threads.

use std::cell::Cell;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::sync::Arc;
use std::sync::Condvar;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::act::slowness;
use ckpt_guest::act::Act;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

/// How long the victims work, in milliseconds.
const TIME: u64 = 400;

fn gettid() -> i32 {
    sys::plain(libc::SYS_gettid, &[]).unwrap_or(0) as i32
}

thread_local! {
    static MINE: Cell<u64> = const { Cell::new(0) };
}

/// One step of a computation whose state is in registers and on the stack.
fn mix(x: u64) -> u64 {
    let x = x ^ x << 13;
    let x = x ^ x >> 7;
    x ^ x << 17
}

/// Address, flags and size of the calling thread's alternate stack.
fn alternate_stack() -> Result<[usize; 3], String> {
    let mut stack = [0usize; 3];
    // The kernel writes to `stack`, which lives as long as this.
    sys::plain(libc::SYS_sigaltstack, &[0, stack.as_mut_ptr() as usize])
        .map_err(|e| format!("sigaltstack: {e}"))?;
    Ok(std::hint::black_box(stack))
}

/// Gives the calling thread an alternate stack that is like no other one.
fn take_alternate_stack(nr: u64) -> Result<[usize; 3], String> {
    const AUTODISARM: usize = 1 << 31;
    let size = (64 << 10) + nr as usize * 64;
    // The library takes its own away when the thread ends, and knows nothing of this one.
    let memory = Box::leak(vec![0u8; size].into_boxed_slice());
    let flags = if nr.is_multiple_of(2) { AUTODISARM } else { 0 };
    let stack = [memory.as_ptr() as usize, flags, size];
    sys::plain(libc::SYS_sigaltstack, &[stack.as_ptr() as usize, 0])
        .map_err(|e| format!("thread {nr}: sigaltstack: {e}"))?;
    match alternate_stack()? {
        now if now == stack => Ok(stack),
        now => Err(format!("thread {nr}: the stack {now:x?}, not {stack:x?}")),
    }
}

/// Threads that compute, each with its own thread-local value, id and alternate stack.
fn compute(scene: &Scene) -> Result<(), String> {
    let work = |nr: u64, scene: &Scene| {
        let tid = gettid();
        let stack = take_alternate_stack(nr)?;
        MINE.set(nr * 1000);
        let mut rounds = 0;
        let mut x = nr + 1;
        while rounds == 0 || !scene.finished() {
            (0..2000).for_each(|_| x = mix(x));
            rounds += 1;
            MINE.set(MINE.get() + 1);
        }
        let mut again = nr + 1;
        (0..2000 * rounds).for_each(|_| again = mix(again));
        if again != x {
            return Err(format!("thread {nr}: {x:#x}, not {again:#x}"));
        }
        if MINE.get() != nr * 1000 + rounds {
            return Err(format!("thread {nr}: its own value is {}", MINE.get()));
        }
        if gettid() != tid {
            return Err(format!("thread {nr}: tid {tid} became {}", gettid()));
        }
        match alternate_stack()? {
            now if now == stack => Ok(()),
            now => Err(format!("thread {nr}: the stack {stack:x?} became {now:x?}")),
        }
    };
    thread::scope(|scope| {
        let others: Vec<_> = (1..5)
            .map(|nr| scope.spawn(move || work(nr, scene)))
            .collect();
        let done = others
            .into_iter()
            .map(|other| other.join().unwrap_or(Err("it panicked".to_string())));
        done.collect::<Result<Vec<()>, String>>().map(|_| ())
    })
}

/// A token that goes round: nobody may miss a wake-up.
fn token(scene: &Scene) -> Result<(), String> {
    const PLAYERS: u64 = 3;
    let ring = Arc::new((Mutex::new(0u64), Condvar::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let others: Vec<_> = (0..PLAYERS)
        .map(|me| {
            let (ring, stop) = (ring.clone(), stop.clone());
            thread::spawn(move || {
                let (count, turn) = &*ring;
                let mut played = 0;
                let mut now = count.lock().map_err(|_| "poisoned")?;
                loop {
                    if stop.load(Ordering::Relaxed) {
                        return Ok(played);
                    }
                    if *now % PLAYERS == me {
                        *now += 1;
                        played += 1;
                        turn.notify_all();
                    }
                    let (guard, timeout) = turn
                        .wait_timeout(now, Duration::from_secs(30))
                        .map_err(|_| "poisoned")?;
                    if timeout.timed_out() {
                        return Err("a wake-up was lost");
                    }
                    now = guard;
                }
            })
        })
        .collect();
    scene.wait();
    stop.store(true, Ordering::Relaxed);
    let (count, turn) = &*ring;
    let mut played = 0;
    for other in others {
        turn.notify_all();
        while !other.is_finished() {
            turn.notify_all();
            scene.pause(1);
        }
        played += other.join().map_err(|_| "panicked")??;
    }
    let count = *count.lock().map_err(|_| "poisoned")?;
    if played != count {
        return Err(format!("{count} turns, {played} played"));
    }
    Ok(())
}

/// Threads that sleep, each in another call, none shorter than it wanted.
fn sleepers(scene: &Scene) -> Result<(), String> {
    let millis = 900 * slowness();
    let slept = move |what: &str, start: Instant| {
        let passed = start.elapsed();
        if passed < Duration::from_millis(millis) {
            return Err(format!("{what}: only {passed:?}"));
        }
        Ok(())
    };
    let (keep, never) = mpsc::channel::<()>();
    let others = [
        thread::spawn(move || {
            let start = Instant::now();
            thread::sleep(Duration::from_millis(millis));
            slept("sleep", start)
        }),
        thread::spawn(move || {
            let start = Instant::now();
            // SAFETY: no descriptors: it only waits.
            let ret = unsafe { libc::poll(std::ptr::null_mut(), 0, millis as i32) };
            if ret != 0 {
                return Err(format!("poll: {ret}, {}", sys::last()));
            }
            slept("poll", start)
        }),
        thread::spawn(move || {
            let start = Instant::now();
            match never.recv_timeout(Duration::from_millis(millis)) {
                Err(mpsc::RecvTimeoutError::Timeout) => slept("futex", start),
                other => Err(format!("futex: {other:?}")),
            }
        }),
    ];
    let done: Vec<_> = others
        .into_iter()
        .map(|other| other.join().unwrap_or(Err("it panicked".to_string())))
        .collect();
    drop(keep);
    scene.wait();
    done.into_iter().collect::<Result<Vec<()>, String>>()?;
    Ok(())
}

static HANDLED: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

thread_local! {
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

extern "C" fn count(_: i32) {
    HANDLED[PLACE.get()].fetch_add(1, Ordering::Relaxed);
}

/// Signals for single threads: one waits blocked over the checkpoint, others come
/// all the time. Who gets them lives until nobody sends any more.
fn signals(scene: &Scene) -> Result<(), String> {
    // SAFETY: the handler touches atomics only.
    unsafe { libc::signal(libc::SIGUSR1, count as *const () as usize) };
    HANDLED.iter().for_each(|n| n.store(0, Ordering::Relaxed));
    let (tell, told) = mpsc::channel();
    let over = AtomicBool::new(false);
    let work = |place: usize, blocked: bool, tell: mpsc::Sender<(usize, i32)>| {
        PLACE.set(place);
        let mask = 1u64 << (libc::SIGUSR1 - 1);
        let set = |how: i32| {
            let args = [how as usize, (&raw const mask) as usize, 0, 8];
            sys::plain(libc::SYS_rt_sigprocmask, &args)
        };
        if blocked {
            let _ = set(libc::SIG_BLOCK);
        }
        let _ = tell.send((place, gettid()));
        while !over.load(Ordering::Acquire) {
            scene.pause(2);
        }
        let before = HANDLED[place].load(Ordering::Relaxed);
        if blocked && before != 0 {
            return Err(format!("{before} signals were handled that are blocked"));
        }
        let _ = set(libc::SIG_UNBLOCK);
        Ok(())
    };
    thread::scope(|scope| {
        let others = [(1, true), (2, false)].map(|(place, blocked)| {
            let (tell, work) = (tell.clone(), &work);
            scope.spawn(move || work(place, blocked, tell))
        });
        let tids: Vec<_> = told.iter().take(2).collect();
        let send = |place: usize| {
            let tid = tids.iter().find(|t| t.0 == place).map_or(0, |t| t.1);
            let args = [sys::getpid() as usize, tid as usize, libc::SIGUSR1 as usize];
            sys::plain(libc::SYS_tgkill, &args)
        };
        let sent = send_on(scene, send);
        over.store(true, Ordering::Release);
        for other in others {
            other.join().map_err(|_| "it panicked")??;
        }
        sent?;
        let handled = HANDLED[1].load(Ordering::Relaxed);
        if handled != 1 {
            return Err(format!(
                "the signal that waited was handled {handled} times"
            ));
        }
        Ok(())
    })
}

/// Sends one signal to the thread that blocks them, and then to the other one until the
/// end, each when the one before has been handled.
fn send_on(scene: &Scene, send: impl Fn(usize) -> sys::Ret) -> Result<(), String> {
    let pid = sys::getpid();
    send(1).map_err(|e| format!("tgkill: {e}"))?;
    scene.announce();
    let mut sent = 0;
    while !scene.finished() {
        // After a restart the process has another id: nobody is there.
        if sys::getpid() == pid && send(2).is_ok() {
            sent += 1;
            let start = Instant::now();
            while HANDLED[2].load(Ordering::Relaxed) < sent {
                if start.elapsed() > Duration::from_secs(10) {
                    return Err(format!("signal {sent} was lost"));
                }
                std::hint::spin_loop();
            }
        } else {
            scene.pause(1);
        }
    }
    Ok(())
}

/// Threads that come and go all the time.
fn short_lived(scene: &Scene) -> Result<(), String> {
    let mut sum = 0u64;
    let mut rounds = 0;
    while rounds == 0 || !scene.finished() {
        let others: Vec<_> = (0..4)
            .map(|nr| thread::spawn(move || mix(nr + 1)))
            .collect();
        for (nr, other) in (0..).zip(others) {
            let got = other.join().map_err(|_| "it panicked")?;
            if got != mix(nr + 1) {
                return Err(format!("thread {nr} of round {rounds}: {got}"));
            }
            sum = sum.wrapping_add(got);
        }
        rounds += 1;
    }
    let one = (0..4).map(|nr| mix(nr + 1)).fold(0u64, u64::wrapping_add);
    if sum != one.wrapping_mul(rounds) {
        return Err(format!("{sum} after {rounds} rounds"));
    }
    Ok(())
}

/// A hundred threads that wait for the end.
fn many(scene: &Scene) -> Result<(), String> {
    crowd(scene, 100)
}

/// A thousand.
pub fn thousand(scene: &Scene) -> Result<(), String> {
    crowd(scene, 1000)
}

fn crowd(scene: &Scene, size: u64) -> Result<(), String> {
    let sum = AtomicU64::new(0);
    thread::scope(|scope| {
        for nr in 0..size {
            let sum = &sum;
            let body = move || {
                scene.announce();
                while !scene.finished() {
                    scene.pause(size / 5 * pace::factor());
                }
                sum.fetch_add(nr, Ordering::Relaxed);
            };
            let builder = thread::Builder::new().stack_size(64 << 10);
            let spawned = builder.spawn_scoped(scope, body);
            spawned.map_err(|e| format!("thread {nr}: {e}"))?;
        }
        Ok::<(), String>(())
    })?;
    match sum.load(Ordering::Relaxed) {
        sum if sum == size * (size - 1) / 2 => Ok(()),
        sum => Err(format!("the sum is {sum}")),
    }
}

const fn act(name: &'static str, play: fn(&Scene) -> Result<(), String>) -> Act {
    Act {
        name,
        play,
        waits: TIME,
        there: 0,
    }
}

/// Victims with threads.
pub const ACTS: &[Act] = &[
    act("threads-compute", compute),
    act("threads-token", token),
    Act {
        name: "threads-sleep",
        play: sleepers,
        waits: 900,
        there: 0,
    },
    act("threads-signals", signals).there(),
    act("threads-short-lived", short_lived),
    act("threads-many", many).all_there(100),
];
