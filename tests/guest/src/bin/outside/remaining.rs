// SPDX-License-Identifier: GPL-2.0

//! Victims that sleep for as long as they wanted, and no longer: however often they are
//! stopped meanwhile, and from however late an image they are restarted.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::act::Act;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::varies;
use ckpt_guest::victim::Scene;

use crate::calls;
use crate::calls::duration;
use crate::calls::JIFFIES;
use crate::cpu;
use crate::sockets;
use crate::waits;

/// How a victim's sleep is looked at.
pub struct Wait {
    /// Name of the case, which ends with that of the act.
    pub name: &'static str,
    /// The whole sleep is one call, and its images tell how much of it is left.
    counts: bool,
    /// How many times its duration it may last.
    patience: u64,
    /// It sleeps by time that processors have worked: more of them, more time.
    of_processors: bool,
}

const fn counted(name: &'static str) -> Wait {
    Wait {
        name,
        patience: 2,
        counts: true,
        of_processors: false,
    }
}

/// It knows the end, or keeps what is left, in its own memory; or it makes several calls.
const fn kept(name: &'static str) -> Wait {
    Wait {
        name,
        patience: 2,
        counts: false,
        of_processors: false,
    }
}

/// All victims that sleep for a time.
pub const WAITS: &[Wait] = &[
    counted("remaining-nanosleep"),
    counted("remaining-sleep-monotonic"),
    counted("remaining-sleep-boottime"),
    counted("remaining-sleep-tai"),
    kept("remaining-sleep-until-monotonic"),
    kept("remaining-sleep-until-realtime"),
    // Its images are looked at elsewhere. A processor may be busy with others.
    Wait {
        patience: 20,
        of_processors: true,
        ..kept("remaining-sleep-cpu")
    },
    counted("remaining-poll"),
    kept("remaining-ppoll"),
    kept("remaining-select"),
    kept("remaining-pselect"),
    counted("remaining-futex-private"),
    counted("remaining-futex-shared"),
    counted("remaining-futex-wall-clock"),
    kept("remaining-futex-waitv"),
    counted("remaining-epoll-wait"),
    counted("remaining-epoll-pwait"),
    counted("remaining-epoll-pwait2"),
    counted("remaining-sigtimedwait"),
    counted("remaining-semtimedop"),
    counted("remaining-recv-timeout"),
    counted("remaining-filtered-epoll-wait"),
    counted("remaining-filtered-epoll-pwait"),
    counted("remaining-filtered-sigtimedwait"),
    counted("remaining-filtered-semtimedop"),
    counted("remaining-filtered-recv-timeout"),
    counted("remaining-recvmsg-timeout"),
    kept("remaining-read-timeout"),
    // Two calls, the first of which a stop ends.
    Wait {
        patience: 4,
        ..kept("remaining-recvmmsg-timeout")
    },
    counted("remaining-send-timeout"),
    counted("remaining-write-timeout"),
    counted("remaining-splice-from-timeout"),
    counted("remaining-splice-into-timeout"),
    counted("remaining-sendfile-timeout"),
];

impl Wait {
    fn act(&self) -> Result<&'static Act, String> {
        let name = self.name.trim_start_matches("remaining-");
        let acts = calls::ACTS.iter().chain(cpu::ACTS);
        let mut acts = acts.chain(waits::ACTS).chain(sockets::ACTS);
        let act = acts.find(|act| act.name == name);
        act.ok_or(format!("no act {name}"))
    }
}

/// A number in the first record of a kind.
pub fn number(image: &Image, kind: i16, name: &str) -> Option<u64> {
    let field = varies::field(kind, name)?;
    let at = image.find(kind)?;
    Some(image.records[at].get(field.at))
}

/// What an image tells: how much of the sleep is left. Nothing before it, and behind it.
fn remaining(image: &Path) -> Result<Option<Duration>, String> {
    let bytes = std::fs::read(image).map_err(|e| e.to_string())?;
    let left = number(
        &Image::parse(&bytes)?,
        format::RESTART_BLOCK,
        "remaining_ns",
    );
    Ok(left.map(Duration::from_nanos))
}

/// An image: when it was begun and when it was complete, since before the sleep; and what
/// is left.
type Look = [Duration; 3];

/// The time that is left gets less as time goes on, no faster and no slower.
fn goes_down(looks: &[Look]) -> Result<(), String> {
    let whole = Duration::from_millis(duration());
    for [_, complete, left] in looks {
        if *left > whole || *left + *complete + JIFFIES < whole {
            return Err(format!("{left:?} are left after {complete:?}"));
        }
    }
    for pair in looks.windows(2) {
        let ([_, complete, before], [begun, _, after]) = (pair[0], pair[1]);
        let between = begun.saturating_sub(complete);
        // A victim that nothing is left of may take a while to wake up.
        if !after.is_zero() && (after >= before || before - after < between / 2) {
            return Err(format!(
                "{before:?} are left, and {after:?} when {between:?} have passed"
            ));
        }
    }
    // A busy machine takes few images while the victim sleeps.
    if looks.is_empty() {
        return Err("no image tells what is left".into());
    }
    Ok(())
}

