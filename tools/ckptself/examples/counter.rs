// SPDX-License-Identifier: GPL-2.0

//! Counts, and saves itself at every fifth number.
//!
//! ```text
//! cargo run -p ckptself --example counter -- me.img > out
//! ^C
//! cargo run -p ckptself --example counter -- --restart me.img
//! cargo run -p ckptself --example counter -- --save PID it.img
//! ```
//!
//! The restarted program goes on in `out`, behind its last image. There are two
//! images by turns, the other one in `me.img.2`: whenever it is killed, one is
//! complete. To write beside and rename does not do, since the descriptor of the image
//! is in it, and is opened again under that name. The last line saves another program,
//! and kills it.

use std::error::Error;
use std::fs::File;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::process::exit;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use ckptself::checkpoint;
use ckptself::checkpoint_self;
use ckptself::restart;
use ckptself::Outcome;
use ckptself::KILL;

fn say(what: &str) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(out, "{what}")?;
    out.flush()
}

/// A new image, for the owner only: it holds all that the memory holds.
fn create(path: &str) -> io::Result<File> {
    File::options()
        // There is the reason of a failure.
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}

fn count(path: &str) -> Result<(), Box<dyn Error>> {
    for number in 1u64.. {
        say(&number.to_string())?;
        if number % 5 == 0 {
            let second = if number % 10 == 0 { ".2" } else { "" };
            let image = create(&format!("{path}{second}"))?;
            match checkpoint_self(&image)? {
                Outcome::Saved(_) => say("saved")?,
                Outcome::Restarted => say("restarted")?,
            }
        }
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

fn run(args: &[&str]) -> Result<(), Box<dyn Error>> {
    match args {
        ["--restart", path] => Err(restart(File::open(path)?).into()),
        ["--save", pid, path] => {
            let image = create(path)?;
            let id = checkpoint(pid.parse()?, &image, KILL)?;
            // It is killed, and the image all that is left of it.
            image.sync_all()?;
            println!("saved as image {id}");
            exit(0)
        }
        [path] => count(path),
        _ => Err("usage: counter [--restart | --save PID] IMAGE".into()),
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    if let Err(why) = run(&args) {
        eprintln!("counter: {why}");
    }
    // Whoever counts does so until it is killed.
    ExitCode::FAILURE
}
