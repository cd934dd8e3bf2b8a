// SPDX-License-Identifier: GPL-2.0

//! Programs that nobody here wrote, stopped at moments chosen by chance.
//!
//! Each runs once undisturbed. Then it runs again and is checkpointed twenty times
//! on its way; its output must be the same. Some of the images are restarted; then it is
//! killed with the last byte of its image and restarted at once, up to twenty times; and
//! all images once more after a reboot of the guest: each must end with the
//! same output, whose end was spoilt before. Files outlive the reboot, so that they are in the
//! test's directory. Those with timers go on in a time namespace then.

mod list;
mod runs;
mod stage;

use std::cell::Cell;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ckpt_guest::cases::skip;
use ckpt_guest::cases::with_seed;
use ckpt_guest::cases::Cases;
use ckpt_guest::life;
use ckpt_guest::rng;
use ckpt_guest::sys;

use list::Program;
use list::CHANGING;
use list::IN_MEMORY;
use list::PROGRAMS;
use list::TIMED;

/// Most seconds of one run.
const SECONDS: u64 = 90;

struct Stage {
    dir: PathBuf,
    program: Program,
    /// How often a checkpoint was refused since the program was just starting.
    refused: Cell<usize>,
}

fn main() -> ExitCode {
    let seed = rng::seed_or(20_081_118);
    let first = life::variable(life::PHASE) == "first";
    if let Err(errno) = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]) {
        eprintln!("prctl: {errno}");
        return ExitCode::FAILURE;
    }
    let mut cases = Cases::new();
    // One of them only, for whoever looks into it.
    let only = std::env::var("CKPT_ONLY").ok();
    let wanted = |program: &&Program| {
        let lasts = !IN_MEMORY.contains(&program.0);
        only.as_ref().is_none_or(|name| name == program.0) && (first || lasts)
    };
    // Those with timers first: the guest is not up for as long then as it was before.
    let programs = TIMED.iter().chain(PROGRAMS).chain(CHANGING);
    for program in programs.filter(wanted) {
        let stage = Stage {
            dir: PathBuf::from(life::variable(life::DIR)),
            program: *program,
            refused: Cell::new(0),
        };
        cases.run(program.0, || {
            if !stage.program().exists() {
                return skip(format!("there is no {}", program.1));
            }
            if CHANGING.contains(program) && !Path::new("/usr/bin/cc").exists() {
                return skip("there is no C compiler");
            }
            if first && CHANGING.contains(program) {
                with_seed(seed, stage.changing(seed))
            } else if first {
                with_seed(seed, stage.first(seed))
            } else if CHANGING.contains(program) {
                stage.changed_reboot()
            } else {
                stage.reboot()
            }
        });
    }
    cases.verdict()
}