/// Takes one image after the other of a sleep. One that began anew with each would not end
/// while they go on.
pub fn goes_on(wait: &Wait) -> Case {
    let scene = Scene::new(wait.name);
    let start = Instant::now();
    let victim = scene.start(wait.act()?.play)?;
    let patience = Duration::from_millis(wait.patience * duration());
    let (mut held, mut count, mut looks) = (Duration::ZERO, 0, Vec::new());
    loop {
        scene.pause(duration() / 20);
        if victim.has_ended() {
            break;
        }
        let begun = start.elapsed();
        if begun - held > patience {
            victim.end();
            return Err(format!(
                "it still sleeps after {count} images and {begun:?}, of which it stood still for {held:?}"
            ));
        }
        let image = match victim.try_checkpoint("image", 0) {
            Ok(image) => image,
            Err(_) if victim.has_ended() => break,
            Err((errno, said)) => return Err(format!("checkpoint: {errno}: {said}")),
        };
        let complete = start.elapsed();
        if wait.counts {
            looks.extend(remaining(&image)?.map(|left| [begun, complete, left]));
        }
        held += start.elapsed() - begun;
        count += 1;
        victim.unnoticed()?;
    }
    victim.ends_well(0)?;
    if wait.counts {
        goes_down(&looks)?;
    }
    if count == 0 {
        return Err("it ended before there was an image".into());
    }
    pass_with(format!("{count} images, {held:?} in them"))
}

/// How many times longer those sleep that are restarted late.
const LONGER: u64 = 5;

/// A victim that is killed when most of its sleep is over, and restarted later. It must not
/// sleep as long as all of it once more, nor less than what was left of it.
fn late(wait: &Wait) -> Result<(), String> {
    let scene = Scene::new(&format!("late-{}", wait.name));
    let begun = Instant::now();
    let victim = scene.start(wait.act()?.play)?;
    scene.pause(duration() / 4 * 3);
    // Killed, so that only one of both sleeps.
    let image = victim.checkpoint("image", sys::KILL)?;
    match sys::wait_for(victim.pid, 10) {
        Ended::Signal(libc::SIGKILL) => {}
        other => return Err(format!("the victim ended with {other:?}")),
    }
    // Those who know the end, and those with what was left.
    scene.pause(duration() / 16);
    let start = Instant::now();
    scene.restart(&image, wait.patience * duration())?;
    let passed = start.elapsed();
    let least = match remaining(&image)? {
        Some(left) if wait.counts => left,
        None if wait.counts => return Err("the image does not tell what is left".into()),
        _ if wait.of_processors => Duration::ZERO,
        // The pause, too, is over for those who know the end.
        _ => Duration::from_millis(duration()).saturating_sub(start - begun),
    };
    if passed + JIFFIES < least {
        return Err(format!("restarted, it lasted {passed:?}, not {least:?}"));
    }
    if passed >= Duration::from_millis(wait.patience * duration() / 2) {
        return Err(format!("restarted, it lasted {passed:?}"));
    }
    Ok(())
}

/// Some of them at once, for it takes long.
fn restarted_late() -> Case {
    let (mut failed, mut over) = (Vec::new(), Vec::new());
    for some in WAITS.chunks(4) {
        late_at_once(some, &mut failed, &mut over)?;
    }
    // This test itself was late: once more without others.
    for wait in WAITS.iter().filter(|wait| over.contains(&wait.name)) {
        late_at_once(std::slice::from_ref(wait), &mut failed, &mut Vec::new())?;
    }
    if failed.is_empty() {
        return pass_with(format!("{} of them", WAITS.len()));
    }
    Err(failed.join(", "))
}

/// Exit status where the sleep was over before there was an image.
const OVER: i32 = 2;

/// Tells those that fail, and those whose sleep was over too soon: these fail as well
/// when they are the only one.
fn late_at_once(
    waits: &[Wait],
    failed: &mut Vec<&'static str>,
    over: &mut Vec<&'static str>,
) -> Result<(), String> {
    let mut pids = Vec::new();
    for wait in waits {
        let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if pid == 0 {
            calls::LONGER.store(LONGER, Ordering::Relaxed);
            let done = late(wait);
            if let Err(why) = &done {
                println!("{}: {why}", wait.name);
            }
            sys::exit(match done {
                Ok(()) => 0,
                Err(why) if why.contains("the task has ended") && waits.len() > 1 => OVER,
                Err(_) => 1,
            });
        }
        pids.push((wait.name, pid));
    }
    for (name, pid) in pids {
        match sys::wait_for(pid, 120) {
            Ended::Exit(0) => {}
            Ended::Exit(OVER) => over.push(name),
            _ => failed.push(name),
        }
    }
    Ok(())
}

/// Cases.
pub const CASES: &[(&str, crate::kills::Body)] = &[("remaining-late", restarted_late)];
