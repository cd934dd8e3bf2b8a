// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a checkpoint and of a restart fails once, each in turn.
//!
//! Needs a kernel with fault injection: `make test-debug`. The kernel counts the
//! allocations of one task down from the number in its /proc/PID/fail-nth.
//! An attempt must end in a clean error with an unharmed caller, or succeed.
//!
//! The tasks of a tree do their parts themselves, and those that a restart makes cannot
//! be told a number: of a tree, one allocation in so many of all its tasks fails, once.

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

// The images, and what the program has open for writing, are in /tmp: a file system of
// the host would fail too, and slowly, and one of 9p does not open a file for writing any
// more once that has failed.
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
    set("failslab/ignore-gfp-wait", "N")?;
    set("fail_page_alloc/ignore-gfp-wait", "N")?;
    set("fail_page_alloc/ignore-gfp-highmem", "N")?;
    set("fail_page_alloc/min-order", "0")?;
    for kind in KINDS {
        set(&format!("{kind}/verbose"), "0")?;
        set(&format!("{kind}/task-filter"), "Y")?;
        set(&format!("{kind}/times"), "0")?;
        set(&format!("{kind}/probability"), "100")?;
    }
    Ok(())
}

/// Lets what the current process prints go to memory.
fn print_to_memory() {
    let flags = libc::O_RDWR | libc::O_CREAT;
    if let Ok(fd) = sys::open(c"/tmp/alloc-printed", flags, 0o600) {
        for to in [1, 2] {
            let _ = sys::dup_to(fd, to, 0);
        }
        let _ = sys::close(fd);
    }
}

/// Where allocations can fail.
const KINDS: [&str; 2] = ["failslab", "fail_page_alloc"];

fn set(file: &str, value: &str) -> Result<(), String> {
    std::fs::write(format!("{DEBUG}/{file}"), value).map_err(|e| format!("{file}: {e}"))
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
    let arm = |pid| std::fs::write(counter(pid), nth.to_string()).map_err(|e| e.to_string());
    let has_failed = |pid| {
        let left = std::fs::read_to_string(counter(pid)).map_err(|e| e.to_string())?;
        Ok(left.trim() == "0")
    };
    attempt_with(arm, has_failed, prepare, body)
}

/// As [`attempt`], for the first and all below it: one in `nth` allocations fails.
fn attempt_in_tree<T>(
    nth: usize,
    prepare: impl FnOnce() -> T,
    body: impl FnOnce(T) -> i32,
) -> Result<(Ended, bool), String> {
    let kind = KINDS[nth % 2];
    let arm = |_| {
        set(&format!("{kind}/interval"), &nth.to_string())?;
        set(&format!("{kind}/times"), "1")
    };
    let has_failed = |_| {
        let left = std::fs::read_to_string(format!("{DEBUG}/{kind}/times"));
        set(&format!("{kind}/times"), "0")?;
        Ok(left.map_err(|e| e.to_string())?.trim() == "0")
    };
    let prepare = || {
        // Those below inherit it.
        let marked = std::fs::write("/proc/self/make-it-fail", "1");
        (marked.is_ok(), prepare())
    };
    let body = |(marked, prepared)| if marked { body(prepared) } else { 2 };
    let done = attempt_with(arm, has_failed, prepare, body);
    // Those below, if there are any left, have come to us.
    // SAFETY: waits for children of ours, and stores nothing.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
    done
}

fn attempt_with<T>(
    arm: impl FnOnce(i32) -> Result<(), String>,
    has_failed: impl FnOnce(i32) -> Result<bool, String>,
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
        let armed = arm(pid);
        libc::kill(pid, libc::SIGCONT);
        let mut info = std::mem::zeroed();
        let how = libc::WEXITED | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, how);
        armed.and_then(|()| has_failed(pid))
    };
    let ended = sys::wait_for(pid, 30);
    Ok((ended, failed?))
}

/// A child with a thread, and one below it; all have pages in common.
struct Family {
    memory: Map,
    child: i32,
    /// Closed when they shall end.
    hold: i32,
}

