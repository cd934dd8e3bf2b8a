// SPDX-License-Identifier: GPL-2.0

//! Victims that sleep until their process has spent time on a processor. None may be woken
//! early, and a restarted one sleeps what was left.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use ckpt_guest::act::Act;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::victim::Scene;

use crate::calls;
use crate::calls::act;
use crate::calls::asleep_until_done;
use crate::calls::call;
use crate::calls::duration;
use crate::calls::later;
use crate::calls::now;
use crate::calls::time;
use crate::calls::Time;
use crate::calls::ABSOLUTE;
use crate::calls::LONGER;
use crate::kills::Body;
use crate::remaining::number;

const CLOCK: i32 = libc::CLOCK_PROCESS_CPUTIME_ID;

fn spent() -> u64 {
    let [sec, nsec] = now(CLOCK);
    sec as u64 * 1000 + nsec as u64 / 1_000_000
}

/// Sleeps while another thread spends time, which begins when `begin` is what was spent.
fn sleep(begin: u64, flags: usize, time: Time) -> Result<(), String> {
    let woken = AtomicBool::new(false);
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
    // Late by as much as the other thread has run before it was asleep again.
    if ret != Ok(0) || passed < wanted || passed > 4 * wanted {
        return Err(format!("{ret:?} after {passed} ms, not {wanted} ms"));
    }
    println!("{passed}");
    Ok(())
}

/// When the sleep of an image ends by the clock that the image has, and what is left of it,
/// in nanoseconds.
fn end(image: &Path) -> Result<(u64, u64), String> {
    let bytes = std::fs::read(image).map_err(|e| e.to_string())?;
    let image = Image::parse(&bytes)?;
    let spent = number(&image, format::TASK, "group_runtime").ok_or("no time")?;
    let left =
        number(&image, format::RESTART_BLOCK, "remaining_ns").ok_or(crate::calls::NO_SLEEP)?;
    Ok((spent + left, left))
}

/// Whatever saving has cost: all images of one sleep end at the same time.
fn same_end() -> Case {
    let scene = Scene::new("sleep-cpu-ends");
    let victim = scene.start(|_| sleep(spent(), 0, time(duration())))?;
    let mut ends = Vec::new();
    for i in 0..3 {
        scene.pause(duration() / 8);
        ends.push(end(&victim.checkpoint(&format!("sleep-cpu-ends.{i}"), 0)?)?);
    }
    victim.ends_well(duration())?;
    if ends.iter().any(|(end, _)| *end != ends[0].0) {
        return Err(format!("{ends:?}"));
    }
    pass_with(format!("{ends:?}"))
}

/// More nanoseconds than there are.
fn for_ever() -> Case {
    let scene = Scene::new("sleep-cpu-for-ever");
    let victim = scene.start(|scene| {
        scene.announce();
        sleep(spent(), 0, [i64::MAX, 0])
    })?;
    scene.until_there()?;
    scene.pause(50);
    let (_, left) = end(&victim.checkpoint("sleep-cpu-for-ever", 0)?)?;
    let woken = victim.has_ended();
    victim.end();
    if woken || left < i64::MAX as u64 / 2 {
        return Err(format!("{left} ns are left, woken {woken}"));
    }
    pass_with(format!("{left} ns are left"))
}

/// Stopped when most of it is over, and restarted: what is left is slept, not all of it.
fn late() -> Case {
    let scene = Scene::new("sleep-cpu-late");
    let victim = scene.start(|_| sleep(spent(), 0, time(duration())))?;
    scene.pause(duration() * 3 / 4);
    let image = victim.checkpoint("sleep-cpu-late", 0)?;
    let left = end(&image)?.1 / 1_000_000;
    victim.ends_well(duration())?;
    if left > duration() / 2 {
        // The machine was busy with others.
        return Err(calls::NO_SLEEP.to_string());
    }
    scene.restart(&image, duration())?;
    let said = scene.said();
    let passed = said.lines().last().and_then(|last| last.parse().ok());
    let passed: u64 = passed.ok_or_else(|| format!("it has said {said}"))?;
    // A sleep from the start would have taken `duration() - left` longer.
    if passed > duration() + (duration() - left) / 2 {
        // What the host did meanwhile counts as well: once more with more room for that.
        if LONGER.load(Ordering::Relaxed) < calls::LONGEST {
            return Err(calls::NO_SLEEP.to_string());
        }
        return Err(format!(
            "{passed} ms, not {}, of which {left} were left",
            duration()
        ));
    }
    pass_with(format!("{passed} ms, of which {left} were left"))
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("sleep-cpu-ends", || asleep_until_done(same_end)),
    ("sleep-cpu-late", || asleep_until_done(late)),
    ("sleep-cpu-for-ever", || asleep_until_done(for_ever)),
];

/// Victims that sleep.
pub const ACTS: &[Act] = &[
    act("sleep-cpu", |_| sleep(spent(), 0, time(duration()))),
    act("sleep-until-cpu", |_| {
        let begin = spent();
        sleep(begin, ABSOLUTE, later(CLOCK, duration()))
    }),
];
