// SPDX-License-Identifier: GPL-2.0

//! checkpoint(2) of another task, which knows nothing of it.
//!
//! Each case has a victim, a child that does something and verifies it. The test
//! stops it at moments chosen by chance; the victim must end well when it goes on,
//! and so must every image of it that is restarted.

mod calls;
mod kills;
mod refused;
mod victim;
mod work;

use std::process::ExitCode;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use victim::Scene;

/// A victim.
pub struct Act {
    /// Name of the case.
    pub name: &'static str,
    /// What it does; an error is a failure.
    pub play: fn(&Scene) -> Result<(), String>,
    /// How long it lives, in milliseconds, as far as it waits.
    pub waits: u64,
}

/// How many times longer everything takes, for victims that wait.
pub fn slowness() -> u64 {
    pace::factor().min(3)
}

/// Stops a victim three times and lets it end; then restarts every image.
fn play(act: &Act, seed: u64) -> Case {
    const TIMES: usize = 3;
    let waits = act.waits * slowness();
    let mut rng = Rng::new(seed);
    let scene = Scene::new(act.name);
    let victim = scene.start(act.play)?;
    let mut images = Vec::new();
    for i in 0..TIMES {
        scene.pause(1 + rng.below(waits / 8));
        images.push(victim.checkpoint(&format!("{}.{i}", act.name), 0)?);
        victim.unnoticed()?;
    }
    victim.ends_well(waits)?;
    for image in &images {
        scene.restart(image, waits)?;
    }
    let bytes = std::fs::metadata(&images[0]).map_or(0, |m| m.len());
    pass_with(format!("{TIMES} images of {} KiB", bytes / 1024))
}

fn main() -> ExitCode {
    let seed = std::env::var("CKPT_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_081_117);
    println!("seed {seed}");
    let mut cases = Cases::new();
    for act in work::ACTS.iter().chain(calls::ACTS) {
        cases.run(act.name, || play(act, seed));
    }
    for (name, case) in kills::CASES.iter().chain(refused::CASES) {
        cases.run(name, case);
    }
    cases.verdict()
}
