// SPDX-License-Identifier: GPL-2.0

//! Ids that nobody has any more but who has ended, and that are not free yet.
//!
//! A process keeps its id until it was waited for. A thread gives its id back only some way
//! behind the point at which its process has ended for everybody else. Whoever restarts an
//! image at once finds it taken.

use ckpt_guest::cases::pass;
use ckpt_guest::cases::Case;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

use crate::stress::Body;

/// Priority of whoever is faster, of SCHED_FIFO.
const FAST: i32 = 1;
/// The id of a child in the image.
const ID: i32 = 10;
/// Its file.
const IMAGE: &str = "image.img";
/// How often the id may be free at once: the host can stop any processor.
const TRIES: usize = 5;
const FREE: &str = "the id was free at once";

/// Has the calling thread run on the first processor alone, with this policy.
fn alone(policy: i32) -> Result<(), String> {
    let (mask, priority) = (1u64, i32::from(policy == libc::SCHED_FIFO) * FAST);
    let at = std::hint::black_box(&raw const mask) as usize;
    sys::plain(libc::SYS_sched_setaffinity, &[0, 8, at]).map_err(|e| format!("affinity: {e}"))?;
    let at = std::hint::black_box(&raw const priority) as usize;
    let args = [0, policy as usize, at];
    sys::plain(libc::SYS_sched_setscheduler, &args).map_err(|e| format!("policy: {e}"))?;
    Ok(())
}

/// Takes ids in turn until the next one is this.
fn skip_to(id: i32) -> Result<(), String> {
    loop {
        let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if pid == 0 {
            sys::exit(0);
        }
        sys::wait_for(pid, 10);
        if pid == id - 1 {
            return Ok(());
        }
        if pid >= id {
            return Err(format!("{pid} and not {id} is next"));
        }
    }
}

/// Has a child with this id.
fn victim(scene: &Scene) -> Result<(), String> {
    skip_to(ID)?;
    let child = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if child == 0 {
        scene.wait();
        sys::exit(0);
    }
    scene.announce();
    scene.wait();
    match sys::wait_for(child, 20) {
        Ended::Exit(0) if child == ID => Ok(()),
        other => Err(format!("{child}: {other:?}")),
    }
}

/// A process whose first thread is gone when its second one ends, which has this id.
fn holder() -> Result<(), String> {
    alone(libc::SCHED_OTHER)?;
    skip_to(ID)?;
    std::thread::spawn(|| {
        let leader_is_gone = || {
            let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
            stat.contains(") Z ")
        };
        while !leader_is_gone() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        let right = sys::plain(libc::SYS_gettid, &[]) == Ok(ID as usize);
        if right {
            // The thread alone: the process has the status of its first one.
            let _ = sys::plain(libc::SYS_exit, &[0]);
        }
        sys::exit(97)
    });
    let _ = sys::plain(libc::SYS_exit, &[0]);
    Err("there is no end".to_string())
}

/// Restarts the image as soon as the one that has the id has ended: its last thread does not
/// run again before the current one, which it wakes up, sleeps.
fn at_once(scene: &Scene) -> Result<(), String> {
    let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if pid == 0 {
        let done = holder();
        let _ = std::fs::write(scene.dir.join("holder"), format!("{done:?}"));
        sys::exit(96);
    }
    alone(libc::SCHED_FIFO)?;
    Victim::other(pid, scene).until_ended();
    match sys::wait_for(pid, 1) {
        Ended::Exit(0) => {
            match sys::fork_as(ID) {
                Ok(0) => sys::exit(0),
                Err(Errno(libc::EEXIST)) => {}
                Err(errno) => return Err(format!("fork as {ID}: {errno}")),
                Ok(_) => return Err(FREE.to_string()),
            }
            scene.restart(&scene.dir.join(IMAGE), 0)
        }
        other => {
            let why = std::fs::read_to_string(scene.dir.join("holder")).unwrap_or_default();
            Err(format!("the one that holds {ID}: {other:?}: {why}"))
        }
    }
}

/// Does this as the first process of a namespace, where nobody else takes ids.
fn in_namespace(scene: &Scene, body: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    let said = scene.dir.join("said");
    let first = || {
        let done = body();
        let _ = std::fs::write(&said, format!("{done:?}"));
        i32::from(done.is_err())
    };
    let ended = sys::in_child(90, || {
        match sys::plain(libc::SYS_unshare, &[libc::CLONE_NEWPID as usize]) {
            Ok(_) => i32::from(sys::in_child(60, first) != Ended::Exit(0)),
            Err(_) => 98,
        }
    });
    if ended == Ended::Exit(0) {
        return Ok(());
    }
    let said = std::fs::read_to_string(&said).unwrap_or_default();
    Err(format!("{ended:?}: {said}"))
}

/// Restarts the image while the last one that had the id has ended, and is waited for a bit
/// later, or last, when the restart is over.
fn of_a_zombie(scene: &Scene, last: bool) -> Result<(), String> {
    let fork = |pid| sys::fork_as(pid).map_err(|e| format!("fork as {pid}: {e}"));
    let zombie = fork(ID)?;
    if zombie == 0 {
        sys::exit(0);
    }
    Victim::other(zombie, scene).until_ended();
    let said = scene.dir.join("restarter");
    // Not one of the image's ids.
    let restarter = fork(2 * ID)?;
    if restarter == 0 {
        let done = scene.restart(&scene.dir.join(IMAGE), 0);
        let _ = std::fs::write(&said, format!("{done:?}"));
        sys::exit(i32::from(done.is_err()));
    }
    let wait = || sys::wait_for(zombie, 10);
    if !last {
        scene.pause(300);
        wait();
    }
    let ended = sys::wait_for(restarter, 60);
    if last {
        wait();
    }
    match ended {
        Ended::Exit(0) => Ok(()),
        other => {
            let said = std::fs::read_to_string(&said).unwrap_or_default();
            Err(format!("{other:?}: {said}"))
        }
    }
}

/// The image of a process with a child of this id.
fn image(name: &str) -> Result<Scene, String> {
    let scene = Scene::new(name);
    in_namespace(&scene, || {
        let victim = scene.start(victim)?;
        scene.until_there()?;
        victim.checkpoint(IMAGE.trim_end_matches(".img"), 0)?;
        victim.ends_well(0)
    })?;
    Ok(scene)
}

fn held() -> Case {
    let scene = image("ids-held")?;
    // Each with ids that begin anew.
    for _ in 0..TRIES {
        match in_namespace(&scene, || at_once(&scene)) {
            Err(why) if why.contains(FREE) => {}
            done => return done.and_then(|()| pass()),
        }
    }
    Err(format!("{FREE}, {TRIES} times"))
}

/// It is waited for whoever is about to be waited for, but not for ever.
fn zombie() -> Case {
    let scene = image("ids-of-zombies")?;
    in_namespace(&scene, || of_a_zombie(&scene, false))?;
    match in_namespace(&scene, || of_a_zombie(&scene, true)) {
        Err(why) if why.contains("10: a process id of the image is taken") => pass(),
        other => Err(format!("for ever: {other:?}")),
    }
}

pub const CASES: &[(&str, Body)] = &[("ids-held", held), ("ids-of-zombies", zombie)];
