// SPDX-License-Identifier: GPL-2.0

//! Programs that nobody here wrote, stopped at moments chosen by chance.
//!
//! Each runs once undisturbed. Then it runs again and is checkpointed twenty times
//! on its way; its output must be the same. Some of the images are restarted; then it is
//! killed with the last byte of its image and restarted at once, up to twenty times; and
//! one once more after a reboot of the guest: each must end with the same output,
//! whose end was spoilt before. Files outlive the reboot, so that they are in the
//! test's directory.

mod list;
mod runs;
mod stage;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ckpt_guest::cases::skip;
use ckpt_guest::cases::Cases;
use ckpt_guest::life;

use list::Program;
use list::CHANGING;
use list::PROGRAMS;

/// Most seconds of one run.
const SECONDS: u64 = 90;

struct Stage {
    dir: PathBuf,
    program: Program,
}

fn main() -> ExitCode {
    let seed = std::env::var("CKPT_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_081_118);
    println!("seed {seed}");
    let first = life::variable(life::PHASE) == "first";
    let mut cases = Cases::new();
    // One of them only, for whoever looks into it.
    let only = std::env::var("CKPT_ONLY").ok();
    let wanted = |program: &&Program| only.as_ref().is_none_or(|name| name == program.0);
    for program in PROGRAMS.iter().chain(CHANGING).filter(wanted) {
        let stage = Stage {
            dir: PathBuf::from(life::variable(life::DIR)),
            program: *program,
        };
        cases.run(program.0, || {
            if !stage.program().exists() {
                return skip(format!("there is no {}", program.1));
            }
            if CHANGING.contains(program) && !Path::new("/usr/bin/cc").exists() {
                return skip("there is no C compiler");
            }
            if first && CHANGING.contains(program) {
                stage.changing(seed)
            } else if first {
                stage.first(seed)
            } else {
                stage.reboot()
            }
        });
    }
    cases.verdict()
}
