// SPDX-License-Identifier: GPL-2.0

//! The tracer of the kernel.

use std::path::Path;

/// Where it is.
pub const DIR: &str = "/sys/kernel/tracing";

/// Mounts it, if it is not there yet; whether it has this file.
pub fn has(file: &str) -> bool {
    // SAFETY: three strings that end with NUL, and no data.
    unsafe {
        let (fs, dir) = (c"tracefs".as_ptr(), c"/sys/kernel/tracing".as_ptr());
        libc::mount(fs, dir, fs, 0, std::ptr::null());
    }
    Path::new(DIR).join(file).exists()
}

/// Writes to one of its files.
pub fn put(file: &str, text: &str) -> Result<(), String> {
    let path = Path::new(DIR).join(file);
    std::fs::write(&path, text).map_err(|e| format!("{}: {text}: {e}", path.display()))
}
