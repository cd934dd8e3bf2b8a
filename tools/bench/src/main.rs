// SPDX-License-Identifier: GPL-2.0

//! The benchmark's part in the guest: measures, prints raw values as lines of JSON.
//!
//! The guest runs with one CPU under QEMU's `-icount shift=0,sleep=off`: one
//! instruction is one nanosecond of every clock, so that times are counts.
//! Nothing is judged here; `make bench` reads the lines and makes the table.
//!
//! ```text
//! run DIR           everything that needs checkpoint(2)
//! memory DIR        only the sweep of memory sizes
//! idle DIR          prices of calls that have nothing to do with checkpoints
//! peer DIR PROGRAM  CPU time of another program that does the same job
//! work ...          a worker, a process of its own, started by the others
//! ```

use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use anyhow::Result;

mod clock;
mod idle;
mod load;
mod peer;
mod place;
mod resident;
mod restart;
mod ruler;
mod settings;
mod sweep;
mod work;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ckpt-bench: {error:#}.");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    match words {
        ["run", dir] => {
            let place = place::Place::new(Path::new(dir))?;
            settings::fix_and_print()?;
            ruler::run(&place)?;
            sweep::memory(&place)?;
            sweep::objects(&place)?;
        }
        ["memory", dir] => {
            let place = place::Place::new(Path::new(dir))?;
            settings::fix_and_print()?;
            sweep::memory(&place)?;
        }
        ["idle", dir] => {
            let place = place::Place::new(Path::new(dir))?;
            settings::fix_and_print()?;
            print!("{}", place.output(&["idle"])?);
        }
        ["peer", dir, program] => {
            let place = place::Place::new(Path::new(dir))?;
            settings::fix_and_print()?;
            peer::run(&place, Path::new(program))?;
        }
        ["work", "idle"] => return idle::main(),
        ["work", rest @ ..] => return work::main(rest),
        _ => bail!("run DIR, memory DIR, idle DIR, or peer DIR PROGRAM"),
    }
    println!("{}", serde_json::json!({"kind": "end"}));
    Ok(())
}
