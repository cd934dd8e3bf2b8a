// SPDX-License-Identifier: GPL-2.0

//! Threads and processes with filters of system calls, and callers that have some.

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;

use ckpt_guest::act::play;
use ckpt_guest::act::seed;
use ckpt_guest::act::Act;
use ckpt_guest::bpf;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;
use ckpt_guest::varies;
use ckpt_guest::victim::Scene;

const PARENT: libc::c_long = libc::SYS_getppid;
const GROUP: libc::c_long = libc::SYS_getpgrp;
const USER: libc::c_long = libc::SYS_getuid;

fn add(nr: libc::c_long, errno: i32, flags: usize) -> Result<usize, String> {
    bpf::install(&bpf::failing(&[(nr, errno)]), flags).map_err(|e| format!("seccomp: {e}"))
}

/// The errnos of three calls, or 0.
fn seen() -> [i32; 3] {
    [PARENT, GROUP, USER].map(|nr| sys::plain(nr, &[]).err().map_or(0, |errno| errno.0))
}

fn sees(who: &str, wanted: [i32; 3]) -> Result<(), String> {
    let seen = seen();
    if seen == wanted {
        return Ok(());
    }
    Err(format!("{who}: {seen:?}, not {wanted:?}"))
}

/// How many filters the caller has.
fn count() -> usize {
    let text = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Seccomp_filters:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(99)
}

fn no_new_privs() {
    let _ = sys::prctl(libc::PR_SET_NO_NEW_PRIVS, &[1, 0, 0, 0]);
}

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

const ACTS: &[Act] = &[
    Act {
        name: "strict",
        play: strict,
        waits: 100,
    },
    Act {
        name: "family",
        play: family,
        waits: 100,
    },
    Act {
        name: "threads",
        play: threads,
        waits: 100,
    },
];

/// An image with two filters, and what its program must see.
fn make(desk: &Desk, wanted: [i32; 3], filters: usize) -> Result<(), String> {
    let arrange = || {
        let _ = (add(PARENT, 42, 0), add(USER, 45, bpf::LOG));
    };
    desk.make_with(arrange, || {
        let good = sees("restarted", wanted).and_then(|()| match count() {
            count if count == filters => Ok(()),
            count => Err(format!("{count} filters, not {filters}")),
        });
        if let Err(why) = &good {
            println!("{why}");
        }
        good.is_ok()
    })
}

/// The caller's filter stays.
fn caller_with_another() -> Case {
    let desk = Desk::open("filters-caller");
    make(&desk, [42, 43, 45], 3)?;
    add(GROUP, 43, 0)?;
    desk.restarts()?;
    pass_with("3 filters")
}

/// A caller that has what the image began with.
fn caller_with_the_same() -> Case {
    let desk = Desk::open("filters-same");
    add(GROUP, 43, 0)?;
    make(&desk, [42, 43, 45], 3)?;
    desk.restarts()?;
    pass_with("3 filters")
}

/// A caller that has it and one more, and one that has all of it.
fn caller_with_more() -> Case {
    let (desk, second) = (Desk::open("filters-more"), Desk::open("filters-all"));
    add(GROUP, 43, 0)?;
    // The last one that has something to say.
    make(&desk, [42, 46, 45], 4)?;
    add(GROUP, 46, 0)?;
    desk.restarts()?;
    make(&second, [42, 46, 45], 4)?;
    let _ = (add(PARENT, 42, 0)?, add(USER, 45, bpf::LOG)?);
    second.restarts()?;
    pass_with("4 filters, each time")
}

/// What is in the image of a restarted program.
fn again() -> Case {
    let (desk, second) = (Desk::open("filters-again"), Desk::open("filters-second"));
    let arrange = || {
        let _ = (add(PARENT, 42, 0), add(USER, 45, bpf::LOG));
        let _ = bpf::install(&bpf::longest(), 0);
    };
    desk.make_with(arrange, || matches!(second.checkpoint(), Ok(id) if id > 0))?;
    desk.restarts()?;
    let filters = |desk: &Desk| -> Result<Vec<(i16, Vec<u8>)>, String> {
        let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
        let records = Image::parse(&bytes)?.records;
        Ok(records
            .into_iter()
            .filter_map(|rec| {
                let skip = match rec.kind {
                    // Without the references.
                    format::SECCOMP_FILTER => 8,
                    format::SECCOMP_CODE => 0,
                    _ => return None,
                };
                Some((rec.kind, rec.payload[skip..].to_vec()))
            })
            .collect())
    };
    let (before, now) = (filters(&desk)?, filters(&second)?);
    if before.len() != 7 || before != now {
        return Err(format!("{} records became {}", before.len(), now.len()));
    }
    pass_with("7 records")
}

