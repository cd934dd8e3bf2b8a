// SPDX-License-Identifier: GPL-2.0

//! Makes the generated pages anew: the format page from the record sources, the page
//! of every kind of state from its list.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use ckptfmt::docs::page;
use ckptfmt::docs::source;
use ckptfmt::docs::state;
use ckptfmt::docs::top;

/// Writes a page, if it is not what it should be.
fn renew(path: &Path, old: &str, new: &str) -> Result<(), String> {
    if new == old {
        println!("{}: up to date", path.display());
        return Ok(());
    }
    fs::write(path, new).map_err(|e| format!("{}: {e}", path.display()))?;
    println!("{}: renewed", path.display());
    Ok(())
}

fn run() -> Result<(), String> {
    let path = page::path();
    let sources = source::read().map_err(|e| format!("checkpoint/format: {e}"))?;
    let old = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    renew(&path, &old, &page::renew(&old, &sources)?)?;

    let list = fs::read_to_string(top().join(state::LIST));
    let list = list.map_err(|e| format!("{}: {e}", state::LIST))?;
    let path = state::page_path();
    let old = fs::read_to_string(&path).unwrap_or_default();
    renew(&path, &old, &state::page(&state::parse(&list)?))
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