impl Family {
    fn new() -> Result<Self, sys::Errno> {
        let memory = Map::anon(PAGES * PAGE)?;
        (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
        let [told, hold] = sys::pipe(0)?;
        let [begun, begin] = sys::pipe(0)?;
        let end = |own: u64, next: Option<i32>| {
            let _ = sys::close(hold);
            memory.fill_page(0, own);
            let _ = sys::write(begin, b"b");
            let _ = (sys::close(begun), sys::close(begin));
            let _ = sys::read(told, &mut [0]);
            let good = |page: usize| match page {
                0 => memory.page_is(0, own),
                page => memory.page_is(page, page as u64),
            };
            let ended = next.map_or(Ended::Exit(0), |pid| sys::wait_for(pid, 30));
            let bad = (0..PAGES).find(|page| !good(*page));
            if ended != Ended::Exit(0) || bad.is_some() {
                println!("FAILED: below {own}: {ended:?}, page {bad:?}");
                sys::exit(1);
            }
            sys::exit(0)
        };
        let child = sys::fork()?;
        if child == 0 {
            std::thread::spawn(|| loop {
                std::thread::sleep(Duration::from_secs(1000));
            });
            match sys::fork() {
                Ok(0) => end(1000, None),
                Ok(next) => end(2000, Some(next)),
                Err(_) => sys::exit(1),
            }
        }
        let _ = (sys::close(told), sys::close(begin));
        // What they allocate for themselves is none of the test's.
        for _ in 0..2 {
            if sys::read(begun, &mut [0])? != 1 {
                return Err(sys::Errno(libc::EIO));
            }
        }
        let _ = sys::close(begun);
        Ok(Self {
            memory,
            child,
            hold,
        })
    }

    /// All end, and have found what they had.
    fn ends_well(self) -> bool {
        let _ = sys::close(self.hold);
        let ended = sys::wait_for(self.child, 30);
        let bad = (0..PAGES).find(|page| !self.memory.page_is(*page, *page as u64));
        if ended != Ended::Exit(0) || bad.is_some() {
            println!("FAILED: {ended:?}, page {bad:?}");
            return false;
        }
        true
    }
}

/// Restarts the image; on failure the exit status tells whether the caller is as before.
fn fails_well(desk: &Desk, mut caller: Unharmed, nth: usize) -> i32 {
    let errno = desk.restart();
    match caller.check() {
        Ok(()) => REFUSED,
        Err(why) => {
            println!("FAILED: allocation {nth}, {errno}: {why}");
            1
        }
    }
}

/// Tries one in `nth` for more and more, until none fails any more.
fn sweep(mut one: impl FnMut(usize) -> Result<(bool, bool), String>) -> Case {
    let (mut refused, mut survived, mut whole, mut nth) = (0, 0, 0, 1);
    while whole < 6 {
        match one(nth)? {
            (_, false) => whole += 1,
            (true, true) => survived += 1,
            (false, true) => refused += 1,
        }
        nth += 1 + nth / 24;
        if nth > MOST {
            return Err("the allocations do not end".to_string());
        }
    }
    pass_with(format!("{refused} refused, {survived} survived"))
}

fn tree_checkpoints() -> Case {
    let desk = Desk::open_in(Path::new("/tmp"), "alloc-save-tree");
    sweep(|nth| {
        let body = |family: Result<Family, _>| {
            let Ok(family) = family else {
                return 3;
            };
            let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
            let ret = desk.checkpoint();
            if !family.ends_well() {
                return 1;
            }
            match ret {
                Ok(_) => RESUMED,
                Err(errno) if errno.0 == libc::ENOMEM => REFUSED,
                Err(errno) => errno.0,
            }
        };
        match attempt_in_tree(nth, Family::new, body)? {
            (Ended::Exit(RESUMED), failed) => Ok((true, failed)),
            (Ended::Exit(REFUSED), failed) => Ok((false, failed)),
            (other, _) => Err(format!("one in {nth}: {other:?}; {}", desk.said())),
        }
    })
}

fn tree_restarts() -> Case {
    let desk = Desk::open_in(Path::new("/tmp"), "alloc-restart-tree");
    let ended = sys::in_child(60, || {
        print_to_memory();
        let Ok(family) = Family::new() else {
            return 3;
        };
        let ret = desk.checkpoint();
        match (family.ends_well(), ret) {
            (true, Ok(0)) => RESTARTED,
            (true, Ok(_)) => RESUMED,
            _ => 1,
        }
    });
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("no image: {ended:?}; {}", desk.said()));
    }
    sweep(|nth| {
        let prepare = || Unharmed::take([desk.image, desk.log]);
        let body = |caller| fails_well(&desk, caller, nth);
        match attempt_in_tree(nth, prepare, body)? {
            (Ended::Exit(RESTARTED), failed) => Ok((true, failed)),
            (Ended::Exit(REFUSED), failed) => Ok((false, failed)),
            (other, _) => Err(format!("one in {nth}: {other:?}; {}", desk.said())),
        }
    })
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
        print_to_memory();
        if let Ok(memory) = Map::anon(PAGES * PAGE) {
            (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
        }
    })?;
    let start = Instant::now();
    let (mut refused, mut survived, mut nth) = (0, 0, 1);
    loop {
        let prepare = || Unharmed::take([desk.image, desk.log]);
        let body = |caller| fails_well(&desk, caller, nth);
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
    let adopts = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]);
    cases.run("checkpoint-tree", || match adopts {
        Ok(_) => tree_checkpoints(),
        Err(errno) => Err(format!("prctl: {errno}")),
    });
    cases.run("restart-tree", tree_restarts);
    cases.verdict()
}
