// SPDX-License-Identifier: GPL-2.0

//! Pages that were zeros and that the kernel has merged (KSM), in a mapping of a file
//! that has something else there.

use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

const KSM: &str = "/sys/kernel/mm/ksm";
const PAGES: usize = 16;
/// Of these the first ones become zeros.
const ZEROS: usize = 8;
const GOOD: i32 = 30;

fn set(name: &str, value: &str) -> Result<(), String> {
    std::fs::write(format!("{KSM}/{name}"), value).map_err(|e| format!("{name}: {e}"))
}

/// How many zero pages KSM has put in place of others.
fn merged() -> u64 {
    let text = std::fs::read_to_string(format!("{KSM}/ksm_zero_pages")).unwrap_or_default();
    text.trim().parse().unwrap_or(0)
}

fn is_good(map: &Map) -> bool {
    (0..PAGES).all(|page| {
        let want = if page < ZEROS { 0 } else { 0xff };
        let bytes = map.part(page, 1);
        (0..PAGE).all(|i| {
            // SAFETY: a byte of the mapping.
            let byte = unsafe { (bytes.addr as *const u8).add(i).read_volatile() };
            byte == want
        })
    })
}

fn zeros_in_a_file() -> Case {
    let desk = Desk::open("merged");
    let path = desk.dir.join("merged.data");
    std::fs::write(&path, vec![0xff; PAGES * PAGE]).map_err(|e| format!("the file: {e}"))?;
    let before = merged();
    let ended = sys::in_child(60 * pace::factor(), || {
        let Ok(fd) = sys::open(&c_path(&path), libc::O_RDONLY, 0) else {
            return 1;
        };
        let spec = Spec {
            len: PAGES * PAGE,
            flags: libc::MAP_PRIVATE,
            fd,
            ..Spec::default()
        };
        let Ok(map) = Map::new(spec) else {
            return 2;
        };
        for i in 0..ZEROS * PAGE {
            // SAFETY: a byte of the mapping.
            unsafe { (map.addr as *mut u8).add(i).write_volatile(0) };
        }
        let args = [map.addr, map.len, libc::MADV_MERGEABLE as usize];
        if sys::plain(libc::SYS_madvise, &args).is_err() {
            return 3;
        }
        let start = Instant::now();
        while merged() < before + ZEROS as u64 {
            if start.elapsed() > Duration::from_secs(30 * pace::factor()) {
                return 4;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        match desk.checkpoint() {
            Ok(_) if is_good(&map) => GOOD,
            Ok(_) => 5,
            Err(_) => 6,
        }
    });
    if ended != Ended::Exit(GOOD) {
        return Err(format!("no image: {ended:?}; {}", desk.said()));
    }
    let ended = sys::in_child(30, || {
        desk.restart();
        7
    });
    if ended != Ended::Exit(GOOD) {
        return Err(format!("restarted: {ended:?}; {}", desk.said()));
    }
    pass()
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    let ready = set("use_zero_pages", "1")
        .and_then(|()| set("sleep_millisecs", "10"))
        .and_then(|()| set("pages_to_scan", "1000"))
        .and_then(|()| set("run", "1"));
    match ready {
        Ok(()) => cases.run("zeros-in-a-file", zeros_in_a_file),
        Err(why) => cases.report("zeros-in-a-file", skip(why)),
    }
    let _ = set("run", "0");
    let _ = set("use_zero_pages", "0");
    cases.verdict()
}
