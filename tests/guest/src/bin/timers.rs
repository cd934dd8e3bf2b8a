// SPDX-License-Identifier: GPL-2.0

//! POSIX timers: ids, clocks, what they signal, the time that is left, and signals
//! that wait; for the process, for its first and for its second thread.

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use ckpt_guest::check;
use ckpt_guest::life::Back;
use ckpt_guest::life::Life;
use ckpt_guest::sys;
use ckpt_guest::timer;
use ckpt_guest::timer::bit;
use ckpt_guest::timer::wait;
use ckpt_guest::timer::MILLI;
use ckpt_guest::timer::SECOND;
use ckpt_guest::timer::SIGEV_NONE;
use ckpt_guest::timer::SIGEV_SIGNAL;
use ckpt_guest::timer::SIGEV_THREAD_ID;
use ckpt_guest::timer::SI_TIMER;

const PR_TIMER_CREATE_RESTORE_IDS: i32 = 77;
/// The process's clock of user and kernel mode: `(~0 << 3)`.
const PROCESS_PROF: i32 = -8;

/// Creates a timer with a wanted id, or any; signals for a thread are for this one.
fn create(clock: i32, notify: i32, signo: i32, value: u64, wanted: i32) -> usize {
    let signals = timer::Signals {
        notify,
        signo,
        value,
        tid: timer::gettid(),
    };
    check::need("timer_create", timer::create(clock, signals, wanted))
}

/// Creates a timer whose signals are for another thread.
fn create_for(tid: i32, signo: i32, value: u64) -> usize {
    let signals = timer::Signals {
        notify: SIGEV_THREAD_ID,
        signo,
        value,
        tid,
    };
    check::need(
        "timer_create",
        timer::create(libc::CLOCK_MONOTONIC, signals, 0),
    )
}

fn set(id: usize, flags: i32, value: u64, interval: u64) {
    check::need("timer_settime", timer::set(id, flags, value, interval));
}

/// Value and interval, in nanoseconds.
fn get(id: usize) -> [u64; 2] {
    check::need("timer_gettime", timer::get(id))
}

fn restore_ids(on: usize) -> sys::Ret {
    sys::prctl(PR_TIMER_CREATE_RESTORE_IDS, &[on, 0, 0, 0])
}

fn wall_clock() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |d| d.as_nanos() as u64)
}

fn rt(nr: i32) -> i32 {
    libc::SIGRTMIN() + nr
}

fn pause(millis: u64) {
    std::thread::sleep(std::time::Duration::from_millis(millis));
}

/// Sends this process, or a thread of it, a signal with a value.
fn queue(signo: i32, value: u64, tid: Option<i32>) {
    check::need("sigqueue", timer::queue(signo, value, tid));
}

fn handler(signo: i32, address: u64) {
    check::need("sigaction", timer::handler(signo, address));
}

/// What runs long: id, nanoseconds at most, interval.
struct Long(usize, u64, u64);

fn still_runs(timer: &Long) {
    let [value, interval] = get(timer.0);
    check::same("interval", &timer.2, &interval);
    check::that(
        value <= timer.1 && value + 120 * SECOND > timer.1,
        format!("timer {} has {value} ns left of {}", timer.0, timer.1),
    );
}

/// A signal of timer `id` with its value must wait.
fn arrives(name: &str, signo: i32, id: usize, value: u64) -> i32 {
    let Some(info) = wait(bit(signo), 20) else {
        check::that(false, format!("{name}: no signal"));
        return 0;
    };
    check::same(
        name,
        &(signo, SI_TIMER, id as i32, value),
        &(info.signo, info.code, info.id, info.value),
    );
    info.overrun
}

/// A second thread, and timers whose signals are for it.
struct Second {
    go: mpsc::Sender<[usize; 4]>,
    done: thread::JoinHandle<()>,
    ids: [usize; 4],
}

