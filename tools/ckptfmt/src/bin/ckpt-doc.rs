// SPDX-License-Identifier: GPL-2.0

//! Makes the generated part of the format page anew, from the record sources.

use std::fs;
use std::process::ExitCode;

use ckptfmt::docs::page;
use ckptfmt::docs::source;

fn run() -> Result<(), String> {
    let path = page::path();
    let sources = source::read().map_err(|e| format!("checkpoint/format: {e}"))?;
    let named = |e| format!("{}: {e}", path.display());
    let old = fs::read_to_string(&path).map_err(named)?;
    let new = page::renew(&old, &sources)?;
    if new == old {
        println!("up to date");
        return Ok(());
    }
    fs::write(&path, new).map_err(named)?;
    println!("renewed");
    Ok(())
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("ckpt-doc: {why}");
            ExitCode::FAILURE
        }
    }
}
