// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What was asked for, on standard output.

use std::io;
use std::io::BufWriter;
use std::io::ErrorKind;
use std::io::Write;

/// Prints what `write` writes; a reader that has gone away is no error.
///
/// # Errors
///
/// Those of writing, with the name of standard output.
pub fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = BufWriter::new(io::stdout().lock());
    match write(&mut stdout).and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(io::Error::new(e.kind(), format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}
