// SPDX-License-Identifier: GPL-2.0

//! Victims that are checkpointed while they do something, and verify it.

use crate::cases::pass_with;
use crate::cases::with_seed;
use crate::cases::Case;
use crate::pace;
use crate::rng;
use crate::rng::Rng;
use crate::victim::Scene;

/// A victim.
pub struct Act {
    /// Name of the case.
    pub name: &'static str,
    /// What it does; an error is a failure.
    pub play: fn(&Scene) -> Result<(), String>,
    /// How long it lives, in milliseconds, as far as it waits.
    pub waits: u64,
    /// So many of its tasks announce that they are where it is to be stopped first.
    pub there: u64,
}

impl Act {
    /// It announces where it is to be stopped first.
    pub const fn there(self) -> Self {
        self.all_there(1)
    }

    /// So many of its tasks do.
    pub const fn all_there(self, count: u64) -> Self {
        Self {
            there: count,
            ..self
        }
    }
}

/// How many times longer everything takes, for victims that wait.
pub fn slowness() -> u64 {
    pace::factor().min(3)
}

/// The machine is so slow that the victim was over before its first image.
const TOO_LATE: &str = "the victim has ended before the first image";

/// Stops a victim up to three times and lets it end; then restarts every image.
pub fn play(act: &Act, seed: u64) -> Case {
    let mut done = play_once(act, seed);
    for _ in 0..3 {
        match &done {
            Err(why) if why == TOO_LATE => done = play_once(act, seed),
            _ => break,
        }
    }
    with_seed(seed, done)
}

fn play_once(act: &Act, seed: u64) -> Case {
    const TIMES: usize = 3;
    let waits = act.waits * slowness();
    let mut rng = Rng::new(seed);
    let scene = Scene::new(act.name);
    let victim = scene.start(act.play)?;
    let mut images = Vec::new();
    scene.until_all_there(act.there)?;
    for i in 0..TIMES {
        scene.pause(1 + rng.below(waits / 8));
        match victim.checkpoint(&format!("{}.{i}", act.name), 0) {
            Ok(image) => images.push(image),
            Err(_) if i > 0 && victim.has_ended() => break,
            Err(why) if !victim.has_ended() => return Err(why),
            Err(_) => {
                victim.ends_well(waits)?;
                return Err(TOO_LATE.to_string());
            }
        }
        victim.unnoticed()?;
    }
    victim.ends_well(waits)?;
    for image in &images {
        scene.restart(image, waits)?;
    }
    let bytes = std::fs::metadata(&images[0]).map_or(0, |m| m.len());
    let count = images.len();
    pass_with(format!("{count} images of {} KiB", bytes / 1024))
}

/// The seed of all chance: CKPT_SEED, or always the same.
pub fn seed() -> u64 {
    rng::seed_or(20_081_117)
}
