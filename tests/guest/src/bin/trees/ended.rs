// SPDX-License-Identifier: GPL-2.0

//! The ids of processes that have ended, which a program remembers.

use std::path::Path;

use ckpt_guest::caps;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::life;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::varies;
use ckpt_guest::victim::Scene;

use crate::stress::Body;

/// Children that have ended before the image.
const GONE: usize = 100;
const NEW_PIDS: usize = 2;
/// One more than the highest id that there can be.
const LIMIT: i32 = 1 << 22;
/// New ids begin here when all have been given out once.
const ANEW: i32 = 300;

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

/// How an image is restarted in a new namespace.
#[derive(Clone, Copy, Debug, Default)]
struct How {
    flags: usize,
    /// Capabilities that the caller has given up.
    gone: u64,
    /// Children that have ended there before.
    before: usize,
}

/// Restarts the image in a new namespace; the id that the victim's next child gets.
fn next(scene: &Scene, image: &Path, how: How) -> Result<i32, String> {
    let next = scene.dir.join("next");
    let _ = std::fs::remove_file(&next);
    let restarted = || {
        let image = sys::open(&life::c_path(image), libc::O_RDONLY, 0);
        if let (Ok(image), Ok(_)) = (image, caps::give_up(how.gone)) {
            sys::restart(0, image, how.flags, -1);
        }
        99
    };
    let first = || {
        let there = (0..how.before).all(|_| child().is_ok());
        i32::from(!there || sys::in_child(20, restarted) != Ended::Exit(0))
    };
    let ended = sys::in_child(20, || {
        match sys::plain(libc::SYS_unshare, &[libc::CLONE_NEWPID as usize]) {
            Ok(_) => i32::from(sys::in_child(20, first) != Ended::Exit(0)),
            Err(_) => 98,
        }
    });
    match ended {
        Ended::Exit(0) => number(&next),
        other => Err(format!("{how:?}: {other:?}")),
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
        let next = next(
            &scene,
            &image,
            How {
                gone,
                ..How::default()
            },
        )?;
        // The ids in between are of those who were started behind the image.
        if next <= last + 1000 {
            return Err(format!(
                "without {gone:#x}, {next} is not far behind {last}"
            ));
        }
    }
    let both = caps::SYS_ADMIN | caps::CHECKPOINT_RESTORE;
    for (flags, gone) in [(NEW_PIDS, 0), (0, both)] {
        let how = How {
            flags,
            gone,
            before: 0,
        };
        let next = next(&scene, &image, how)?;
        if next > 10 {
            return Err(format!("{how:?}: {next}"));
        }
    }
    pass_with(format!("behind {last}"))
}

/// The image says that this id was the last one.
fn claim(image: &Path, last: i32) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    let mut parsed = Image::parse(&std::fs::read(image).map_err(text)?)?;
    let field = varies::field(format::HEAD, "last_pid").ok_or("no last_pid")?;
    let head = parsed.records.first_mut().ok_or("no header")?;
    head.set(field.at, last as u64);
    std::fs::write(image, parsed.to_bytes()).map_err(text)
}

/// Where ids go on behind one that is not known, that has been passed already, or that
/// leaves no others.
fn ends() -> Case {
    let scene = Scene::new("ids-at-ends");
    let victim = scene.start(victim)?;
    scene.until_there()?;
    let image = victim.checkpoint("ids-at-ends", 0)?;
    victim.ends_well(0)?;
    let room = LIMIT / 16;
    for (last, before, next_ids) in [
        (0, 0, 2..=10),
        (50, 0, 51 + room..=60 + room),
        (50, 100, 101..=110),
        // Where there is no room, right behind it.
        (LIMIT - 20, 0, LIMIT - 19..=LIMIT - 10),
        // It was the highest of all.
        (LIMIT - 1, 0, ANEW..=ANEW + 10),
    ] {
        claim(&image, last)?;
        let how = How {
            before,
            ..How::default()
        };
        let next = next(&scene, &image, how)?;
        if !next_ids.contains(&next) {
            return Err(format!("behind {last}, {how:?}: {next}, not {next_ids:?}"));
        }
    }
    pass_with("5 ids")
}

pub const CASES: &[(&str, Body)] = &[("ids-of-ended", ids), ("ids-at-ends", ends)];
