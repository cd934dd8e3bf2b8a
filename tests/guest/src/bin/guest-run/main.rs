// SPDX-License-Identifier: GPL-2.0

//! Runs the guest tests and prints their results as TAP.
//!
//! `guest-run --dir DIR --bin DIR --phase first|reboot [--name NAME] [--dry]`
//!
//! Phase `first` runs every program, then restarts the image that it left.
//! Phase `reboot` only restarts the images, after a reboot of the guest.

mod kmsg;
mod program;
mod suite;
mod table;
mod tap;

use std::path::PathBuf;
use std::process::ExitCode;

use ckpt_guest::sys;
use suite::Phase;
use suite::Suite;

const USAGE: &str =
    "usage: guest-run --dir DIR --bin DIR --phase first|reboot [--name NAME] [--dry]";

struct Args {
    dir: PathBuf,
    bin: PathBuf,
    phase: Phase,
    name: Option<String>,
    dry: bool,
}

fn parse(mut words: impl Iterator<Item = String>) -> Result<Args, String> {
    let (mut dir, mut bin, mut phase, mut name, mut dry) = (None, None, None, None, false);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        match word.as_str() {
            "--dir" => dir = Some(PathBuf::from(value()?)),
            "--bin" => bin = Some(PathBuf::from(value()?)),
            "--name" => name = Some(value()?),
            "--dry" => dry = true,
            "--phase" => {
                phase = Some(match value()?.as_str() {
                    "first" => Phase::First,
                    "reboot" => Phase::Reboot,
                    other => return Err(format!("no such phase: {other}")),
                });
            }
            _ => return Err(format!("unknown argument: {word}")),
        }
    }
    Ok(Args {
        dir: dir.ok_or("--dir is missing")?,
        bin: bin.ok_or("--bin is missing")?,
        phase: phase.ok_or("--phase is missing")?,
        name,
        dry,
    })
}

fn main() -> ExitCode {
    let args = match parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(error) => {
            eprintln!("guest-run: {error}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if let Err(error) = std::fs::create_dir_all(&args.dir) {
        eprintln!("guest-run: {}: {error}", args.dir.display());
        return ExitCode::from(2);
    }
    let mut suite = Suite::new(args.dir, args.bin, args.phase, args.dry);
    // Unknown flags: EINVAL from a kernel that has the call.
    let probe = sys::checkpoint(0, -1, !0, -1);
    if !args.dry && probe == Err(sys::Errno(libc::ENOSYS)) {
        let why = "ENOSYS: this kernel has no checkpoint(2) and restart(2)";
        suite.tap.fail("kernel has the system calls", why, &[]);
    } else {
        suite.run(args.name.as_deref());
    }
    if suite.tap.finish() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> impl Iterator<Item = String> + '_ {
        line.split(' ').map(str::to_string)
    }

    #[test]
    fn arguments() {
        let args = parse(words("--dir /d --bin /b --phase reboot --name x")).unwrap();
        assert_eq!(args.phase, Phase::Reboot);
        assert_eq!(args.name.as_deref(), Some("x"));
        assert!(parse(words("--dir /d --bin /b")).is_err());
        assert!(parse(words("--dir")).is_err());
        assert!(parse(words("--phase third")).is_err());
    }
}
