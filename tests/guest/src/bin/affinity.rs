// SPDX-License-Identifier: GPL-2.0

//! CPUs that a task may run on, also where the machine has not all of them.

use std::process::ExitCode;

use ckpt_guest::cases::pass;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::check;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

/// Bits of the CPUs that the caller may run on.
fn cpus() -> u64 {
    let mut bits = [0u64; 16];
    let args = [0, 128, bits.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: the kernel writes at most as many bytes.
    let got = unsafe { sys::raw(libc::SYS_sched_getaffinity as usize, args) };
    check::need("sched_getaffinity", got);
    bits[0]
}

fn set_cpus(bits: u64) {
    let args = [0, 8, (&raw const bits) as usize, 0, 0, 0];
    // SAFETY: the kernel reads as many bytes.
    let done = unsafe { sys::raw(libc::SYS_sched_setaffinity as usize, args) };
    check::need("sched_setaffinity", done);
}

/// An image of a child that may run on the CPU 1 only; a thread of it, on the CPU 0. When
/// it is restarted it tells by its exit status on which ones: of the thread in the lower
/// half.
fn make(desk: &Desk) -> Result<(), String> {
    let ended = sys::in_child(30, || {
        set_cpus(2);
        let (ask, asked) = std::sync::mpsc::channel::<()>();
        let (answer, answered) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            set_cpus(1);
            while asked.recv().is_ok() {
                let _ = answer.send(cpus());
            }
        });
        let _ = ask.send(());
        let before = answered.recv().unwrap_or(0);
        match desk.checkpoint() {
            Ok(0) => {
                let _ = ask.send(());
                let thread = answered.recv().unwrap_or(0);
                RESTARTED + ((cpus() & 3) << 2 | thread & 3) as i32
            }
            Ok(_) if before == 1 && cpus() == 2 => RESUMED,
            _ => 1,
        }
    });
    if ended == Ended::Exit(RESUMED) {
        return Ok(());
    }
    Err(format!("no image: {ended:?}; {}", desk.said()))
}

/// Restarts an image; the CPUs of its two tasks, and what the log has.
fn restart(desk: &Desk) -> Result<(i32, i32, String), String> {
    let ended = sys::in_child(30, || {
        desk.restart();
        1
    });
    match ended {
        Ended::Exit(code) if code >= RESTARTED => {
            let bits = code - RESTARTED;
            Ok((bits >> 2, bits & 3, desk.said()))
        }
        other => Err(format!("no restart: {other:?}; {}", desk.said())),
    }
}

/// An image in which the first task has other CPUs.
fn with_cpus(name: &str, change: impl Fn(&mut Vec<u8>)) -> Result<Desk, String> {
    let desk = Desk::open(name);
    make(&desk)?;
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let mut image = Image::parse(&bytes)?;
    let at = image.find(format::AFFINITY).ok_or("no affinity")?;
    change_at(&mut image, at, change)?;
    std::fs::write(&desk.path, image.to_bytes()).map_err(|e| e.to_string())?;
    Ok(desk)
}

/// Changes the CPUs of the task that the record at this place belongs to.
fn change_at(image: &mut Image, at: usize, change: impl Fn(&mut Vec<u8>)) -> Result<(), String> {
    change(&mut image.records[at].payload);
    let bytes = image.records[at].payload.len();
    image.records[at].len = bytes as i16;
    let (_, offset, size) = format::task::Task::FIELDS
        .iter()
        .find(|field| field.0 == "affinity_len")
        .ok_or("no such field")?;
    let before = &image.records[..at];
    let task = before.iter().rposition(|r| r.kind == format::TASK);
    let task = task.ok_or("no task")?;
    image.records[task].set(*offset..offset + size, bytes as u64);
    Ok(())
}

fn same(got: (i32, i32, String), first: i32, log: &str) -> Case {
    if (got.0, got.1) != (first, 1) {
        return Err(format!("{got:?}, not {first} and 1"));
    }
    if log.is_empty() != got.2.is_empty() || !got.2.contains(log) {
        return Err(format!("the log has {:?}, not {log:?}", got.2));
    }
    pass()
}

