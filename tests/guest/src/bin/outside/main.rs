// SPDX-License-Identifier: GPL-2.0

//! checkpoint(2) of another task, which knows nothing of it.
//!
//! Each case has a victim, a child that does something and verifies it. The test
//! stops it at moments chosen by chance; the victim must end well when it goes on,
//! and so must every image of it that is restarted.

mod calls;
mod changing;
mod counts;
mod cpu;
mod frozen;
mod kills;
mod meddled;
mod members;
mod network;
mod refused;
mod remaining;
mod rights;
mod sockets;
mod supervised;
mod toomany;
mod unsaved;
mod waits;
mod woken;
mod work;

use std::process::ExitCode;

use ckpt_guest::act::play;
use ckpt_guest::act::seed;
use ckpt_guest::cases::Cases;

fn main() -> ExitCode {
    let seed = seed();
    let mut cases = Cases::new();
    waits::with_semaphore(|| woken::with_queue(|| all(&mut cases, seed)));
    cases.verdict()
}

fn all(cases: &mut Cases, seed: u64) {
    let waits = calls::ACTS.iter().chain(cpu::ACTS);
    let waits = waits.chain(waits::ACTS).chain(sockets::ACTS);
    let waits = waits.chain(counts::ACTS).chain(woken::ACTS);
    for act in work::ACTS.iter().chain(waits) {
        cases.run(act.name, || play(act, seed));
    }
    for wait in remaining::WAITS {
        cases.run(wait.name, || remaining::goes_on(wait));
    }
    for (name, case) in kills::CASES
        .iter()
        .chain(cpu::CASES)
        .chain(refused::CASES)
        .chain(supervised::CASES)
        .chain(rights::CASES)
        .chain(changing::CASES)
        .chain(unsaved::CASES)
        .chain(network::CASES)
        .chain(remaining::CASES)
        .chain(members::CASES)
        .chain(frozen::CASES)
        .chain(meddled::CASES)
        .chain(toomany::CASES)
        .chain(woken::CASES)
    {
        cases.run(name, case);
    }
}
