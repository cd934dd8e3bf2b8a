// SPDX-License-Identifier: GPL-2.0

//! Checks that go on after a failure, so that a run tells all that differs.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;

/// Exit status of a program that could not run here.
pub const SKIP: u8 = 77;

static FAILURES: AtomicU32 = AtomicU32::new(0);

/// Reports that something differs.
pub fn fail(text: impl AsRef<str>) {
    let nr = FAILURES.fetch_add(1, Ordering::Relaxed);
    match nr {
        0..=29 => println!("FAILED: {}", text.as_ref()),
        30 => println!("FAILED: further differences are not shown"),
        _ => {}
    }
}

/// Reports `what` unless `good`.
pub fn that(good: bool, what: impl AsRef<str>) {
    if !good {
        fail(what);
    }
}

/// Reports `what` unless both values are equal.
pub fn same<T: PartialEq + Debug + ?Sized>(what: &str, before: &T, after: &T) {
    if before != after {
        fail(format!("{what}: was {before:?}, is {after:?}"));
    }
}

/// Reports what differs between two tables of descriptors: contents, and what only one has.
pub fn same_table<T: PartialEq + Debug>(before: &BTreeMap<i32, T>, after: &BTreeMap<i32, T>) {
    for (fd, was) in before {
        match after.get(fd) {
            None => fail(format!("descriptor {fd} is gone: {was:?}")),
            Some(is) => same(&format!("descriptor {fd}"), was, is),
        }
    }
    for (fd, is) in after.iter().filter(|(fd, _)| !before.contains_key(fd)) {
        fail(format!("descriptor {fd} is new: {is:?}"));
    }
}

/// Takes the value, or ends the program: what was to be arranged did not work.
pub fn need<T, E: Debug>(what: &str, result: Result<T, E>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => {
            println!("FAILED: cannot arrange the test: {what}: {error:?}");
            std::process::exit(1)
        }
    }
}

/// Ends the program: the test cannot run here.
pub fn skip(reason: &str) -> ! {
    println!("skip: {reason}");
    std::process::exit(i32::from(SKIP))
}

/// A remark for the result line of a test that passes.
pub fn detail(text: impl AsRef<str>) {
    println!("detail: {}", text.as_ref());
}

/// Whether nothing has failed so far.
pub fn good() -> bool {
    FAILURES.load(Ordering::Relaxed) == 0
}

/// The program's exit code.
pub fn verdict() -> ExitCode {
    if good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
