// SPDX-License-Identifier: GPL-2.0

//! Tasks of other users, with other rights than the caller of restart(2), and callers
//! whose rights are not enough.

mod acts;
mod callers;
mod openers;
mod privileges;
mod rights;
mod tries;

use std::process::ExitCode;

use ckpt_guest::act::play;
use ckpt_guest::act::seed;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

use crate::acts::ACTS;
use crate::rights::become_odd;
use crate::rights::prctl;
use crate::rights::same;
use crate::rights::who;
use crate::tries::TRIES;

/// An image of a child that has run `arrange`, and ends with RESTARTED when it is the
/// same then.
fn make(desk: &Desk, arrange: impl FnOnce()) -> Result<(), String> {
    let ended = sys::in_child(30, || {
        arrange();
        prctl(libc::PR_SET_DUMPABLE, &[1]);
        let before = who();
        match desk.checkpoint() {
            Ok(0) => match same("restarted", &before) {
                Ok(()) => RESTARTED,
                Err(why) => {
                    println!("{why}");
                    2
                }
            },
            Ok(_) => RESUMED,
            Err(_) => 1,
        }
    });
    if ended == Ended::Exit(RESUMED) {
        return Ok(());
    }
    Err(format!("no image: {ended:?}; {}", desk.said()))
}

fn attempt(name: &str, caller: fn(), image: fn(), missing: &str) -> Case {
    let desk = Desk::open(&format!("creds-{name}"));
    make(&desk, image)?;
    caller();
    if missing.is_empty() {
        desk.restarts()?;
        return pass_with("restarted");
    }
    let before = who();
    let (errno, said) = desk.refuses()?;
    if errno.0 != libc::EPERM || !said.contains(missing) {
        return Err(format!("{errno}: {said}, not about {missing}"));
    }
    same("caller", &before)?;
    pass_with(said)
}

/// What was prepared is given up when a later step fails.
fn cut() -> Case {
    let desk = Desk::open("creds-cut");
    make(&desk, become_odd)?;
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let before = who();
    for less in 1..24 {
        let image = &bytes[..bytes.len() - 8 * less];
        std::fs::write(&desk.path, image).map_err(|e| e.to_string())?;
        let (errno, said) = desk.refuses()?;
        if errno.0 == 0 {
            return Err(said);
        }
        same("caller", &before)?;
    }
    pass_with("23 lengths")
}

fn main() -> ExitCode {
    let seed = seed();
    let mut cases = Cases::new();
    for act in ACTS {
        cases.run(act.name, || play(act, seed));
    }
    for (name, caller, image, missing) in TRIES {
        cases.run_in_child(name, 60, || attempt(name, *caller, *image, missing));
    }
    cases.run_in_child("file-of-another", 60, openers::file_of_another);
    cases.run_in_child("file-of-nobody", 60, openers::file_of_nobody);
    cases.run_in_child("file-of-a-namespace", 60, openers::file_of_a_namespace);
    cases.run_in_child(
        "child-with-a-control-group",
        60,
        openers::child_with_a_control_group,
    );
    cases.run_in_child("cut", 60, cut);
    privileges::run(&mut cases);
    callers::run(&mut cases);
    cases.verdict()
}
