// SPDX-License-Identifier: GPL-2.0

//! A caller whose return somebody watches with a uprobe.
//!
//! Each process that it makes has a copy of its pending returns, and a work to do for
//! that on its way to user mode.

use std::fs;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;
use ckpt_guest::tracing;

const EVENTS: &str = "uprobe_events";

/// What is watched.
#[inline(never)]
extern "C" fn watched(desk: &Desk) -> i32 {
    std::hint::black_box(desk.restart().0)
}

/// A program, and where in its file the function begins.
fn place(function: usize) -> Result<(String, usize), String> {
    let maps = fs::read_to_string("/proc/self/maps").map_err(|e| e.to_string())?;
    let hex = |text: &str| usize::from_str_radix(text, 16).ok();
    let found = maps.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let offset = hex(words.nth(1)?)?;
        let (start, end) = (hex(start)?, hex(end)?);
        let path = words.nth(2)?.to_string();
        (start..end)
            .contains(&function)
            .then_some((path, function - start + offset))
    });
    found.ok_or("the function is in no mapping".to_string())
}

/// A probe at the return of [`watched`], until this is dropped.
struct Probe;

impl Probe {
    fn new() -> Result<Self, String> {
        let function: extern "C" fn(&Desk) -> i32 = watched;
        let (path, offset) = place(function as usize)?;
        tracing::put(EVENTS, &format!("r:ckpt/watched {path}:{offset:#x}"))?;
        let probe = Self;
        tracing::put("events/ckpt/watched/enable", "1")?;
        Ok(probe)
    }

    /// How many returns it has seen.
    fn hits(&self) -> Option<u64> {
        let text = fs::read_to_string(format!("{}/uprobe_profile", tracing::DIR)).ok()?;
        text.split_whitespace().last()?.parse().ok()
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let _ = tracing::put("events/ckpt/watched/enable", "0");
        let _ = tracing::put(EVENTS, "-:ckpt/watched");
    }
}

/// What a child ends with that could make one of its own.
const MADE: i32 = 5;

/// A process with a child that waits, and then makes one: it would have a copy of what is
/// left of the probe.
fn of_two(desk: &Desk) -> i32 {
    let Ok(go) = sys::plain(libc::SYS_eventfd2, &[0, 0]) else {
        return 1;
    };
    let Ok(child) = sys::fork() else {
        return 1;
    };
    if child == 0 {
        let _ = sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
        let told = sys::read(go as i32, &mut [0; 8]);
        let made = sys::in_child(10, || MADE);
        sys::exit(if told == Ok(8) && made == Ended::Exit(MADE) {
            MADE
        } else {
            1
        });
    }
    let back = desk.checkpoint();
    let _ = sys::write(go as i32, &1u64.to_ne_bytes());
    match (back, sys::wait_for(child, 20)) {
        (Ok(0), Ended::Exit(MADE)) => RESTARTED,
        (Ok(_), Ended::Exit(MADE)) => RESUMED,
        _ => 1,
    }
}

/// The image restarts; a restart that fails is seen by the probe, as any return.
pub fn caller() -> Case {
    if !tracing::has(EVENTS) {
        return skip("the kernel has no uprobes");
    }
    let [desk, empty] = ["probed", "probed-empty"].map(Desk::open);
    let ended = sys::in_child(30, || of_two(&desk));
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("no image: {ended:?}; {}", desk.said()));
    }
    let probe = Probe::new()?;
    let errno = Errno(watched(&empty));
    if probe.hits() != Some(1) {
        return Err(format!(
            "{errno}, and the probe has seen {:?}",
            probe.hits()
        ));
    }
    for _ in 0..3 {
        let ended = sys::in_child(30, || watched(&desk));
        if ended != Ended::Exit(RESTARTED) {
            return Err(format!("no restart: {ended:?}; {}", desk.said()));
        }
    }
    pass_with(format!("{errno}, then three restarts"))
}
