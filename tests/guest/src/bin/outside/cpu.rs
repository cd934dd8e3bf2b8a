// SPDX-License-Identifier: GPL-2.0

//! Victims that sleep until their process has spent time on a processor. None may be woken
//! early, and a restarted one sleeps what was left.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use ckpt_guest::act::Act;

use crate::calls::act;
use crate::calls::call;
use crate::calls::duration;
use crate::calls::later;
use crate::calls::now;
use crate::calls::time;
use crate::calls::Time;
use crate::calls::ABSOLUTE;

const CLOCK: i32 = libc::CLOCK_PROCESS_CPUTIME_ID;

fn spent() -> u64 {
    let [sec, nsec] = now(CLOCK);
    sec as u64 * 1000 + nsec as u64 / 1_000_000
}

/// Sleeps while another thread spends time.
fn sleep(flags: usize, time: Time) -> Result<(), String> {
    let (begin, woken) = (spent(), AtomicBool::new(false));
    let ret = thread::scope(|scope| {
        scope.spawn(|| {
            while !woken.load(Ordering::Relaxed) {
                std::hint::spin_loop();
            }
        });
        let at = (&raw const time) as usize;
        let ret = call(libc::SYS_clock_nanosleep, &[CLOCK as usize, flags, at, 0]);
        woken.store(true, Ordering::Relaxed);
        ret
    });
    let (passed, wanted) = (spent() - begin, duration());
    // Neither early nor from the start once more.
    if ret != Ok(0) || passed < wanted || passed > wanted + wanted / 8 {
        return Err(format!("{ret:?} after {passed} ms, not {wanted} ms"));
    }
    Ok(())
}

/// Victims that sleep.
pub const ACTS: &[Act] = &[
    act("sleep-cpu", |_| sleep(0, time(duration()))),
    act("sleep-until-cpu", |_| {
        sleep(ABSOLUTE, later(CLOCK, duration()))
    }),
];
