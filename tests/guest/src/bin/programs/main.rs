// SPDX-License-Identifier: GPL-2.0

//! Programs that nobody here wrote, stopped at moments chosen by chance.
//!
//! Each runs once undisturbed. Then it runs again and is checkpointed twenty times or more,
//! from its start to its end; its output must be the same. Some of the images are restarted;
//! then it is killed with the last byte of its image and restarted at once, again and again
//! until it is over; and twenty of the images once more after a reboot of the guest: each must
//! end with the same output, whose end was spoilt before unless it had been written. Files outlive the reboot, so that they are in the
//! test's directory. Those with timers go on in a time namespace then. Of programs with files
//! that come and go the images behind the reboot are those that were killed with their last
//! byte, and the files are as they were then.

mod kept;
mod list;
mod runs;
mod stage;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ckpt_guest::cases::skip;
use ckpt_guest::cases::with_seed;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::lanes;
use ckpt_guest::life;
use ckpt_guest::rng;

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
}

fn main() -> ExitCode {
    let seed = rng::seed_or(20_081_118);
    let first = life::variable(life::PHASE) == "first";
    let mut cases = Cases::new();
    // One of them only, for whoever looks into it.
    let only = std::env::var("CKPT_ONLY").ok();
    let wanted = |program: &&Program| {
        let lasts = !IN_MEMORY.contains(&program.0);
        only.as_ref().is_none_or(|name| name == program.0) && (first || lasts)
    };
    // Those with timers first: the guest is not up for as long then as it was before.
    let programs = TIMED.iter().chain(PROGRAMS).chain(CHANGING);
    let programs: Vec<_> = programs.filter(wanted).collect();
    let stages: Vec<_> = programs.iter().map(|program| Stage::of(program)).collect();
    // What all of them read is there before they are on their way.
    if let Some(Err(why)) = stages.first().map(Stage::input) {
        cases.report("input", Err(why));
    }
    let made = lanes::run(stages.len(), |nr| {
        let (mut cases, stage) = (Cases::new(), &stages[nr]);
        cases.run(stage.program.0, || stage.case(first, seed));
        cases.are_good()
    });
    match made {
        Ok(good) => cases.also(good),
        Err(why) => cases.report("programs", Err(why)),
    }
    cases.verdict()
}

impl Stage {
    fn of(program: &Program) -> Self {
        Self {
            dir: PathBuf::from(life::variable(life::DIR)),
            program: *program,
        }
    }

    /// What is to be shown of this program in this phase.
    fn case(&self, first: bool, seed: u64) -> Case {
        let changes = CHANGING.contains(&self.program);
        if !self.program().exists() {
            return skip(format!("there is no {}", self.program.1));
        }
        if changes && !Path::new("/usr/bin/cc").exists() {
            return skip("there is no C compiler");
        }
        match (first, changes) {
            (true, true) => with_seed(seed, self.changing(seed)),
            (true, false) => with_seed(seed, self.first(seed)),
            (false, _) => self.reboot(),
        }
    }
}
