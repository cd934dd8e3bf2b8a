// SPDX-License-Identifier: GPL-2.0

//! Hundreds of checkpoints of one tree, which verifies what each of its calls returns.

use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use ckpt_guest::victim::Scene;

use crate::family::ends_well;
use crate::pairs;
use crate::pairs::Board;
use crate::timed;
use crate::timed::call;
use crate::timed::SEMAPHORE;

/// The longest stop; the test knows it when it is over.
fn longest(scene: &Scene) -> Option<Duration> {
    let text = std::fs::read_to_string(scene.dir.join("longest")).ok()?;
    Some(Duration::from_millis(text.parse().ok()?))
}

/// Pairs of processes, and threads of the first one. All count, and end with it.
fn counting(scene: &Scene) -> Result<(), String> {
    let board = Board::new()?;
    let members = pairs::start(board)?;
    scene.announce();
    let until = || {
        scene.wait();
        board.stop.store(1, Ordering::Relaxed);
    };
    let alone = timed::threads(&board.stop, until, || longest(scene));
    // Also when a thread has failed: what is wrong with the others is told as well.
    board.stop.store(1, Ordering::Relaxed);
    members.into_iter().try_for_each(ends_well)?;
    let (alone, both) = (alone?, board.turns()?);
    let turns = format!("{alone} waits, {both} turns of pairs");
    std::fs::write(scene.dir.join("turns"), turns).map_err(|e| e.to_string())
}

/// 500 checkpoints, after each of which the tree goes on: no call ends with EINTR or
/// before its time, none takes much longer for having been interrupted, no signal, byte,
/// wake-up or child is lost. The last image is restarted, with the same checks but for
/// how long the waits took.
pub fn rounds() -> Case {
    let made = call(libc::SYS_semget, &[libc::IPC_PRIVATE as usize, 1, 0o600]);
    let semaphore = made.map_err(|e| format!("semget: {e}"))?;
    SEMAPHORE.store(semaphore, Ordering::Relaxed);
    let done = many();
    let _ = call(libc::SYS_semctl, &[semaphore, 0, libc::IPC_RMID as usize]);
    done
}

fn many() -> Case {
    let scene = Scene::new("tree-rounds");
    let victim = scene.start(counting)?;
    scene.until_there()?;
    // All of them are on their way.
    scene.pause(200 * pace::factor());
    let rounds = 500 / pace::thinning();
    let waits = 4 * timed::long();
    let mut rng = Rng::new(24);
    let mut image = None;
    let (start, mut longest) = (Instant::now(), Duration::ZERO);
    for round in 0..rounds {
        let stop = Instant::now();
        let done = victim.checkpoint("image", 0);
        image = Some(done.map_err(|why| format!("round {round}: {why}"))?);
        longest = longest.max(stop.elapsed());
        victim.unnoticed()?;
        std::thread::sleep(Duration::from_micros(rng.below(10_000)));
    }
    let passed = start.elapsed();
    let millis = longest.as_millis().to_string();
    std::fs::write(scene.dir.join("longest"), millis).map_err(|e| e.to_string())?;
    victim.ends_well(waits)?;
    let turns = std::fs::read_to_string(scene.dir.join("turns")).unwrap_or_default();
    let _ = std::fs::remove_file(scene.dir.join("longest"));
    scene.restart(&image.ok_or("no image")?, waits)?;
    pass_with(format!(
        "{rounds} rounds in {passed:.1?}, {longest:.1?} the longest: {turns}"
    ))
}
