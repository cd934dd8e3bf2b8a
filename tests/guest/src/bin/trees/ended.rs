// SPDX-License-Identifier: GPL-2.0

//! The ids of processes that have ended, which a program remembers.

use std::path::Path;

use ckpt_guest::caps;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;

use crate::stress::Body;

/// Children that have ended before the image.
const GONE: usize = 100;
const NEW_PIDS: usize = 2;

fn number(path: &Path) -> Result<i32, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    text.trim().parse().map_err(|e| format!("{text}: {e}"))
}

/// A child that ends at once; its id.
fn child() -> Result<i32, String> {
    let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if pid == 0 {
        sys::exit(0);
    }
    match sys::wait_for(pid, 20) {
        Ended::Exit(0) => Ok(pid),
        other => Err(format!("child {pid}: {other:?}")),
    }
}

/// Writes the id of its last child, and at its end that of one more.
fn victim(scene: &Scene) -> Result<(), String> {
    let write = |name: &str, pid: i32| {
        std::fs::write(scene.dir.join(name), pid.to_string()).map_err(|e| format!("{name}: {e}"))
    };
    // Whoever has not got this may restart it.
    caps::give_up(caps::SYS_ADMIN | caps::CHECKPOINT_RESTORE)
        .map_err(|e| format!("capset: {e}"))?;
    for _ in 0..GONE {
        write("last", child()?)?;
    }
    scene.announce();
    scene.wait();
    write("next", child()?)
}

/// Restarts the image in a new namespace; the id that the victim's next child gets.
fn next(scene: &Scene, image: &Path, flags: usize, gone: u64) -> Result<i32, String> {
    let next = scene.dir.join("next");
    let _ = std::fs::remove_file(&next);
    let restarted = || {
        let image = sys::open(&life::c_path(image), libc::O_RDONLY, 0);
        if let (Ok(image), Ok(_)) = (image, caps::give_up(gone)) {
            sys::restart(0, image, flags, -1);
        }
        99
    };
    let first = || i32::from(sys::in_child(20, restarted) != Ended::Exit(0));
    let ended = sys::in_child(20, || {
        match sys::plain(libc::SYS_unshare, &[libc::CLONE_NEWPID as usize]) {
            Ok(_) => i32::from(sys::in_child(20, first) != Ended::Exit(0)),
            Err(_) => 98,
        }
    });
    match ended {
        Ended::Exit(0) => number(&next),
        other => Err(format!("flags {flags}, without {gone:#x}: {other:?}")),
    }
}

/// Nobody gets them before all others have been given out, where low ids come first as
/// after a reboot. Who may not choose ids cannot have any skipped, and whoever takes new ones
/// goes on with what is there.
fn ids() -> Case {
    let scene = Scene::new("ids-of-ended");
    let victim = scene.start(victim)?;
    scene.until_there()?;
    let image = victim.checkpoint("ids-of-ended", 0)?;
    victim.ends_well(0)?;
    let last = number(&scene.dir.join("last"))?;
    for gone in [0, caps::SYS_ADMIN, caps::CHECKPOINT_RESTORE] {
        let next = next(&scene, &image, 0, gone)?;
        // The ids in between are of those who were started behind the image.
        if next <= last + 1000 {
            return Err(format!(
                "without {gone:#x}, {next} is not far behind {last}"
            ));
        }
    }
    let both = caps::SYS_ADMIN | caps::CHECKPOINT_RESTORE;
    for (flags, gone) in [(NEW_PIDS, 0), (0, both)] {
        let next = next(&scene, &image, flags, gone)?;
        if next > 10 {
            return Err(format!("flags {flags}, without {gone:#x}: {next}"));
        }
    }
    pass_with(format!("behind {last}"))
}

pub const CASES: &[(&str, Body)] = &[("ids-of-ended", ids)];
