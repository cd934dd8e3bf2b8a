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

fn main() -> ExitCode {
    let mut cases = Cases::new();
    let (base, mut engine) = match base(false).and_then(|base| Ok((base, Engine::new()?))) {
        Ok(both) => both,
        Err(error) => {
            cases.report("image", Err(error));
            return cases.verdict();
        }
    };
    let seed = rng::seed_or(20_081_119);
    cases.run("control", || engine.control(&base.bytes));
    let lists: [(&str, engine::List<'_>); 10] = [
        ("cut", bytes::cuts(&base)),
        ("flipped-bit", bytes::flips(&base)),
        ("flipped-page-bit", bytes::page_flips(&base, seed)),
        ("flipped-bit-sealed", bytes::sealed_flips(&base)),
        ("kernel-addresses", fields::kernel_addresses(&base)),
        ("privileges", fields::privileges(&base)),
        ("extreme-numbers", fields::extremes(&base, seed)),
        ("record-order", records::order(&base)),
        ("record-headers", records::headers(&base)),
        ("page-runs", records::page_runs(&base)),
    ];
    // Odd, so that each bit of a byte gets its turn somewhere.
    let stride = match pace::factor() {
        1 => 1,
        factor => 4 * factor as usize + 1,
    };
    // To look at some sweeps only.
    let only = std::env::var("CKPT_ONLY").unwrap_or_default();
    for (name, list) in lists.into_iter().filter(|sweep| sweep.0.contains(&only)) {
        let list = list.thinned(stride, seed);
        cases.run(name, || with_seed(seed, engine.sweep(&list)));
    }
    // The image itself is still good, and so is this program.
    cases.run("control-again", || engine.control(&base.bytes));
    if let Err(error) = of_family(&mut cases, &mut engine, &base, seed) {
        cases.report("family", Err(error));
    }
    cases.verdict()
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

/// Images of a process with children: what those above do not have.
fn of_family(
    cases: &mut Cases,
    engine: &mut Engine,
    small: &Base,
    seed: u64,
) -> Result<(), String> {
    // Whoever loses a parent comes to us.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]).map_err(|e| e.to_string())?;
    // Those of the image and those of the caller: sockets must not be another user's.
    let groups = [1234u32, 5678];
    sys::plain(libc::SYS_setgroups, &[2, groups.as_ptr() as usize]).map_err(|e| e.to_string())?;
    let whole = base(true)?;
    engine::reap(engine::PATIENCE)?;
    let kinds = format::TYPES.iter().map(|(kind, ..)| *kind);
    // Only a family has these.
    let own: Vec<i16> = kinds.filter(|k| whole.has(*k) && !small.has(*k)).collect();
    let both = whole.only([&own[..], AGAIN].concat());
    let (own, again) = (whole.only(own), whole.only(AGAIN.to_vec()));
    cases.run("family-kinds", || has_every_kind(small, &own));
    cases.run("family-control", || engine.control(&whole.bytes));
    // Each of them makes processes. What was changed everywhere above is thinned out.
    let lists: [(&str, usize, engine::List<'_>); 11] = [
        ("family-cut", MOST, bytes::cuts(&whole)),
        ("family-flipped-bit-sealed", ALL, bytes::sealed_flips(&own)),
        ("family-flipped-again", MOST, bytes::sealed_flips(&again)),
        (
            "family-kernel-addresses",
            ALL,
            fields::kernel_addresses(&own),
        ),
        (
            "family-addresses-again",
            MOST,
            fields::kernel_addresses(&whole),
        ),
        ("family-privileges", MOST, fields::privileges(&whole)),
        ("family-extreme-numbers", ALL, fields::extremes(&own, seed)),
        (
            "family-extremes-again",
            MOST,
            fields::extremes(&again, seed),
        ),
        ("family-record-order", MOST, records::order(&both)),
        ("family-record-headers", ALL, records::headers(&own)),
        ("family-headers-again", MOST, records::headers(&whole)),
    ];
    for (name, most, list) in lists {
        let stride = list.count.div_ceil(most) * pace::factor() as usize;
        let list = list.thinned(stride | 1, seed);
        cases.run(name, || with_seed(seed, engine.sweep(&list)));
    }
    cases.run("family-control-again", || engine.control(&whole.bytes));
    Ok(())
}
