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
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::format;
use ckpt_guest::image;
use ckpt_guest::image::Image;
use ckpt_guest::life;
use ckpt_guest::pace;
use ckpt_guest::sys;
use engine::Engine;

/// The image that all others are made from.
struct Base {
    bytes: Vec<u8>,
    image: Image,
    spans: Vec<image::Span>,
    /// Only records of these kinds are changed, if it is not empty.
    kinds: &'static [i16],
}

impl Base {
    fn only(self, kinds: &'static [i16]) -> Self {
        Self { kinds, ..self }
    }

    /// Is a record of this kind to be changed?
    fn changes(&self, kind: i16) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }
}

/// Records that only a family has, or that refer to it.
const KINDS: &[i16] = &[
    format::TREE,
    format::TASK,
    format::AFFINITY,
    format::GROUPS,
    format::THREAD_SIGNAL,
    format::RESTART_BLOCK,
    format::SIGINFO,
    format::TIMERS,
    format::TIMER,
    format::GUARD,
    format::MM_CONTEXT,
    format::LDT,
    format::PGREF,
    format::FILE,
    format::FD_ENT,
    format::PIPE,
    format::PIPE_BUF,
    format::PIPE_DATA,
    format::SOCKET,
    format::SOCKET_MSG,
    format::SOCKET_DATA,
    format::EVENTFD,
    format::SIGNALFD,
    format::TIMERFD,
    format::EPOLL,
    format::EPOLL_ITEM,
    format::PIDFD,
    format::SECCOMP,
    format::SECCOMP_FILTER,
    format::SECCOMP_CODE,
];
/// Images of one sweep at most.
const MOST: usize = 1500;

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
        kinds: &[],
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
    cases.run("control", || engine.control(&base.bytes));
    let lists: [(&str, engine::List<'_>); 10] = [
        ("cut", bytes::cuts(&base)),
        ("flipped-bit", bytes::flips(&base)),
        ("flipped-page-bit", bytes::page_flips(&base)),
        ("flipped-bit-sealed", bytes::sealed_flips(&base)),
        ("kernel-addresses", fields::kernel_addresses(&base)),
        ("privileges", fields::privileges(&base)),
        ("extreme-numbers", fields::extremes(&base)),
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
        let list = list.thinned(stride);
        cases.run(name, || engine.sweep(&list));
    }
    // The image itself is still good, and so is this program.
    cases.run("control-again", || engine.control(&base.bytes));
    if let Err(error) = of_family(&mut cases, &mut engine) {
        cases.report("family", Err(error));
    }
    cases.verdict()
}

/// A record that no image has is never tampered with.
fn has_every_kind(base: &Base) -> Case {
    // A failed checkpoint has the one, the reader knows the other.
    let excused = [format::ERROR, format::PAD, format::TAIL];
    let missing: Vec<_> = format::TYPES
        .iter()
        .filter(|(kind, ..)| !excused.contains(kind) && base.image.find(*kind).is_none())
        .map(|(_, name, ..)| *name)
        .collect();
    if missing.is_empty() {
        return pass_with(format!("{} kinds", format::TYPES.len() - excused.len()));
    }
    Err(format!("there is no {}", missing.join(", ")))
}

/// Images of a process with children: what those above do not have.
fn of_family(cases: &mut Cases, engine: &mut Engine) -> Result<(), String> {
    // Whoever loses a parent comes to us.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]).map_err(|e| e.to_string())?;
    // Those of the image and those of the caller: sockets must not be another user's.
    let groups = [1234u32, 5678];
    sys::plain(libc::SYS_setgroups, &[2, groups.as_ptr() as usize]).map_err(|e| e.to_string())?;
    let base = base(true)?;
    engine::reap();
    cases.run("family-kinds", || has_every_kind(&base));
    let base = base.only(KINDS);
    cases.run("family-control", || engine.control(&base.bytes));
    let lists: [(&str, engine::List<'_>); 6] = [
        ("family-cut", bytes::cuts(&base)),
        ("family-flipped-bit-sealed", bytes::sealed_flips(&base)),
        ("family-kernel-addresses", fields::kernel_addresses(&base)),
        ("family-extreme-numbers", fields::extremes(&base)),
        ("family-record-order", records::order(&base)),
        ("family-record-headers", records::headers(&base)),
    ];
    for (name, list) in lists {
        // Each of them makes processes.
        let stride = list.count.div_ceil(MOST) * pace::factor() as usize;
        let list = list.thinned(stride | 1);
        cases.run(name, || engine.sweep(&list));
    }
    cases.run("family-control-again", || engine.control(&base.bytes));
    Ok(())
}
