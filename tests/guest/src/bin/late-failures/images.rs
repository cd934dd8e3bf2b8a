// SPDX-License-Identifier: GPL-2.0

//! What is in the images: all of it is made before the restart fails.

use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::timer;

use crate::callers;

/// A name, and what the process of the image does before.
pub const IMAGES: &[(&str, fn())] = &[
    ("process", process),
    ("threads", threads),
    ("family", family),
];

/// Many things that a caller could be left with.
fn process() {
    callers::set_cpus(1);
    // Best effort, 6.
    let _ = sys::plain(libc::SYS_ioprio_set, &[1, 0, 2 << 13 | 6]);
    let _ = sys::plain(libc::SYS_personality, &[0]);
    let _ = callers::set_ldt(5, 0x3000, 9);
    let _ = sys::prctl(libc::PR_SET_TIMERSLACK, &[345_678]);
    let _ = sys::plain(libc::SYS_umask, &[0o123]);
    callers::block(!0);
    let _ = sys::signal_self(libc::SIGUSR2);
    callers::interval_timer(0, 3000);
    for signo in [libc::SIGUSR1, libc::SIGUSR2] {
        let signals = timer::Signals {
            notify: timer::SIGEV_SIGNAL,
            signo,
            value: 1,
            tid: 0,
        };
        if let Ok(id) = timer::create(libc::CLOCK_MONOTONIC, signals, 0) {
            let _ = timer::set(id, 0, 5000 * timer::SECOND, 0);
        }
    }
    let _ = (sys::pipe(0), sys::plain(libc::SYS_eventfd2, &[3, 0]));
    if let Ok(map) = Map::anon(64 * PAGE) {
        (0..map.pages()).for_each(|page| map.fill_page(page, 1));
    }
}

fn threads() {
    process();
    for _ in 0..3 {
        std::thread::spawn(|| loop {
            std::thread::park();
        });
    }
}

/// A child that lives no longer than its parent.
fn child(body: fn()) {
    let parent = sys::getpid();
    if sys::fork() == Ok(0) {
        let _ = sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
        // It was too late for that.
        if sys::plain(libc::SYS_getppid, &[]) != Ok(parent as usize) {
            sys::exit(0);
        }
        body();
        loop {
            std::thread::park();
        }
    }
}

/// A child with threads, one with a child, and one that has ended.
fn family() {
    process();
    child(threads);
    child(|| child(|| ()));
    child(|| sys::exit(3));
    // Until all of them are there.
    std::thread::sleep(std::time::Duration::from_millis(300));
}

/// Waits until nobody of an image is left: its process ids are free again.
pub fn reap() {
    // SAFETY: waits for children of ours, and stores nothing.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
}
