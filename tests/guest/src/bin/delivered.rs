// SPDX-License-Identifier: GPL-2.0

//! Pending signals of an image that the restarted program does not block, and more of
//! them than the restarting one may have.

use std::process::ExitCode;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::image::Image;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::varies;

const SIGNAL: i16 = 109;

fn block_and_send(signals: &[i32]) {
    let mask = signals.iter().fold(0u64, |mask, nr| mask | 1 << (nr - 1));
    let at = (&raw const mask) as usize;
    let args = [libc::SIG_BLOCK as usize, at, 0, 8, 0, 0];
    // SAFETY: the mask is ours and only read.
    let _ = unsafe { sys::raw(libc::SYS_rt_sigprocmask as usize, args) };
    for nr in signals {
        let _ = sys::signal_self(*nr);
    }
}

/// The image's program waits for this signal without blocking it, and so does the
/// process that restarts it: their masks are the same.
fn unblocked() -> Case {
    let desk = Desk::open("unblocked");
    desk.make(|| block_and_send(&[libc::SIGUSR1]))?;
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let mut image = Image::parse(&bytes)?;
    let at = image.find(SIGNAL).ok_or("no signals in the image")?;
    let blocked = varies::field(SIGNAL, "blocked").ok_or("no field of blocked signals")?;
    if image.records[at].get(blocked.at.clone()) != 1 << (libc::SIGUSR1 - 1) {
        return Err("the signal is not blocked in the image".to_string());
    }
    image.records[at].set(blocked.at, 0);
    std::fs::write(&desk.path, image.to_bytes()).map_err(|e| e.to_string())?;
    let ended = sys::in_child(30, || {
        desk.restart();
        1
    });
    match ended {
        Ended::Signal(libc::SIGUSR1) => pass_with("it is delivered at once"),
        other => Err(format!("{other:?}: {}", desk.said())),
    }
}

/// Eight signals where four are allowed: a failure, and an unharmed caller.
fn above_the_limit() -> Case {
    let desk = Desk::open("limit");
    let signals: Vec<i32> = (0..8).map(|i| libc::SIGRTMIN() + i).collect();
    desk.make(|| block_and_send(&signals))?;
    let limit = libc::rlimit {
        rlim_cur: 4,
        rlim_max: 4,
    };
    // SAFETY: the structure is ours; the limit is that of this child only.
    if unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &limit) } != 0 {
        return Err("setrlimit".to_string());
    }
    let (errno, said) = desk.refuses()?;
    if errno.0 != libc::EAGAIN || !said.contains("RLIMIT_SIGPENDING") {
        return Err(format!("{errno}: {said}"));
    }
    pass_with(said)
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run_in_child("unblocked", 60, unblocked);
    cases.run_in_child("above-the-limit", 60, above_the_limit);
    cases.verdict()
}
