// SPDX-License-Identifier: GPL-2.0

//! checkpoint(2) and restart(2) of processes with threads and children.
//!
//! Each victim is the first of several tasks and verifies what it sees of the
//! others: when it goes on after a checkpoint, and after each restart.

mod census;
mod common;
mod ended;
mod exact;
mod execs;
mod family;
mod fuse;
mod held;
mod killed;
mod lent;
mod locked;
mod mixed;
mod most;
mod objects;
mod own;
mod pairs;
mod pidfds;
mod procfs;
mod robust;
mod rounds;
mod served;
mod sharing;
mod sockets;
mod stops;
mod storm;
mod stress;
mod struck;
mod taken;
mod threads;
mod timed;
mod timers;
mod times;
mod told;

use std::process::ExitCode;

use ckpt_guest::act::play;
use ckpt_guest::act::seed;
use ckpt_guest::cases::Cases;

fn main() -> ExitCode {
    if let Some(code) = execs::again() {
        return code;
    }
    let seed = seed();
    let mut cases = Cases::new();
    let acts = threads::ACTS.iter().chain(family::ACTS).chain(mixed::ACTS);
    let acts = acts.chain(stops::ACTS).chain(timers::ACTS);
    let acts = acts.chain(pidfds::ACTS).chain(sharing::ACTS);
    let acts = acts.chain(procfs::ACTS).chain(sockets::ACTS);
    let acts = acts.chain(times::ACTS).chain(told::ACTS);
    let acts = acts
        .chain(robust::ACTS)
        .chain(lent::ACTS)
        .chain(locked::ACTS)
        .chain(own::ACTS)
        .chain(objects::ACTS);
    for act in acts {
        cases.run(act.name, || play(act, seed));
    }
    let special = stops::CASES
        .iter()
        .chain(timers::CASES)
        .chain(common::CASES)
        .chain(ended::CASES)
        .chain(held::CASES)
        .chain(exact::CASES)
        .chain(taken::CASES)
        .chain(struck::CASES)
        .chain(sharing::CASES)
        .chain(served::CASES);
    for (name, case) in special.chain(stress::CASES) {
        cases.run(name, case);
    }
    cases.run_in_child("used-most", 60, most::again);
    cases.run_in_child("due-meanwhile", 60, most::due_meanwhile);
    cases.verdict()
}
