// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a checkpoint and of a restart fails once, each in turn.
//!
//! Needs a kernel with fault injection: `make test-debug`. The kernel counts the
//! allocations of one task down from the number in its /proc/PID/fail-nth.
//! An attempt must end in a clean error with an unharmed caller, or succeed.

use std::path::Path;
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

/// The attempt failed and the caller is as before.
const REFUSED: i32 = 40;
const PAGES: usize = 40;
/// More allocations than one call makes.
const MOST: usize = 50_000;

// The images are in /tmp: a file system of the host would fail too, and slowly.
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

fn counter(pid: i32) -> String {
    format!("/proc/{pid}/fail-nth")
}

/// Runs `prepare` and then `body` in a child; in `body` the `nth` allocation
/// fails. Returns how the child ended, and whether an allocation has failed.
///
/// The child cannot hold its counter open: an image has no such descriptor. It
/// stops itself, and this process arms it.
fn attempt<T>(
    nth: usize,
    prepare: impl FnOnce() -> T,
    body: impl FnOnce(T) -> i32,
) -> Result<(Ended, bool), String> {
    let pid = match sys::fork() {
        Ok(0) => {
            let prepared = prepare();
            let _ = sys::signal_self(libc::SIGSTOP);
            sys::exit(body(prepared))
        }
        Ok(pid) => pid,
        Err(errno) => return Err(format!("fork: {errno}")),
    };
    let mut status = 0;
    // SAFETY: the kernel writes one int, then into a zeroed structure.
    let failed = unsafe {
        libc::waitpid(pid, &mut status, libc::WUNTRACED);
        let armed = std::fs::write(counter(pid), nth.to_string());
        libc::kill(pid, libc::SIGCONT);
        let mut info = std::mem::zeroed();
        let how = libc::WEXITED | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, how);
        armed
            .and_then(|()| std::fs::read_to_string(counter(pid)))
            .map(|left| left.trim() == "0")
    };
    let ended = sys::wait_for(pid, 30);
    failed
        .map(|failed| (ended, failed))
        .map_err(|e| format!("{}: {e}", counter(pid)))
}

fn checkpoints() -> Case {
    let desk = Desk::open_in(Path::new("/tmp"), "alloc-save");
    let memory = Map::anon(PAGES * PAGE).map_err(|e| format!("mmap: {e}"))?;
    (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
    let (mut refused, mut survived) = (0, 0);
    for nth in 1..MOST {
        let body = |()| {
            let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
            let ret = desk.checkpoint();
            if !(0..PAGES).all(|page| memory.page_is(page, page as u64)) {
                return 1;
            }
            match ret {
                Ok(_) => RESUMED,
                Err(errno) if errno.0 == libc::ENOMEM => REFUSED,
                Err(errno) => errno.0,
            }
        };
        match attempt(nth, || (), body)? {
            (Ended::Exit(RESUMED), false) => {
                return pass_with(format!("{refused} refused, {survived} survived"))
            }
            (Ended::Exit(RESUMED), true) => survived += 1,
            (Ended::Exit(REFUSED), _) => refused += 1,
            (other, _) => return Err(format!("allocation {nth}: {other:?}; {}", desk.said())),
        }
    }
    Err("the allocations do not end".to_string())
}

fn restarts() -> Case {
    let desk = Desk::open_in(Path::new("/tmp"), "alloc-restart");
    desk.make(|| {
        if let Ok(memory) = Map::anon(PAGES * PAGE) {
            (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
        }
    })?;
    let start = Instant::now();
    let (mut refused, mut survived, mut nth) = (0, 0, 1);
    loop {
        let prepare = || Unharmed::take([desk.image, desk.log]);
        let body = |mut caller: Unharmed| {
            let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
            let errno = sys::restart(0, desk.image, sys::LOG, desk.log);
            match caller.check() {
                Ok(()) => REFUSED,
                Err(why) => {
                    println!("FAILED: allocation {nth}, {errno}: {why}");
                    1
                }
            }
        };
        match attempt(nth, prepare, body)? {
            (Ended::Exit(RESTARTED), false) => break,
            (Ended::Exit(RESTARTED), true) => survived += 1,
            (Ended::Exit(REFUSED), _) => refused += 1,
            (other, _) => return Err(format!("allocation {nth}: {other:?}; {}", desk.said())),
        }
        // Late allocations are those of pages, one like the other: thin them
        // out when the time runs short.
        let short = start.elapsed() > Duration::from_secs(400);
        nth += if short { 17 } else { 1 };
        if nth > MOST {
            return Err("the allocations do not end".to_string());
        }
    }
    pass_with(format!("{refused} refused, {survived} survived"))
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
