// SPDX-License-Identifier: GPL-2.0

//! python3 checkpoints itself in the middle of a computation and ends it.
//!
//! This program only starts it, in its own place.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life;

const SCRIPT: &str = include_str!("../../programs/compute.py");
const PLACES: [&str; 3] = ["/usr/bin/python3", "/usr/local/bin/python3", "/bin/python3"];

fn main() -> ExitCode {
    let Some(python) = PLACES.iter().find(|p| Path::new(p).exists()) else {
        check::skip("there is no python3");
    };
    let script = Path::new(&life::variable(life::DIR)).join("compute.py");
    check::need("write the script", std::fs::write(&script, SCRIPT));
    let error = Command::new(python)
        .arg("-u")
        .arg(&script)
        // With another locale the C library maps a file shared.
        .env("LC_ALL", "C")
        .exec();
    check::fail(format!("{python}: {error}"));
    check::verdict()
}
