// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What was asked for, on standard output.

use std::io;
use std::io::ErrorKind;
use std::io::Write;

/// Prints; a reader that has gone away is no error.
///
/// # Errors
///
/// Those of writing, with the name of standard output.
pub fn print(bytes: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    let printed = stdout.write_all(bytes);
    match printed.and_then(|()| stdout.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(io::Error::new(e.kind(), format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}