/// An image in which a field of a record has another value.
fn edit(desk: &Desk, kind: i16, at: std::ops::Range<usize>, value: u64) -> Result<(), String> {
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let mut image = Image::parse(&bytes)?;
    let record = image.find(kind).ok_or("no such record")?;
    image.records[record].set(at, value);
    std::fs::write(&desk.path, image.to_bytes()).map_err(|e| e.to_string())
}

fn refused(desk: &Desk, errno: i32, word: &str) -> Case {
    let before = (seen(), count());
    let (got, said) = desk.refuses()?;
    if got.0 != errno || !said.contains(word) {
        return Err(format!("{got}: {said}"));
    }
    if before != (seen(), count()) {
        return Err("the caller has other filters than before".to_string());
    }
    pass_with(said)
}

/// An image in strict mode, for a caller with filters and one without.
fn strict_image() -> Case {
    let desk = Desk::open("filters-strict");
    desk.make(|| ())?;
    let mode = varies::field(format::CREDS, "seccomp").ok_or("no such field")?;
    edit(&desk, format::CREDS, mode.at, 1)?;
    let ended = sys::in_child(30, || {
        desk.restart();
        1
    });
    // It ends by exit_group().
    if ended != Ended::Signal(libc::SIGKILL) {
        return Err(format!("no strict mode: {ended:?}"));
    }
    add(GROUP, 43, 0)?;
    refused(&desk, libc::EPERM, "strict mode")
}

/// Without no_new_privs a filter needs a right.
fn no_right() -> Case {
    let desk = Desk::open("filters-right");
    make(&desk, [42, 0, 45], 2)?;
    let lose = || {
        let mut header = [0x2008_0522u32, 0];
        let mut data = [0u32; 6];
        let args = [
            header.as_mut_ptr() as usize,
            data.as_mut_ptr() as usize,
            0,
            0,
            0,
            0,
        ];
        // SAFETY: the kernel reads and writes two structures of three numbers.
        let done = unsafe {
            sys::raw(libc::SYS_capget as usize, args).and_then(|_| {
                // CAP_SYS_ADMIN
                data[0] &= !(1 << 21);
                sys::raw(libc::SYS_capset as usize, args)
            })
        };
        done.map_err(|e| e.to_string())
    };
    lose()?;
    refused(&desk, libc::EACCES, "no_new_privs")?;
    no_new_privs();
    desk.restarts()?;
    pass_with("with no_new_privs")
}

/// A program that no filter may be.
fn bad_program() -> Case {
    let desk = Desk::open("filters-bad");
    make(&desk, [42, 0, 45], 2)?;
    for code in [0xffff, 0x28, 0x30] {
        edit(&desk, format::SECCOMP_CODE, 0..2, code)?;
        refused(&desk, libc::EINVAL, "cannot be made")?;
    }
    edit(&desk, format::SECCOMP_CODE, 0..2, 0x20)?;
    // Behind the data.
    edit(&desk, format::SECCOMP_CODE, 4..8, 64)?;
    refused(&desk, libc::EINVAL, "cannot be made")
}

/// More filters than a task may have.
fn too_long() -> Case {
    let desk = Desk::open("filters-long");
    let arrange = || {
        let _ = (
            bpf::install(&bpf::longest(), 0),
            bpf::install(&bpf::longest(), 0),
        );
    };
    desk.make(arrange)?;
    desk.restarts()?;
    add(PARENT, 42, 0)?;
    let mut own = 0;
    while bpf::install(&bpf::longest(), 0).is_ok() {
        own += 1;
    }
    refused(&desk, libc::ENOMEM, "cannot be made")?;
    pass_with(format!("on top of {own} long ones"))
}

fn main() -> ExitCode {
    let seed = seed();
    let mut cases = Cases::new();
    for act in ACTS {
        cases.run(act.name, || play(act, seed));
    }
    let mut run = |name: &str, case: fn() -> Case| cases.run_in_child(name, 60, case);
    run("caller-with-another", caller_with_another);
    run("caller-with-the-same", caller_with_the_same);
    run("caller-with-more", caller_with_more);
    run("again", again);
    run("strict-image", strict_image);
    run("no-right", no_right);
    run("bad-program", bad_program);
    run("too-long", too_long);
    cases.verdict()
}