impl Second {
    fn start() -> Self {
        let (tell, told) = mpsc::channel();
        let (go, gone) = mpsc::channel();
        let done = thread::spawn(move || {
            // Its time on a processor; made by it, as nobody else has the clock.
            let clock = libc::CLOCK_THREAD_CPUTIME_ID;
            let cpu = create(clock, SIGEV_THREAD_ID, rt(9), 91, 0);
            set(cpu, 0, 450 * SECOND, 5 * SECOND);
            let _ = tell.send(timer::gettid());
            if let Ok(ids) = gone.recv() {
                Self::verify(cpu, ids);
            }
        });
        let Ok(tid) = told.recv() else {
            check::fail("the second thread is gone");
            std::process::exit(1);
        };
        // One runs, one has expired, one does so again and again; the signals of those
        // wait between others.
        let long = create_for(tid, rt(9), 92);
        set(long, 0, 850 * SECOND, 11 * SECOND);
        queue(rt(8), 81, Some(tid));
        let once = create_for(tid, rt(8), 82);
        set(once, 0, MILLI, 0);
        pause(30);
        queue(rt(8), 83, Some(tid));
        let often = create_for(tid, rt(8), 84);
        set(often, 0, MILLI, 2 * MILLI);
        // Its signal comes behind the checkpoint.
        let soon = create_for(tid, rt(9), 93);
        set(soon, 0, 400 * MILLI, 0);
        pause(50);
        Self {
            go,
            done,
            ids: [long, once, often, soon],
        }
    }

    /// What the thread finds.
    fn verify(cpu: usize, [long, once, often, soon]: [usize; 4]) {
        still_runs(&Long(cpu, 450 * SECOND + 100 * MILLI, 5 * SECOND));
        still_runs(&Long(long, 850 * SECOND, 11 * SECOND));
        let value = || wait(bit(rt(8)), 0).map(|i| i.value);
        check::same("first for the second thread", &Some(81), &value());
        arrives("once for the second thread", rt(8), once, 82);
        check::same("third for the second thread", &Some(83), &value());
        let overrun = arrives("often for the second thread", rt(8), often, 84);
        check::that(
            overrun >= 10,
            format!("{overrun} overruns of 2 ms in 50 ms for the second thread"),
        );
        arrives("often for the second thread, again", rt(8), often, 84);
        arrives("soon for the second thread", rt(9), soon, 93);
        for id in [cpu, long, once, often, soon] {
            check::same("timer_delete", &Ok(0), &timer::delete(id));
        }
    }

    /// Has the thread verify its timers; the last id.
    fn check(self) -> usize {
        // None of them is for the first thread.
        check::that(
            wait(bit(rt(8)) | bit(rt(9)), 0).is_none(),
            "a signal of the second thread's",
        );
        let _ = self.go.send(self.ids);
        check::that(self.done.join().is_ok(), "the second thread has panicked");
        self.ids[3]
    }
}

