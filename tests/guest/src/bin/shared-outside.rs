// SPDX-License-Identifier: GPL-2.0

//! Memory that is shared with a process outside of the image, which never stops
//! writing to it: the image is whole, and has a copy.

use std::process::ExitCode;

use ckpt_guest::cases;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

const PAGES: usize = 512;

/// Writes to every page but the last until it is killed.
fn write_on(shared: &Map) -> ! {
    let mut round = 0u8;
    loop {
        for page in 0..PAGES - 1 {
            // Many places, so that a page is never the same for long.
            for at in (0..PAGE).step_by(64) {
                shared.bytes_mut()[page * PAGE + at] = round;
            }
        }
        round = round.wrapping_add(1);
    }
}

/// A child of the writer's sibling saves itself, and is restarted.
fn copies(shared: &Map) -> Result<(), String> {
    shared.fill_page(PAGES - 1, 8);
    let desk = Desk::open("shared-outside");
    let made = sys::in_child(60, || match desk.checkpoint() {
        Ok(0) => {
            let good = shared.page_is(PAGES - 1, 8);
            // Its own copy: nobody else writes to it, or sees what it writes.
            let before = shared.bytes().to_vec();
            std::thread::sleep(std::time::Duration::from_millis(200));
            shared.fill_page(PAGES - 1, 9);
            let still = before[..PAGES * PAGE - PAGE] == shared.bytes()[..PAGES * PAGE - PAGE];
            if good && still {
                RESTARTED
            } else {
                1
            }
        }
        Ok(_) => RESUMED,
        Err(_) => 1,
    });
    if made != Ended::Exit(RESUMED) {
        return Err(format!("no image: {made:?}; {}", desk.said()));
    }
    desk.restarts()?;
    if !shared.page_is(PAGES - 1, 8) {
        return Err("the restarted task writes to the memory of others".to_string());
    }
    Ok(())
}

fn run() -> Case {
    let spec = Spec {
        len: PAGES * PAGE,
        flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS,
        ..Spec::default()
    };
    let shared = Map::new(spec).map_err(|e| format!("mmap: {e}"))?;
    let writer = match sys::fork() {
        Ok(0) => write_on(&shared),
        Ok(pid) => pid,
        Err(errno) => return Err(format!("fork: {errno}")),
    };
    let done = copies(&shared);
    let args = [writer as usize, libc::SIGKILL as usize];
    let _ = sys::plain(libc::SYS_kill, &args);
    sys::wait_for(writer, 10);
    done?;
    cases::pass()
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run("written-meanwhile", run);
    cases.verdict()
}
