// SPDX-License-Identifier: GPL-2.0

//! An id of the tree is taken: it is named, and nobody is left.

use std::path::Path;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;

use crate::census::described;
use crate::census::newcomers;
use crate::census::numbers;
use crate::census::processes;
use crate::stress::complete;
use crate::stress::small;
use crate::stress::Body;

/// How [`small_anywhere`] ends under another id: a restart that is refused ends with an
/// errno, and a tree that is not whole with 1.
const ELSEWHERE: i32 = 222;

/// Such a tree, which may get new ids.
fn small_anywhere(scene: &Scene) -> Result<(), String> {
    let before = sys::getpid();
    let done = small(scene);
    if sys::getpid() == before {
        return done;
    }
    // Its children are there under other ids than it remembers.
    const ZOMBIE: i32 = 3 << 8;
    let mut ended = Vec::new();
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    while unsafe { libc::waitpid(-1, &mut status, 0) } > 0 {
        ended.push(status);
    }
    ended.sort_unstable();
    match (&done, ended.as_slice()) {
        (Err(_), [0, 0, 0, ZOMBIE]) => sys::exit(ELSEWHERE),
        _ => Err(format!("under another id: {done:?}, {ended:?}")),
    }
}

/// How a restart ends, in a child; what it says goes to the log.
fn restart(image: &Path, log: &Path, options: usize) -> Ended {
    sys::in_child(20, || {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let fd = sys::open(&life::c_path(image), libc::O_RDONLY, 0).unwrap_or(-1);
        let log = sys::open(&life::c_path(log), flags, 0o644).unwrap_or(-1);
        sys::restart(0, fd, sys::LOG | options, log).0
    })
}

/// Process ids, by those who are saved.
fn taken_pid() -> Case {
    let scene = Scene::new("tree-taken-pid");
    let before = processes();
    let victim = complete(&scene, small_anywhere)?;
    let image = victim.checkpoint("image", 0)?;
    let log = scene.dir.join("log");
    // The victim lives on: all its ids are taken.
    let ended = restart(&image, &log, 0);
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    // A child of the victim: the victim itself is who restarts.
    let children = newcomers(&before);
    let named = said.split(|c: char| !c.is_ascii_digit());
    let named = named.filter_map(|digits| digits.parse().ok());
    let is_named = named
        .into_iter()
        .any(|pid: i32| pid != victim.pid && children.contains(&pid));
    if ended != Ended::Exit(libc::EEXIST) || !said.contains("is taken") || !is_named {
        return Err(format!("{ended:?}: of {children:?}: {said}"));
    }
    // Any ids will do: beside the victim, which goes on.
    scene.finish();
    const NEW_PIDS: usize = 2;
    let ended = restart(&image, &log, NEW_PIDS);
    victim.ends_well(900)?;
    if ended != Ended::Exit(ELSEWHERE) {
        let said = std::fs::read_to_string(&log).unwrap_or_default();
        return Err(format!("with new ids: {ended:?}: {said}; {}", scene.said()));
    }
    pass_with(said.trim())
}

/// Somebody else has got this id of a tree that has ended.
fn taken(name: &'static str, id: fn(i32) -> Option<i32>) -> Case {
    let scene = Scene::new(name);
    let victim = complete(&scene, small)?;
    let image = victim.checkpoint("image", 0)?;
    let id = id(victim.pid).ok_or("there is no such id")?;
    victim.ends_well(900)?;
    let other = sys::fork_as_soon(id).map_err(|e| format!("{id}: {e}"))?;
    if other == 0 {
        loop {
            scene.pause(1000);
        }
    }
    let before = processes();
    let log = scene.dir.join("log");
    let ended = restart(&image, &log, 0);
    let left = newcomers(&before);
    let _ = sys::plain(libc::SYS_kill, &[other as usize, libc::SIGKILL as usize]);
    sys::wait_for(other, 10);
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    let mut named = said.split(|c: char| !c.is_ascii_digit());
    let is_named = named.any(|digits| digits.parse() == Ok(id));
    if ended != Ended::Exit(libc::EEXIST) || !said.contains("is taken") || !is_named {
        return Err(format!("{id}: {ended:?}: {said}"));
    }
    if !left.is_empty() {
        return Err(format!("still there: {}", described(&left)));
    }
    scene.restart(&image, 900)?;
    pass_with(said.trim())
}

/// One of its threads.
fn thread_of(pid: i32) -> Option<i32> {
    numbers(&format!("/proc/{pid}/task")).find(|tid| *tid != pid)
}

/// The group of one of its children, if nobody has the id of that.
fn group_of(pid: i32) -> Option<i32> {
    let mut groups = numbers("/proc").filter_map(|child| {
        let stat = std::fs::read_to_string(format!("/proc/{child}/stat")).ok()?;
        // Behind the name: state, parent, group.
        let mut behind = stat.rsplit_once(") ")?.1.split(' ').skip(1);
        let parent: i32 = behind.next()?.parse().ok()?;
        let group = behind.next()?.parse().ok()?;
        (parent == pid).then_some(group)
    });
    groups.find(|group| !processes().contains(group))
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("taken-pid", taken_pid),
    ("taken-thread", || taken("tree-taken-thread", thread_of)),
    ("taken-group", || taken("tree-taken-group", group_of)),
];