fn main() -> ExitCode {
    let life = Life::start();
    let blocked = (0..10)
        .map(rt)
        .chain([libc::SIGALRM])
        .fold(0, |m, s| m | bit(s));
    check::need("block", timer::block(blocked));

    let long = create(libc::CLOCK_MONOTONIC, SIGEV_SIGNAL, rt(0), 1, 0);
    set(long, 0, 900 * SECOND, 7 * SECOND);
    let cpu = create(libc::CLOCK_PROCESS_CPUTIME_ID, SIGEV_SIGNAL, rt(0), 2, 0);
    set(cpu, 0, 500 * SECOND, 3 * SECOND);
    let thread = create(libc::CLOCK_THREAD_CPUTIME_ID, SIGEV_SIGNAL, rt(0), 3, 0);
    set(thread, 0, 400 * SECOND, 0);
    let profile = create(PROCESS_PROF, SIGEV_NONE, 0, 0, 0);
    set(profile, 0, 300 * SECOND, 0);
    let at = create(libc::CLOCK_REALTIME, SIGEV_SIGNAL, rt(0), 4, 0);
    set(at, libc::TIMER_ABSTIME, wall_clock() + 600 * SECOND, 0);
    let idle = create(libc::CLOCK_BOOTTIME, SIGEV_SIGNAL, rt(0), 5, 0);
    // An id that is no neighbour.
    check::need("restore ids", restore_ids(1));
    let odd = create(libc::CLOCK_TAI, SIGEV_NONE, 0, 0, 4711);
    check::same("the wanted id", &4711, &odd);
    check::need("restore ids", restore_ids(0));
    set(odd, 0, 800 * SECOND, 0);
    // Signals that wait: once, again and again, and for this thread; between others.
    let once = create(libc::CLOCK_MONOTONIC, SIGEV_SIGNAL, rt(1), 0x1_2345_6789, 0);
    set(once, 0, MILLI, 0);
    queue(rt(2), 21, None);
    let often = create(libc::CLOCK_MONOTONIC, SIGEV_SIGNAL, rt(2), 22, 0);
    set(often, 0, MILLI, 2 * MILLI);
    pause(50);
    queue(rt(2), 23, None);
    let own = create(libc::CLOCK_REALTIME, SIGEV_THREAD_ID, rt(3), 31, 0);
    set(own, 0, MILLI, 0);
    // Ignored, and heard of again when it has a handler.
    handler(libc::SIGURG, libc::SIG_IGN as u64);
    let ignored = create(libc::CLOCK_MONOTONIC, SIGEV_SIGNAL, libc::SIGURG, 41, 0);
    set(ignored, 0, MILLI, 3 * MILLI);
    // A signal of a setting that is over is dropped.
    let stale = create(libc::CLOCK_MONOTONIC, SIGEV_SIGNAL, rt(4), 51, 0);
    set(stale, 0, MILLI, 0);
    // Its last signal told of expiries.
    let counted = create(libc::CLOCK_MONOTONIC, SIGEV_SIGNAL, rt(5), 61, 0);
    set(counted, 0, MILLI, 2 * MILLI);
    pause(50);
    set(stale, 0, 700 * SECOND, 0);
    arrives("before", rt(5), counted, 61);
    set(counted, 0, 950 * SECOND, 0);
    let soon = create(libc::CLOCK_MONOTONIC, SIGEV_SIGNAL, rt(6), 71, 0);
    set(soon, 0, 400 * MILLI, 0);

    let second = Second::start();

    let back = life.checkpoint();

    let checked = second.check();

    for timer in [
        Long(long, 900 * SECOND, 7 * SECOND),
        Long(cpu, 500 * SECOND + 100 * MILLI, 3 * SECOND),
        Long(thread, 400 * SECOND + 100 * MILLI, 0),
        Long(profile, 300 * SECOND + 100 * MILLI, 0),
        Long(at, 600 * SECOND, 0),
        Long(odd, 800 * SECOND, 0),
        Long(stale, 700 * SECOND, 0),
        Long(counted, 950 * SECOND, 0),
    ] {
        still_runs(&timer);
    }
    check::same("a timer that does not run", &[0, 0], &get(idle));
    check::same("restoring of ids", &Ok(0), &restore_ids(2));
    arrives("once", rt(1), once, 0x1_2345_6789);
    check::same("nothing is left of it", &[0, 0], &get(once));
    let first = wait(bit(rt(2)), 0).map(|i| i.value);
    check::same("queued before the timer's", &Some(21), &first);
    let overrun = arrives("often", rt(2), often, 22);
    check::that(
        overrun >= 10,
        format!("{overrun} overruns of 2 ms in 50 ms"),
    );
    let third = wait(bit(rt(2)), 0).map(|i| i.value);
    check::same("queued behind the timer's", &Some(23), &third);
    arrives("often, again", rt(2), often, 22);
    arrives("for the thread", rt(3), own, 31);
    check::that(
        wait(bit(rt(4)), 0).is_none(),
        "a signal of a former setting",
    );
    arrives("soon", rt(6), soon, 71);
    // Its signal has waited for this; blocked, so that it is not delivered.
    check::need("block", timer::block(bit(libc::SIGURG)));
    handler(libc::SIGURG, 0x1000);
    let overrun = arrives("ignored", libc::SIGURG, ignored, 41);
    check::that(overrun >= 3, format!("{overrun} overruns of 3 ms"));
    let next = create(libc::CLOCK_MONOTONIC, SIGEV_SIGNAL, rt(7), 0, 0);
    check::that(
        next > checked && next < checked + 2,
        format!("the next id is {next}, the last was {checked}"),
    );
    for id in [long, cpu, thread, profile, at, idle, odd, often, next] {
        check::same("timer_delete", &Ok(0), &timer::delete(id));
    }
    let name = if matches!(back, Back::Restarted) {
        "restarted"
    } else {
        "resumed"
    };
    check::detail(format!("{name}, 18 timers"));
    check::verdict()
}
