// SPDX-License-Identifier: GPL-2.0

//! Processes that fork all the time, caught while they do.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;

use crate::family::child;
use crate::family::ends_well;
use crate::stress::all_there;
use crate::stress::tasks_of;

/// Processes that fork.
const PARENTS: u64 = 8;
/// Images of the storm.
const IMAGES: u64 = 4;

/// Children of each of them.
fn children() -> u64 {
    if pace::thinning() > 1 {
        60
    } else {
        160
    }
}

/// A counter that all processes have in common.
pub fn counter() -> Result<&'static AtomicU64, String> {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    let spec = Spec {
        flags,
        ..Spec::default()
    };
    let map = Map::new(spec).map_err(|e| format!("mmap: {e}"))?;
    // SAFETY: the mapping is zeros, stays for good, and is used for this alone.
    Ok(unsafe { &*(map.addr as *const AtomicU64) })
}

/// Two children at a time, until all have been there. Each counts once, and ends with a
/// status of its own.
fn parent(scene: &Scene, lived: &AtomicU64) -> Result<(), String> {
    scene.announce();
    while !scene.dir.join("go").exists() {
        scene.pause(2);
    }
    for first in (0..children()).step_by(2) {
        let statuses = [first, first + 1].map(|nr| nr as i32 % 100);
        let pair = statuses.map(|status| {
            let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
            if pid == 0 {
                scene.pause(status as u64 % 4);
                lived.fetch_add(1, Ordering::Relaxed);
                sys::exit(status);
            }
            Ok::<i32, String>(pid)
        });
        for (pid, status) in pair.into_iter().zip(statuses) {
            match sys::wait_for(pid?, 60) {
                Ended::Exit(got) if got == status => {}
                other => return Err(format!("child {first}: {other:?}, not {status}")),
            }
        }
    }
    Ok(())
}

/// It ends by itself, and leaves the number of those that lived.
fn storm(scene: &Scene) -> Result<(), String> {
    let lived = counter()?;
    let parents = (0..PARENTS).map(|_| child(|| parent(scene, lived)));
    let parents = parents.collect::<Result<Vec<_>, _>>()?;
    parents.into_iter().try_for_each(ends_well)?;
    let lived = lived.load(Ordering::Relaxed).to_string();
    std::fs::write(scene.dir.join("lived"), lived).map_err(|e| e.to_string())
}

/// All have lived, and none twice.
fn all_lived(scene: &Scene) -> Result<(), String> {
    let path = scene.dir.join("lived");
    let lived = std::fs::read_to_string(&path).unwrap_or_default();
    let _ = std::fs::remove_file(&path);
    let want = (PARENTS * children()).to_string();
    if lived != want {
        return Err(format!("{lived} children, not {want}"));
    }
    Ok(())
}

/// A storm of forks, of a fixed size: some images have children in them, and whichever
/// is restarted, the storm ends with as many children as it was to have.
pub fn caught() -> Case {
    let scene = Scene::new("tree-fork-storm");
    let victim = scene.start(storm)?;
    all_there(&scene, PARENTS)?;
    let before = tasks_of(&victim.checkpoint("before", 0)?)?;
    if before as u64 != PARENTS + 1 {
        return Err(format!("{before} tasks before the storm"));
    }
    let _ = std::fs::write(scene.dir.join("go"), "");
    let mut rng = Rng::new(23);
    let mut images = Vec::new();
    let mut sizes = Vec::new();
    for nr in 0..IMAGES {
        scene.pause(rng.below(200) * pace::factor());
        match victim.checkpoint(&format!("storm.{nr}"), 0) {
            Ok(image) => images.push(image),
            // It was over before.
            Err(_) if nr > 0 && victim.has_ended() => break,
            Err(why) => return Err(why),
        }
        victim.unnoticed()?;
    }
    victim.ends_well(100_000)?;
    all_lived(&scene)?;
    for image in &images {
        sizes.push(tasks_of(image)?);
        scene.restart(image, 100_000)?;
        all_lived(&scene).map_err(|why| format!("restarted: {why}"))?;
    }
    // Children: the storm had begun, and was not over.
    if !sizes.iter().any(|size| *size > before) {
        return Err(format!("none was caught: {sizes:?} tasks"));
    }
    pass_with(format!(
        "{} children; images of {sizes:?} tasks",
        PARENTS * children()
    ))
}
