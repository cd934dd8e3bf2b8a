// SPDX-License-Identifier: GPL-2.0

//! Restarts that fail when all is built, up to the very last step: the caller has all
//! its registers, and everything that it has set on itself.

mod callers;
mod images;
mod registers;

use std::process::ExitCode;

use ckpt_guest::caps;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::format;
use ckpt_guest::format::head::Tail;
use ckpt_guest::image::Image;
use ckpt_guest::image::Rec;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::varies;

use crate::callers::Caller;
use crate::images::IMAGES;

/// Refused when all else is done.
const SCHEDULING: &str = "the scheduling of the image is not allowed";

/// Calls with other registers each.
const ROUNDS: usize = 8;

/// What is wrong with an image, or with its caller.
struct Way {
    name: &'static str,
    /// Makes it wrong.
    spoil: fn(Image) -> Vec<u8>,
    errno: i32,
    /// Words of the reason.
    words: &'static str,
}

/// Changes the trailer. A field's place in it is as the reader checks it.
fn with_tail(image: &Image, at: usize) -> Vec<u8> {
    let mut bytes = image.to_bytes();
    let tail = bytes.len() - size_of::<Tail>();
    bytes[tail + at] ^= 1;
    bytes
}

/// The nice value of the first task, or of the last one that has not ended.
fn with_nice(mut image: Image, last: bool) -> Vec<u8> {
    let field = |name| varies::field(format::TASK, name).map_or(0..0, |field| field.at);
    let lives = |task: &&mut Rec| task.kind == format::TASK && task.get(field("exit_state")) == 0;
    let mut tasks = image.records.iter_mut().filter(lives);
    let task = if last {
        tasks.next_back()
    } else {
        tasks.next()
    };
    if let Some(task) = task {
        task.set(field("nice"), NICE);
    }
    image.to_bytes()
}

/// A nice value that needs a right; who has none is told so when the task gets it.
const NICE: u64 = -15i32 as u32 as u64;

const WAYS: &[Way] = &[
    Way {
        name: "count",
        spoil: |image| with_tail(&image, 16),
        errno: libc::EBADMSG,
        words: "number of records differs",
    },
    Way {
        name: "checksum",
        spoil: |image| with_tail(&image, 24),
        errno: libc::EBADMSG,
        words: "checksum",
    },
    Way {
        name: "end",
        spoil: |image| {
            let mut bytes = image.to_bytes();
            bytes.truncate(bytes.len() - 8);
            bytes
        },
        errno: libc::EIO,
        words: "ends too early",
    },
    Way {
        name: "last-record",
        spoil: |mut image| {
            if let Some(last) = image.records.last_mut() {
                last.kind = format::STR;
            }
            image.to_bytes()
        },
        errno: libc::EINVAL,
        words: "",
    },
    Way {
        name: "scheduling",
        spoil: |image| with_nice(image, false),
        errno: libc::EPERM,
        words: SCHEDULING,
    },
    Way {
        name: "scheduling-of-the-last",
        spoil: |image| with_nice(image, true),
        errno: libc::EPERM,
        words: SCHEDULING,
    },
];

fn attempt(desk: &Desk, arrange: fn(), way: &Way, of_tls: bool) -> Case {
    // Whoever loses a parent comes to us.
    let subreaper = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]);
    subreaper.map_err(|e| e.to_string())?;
    desk.make(|| {
        // Whoever restarts it has no more.
        let _ = caps::give_up(callers::RIGHTS);
        arrange();
    })?;
    images::reap();
    desk.restarts()?;
    images::reap();
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let spoiled = (way.spoil)(Image::parse(&bytes)?);
    if spoiled == bytes {
        return Err("the image is as it was".to_string());
    }
    std::fs::write(&desk.path, spoiled).map_err(|e| e.to_string())?;
    let caller = Caller::become_odd(of_tls)?;
    let (errno, said) = desk.refuses()?;
    if errno.0 != way.errno || !said.contains(way.words) {
        return Err(format!("{errno}: {said}"));
    }
    let mut rng = Rng::new(7);
    for round in 0..ROUNDS {
        let got = registers::refused(desk, &mut rng).map_err(|e| format!("{round}: {e}"))?;
        if got != errno {
            return Err(format!("{round}: {got}, not {errno}"));
        }
    }
    caller.check()?;
    pass_with(said)
}

/// Whether an image of the caller has CPUs that somebody has asked for.
fn has_affinity(name: &str) -> Result<bool, String> {
    let desk = Desk::open(name);
    desk.checkpoint()
        .map_err(|e| format!("checkpoint: {e}; {}", desk.said()))?;
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    Ok(Image::parse(&bytes)?.find(format::AFFINITY).is_some())
}

/// Nothing but an image shows whether a caller has asked for CPUs.
fn without_affinity() -> Case {
    let desk = Desk::open("late-affinity");
    desk.make(|| {
        let _ = caps::give_up(callers::RIGHTS);
        callers::set_cpus(1);
    })?;
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let spoiled = with_nice(Image::parse(&bytes)?, false);
    std::fs::write(&desk.path, spoiled).map_err(|e| e.to_string())?;
    if has_affinity("late-affinity-before")? {
        return Err("the caller has asked for CPUs before".to_string());
    }
    caps::give_up(callers::RIGHTS).map_err(|e| format!("capset: {e}"))?;
    let (errno, said) = desk.refuses()?;
    if errno.0 != libc::EPERM || !said.contains(SCHEDULING) {
        return Err(format!("{errno}: {said}"));
    }
    if has_affinity("late-affinity-behind")? {
        return Err("the caller has the CPUs of the image, or all".to_string());
    }
    pass_with(said)
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run_in_child("caller-without-affinity", 60, without_affinity);
    for (image, arrange) in IMAGES {
        for (nr, way) in WAYS.iter().enumerate() {
            let name = format!("{image}-{}", way.name);
            cases.run_in_child(&name, 60, || {
                let desk = Desk::open(&format!("late-{name}"));
                attempt(&desk, *arrange, way, nr % 2 == 0)
            });
        }
    }
    cases.verdict()
}
