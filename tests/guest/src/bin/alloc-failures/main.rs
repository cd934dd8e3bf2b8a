// SPDX-License-Identifier: GPL-2.0

//! Every allocation of a checkpoint and of a restart fails once, each in turn.
//!
//! Needs a kernel with fault injection: `make test-debug`. The kernel counts the
//! allocations of one task down from the number in its /proc/PID/fail-nth.
//! An attempt must end in a clean error with an unharmed caller, or succeed.
//!
//! The tasks of a tree do their parts themselves, and those that a restart makes cannot
//! be told a number: of a tree, one allocation in so many of all its tasks fails, once.

mod family;
mod inject;
mod odds;
mod things;
mod twin;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::cases::WORKING;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::pace;
use ckpt_guest::program;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::unharmed::Unharmed;

use crate::family::Family;
use crate::inject::attempt;
use crate::inject::attempt_in_tree;
use crate::inject::prepare;
use crate::inject::tell;
use crate::inject::KINDS;
use crate::things::Things;

/// The attempt failed and the caller is as before.
const REFUSED: i32 = 40;
const PAGES: usize = 40;
/// What the kernel says where an inode of memory, of a socket or of a pipe, or a message,
/// cannot be allocated.
const NO_MEMORY: [(i32, &str); 6] = [
    // procfs has no other word for an inode that cannot be had.
    (libc::ENOENT, "a file cannot be opened: /proc/"),
    (libc::ENOBUFS, "what waits in a socket cannot be sent"),
    (libc::ENOSPC, "shared memory cannot be made"),
    (libc::ENFILE, "a pair of sockets cannot be created"),
    (libc::ENFILE, "a socket cannot be created"),
    (libc::ENFILE, "a pipe cannot be created"),
];
/// More allocations than one call makes.
const MOST: usize = 50_000;

// The images, what the program has open for writing, and the program itself are in /tmp: a
// file system of the host would fail too, and slowly, and one of 9p does not open a file any
// more once that has failed.
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

/// An empty log, and the caller as it is.
fn before(desk: &Desk) -> Unharmed {
    let _ = sys::plain(libc::SYS_ftruncate, &[desk.log as usize, 0]);
    let _ = sys::lseek(desk.log, 0, libc::SEEK_SET);
    Unharmed::take([desk.image, desk.log])
}

/// Restarts the image; on failure the exit status tells whether the caller is as before, and
/// was told that memory was short, not that the image is wrong.
fn fails_well(desk: &Desk, mut caller: Unharmed, nth: usize) -> i32 {
    let errno = desk.restart();
    // Before anything else: what follows changes the caller's memory.
    if let Err(why) = caller.check() {
        println!("FAILED: allocation {nth}, {errno}: {why}");
        return 1;
    }
    let said = desk.said();
    let reasons = ["out of memory", " cannot ", "a new task"];
    let short = errno.0 == libc::ENOMEM
        || NO_MEMORY
            .iter()
            .any(|(other, reason)| errno.0 == *other && said.contains(reason));
    if !short || !reasons.iter().any(|reason| said.contains(reason)) {
        println!("FAILED: allocation {nth}, {errno}: {said}");
        return 2;
    }
    REFUSED
}

/// How long each allocation of a kind is tried; then fewer are.
const DENSE: Duration = Duration::from_secs(60);

/// Tries one in `nth` of each kind for more and more, until none fails any more, and all is
/// well then.
fn sweep(mut one: impl FnMut(&str, usize) -> Result<(bool, bool), String>) -> Case {
    let (mut said, mut needed) = (Vec::new(), 0);
    for kind in KINDS {
        let start = Instant::now();
        let (mut refused, mut survived, mut whole, mut nth) = (0, 0, 0, 1);
        let mut dense = 0;
        while whole < 3 {
            match one(kind, nth)? {
                (true, false) => whole += 1,
                (false, false) => {
                    return Err(format!(
                        "{kind}, one in {nth}: refused, and no allocation failed"
                    ))
                }
                (true, true) => survived += 1,
                (false, true) => refused += 1,
            }
            nth += if start.elapsed() < DENSE || pace::is_full() {
                dense = nth;
                1
            } else {
                1 + nth / 24
            };
            if nth > MOST {
                return Err("the allocations do not end".to_string());
            }
        }
        needed += refused;
        said.push(format!(
            "{kind}: {refused} refused, {survived} survived, each of {dense}"
        ));
    }
    // Whole pages are taken seldom: most objects come from those that are there.
    if needed == 0 {
        return Err(NONE.to_string());
    }
    pass_with(said.join("; "))
}

