// SPDX-License-Identifier: GPL-2.0

//! Restarts an image in a child, and reads what the restarted worker left.

use anyhow::bail;
use anyhow::ensure;
use anyhow::Result;
use ckpt_guest::life::c_path;
use ckpt_guest::sys;

use crate::clock;
use crate::place::Place;
use crate::work;

/// What one restart took, up to the clock's next reading by the restarted worker.
pub fn once(place: &Place) -> Result<u64> {
    let result = place.dir.join(work::RESULT);
    std::fs::write(&result, [0; 24])?;
    let pid = match sys::fork() {
        Ok(0) => become_image(place),
        Ok(pid) => pid,
        Err(errno) => bail!("fork: {errno}"),
    };
    let mut status = 0;
    // Nobody polls: each look would be counted. A hang is ended with the guest.
    // SAFETY: `status` is an int of ours.
    let ended = unsafe { libc::waitpid(pid, &mut status, 0) };
    ensure!(ended == pid, "waitpid failed");
    let bytes = std::fs::read(&result)?;
    let word = |at: usize| {
        bytes
            .get(at..at + 8)
            .and_then(|b| b.try_into().ok())
            .map_or(0, u64::from_le_bytes)
    };
    ensure!(
        status == 0 && word(16) == work::INTACT,
        "the restarted program ended with status {status:#x}, its check {}: {}",
        if word(16) == work::INTACT {
            "passed"
        } else {
            "did not pass"
        },
        place.said()
    );
    Ok(word(8).wrapping_sub(word(0)))
}

fn become_image(place: &Place) -> ! {
    let open = |name: &str, flags| sys::open(&c_path(&place.dir.join(name)), flags, 0o644);
    let (Ok(image), Ok(result), Ok(log)) = (
        open(work::IMAGE, libc::O_RDONLY),
        open(work::RESULT, libc::O_WRONLY),
        open("said", libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC),
    ) else {
        sys::exit(98);
    };
    // The time cannot stay in memory, which is about to be replaced.
    let from = clock::now();
    let _ = sys::pwrite(result, &from.to_le_bytes(), 0);
    let errno = sys::restart(0, image, sys::LOG, log);
    let _ = sys::write(log, format!("restart: {errno}\n").as_bytes());
    sys::exit(99)
}
