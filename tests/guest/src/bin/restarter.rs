// SPDX-License-Identifier: GPL-2.0

//! Restarts the image on standard input in its own place; a failure is explained.
//!
//! `restarter LOG < IMAGE`: the kernel's line of text goes to the file LOG and is
//! printed. The exit status of a failed restart is 99.

use std::path::Path;
use std::process::ExitCode;

use ckpt_guest::life;
use ckpt_guest::sys;

/// All but the first task take any ids.
const NEW_PIDS: usize = 2;

fn main() -> ExitCode {
    let log = std::env::args().nth(1).unwrap_or("/dev/null".to_string());
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC | libc::O_CLOEXEC;
    let fd = match sys::open(&life::c_path(Path::new(&log)), flags, 0o644) {
        Ok(fd) => fd,
        Err(errno) => {
            eprintln!("restarter: cannot open {log}: {errno}");
            return ExitCode::from(98);
        }
    };
    // None of these may be left in the restarted program.
    for extra in [7, 29, 57, 63, 64, 200] {
        let _ = sys::dup_to(fd, extra, 0);
    }
    let mut errno = sys::restart(0, 0, sys::LOG, fd);
    if errno.0 == libc::EEXIST && sys::lseek(0, 0, libc::SEEK_SET).is_ok() {
        // Behind a reboot somebody may have the id of one of its threads.
        errno = sys::restart(0, 0, sys::LOG | NEW_PIDS, fd);
    }
    eprintln!("restart: {errno}{}", life::hint(errno));
    eprint!("{}", std::fs::read_to_string(&log).unwrap_or_default());
    ExitCode::from(99)
}
