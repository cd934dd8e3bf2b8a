// SPDX-License-Identifier: GPL-2.0

//! Victims with threads and children, and what threads have in common.

use std::sync::mpsc;
use std::thread;

use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::family::act;
use crate::family::adopted_ends_well;
use crate::family::child;
use crate::family::ends_well;
use crate::family::parent;

/// A child of a child has two threads, and loses its parent in the end: each thread
/// knows who its parent is.
fn lose_parent(scene: &Scene) -> Result<(), String> {
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]).map_err(|e| format!("prctl: {e}"))?;
    let mut ends = [0i32; 2];
    let args = [ends.as_mut_ptr() as usize, 0];
    sys::plain(libc::SYS_pipe2, &args).map_err(|e| format!("pipe: {e}"))?;
    let [told, tell] = ends;
    let middle = child(|| {
        let mother = sys::getpid();
        child(|| {
            let (ask, asked) = mpsc::channel::<()>();
            let (answer, answered) = mpsc::channel();
            let other = thread::spawn(move || {
                while asked.recv().is_ok() {
                    let _ = answer.send(parent());
                }
            });
            let both = || {
                let _ = ask.send(());
                (parent(), answered.recv().unwrap_or(-1))
            };
            scene.announce();
            scene.wait();
            let before = both();
            if before != (mother, mother) {
                return Err(format!("parents {before:?}, not {mother}"));
            }
            sys::write(tell, b"x").map_err(|e| format!("write: {e}"))?;
            while parent() == mother {
                scene.pause(1);
            }
            let after = both();
            drop(ask);
            other.join().map_err(|_| "it panicked")?;
            if after.0 != after.1 {
                return Err(format!("the threads have the parents {after:?}"));
            }
            Ok(())
        })?;
        let mut byte = [0];
        sys::read(told, &mut byte).map_err(|e| format!("read: {e}"))?;
        Ok(())
    })?;
    ends_well(middle)?;
    adopted_ends_well()
}

/// Threads have one current directory and one mask for new files.
fn directory(scene: &Scene) -> Result<(), String> {
    let [first, second] = ["first", "second"].map(|name| scene.dir.join(name));
    for dir in [&first, &second] {
        let _ = std::fs::create_dir(dir);
    }
    let go = |dir: &std::path::Path| {
        std::env::set_current_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))
    };
    let is = |who: &str, dir: &std::path::Path| match std::env::current_dir() {
        Ok(now) if now == dir => Ok(()),
        now => Err(format!("{who} is in {now:?}, not in {}", dir.display())),
    };
    // SAFETY: no pointers.
    let mask = |new: u32| unsafe { libc::umask(new) };
    go(&first)?;
    mask(0o27);
    let (ask, asked) = mpsc::channel::<()>();
    let (answer, answered) = mpsc::channel();
    thread::scope(|scope| {
        let (first, second) = (&first, &second);
        let other = scope.spawn(move || {
            scene.announce();
            scene.wait();
            is("the thread", first)?;
            match mask(0o22) {
                0o27 => {}
                old => return Err(format!("the mask is {old:o}")),
            }
            go(second)?;
            let _ = answer.send(());
            let _ = asked.recv();
            is("the thread, later,", first)
        });
        scene.announce();
        scene.wait();
        if answered.recv().is_ok() {
            is("the process", second)?;
            match mask(0o22) {
                0o22 => {}
                old => return Err(format!("the mask of the process is {old:o}")),
            }
            go(first)?;
        }
        let _ = ask.send(());
        drop(ask);
        other.join().map_err(|_| "it panicked")?
    })
}

/// A signal that is ignored, but blocked and pending, for a thread that asks for it
/// later.
fn ignored(scene: &Scene) -> Result<(), String> {
    let mask = 1u64 << (libc::SIGWINCH - 1) | 1u64 << (libc::SIGURG - 1);
    let wait = || {
        let none = [0i64; 2];
        let args = [(&raw const mask) as usize, 0, (&raw const none) as usize, 8];
        sys::plain(libc::SYS_rt_sigtimedwait, &args)
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| {
            let args = [libc::SIG_BLOCK as usize, (&raw const mask) as usize, 0, 8];
            sys::plain(libc::SYS_rt_sigprocmask, &args).map_err(|e| format!("mask: {e}"))?;
            let me = sys::plain(libc::SYS_gettid, &[]).unwrap_or(0);
            for signal in [libc::SIGWINCH, libc::SIGURG] {
                sys::plain(libc::SYS_tkill, &[me, signal as usize])
                    .map_err(|e| format!("tkill: {e}"))?;
            }
            scene.announce();
            scene.wait();
            let got = [wait(), wait()];
            let want = [libc::SIGURG, libc::SIGWINCH].map(|s| Ok(s as usize));
            if got != want {
                return Err(format!("{got:?}, not {want:?}"));
            }
            Ok(())
        });
        scene.wait();
        other.join().map_err(|_| "it panicked")?
    })
}

/// Victims with both.
pub const ACTS: &[Act] = &[
    act("threads-lose-parent", lose_parent).there(),
    act("threads-directory", directory).all_there(2),
    act("threads-ignored-signal", ignored).there(),
];
