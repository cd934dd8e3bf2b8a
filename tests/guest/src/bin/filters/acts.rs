// SPDX-License-Identifier: GPL-2.0

//! Threads and processes with filters, which verify what these do to their calls.

use std::sync::mpsc;
use std::thread;

use ckpt_guest::act::Act;
use ckpt_guest::bpf;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;
use ckpt_guest::victim::Scene;

use crate::add;
use crate::no_new_privs;
use crate::sees;
use crate::GROUP;
use crate::PARENT;
use crate::USER;

/// A child that may read, write and end, and nothing else.
fn strict(scene: &Scene) -> Result<(), String> {
    let text = |e: Errno| e.to_string();
    let (ask, answer) = (sys::pipe(0).map_err(text)?, sys::pipe(0).map_err(text)?);
    let pid = sys::fork().map_err(text)?;
    if pid == 0 {
        let _ = sys::prctl(libc::PR_SET_SECCOMP, &[1, 0, 0, 0]);
        let mut byte = [0u8];
        loop {
            let _ = sys::read(ask[0], &mut byte);
            if byte == [0] {
                sys::getpid();
            }
            byte[0] += 1;
            let _ = sys::write(answer[1], &byte);
        }
    }
    let say = |byte: u8| sys::write(ask[1], &[byte]).map_err(text);
    let mut byte = [0u8];
    say(7)?;
    sys::read(answer[0], &mut byte).map_err(text)?;
    scene.announce();
    scene.wait();
    say(41)?;
    sys::read(answer[0], &mut byte).map_err(text)?;
    if byte != [42] {
        return Err(format!("the child says {byte:?}"));
    }
    say(0)?;
    match sys::wait_for(pid, 20) {
        Ended::Signal(libc::SIGKILL) => Ok(()),
        other => Err(format!("the child ended with {other:?}")),
    }
}

/// Processes that have filters in common, and others.
fn family(scene: &Scene) -> Result<(), String> {
    no_new_privs();
    add(PARENT, 42, 0)?;
    let child = |errno: i32, wanted: [i32; 3]| {
        let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if pid != 0 {
            return Ok(pid);
        }
        let added = if errno == 0 {
            Ok(0)
        } else {
            add(GROUP, errno, bpf::LOG)
        };
        scene.announce();
        scene.wait();
        let done = added.and_then(|_| sees("child", wanted));
        if let Err(why) = &done {
            println!("{why}");
        }
        sys::exit(i32::from(done.is_err()))
    };
    let pids: [Result<i32, String>; 3] = [
        child(0, [42, 0, 0]),
        child(43, [42, 43, 0]),
        child(44, [42, 44, 0]),
    ];
    add(USER, 45, 0)?;
    scene.announce();
    scene.wait();
    for pid in pids {
        match sys::wait_for(pid?, 20) {
            Ended::Exit(0) => {}
            other => return Err(format!("a child ended with {other:?}")),
        }
    }
    sees("parent", [42, 0, 45])
}

/// Threads that have filters in common, which can be told after a restart: one that all
/// are to get is refused as long as one of them has another one.
fn threads(scene: &Scene) -> Result<(), String> {
    no_new_privs();
    let (tell, told) = mpsc::channel();
    let plain = thread::spawn(move || {
        let _ = told.recv();
        sees("without", [0, 0, 45])
    });
    add(PARENT, 42, 0)?;
    let (report, reports) = mpsc::channel();
    let mut others = Vec::new();
    for own in [true, false] {
        let (tell, told) = mpsc::channel::<()>();
        let report = report.clone();
        let other = thread::spawn(move || {
            if own {
                add(GROUP, 43, 0)?;
            }
            let group = if own { 43 } else { 0 };
            let tid = sys::plain(libc::SYS_gettid, &[]).unwrap_or(0);
            let _ = report.send(tid);
            let _ = told.recv();
            sees("before", [42, group, 0])?;
            let _ = report.send(tid);
            let _ = told.recv();
            sees("behind", [42, group, if own { 0 } else { 45 }])
        });
        let tid = reports.recv().unwrap_or(0);
        others.push((tell, other, tid));
    }
    scene.announce();
    scene.wait();
    for (tell, _, tid) in &others {
        let _ = tell.send(());
        if reports.recv() != Ok(*tid) {
            return Err("a thread has ended".to_string());
        }
    }
    let join = |other: thread::JoinHandle<Result<(), String>>| {
        other.join().map_err(|_| "it panicked".to_string())?
    };
    let (tell_own, own, own_tid) = others.remove(0);
    let refused = add(USER, 45, bpf::TSYNC)?;
    if refused != own_tid {
        return Err(format!("TSYNC: {refused}, not {own_tid}"));
    }
    let _ = tell_own.send(());
    join(own)?;
    let synced = add(USER, 45, bpf::TSYNC)?;
    if synced != 0 {
        return Err(format!("TSYNC: {synced}"));
    }
    let (tell_other, other, _) = others.remove(0);
    let _ = (tell_other.send(()), tell.send(()));
    join(other)?;
    // That one has got all that the first one has.
    let plain = join(plain);
    match plain {
        Err(why) if why.contains("[42, 0, 45]") => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

const fn act(name: &'static str, play: fn(&Scene) -> Result<(), String>) -> Act {
    Act {
        name,
        play,
        waits: 100,
        there: 0,
    }
}

/// Victims; all of their filters are there before an image is taken.
pub const ACTS: &[Act] = &[
    act("strict", strict).there(),
    act("family", family).all_there(4),
    act("threads", threads).there(),
];
