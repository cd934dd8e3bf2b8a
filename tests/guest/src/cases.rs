// SPDX-License-Identifier: GPL-2.0

//! Plain tests: many small cases in one program, each with a line of its own.
//!
//! The runner makes a result line of each: `ok N - program/case`.

use std::process::ExitCode;

use crate::sys;
use crate::sys::Ended;

/// What a test tells the kernel's log before it makes allocations fail, and behind: who
/// reads the log excuses what the kernel says of that. The driver has the same lines.
pub const FAILING: &str = "checkpoint test: allocations fail from here on";
/// See [`FAILING`].
pub const WORKING: &str = "checkpoint test: allocations do not fail any more";

/// What a case ends with.
pub enum Outcome {
    /// As it should; a remark.
    Pass(String),
    /// Otherwise; what differs.
    Fail(String),
    /// It cannot run here; the reason.
    Skip(String),
}

/// A result for `?`: the text of a failure.
pub type Case = Result<Outcome, String>;

/// A case that passes without a remark.
pub fn pass() -> Case {
    Ok(Outcome::Pass(String::new()))
}

/// A case that passes with a remark.
pub fn pass_with(remark: impl Into<String>) -> Case {
    Ok(Outcome::Pass(remark.into()))
}

/// A case that cannot run here.
pub fn skip(reason: impl Into<String>) -> Case {
    Ok(Outcome::Skip(reason.into()))
}

/// The result of a case that chance has a part in: its line tells the seed, with which
/// it can be run again.
pub fn with_seed(seed: u64, case: Case) -> Case {
    let told = |text: String| {
        let mark = if text.is_empty() { "" } else { "; " };
        format!("{text}{mark}seed {seed}")
    };
    match case {
        Ok(Outcome::Pass(remark)) => Ok(Outcome::Pass(told(remark))),
        Ok(Outcome::Fail(why)) | Err(why) => Err(told(why)),
        skipped => skipped,
    }
}

/// The results of a program's cases.
#[derive(Default)]
pub struct Cases {
    failed: usize,
}

impl Cases {
    /// Starts without a result.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reports one case.
    pub fn report(&mut self, name: &str, case: Case) {
        use std::io::Write;

        match case {
            Ok(Outcome::Pass(remark)) => println!("case ok {name} # {}", one_line(&remark)),
            Ok(Outcome::Skip(reason)) => println!("case skip {name} # {}", one_line(&reason)),
            Ok(Outcome::Fail(why)) | Err(why) => {
                self.failed += 1;
                println!("case fail {name} # {}", one_line(&why));
            }
        }
        let _ = std::io::stdout().flush();
    }

    /// Runs one case in this process.
    pub fn run(&mut self, name: &str, body: impl FnOnce() -> Case) {
        if is_wanted(name) {
            let case = body();
            self.report(name, case);
        }
    }

    /// Runs one case in a child, which may leave any state behind.
    pub fn run_in_child(&mut self, name: &str, seconds: u64, body: impl FnOnce() -> Case) {
        if is_wanted(name) {
            let case = in_child(seconds, body);
            self.report(name, case);
        }
    }

    /// Whether no case has failed.
    pub fn are_good(&self) -> bool {
        self.failed == 0
    }

    /// Takes over whether those that a child has reported are good.
    pub fn also(&mut self, good: bool) {
        self.failed += usize::from(!good);
    }

    /// The program's exit code.
    pub fn verdict(self) -> ExitCode {
        if self.are_good() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// With CKPT_CASE only cases with this in their names are run.
fn is_wanted(name: &str) -> bool {
    std::env::var("CKPT_CASE").map_or(true, |part| name.contains(&part))
}

fn one_line(text: &str) -> String {
    text.replace('\n', " | ").trim().to_string()
}

/// Runs a case in a child. Its result comes back in a file, since an image cannot
/// hold a pipe whose other end is here.
fn in_child(seconds: u64, body: impl FnOnce() -> Case) -> Case {
    let path = std::env::temp_dir().join(format!("case.{}", sys::getpid()));
    let _ = std::fs::remove_file(&path);
    let ended = sys::in_child(seconds, || {
        let (code, text) = match body() {
            Ok(Outcome::Pass(text)) => (0, text),
            Ok(Outcome::Fail(text)) | Err(text) => (1, text),
            Ok(Outcome::Skip(text)) => (2, text),
        };
        let _ = std::fs::write(&path, text);
        code
    });
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    let _ = std::fs::remove_file(&path);
    match ended {
        Ended::Exit(0) => Ok(Outcome::Pass(text)),
        Ended::Exit(1) => Ok(Outcome::Fail(text)),
        Ended::Exit(2) => Ok(Outcome::Skip(text)),
        other => Err(format!("the child ended with {other:?}; {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_tell_the_seed_too() {
        let text = |case| match with_seed(7, case) {
            Ok(Outcome::Pass(text)) => format!("pass: {text}"),
            Ok(Outcome::Skip(text)) => format!("skip: {text}"),
            Ok(Outcome::Fail(text)) | Err(text) => format!("fail: {text}"),
        };
        assert_eq!(text(pass()), "pass: seed 7");
        assert_eq!(text(pass_with("fine")), "pass: fine; seed 7");
        assert_eq!(text(Ok(Outcome::Fail("not".into()))), "fail: not; seed 7");
        assert_eq!(text(Err("not".into())), "fail: not; seed 7");
        assert_eq!(text(skip("no")), "skip: no");
    }
}
