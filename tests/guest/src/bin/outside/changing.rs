// SPDX-License-Identifier: GPL-2.0

//! A victim whose right to be saved comes and goes: it is asked for again when the victim
//! stands still.

use std::path::Path;

use ckpt_guest::caps;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::varies;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

use crate::kills::Body;
use crate::remaining::number;
use crate::rights::become_other;
use crate::rights::for_everybody;
use crate::rights::OTHER;

/// Becomes the other user, and keeps the right to change its ids: who has more rights than
/// the caller cannot be saved, so that both have this one, and the caller does not use it.
fn keep_setuid(effective: u64) -> Result<(), String> {
    sys::prctl(libc::PR_SET_KEEPCAPS, &[1]).map_err(|e| format!("prctl: {e}"))?;
    become_other();
    let done = caps::have_only(effective, caps::SETUID);
    done.map(|_| ()).map_err(|e| format!("capset: {e}"))
}

/// Is the caller's for a moment, and then somebody else's, in part or altogether.
fn changing(scene: &Scene) -> Result<(), String> {
    keep_setuid(caps::SETUID)?;
    let (own, third) = (OTHER as usize, OTHER as usize + 1);
    let mut rng = Rng::new(50);
    scene.announce();
    while !scene.finished() {
        for _ in 0..1000 {
            for ids in [[own, own, third], [third; 3], [own; 3]] {
                let done = sys::plain(libc::SYS_setresuid, &ids);
                done.map_err(|e| format!("setresuid: {e}"))?;
            }
            // After such a change it is not.
            sys::prctl(libc::PR_SET_DUMPABLE, &[1]).map_err(|e| format!("prctl: {e}"))?;
            (0..rng.below(400)).for_each(|_| std::hint::spin_loop());
        }
    }
    Ok(())
}

/// The ids of the task in an image are those of the other user.
fn only_others(image: &Path) -> Result<(), String> {
    let image = Image::parse(&std::fs::read(image).map_err(|e| e.to_string())?)?;
    let owner = number(&image, format::TASK, "objref").ok_or("no TASK")?;
    let mut creds = image.records.iter();
    // There are also those of who has opened the files.
    let creds = creds.find(|rec| rec.kind == format::CREDS && u64::from(rec.parent) == owner);
    let creds = creds.ok_or("no CREDS")?;
    for name in [
        "uid", "euid", "suid", "fsuid", "gid", "egid", "sgid", "fsgid",
    ] {
        let field = varies::field(format::CREDS, name).ok_or(name)?;
        match creds.get(field.at) {
            id if id == u64::from(OTHER) => {}
            id => return Err(format!("{name} {id} is in the image")),
        }
    }
    Ok(())
}

/// Each is an image of the caller's own, or refused before a byte is written; how many.
fn changing_saved(scene: &Scene, victim: &Victim<'_>) -> Result<[usize; 2], String> {
    keep_setuid(0)?;
    let [mut saved, mut refused] = [0; 2];
    for round in 0..50 {
        let at = |why: String| format!("round {round}: {why}");
        match victim.try_checkpoint("image", 0) {
            Ok(image) => {
                only_others(&image).map_err(at)?;
                let kept = std::fs::rename(&image, scene.dir.join("last.img"));
                kept.map_err(|e| at(e.to_string()))?;
                saved += 1;
            }
            Err((sys::Errno(libc::EPERM), said)) if said.contains("no right to the task") => {
                let len = std::fs::metadata(scene.dir.join("image.img")).map_or(0, |m| m.len());
                if len > 0 {
                    return Err(at(format!("refused after {len} bytes")));
                }
                refused += 1;
            }
            Err((errno, said)) => return Err(at(format!("{errno}: {said}"))),
        }
    }
    Ok([saved, refused])
}

/// The right that a task is held by may be gone when it stands still.
fn changing_ids() -> Case {
    let scene = Scene::new("changing-ids");
    for_everybody(&scene)?;
    let victim = scene.start(changing)?;
    scene.until_there()?;
    let told = scene.dir.join("told");
    let ended = sys::in_child(60, || {
        let done = changing_saved(&scene, &victim);
        let both = matches!(&done, Ok(counts) if !counts.contains(&0));
        let _ = std::fs::write(&told, format!("images and refusals: {done:?}"));
        i32::from(!both)
    });
    let said = std::fs::read_to_string(&told).unwrap_or_default();
    if ended != sys::Ended::Exit(0) {
        return Err(format!("{ended:?}: {said}"));
    }
    victim.unnoticed()?;
    victim.ends_well(0)?;
    scene.restart(&scene.dir.join("last.img"), 0)?;
    pass_with(said)
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[("changing-ids", changing_ids)];
