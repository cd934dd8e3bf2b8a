// SPDX-License-Identifier: GPL-2.0

//! State that is not supported is refused by name, and the program runs on.
//!
//! Each case is a child that arranges one thing and asks for a checkpoint. Wanted:
//! the errno, the place (a descriptor, an address), a word that names the thing,
//! and a caller that is as it was.

mod arrange;
mod below;
mod bits32;
mod locks;
mod memfds;
mod memory;
mod others;
mod places;
mod procfs;
mod sockets;
mod state;
mod values;

use std::process::ExitCode;

use arrange::Place;
use arrange::Thing;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::sys::Errno;
use ckpt_guest::unharmed::Unharmed;

/// What the emulated processor does not have.
const NOT_HERE: &[&str] = &[
    "task-amx",
    "task-masked-addresses",
    "task-speculation",
    "task-core-cookie",
];

/// The path of a descriptor, as /proc has it; none of one that is closed again.
fn path_of(fd: i32) -> String {
    let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap_or_default();
    let link = link.to_string_lossy();
    link.trim_end_matches(" (deleted)").to_string()
}

fn refused(desk: &Desk, thing: &Thing) -> Case {
    let place = match (thing.arrange)(desk) {
        Ok(place) => place,
        Err(reason) if NOT_HERE.contains(&thing.name) => return skip(reason),
        Err(reason) => return Err(format!("cannot be arranged: {reason}")),
    };
    let mut caller = Unharmed::take([desk.image, desk.log]);
    let ret = desk.checkpoint();
    caller.check()?;
    let said = desk.said();
    let Err(Errno(errno)) = ret else {
        return Err(format!("was not refused: {ret:?}"));
    };
    if !thing.errnos.contains(&errno) {
        return Err(format!(
            "{}, not {}: {said}",
            Errno(errno),
            Errno(thing.errnos[0])
        ));
    }
    let wanted = match place {
        Place::Fd(fd) => vec![format!("fd {fd}"), path_of(fd)],
        Place::Address(addr) => vec![format!("{addr:#x}")],
        Place::Path(path) => vec![path],
        Place::Nowhere => Vec::new(),
    };
    if let Some(missing) = wanted.iter().find(|wanted| !said.contains(*wanted)) {
        return Err(format!("the log does not name {missing}: {said}"));
    }
    let lower = said.to_lowercase();
    if !thing
        .words
        .iter()
        .any(|w| lower.contains(&w.to_lowercase()))
    {
        return Err(format!(
            "the log does not say {}: {said}",
            thing.words.join(" or ")
        ));
    }
    pass_with(said)
}

/// Without any of these things the same child can be saved.
fn control(desk: &Desk) -> Case {
    let ret = desk.checkpoint();
    ret.map_err(|e| format!("{e}: {}", desk.said()))?;
    pass_with("nothing is in the way")
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run_in_child("control", 20, || control(&Desk::open("control")));
    let all = [
        memfds::THINGS,
        memory::THINGS,
        below::THINGS,
        others::THINGS,
        arrange::THINGS,
        places::THINGS,
        procfs::THINGS,
        sockets::THINGS,
        locks::THINGS,
        state::THINGS,
        values::THINGS,
    ];
    for thing in all.into_iter().flatten() {
        cases.run_in_child(thing.name, 20, || refused(&Desk::open(thing.name), thing));
    }
    for (name, case) in [
        (
            "control-elsewhere",
            places::the_same_elsewhere as fn(&Desk) -> Case,
        ),
        ("task-32-bit", bits32::task),
        ("call-32-bit", bits32::call),
    ] {
        cases.run_in_child(name, 20, || case(&Desk::open(name)));
    }
    cases.verdict()
}