fn tree_checkpoints() -> Case {
    let desk = Desk::open_in(Path::new("/tmp"), "alloc-save-tree");
    sweep(|kind, nth| {
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
        match attempt_in_tree(kind, nth, Family::new, body)? {
            (Ended::Exit(RESUMED), failed) => Ok((true, failed)),
            (Ended::Exit(REFUSED), failed) => Ok((false, failed)),
            (other, _) => Err(format!("{kind}, one in {nth}: {other:?}; {}", desk.said())),
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
    sweep(|kind, nth| {
        let prepare = || before(&desk);
        let body = |caller| fails_well(&desk, caller, nth);
        match attempt_in_tree(kind, nth, prepare, body)? {
            (Ended::Exit(RESTARTED), failed) => Ok((true, failed)),
            (Ended::Exit(REFUSED), failed) => Ok((false, failed)),
            (other, _) => Err(format!("{kind}, one in {nth}: {other:?}; {}", desk.said())),
        }
    })
}

/// A sweep that has not tried anything.
const NONE: &str = "no allocation that failed was one that is needed";

/// What the task of a test has, and whether it is as it was.
type Check = Box<dyn Fn() -> bool>;

fn memory() -> Result<Check, sys::Errno> {
    let memory = Map::anon(PAGES * PAGE)?;
    (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
    Ok(Box::new(move || {
        (0..PAGES).all(|page| memory.page_is(page, page as u64))
    }))
}

fn things() -> Result<Check, sys::Errno> {
    let things = Things::new()?;
    Ok(Box::new(move || things.are_there()))
}

fn checkpoints(name: &str, make: fn() -> Result<Check, sys::Errno>) -> Case {
    let desk = Desk::open_in(Path::new("/tmp"), name);
    let (mut refused, mut survived) = (0, 0);
    for nth in 1..MOST {
        let body = |made: Result<Check, sys::Errno>| {
            let Ok(is_there) = made else {
                return 3;
            };
            let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
            let ret = desk.checkpoint();
            if !is_there() {
                return 1;
            }
            match ret {
                Ok(_) => RESUMED,
                Err(errno) if errno.0 == libc::ENOMEM => REFUSED,
                Err(errno) => errno.0,
            }
        };
        match attempt(nth, make, body)? {
            (Ended::Exit(RESUMED), false) if refused == 0 => return Err(NONE.to_string()),
            (Ended::Exit(RESUMED), false) => {
                return pass_with(format!("{refused} refused, {survived} survived"))
            }
            (Ended::Exit(RESUMED), true) => survived += 1,
            (Ended::Exit(REFUSED), true) => refused += 1,
            (other, _) => return Err(format!("allocation {nth}: {other:?}; {}", desk.said())),
        }
    }
    Err("the allocations do not end".to_string())
}

fn restarts(name: &str, make: fn() -> Result<Check, sys::Errno>) -> Case {
    let desk = Desk::open_in(Path::new("/tmp"), name);
    let ended = sys::in_child(60, || {
        print_to_memory();
        let Ok(is_there) = make() else {
            return 3;
        };
        match desk.checkpoint() {
            Ok(0) if is_there() => RESTARTED,
            Ok(0) => 2,
            Ok(_) => RESUMED,
            Err(_) => 1,
        }
    });
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("no image: {ended:?}; {}", desk.said()));
    }
    let start = Instant::now();
    let (mut refused, mut survived, mut nth) = (0, 0, 1);
    let mut thinned = String::new();
    loop {
        let prepare = || before(&desk);
        let body = |caller| fails_well(&desk, caller, nth);
        match attempt(nth, prepare, body)? {
            (Ended::Exit(RESTARTED), false) => break,
            (Ended::Exit(RESTARTED), true) => survived += 1,
            (Ended::Exit(REFUSED), true) => refused += 1,
            (other, _) => return Err(format!("allocation {nth}: {other:?}; {}", desk.said())),
        }
        // Late allocations are those of pages, one like the other: thin them
        // out when the time runs short.
        let short = start.elapsed() > Duration::from_secs(400) && !pace::is_full();
        if short && thinned.is_empty() {
            thinned = format!(", one in 17 from {nth} on");
        }
        nth += if short { 17 } else { 1 };
        if nth > MOST {
            return Err("the allocations do not end".to_string());
        }
    }
    if refused == 0 {
        return Err(NONE.to_string());
    }
    pass_with(format!("{refused} refused, {survived} survived{thinned}"))
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    if let Err(why) = prepare() {
        cases.report("prepare", skip(why));
        return cases.verdict();
    }
    if let Err(why) = program::move_to_memory() {
        cases.report("program", Err(why));
        return cases.verdict();
    }
    if let Err(errno) = things::take_groups() {
        cases.report("groups", Err(errno.to_string()));
        return cases.verdict();
    }
    cases.run("checkpoint", || checkpoints("alloc-save", memory));
    cases.run("restart", || restarts("alloc-restart", memory));
    cases.run("checkpoint-things", || {
        checkpoints("alloc-save-things", things)
    });
    cases.run("restart-things", || {
        restarts("alloc-restart-things", things)
    });
    let adopts = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]);
    cases.run("checkpoint-tree", || match adopts {
        Ok(_) => tree_checkpoints(),
        Err(errno) => Err(format!("prctl: {errno}")),
    });
    cases.run("restart-tree", tree_restarts);
    if let Err(why) = tell(WORKING) {
        cases.report("log", Err(why));
    }
    cases.verdict()
}
