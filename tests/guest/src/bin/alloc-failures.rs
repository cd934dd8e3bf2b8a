// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a checkpoint and of a restart fails once, each in turn.
//!
//! Needs a kernel with fault injection: `make test-debug`. The kernel counts the
//! allocations of one task down from the number in /proc/thread-self/fail-nth.
//! An attempt must end in a clean error with an unharmed caller, or succeed.

use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::unharmed::Unharmed;

/// The restarted child found the failure still ahead of it.
const AHEAD: i32 = 21;
/// The attempt failed and the caller is as before.
const REFUSED: i32 = 40;
const PAGES: usize = 40;
/// More allocations than one call makes.
const MOST: usize = 50_000;

const DEBUG: &str = "/sys/kernel/debug";

/// Lets allocations that may wait fail too, without a line in the log for each.
fn prepare() -> Result<(), String> {
    if !std::path::Path::new("/proc/thread-self/fail-nth").exists() {
        return Err("the kernel has no fault injection".to_string());
    }
    // SAFETY: four strings that end with NUL, and no data.
    unsafe {
        libc::mount(
            c"debugfs".as_ptr(),
            c"/sys/kernel/debug".as_ptr(),
            c"debugfs".as_ptr(),
            0,
            std::ptr::null(),
        );
    }
    for (file, value) in [
        ("failslab/ignore-gfp-wait", "N"),
        ("failslab/verbose", "0"),
        ("fail_page_alloc/ignore-gfp-wait", "N"),
        ("fail_page_alloc/ignore-gfp-highmem", "N"),
        ("fail_page_alloc/min-order", "0"),
        ("fail_page_alloc/verbose", "0"),
    ] {
        std::fs::write(format!("{DEBUG}/{file}"), value).map_err(|e| format!("{file}: {e}"))?;
    }
    Ok(())
}

fn open_counter() -> i32 {
    sys::open(c"/proc/thread-self/fail-nth", libc::O_RDWR, 0).unwrap_or(-1)
}

/// How far the failure is ahead; 0 when it has happened.
fn ahead(counter: i32) -> usize {
    let mut text = [0; 16];
    let got = sys::pread(counter, &mut text, 0).unwrap_or(0);
    std::str::from_utf8(&text[..got])
        .ok()
        .and_then(|t| t.trim().parse().ok())
        .unwrap_or(0)
}

fn arm(counter: i32, nth: usize) {
    let text = nth.to_string();
    let _ = sys::pwrite(counter, text.as_bytes(), 0);
}

/// One checkpoint whose `nth` allocation fails; whether it got that far.
fn checkpoint(desk: &Desk, counter: i32, nth: usize) -> Result<bool, String> {
    let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
    arm(counter, nth);
    let ret = desk.checkpoint();
    let left = ahead(counter);
    arm(counter, 0);
    match ret {
        Ok(id) if id > 0 => {}
        Err(errno) if errno.0 == libc::ENOMEM => {}
        other => return Err(format!("allocation {nth}: {other:?}; {}", desk.said())),
    }
    Ok(left == 0)
}

fn checkpoints() -> Case {
    let desk = Desk::open("alloc-save");
    let memory = Map::anon(PAGES * PAGE).map_err(|e| format!("mmap: {e}"))?;
    (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
    let counter = open_counter();
    let mut nth = 1;
    while nth < MOST && checkpoint(&desk, counter, nth)? {
        nth += 1;
    }
    let _ = sys::close(counter);
    if !(0..PAGES).all(|page| memory.page_is(page, page as u64)) {
        return Err("memory differs".to_string());
    }
    pass_with(format!("{} failures", nth - 1))
}

/// One restart whose `nth` allocation fails.
fn restart(desk: &Desk, nth: usize) -> Ended {
    sys::in_child(60, || {
        let counter = open_counter();
        let mut caller = Unharmed::take([desk.image, desk.log]);
        let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
        arm(counter, nth);
        let errno = sys::restart(0, desk.image, sys::LOG, desk.log);
        arm(counter, 0);
        match caller.check() {
            Ok(()) => REFUSED,
            Err(why) => {
                println!("FAILED: allocation {nth}, {errno}: {why}");
                1
            }
        }
    })
}

fn restarts() -> Case {
    let desk = Desk::open("alloc-restart");
    let made = sys::in_child(30, || {
        let memory = Map::anon(PAGES * PAGE);
        if let Ok(memory) = &memory {
            (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
        }
        match desk.checkpoint() {
            Ok(0) => {
                let counter = open_counter();
                if counter < 0 || ahead(counter) != 0 {
                    AHEAD
                } else {
                    RESTARTED
                }
            }
            Ok(_) => RESUMED,
            Err(_) => 1,
        }
    });
    if made != Ended::Exit(RESUMED) {
        return Err(format!("no image: {made:?}; {}", desk.said()));
    }
    let start = Instant::now();
    let (mut refused, mut survived, mut nth) = (0, 0, 1);
    // Late allocations are those of pages, one like the other: thin them out
    // when the time runs short.
    loop {
        match restart(&desk, nth) {
            Ended::Exit(REFUSED) => refused += 1,
            Ended::Exit(RESTARTED) => survived += 1,
            Ended::Exit(AHEAD) => break,
            other => return Err(format!("allocation {nth}: {other:?}; {}", desk.said())),
        }
        nth += if start.elapsed() < Duration::from_secs(400) {
            1
        } else {
            17
        };
        if nth > MOST {
            return Err("the allocations do not end".to_string());
        }
    }
    pass_with(format!(
        "{refused} refused, {survived} survived, {nth} allocations"
    ))
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    if let Err(why) = prepare() {
        cases.report("prepare", skip(why));
        return cases.verdict();
    }
    cases.run("checkpoint", checkpoints);
    cases.run("restart", restarts);
    cases.verdict()
}