fn kept() -> Case {
    let desk = Desk::open("affinity");
    make(&desk)?;
    same(restart(&desk)?, 2, "")
}

/// Some of the CPUs are not there.
fn smaller() -> Case {
    let desk = with_cpus("affinity-smaller", |bits| {
        bits.resize(1024, 0);
        bits[1023] = 0x80;
    })?;
    same(
        restart(&desk)?,
        2,
        "of the image: some CPUs of its affinity are not here",
    )
}

/// None of them is.
fn elsewhere() -> Case {
    let desk = with_cpus("affinity-elsewhere", |bits| {
        bits.resize(1024, 0);
        bits[0] = 0;
        bits[512] = 1;
    })?;
    same(
        restart(&desk)?,
        3,
        "of the image: no CPU of its affinity is here",
    )
}

/// Nobody reads the log any more; the program must not get a SIGPIPE for that.
fn unread() -> Case {
    let desk = with_cpus("affinity-unread", |bits| {
        bits.resize(1024, 0);
        bits[1023] = 0x80;
    })?;
    let [reader, writer] = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    let _ = sys::close(reader);
    let ended = sys::in_child(30, || {
        let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
        sys::restart(0, desk.image, sys::LOG, writer);
        1
    });
    let _ = sys::close(writer);
    if ended != Ended::Exit(RESTARTED + (2 << 2 | 1)) {
        return Err(format!("restarted: {ended:?}"));
    }
    pass()
}

/// So many tasks lack a CPU that what there is to say of them does not fit into the log, a
/// pipe that nobody reads before the restart is over.
fn many() -> Case {
    const TASKS: usize = 120;
    const PIPE: usize = 4096;
    let desk = Desk::open("affinity-many");
    let ended = sys::in_child(60, || {
        set_cpus(2);
        for _ in 1..TASKS {
            std::thread::spawn(|| loop {
                std::thread::sleep(std::time::Duration::from_secs(1000));
            });
        }
        match desk.checkpoint() {
            Ok(0) => RESTARTED,
            Ok(_) => RESUMED,
            _ => 1,
        }
    });
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("no image: {ended:?}; {}", desk.said()));
    }
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let mut image = Image::parse(&bytes)?;
    for at in 0..image.records.len() {
        if image.records[at].kind == format::AFFINITY {
            change_at(&mut image, at, |bits| {
                bits.resize(1024, 0);
                bits[1023] = 0x80;
            })?;
        }
    }
    std::fs::write(&desk.path, image.to_bytes()).map_err(|e| e.to_string())?;
    let [reader, writer] = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    let size = sys::fcntl(writer, libc::F_SETPIPE_SZ, PIPE);
    let ended = sys::in_child(60, || {
        let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
        sys::restart(0, desk.image, sys::LOG, writer);
        1
    });
    let _ = sys::close(writer);
    let mut text = vec![0; 2 * PIPE];
    let got = sys::read(reader, &mut text).map_err(|e| format!("read: {e}"))?;
    let _ = sys::close(reader);
    let text = String::from_utf8_lossy(&text[..got]);
    if size != Ok(PIPE) || ended != Ended::Exit(RESTARTED) {
        return Err(format!("restarted: {ended:?}; {size:?}"));
    }
    let last = text.lines().last().unwrap_or_default();
    if got > PIPE || last != "restart: and more of the like" || !text.ends_with('\n') {
        return Err(format!("{got} bytes, the last line: {last}"));
    }
    pass_with(format!("{got} bytes of {TASKS} tasks"))
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    let one = cpus() & 3 != 3;
    for (name, case) in [
        ("kept", kept as fn() -> Case),
        ("smaller", smaller),
        ("elsewhere", elsewhere),
        ("unread", unread),
        ("many", many),
    ] {
        cases.run(name, || match one {
            true => skip("one CPU"),
            false => case(),
        });
    }
    cases.verdict()
}
