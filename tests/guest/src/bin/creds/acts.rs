// SPDX-License-Identifier: GPL-2.0

//! Processes and threads of several users, who verify that they are who they were.

use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;

use crate::openers::openers;
use crate::rights::become_odd;
use crate::rights::become_user;
use crate::rights::prctl;
use crate::rights::same;
use crate::rights::set_caps;
use crate::rights::who;
use crate::rights::BIND;
use crate::rights::SETPCAP;

pub fn finish(pids: &[i32]) -> Result<(), String> {
    for pid in pids {
        match sys::wait_for(*pid, 60) {
            Ended::Exit(0) => {}
            other => return Err(format!("child {pid} ended with {other:?}")),
        }
    }
    Ok(())
}

fn child(scene: &Scene, name: &str, arrange: impl FnOnce()) -> Result<i32, String> {
    let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if pid != 0 {
        return Ok(pid);
    }
    arrange();
    let before = who();
    scene.announce();
    scene.wait();
    let done = same(name, &before);
    if let Err(why) = &done {
        println!("{why}");
    }
    sys::exit(i32::from(done.is_err()))
}

/// Root, and children that are less.
fn daemon(scene: &Scene) -> Result<(), String> {
    let before = who();
    let pids = [
        child(scene, "user", || become_user(1000))?,
        child(scene, "dumpable", || {
            become_user(65534);
            prctl(libc::PR_SET_DUMPABLE, &[1]);
            prctl(libc::PR_SET_PDEATHSIG, &[12]);
        })?,
        child(scene, "odd", become_odd)?,
        child(scene, "capable", || set_caps(0, BIND | SETPCAP, 0))?,
    ];
    scene.announce();
    scene.wait();
    finish(&pids)?;
    same("root", &before)
}

/// The first process has fewer rights than its child.
fn upside_down(scene: &Scene) -> Result<(), String> {
    let pid = child(scene, "root", || ())?;
    become_odd();
    let before = who();
    scene.announce();
    scene.wait();
    finish(&[pid])?;
    same("odd", &before)
}

/// Threads of different users.
fn threads(scene: &Scene) -> Result<(), String> {
    let before = who();
    let arrange: [fn(); 4] = [
        || become_user(1000),
        become_odd,
        || (),
        || set_caps(0, BIND, BIND),
    ];
    let there = std::sync::Barrier::new(arrange.len() + 1);
    std::thread::scope(|scope| {
        let others = arrange.map(|arrange| {
            let there = &there;
            scope.spawn(move || {
                arrange();
                prctl(libc::PR_SET_PDEATHSIG, &[10]);
                there.wait();
                let before = who();
                scene.announce();
                scene.wait();
                same("thread", &before)
            })
        });
        there.wait();
        let undumpable = who();
        scene.announce();
        scene.wait();
        for other in others {
            other.join().map_err(|_| "it panicked".to_string())??;
        }
        if before == undumpable {
            return Err("a change of ids has left the process dumpable".to_string());
        }
        same("first", &undumpable)
    })
}

const fn act(name: &'static str, play: fn(&Scene) -> Result<(), String>) -> Act {
    Act {
        name,
        play,
        waits: 100,
        there: 0,
    }
}

/// Victims; all of their tasks have arranged what they are before an image is taken.
pub const ACTS: &[Act] = &[
    act("openers", openers).all_there(4),
    act("daemon", daemon).all_there(5),
    act("upside-down", upside_down).all_there(2),
    act("threads", threads).all_there(5),
];
