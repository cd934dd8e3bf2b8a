// SPDX-License-Identifier: GPL-2.0

//! Images that somebody has tampered with: each is answered with an errno, and the
//! caller is unharmed.
//!
//! The image is the smallest there is, of a program without a C library. Where a
//! change is to be judged for itself, counts and checksums are made right again.

mod bytes;
mod engine;
mod fields;
mod records;

use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::with_seed;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::format;
use ckpt_guest::image;
use ckpt_guest::image::Image;
use ckpt_guest::lanes;
use ckpt_guest::life;
use ckpt_guest::pace;
use ckpt_guest::rng;
use ckpt_guest::sys;
use engine::Engine;

/// The image that all others are made from.
#[derive(Clone)]
struct Base {
    bytes: Vec<u8>,
    image: Image,
    spans: Vec<image::Span>,
    /// Only records of these kinds are changed, if it is not empty.
    kinds: Vec<i16>,
}

impl Base {
    /// The same image, to change records of these kinds only.
    fn only(&self, kinds: Vec<i16>) -> Self {
        Self {
            kinds,
            ..self.clone()
        }
    }

    /// Is a record of this kind to be changed?
    fn changes(&self, kind: i16) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether the image has such a record.
    fn has(&self, kind: i16) -> bool {
        self.spans.iter().any(|span| span.kind == kind)
    }
}

/// Records that one process has, too, and that refer to the family or are checked again
/// for each task of it. They are changed everywhere in the image of the one; here, one in
/// so many is.
const AGAIN: &[i16] = &[
    format::TREE,
    format::TASK,
    format::THREAD,
    format::CPU,
    format::FPU,
    format::CREDS,
    format::TIMERS,
    format::MM_CONTEXT,
    format::FILE,
    format::FD_ENT,
];
/// Records that neither image has, and why.
const NOWHERE: &[(i16, &str)] = &[(
    format::ERROR,
    "a checkpoint that failed has it, and that is no image",
)];
/// Images of one sweep at most.
const MOST: usize = 800;
/// As many as there are.
const ALL: usize = usize::MAX;

/// The image of the smallest program, or of it with a family.
fn base(family: bool) -> Result<Base, String> {
    let program = Path::new(&life::variable("CKPT_BIN")).join("nolibc");
    let path = Path::new(&life::variable(life::DIR)).join("tiny.img");
    let out = Command::new(program)
        .arg(&path)
        .args(family.then_some("family"))
        .env_clear()
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let status = out.map_err(|e| e.to_string())?;
    if !status.success() {
        return Err(format!("cannot make an image: {status}"));
    }
    let bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
    let image = Image::parse(&bytes)?;
    if image.to_bytes() != bytes {
        return Err("the image differs when it is put together again".to_string());
    }
    Ok(Base {
        spans: image::spans(&bytes)?,
        image,
        bytes,
        kinds: Vec::new(),
    })
}

/// Images that are made from another one in one way.
struct Sweep<'a> {
    name: &'static str,
    /// About how long an image takes, in those of the smallest program.
    weight: usize,
    list: engine::List<'a>,
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    let (small, mut engine) = match base(false).and_then(|base| Ok((base, Engine::new()?))) {
        Ok(both) => both,
        Err(error) => {
            cases.report("image", Err(error));
            return cases.verdict();
        }
    };
    let whole = match family() {
        Ok(whole) => whole,
        Err(error) => {
            cases.report("family", Err(error));
            return cases.verdict();
        }
    };
    let kinds = format::TYPES.iter().map(|(kind, ..)| *kind);
    // Only a family has these.
    let own: Vec<i16> = kinds.filter(|k| whole.has(*k) && !small.has(*k)).collect();
    let parts = Parts {
        both: whole.only([&own[..], AGAIN].concat()),
        own: whole.only(own),
        again: whole.only(AGAIN.to_vec()),
        whole,
    };
    let seed = rng::seed_or(20_081_119);
    cases.run("control", || engine.control(&small.bytes));
    cases.run("family-kinds", || has_every_kind(&small, &parts.own));
    cases.run("family-control", || engine.control(&parts.whole.bytes));
    let mut sweeps = of_small(&small, seed);
    sweeps.extend(of_family(&parts, seed));
    // To look at some sweeps only.
    let only = std::env::var("CKPT_ONLY").unwrap_or_default();
    sweeps.retain(|sweep| sweep.name.contains(&only));
    // The long ones first, so that nobody waits long for the last.
    sweeps.sort_by_key(|sweep| std::cmp::Reverse(sweep.weight * sweep.list.count));
    let made = lanes::run(sweeps.len(), |nr| {
        let (mut cases, sweep) = (Cases::new(), &sweeps[nr]);
        cases.run(sweep.name, || {
            with_seed(seed, Engine::new().and_then(|mut e| e.sweep(&sweep.list)))
        });
        cases.are_good()
    });
    match made {
        Ok(good) => cases.also(good),
        Err(why) => cases.report("sweeps", Err(why)),
    }
    // The images themselves are still good, and so is this program.
    cases.run("control-again", || engine.control(&small.bytes));
    cases.run("family-control-again", || {
        engine.control(&parts.whole.bytes)
    });
    cases.verdict()
}

/// Images of one process.
fn of_small(base: &Base, seed: u64) -> Vec<Sweep<'_>> {
    let lists: [(&str, engine::List<'_>); 10] = [
        ("cut", bytes::cuts(base)),
        ("flipped-bit", bytes::flips(base)),
        ("flipped-page-bit", bytes::page_flips(base, seed)),
        ("flipped-bit-sealed", bytes::sealed_flips(base)),
        ("kernel-addresses", fields::kernel_addresses(base)),
        ("privileges", fields::privileges(base)),
        ("extreme-numbers", fields::extremes(base, seed)),
        ("record-order", records::order(base)),
        ("record-headers", records::headers(base)),
        ("page-runs", records::page_runs(base)),
    ];
    // Odd, so that each bit of a byte gets its turn somewhere. What the checksums find is
    // found in the same place for all bits of a byte.
    let (stride, of_sums) = match (pace::thinning(), pace::is_full()) {
        (1, true) => (1, 1),
        (1, false) => (1, 3),
        (factor, _) => (4 * factor as usize + 1, 1),
    };
    let sweeps = lists.into_iter().map(|(name, list)| {
        let more = if name == "flipped-bit" { of_sums } else { 1 };
        Sweep {
            name,
            weight: 1,
            list: list.thinned(stride * more, seed),
        }
    });
    sweeps.collect()
}

/// A record that no image has is never tampered with.
fn has_every_kind(small: &Base, family: &Base) -> Case {
    let wrong: Vec<&str> = format::TYPES
        .iter()
        .filter(|(kind, ..)| {
            let excused = NOWHERE.iter().any(|(other, _)| other == kind);
            (small.has(*kind) || family.has(*kind)) == excused
        })
        .map(|(_, name, ..)| *name)
        .collect();
    if !wrong.is_empty() {
        return Err(format!(
            "in no image, or not as excused: {}",
            wrong.join(", ")
        ));
    }
    let twice: Vec<&str> = AGAIN
        .iter()
        .filter(|kind| !small.has(**kind) || !family.has(**kind))
        .map(|kind| format::type_name(*kind))
        .collect();
    if !twice.is_empty() {
        return Err(format!("not in both images: {}", twice.join(", ")));
    }
    let own = family.kinds.iter().map(|kind| format::type_name(*kind));
    let own: Vec<&str> = own.collect();
    pass_with(format!(
        "{} kinds; only here: {}",
        format::TYPES.len() - NOWHERE.len(),
        own.join(", ")
    ))
}

/// The image of a process with children, of which some records are changed.
struct Parts {
    whole: Base,
    /// Records that one process does not have.
    own: Base,
    /// Those of [`AGAIN`].
    again: Base,
    both: Base,
}

/// The image of a process with children.
fn family() -> Result<Base, String> {
    // Whoever loses a parent comes to us.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]).map_err(|e| e.to_string())?;
    // Those of the image and those of the caller: sockets must not be another user's.
    let groups = [1234u32, 5678];
    sys::plain(libc::SYS_setgroups, &[2, groups.as_ptr() as usize]).map_err(|e| e.to_string())?;
    let whole = base(true)?;
    engine::reap(engine::PATIENCE)?;
    Ok(whole)
}

/// Images of a process with children: what those above do not have.
fn of_family(parts: &Parts, seed: u64) -> Vec<Sweep<'_>> {
    let Parts {
        whole,
        own,
        again,
        both,
    } = parts;
    // Each of them makes processes. What was changed everywhere above is thinned out.
    let lists: [(&str, usize, engine::List<'_>); 11] = [
        ("family-cut", MOST, bytes::cuts(whole)),
        ("family-flipped-bit-sealed", ALL, bytes::sealed_flips(own)),
        ("family-flipped-again", MOST, bytes::sealed_flips(again)),
        (
            "family-kernel-addresses",
            ALL,
            fields::kernel_addresses(own),
        ),
        (
            "family-addresses-again",
            MOST,
            fields::kernel_addresses(whole),
        ),
        ("family-privileges", MOST, fields::privileges(whole)),
        ("family-extreme-numbers", ALL, fields::extremes(own, seed)),
        ("family-extremes-again", MOST, fields::extremes(again, seed)),
        ("family-record-order", MOST, records::order(both)),
        ("family-record-headers", ALL, records::headers(own)),
        ("family-headers-again", MOST, records::headers(whole)),
    ];
    let sweeps = lists.into_iter().map(|(name, most, list)| {
        let stride = list.count.div_ceil(most) * pace::thinning() as usize;
        Sweep {
            name,
            weight: 4,
            list: list.thinned(stride | 1, seed),
        }
    });
    sweeps.collect()
}
