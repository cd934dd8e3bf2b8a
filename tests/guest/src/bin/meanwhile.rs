// SPDX-License-Identifier: GPL-2.0

//! What others do to the files of a restart while it still reads the image.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ckpt_guest::cases::pass;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::format;
use ckpt_guest::image;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::PAGE;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;

/// Seconds that a timer has left which must not expire during the test.
const LATER: i64 = 100_000;
/// Seconds of an interval.
const EVERY: i64 = 7;

/// The first byte behind a record of this kind, the first or the last one.
fn behind(desk: &Desk, kind: i16, last: bool) -> Result<usize, String> {
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let spans = image::spans(&bytes)?;
    let mut all = spans.iter().filter(|span| span.kind == kind);
    let found = if last { all.next_back() } else { all.next() };
    found
        .map(|span| span.all.end)
        .ok_or(format!("no {}", format::type_name(kind)))
}

fn new_path(name: &str) -> PathBuf {
    let path = Path::new("/tmp").join(format!("meanwhile-{name}"));
    let _ = std::fs::remove_file(&path);
    path
}

/// Takes what is in a FIFO, and leaves a page of a file that it may only read.
fn exchange(fifo: &Path, file: &Path) -> Result<i32, String> {
    let open = |path: &Path, flags| sys::open(&c_path(path), flags, 0);
    let end = open(fifo, libc::O_RDWR | libc::O_NONBLOCK).map_err(|e| format!("fifo: {e}"))?;
    let mut buf = [0; PAGE];
    match sys::read(end, &mut buf) {
        Err(Errno(libc::EAGAIN)) => {}
        other => return Err(format!("something is in the FIFO already: {other:?}")),
    }
    let file = open(file, libc::O_RDONLY).map_err(|e| format!("file: {e}"))?;
    let args = [file as usize, 0, end as usize, 0, PAGE, 0];
    plain(libc::SYS_splice, &args).map_err(|e| format!("splice: {e}"))?;
    Ok(end)
}

/// Nothing is in a FIFO before all is, and nobody can have put something else there: what
/// may be added to a buffer would be written to the page of a file.
fn fifo() -> Case {
    let (desk, fifo, file) = (Desk::open("fifo"), new_path("fifo"), new_path("file"));
    let text = c_path(&fifo);
    // SAFETY: a C string.
    let made = unsafe { libc::mkfifo(text.as_ptr(), 0o640) };
    sys::libc_result(made).map_err(|e| format!("mkfifo: {e}"))?;
    std::fs::write(&file, [7; PAGE]).map_err(|e| e.to_string())?;
    desk.make(|| {
        let end = sys::open(&text, libc::O_RDWR, 0).unwrap_or(-1);
        let _ = sys::write(end, &[1; PAGE + 100]);
    })?;
    let mut end = -1;
    let first = behind(&desk, format::PIPE_DATA, false)?;
    let ended = desk.restart_in_two(first, |_| {
        end = exchange(&fifo, &file)?;
        Ok(())
    })?;
    let said = desk.said();
    let _ = sys::write(end, &[9; 100]);
    if std::fs::read(&file).map_err(|e| e.to_string())? != [7; PAGE] {
        return Err("the file has changed".to_string());
    }
    if ended != Ended::Exit(1) || !said.contains("a FIFO is in use: /tmp/meanwhile-fifo") {
        return Err(format!("{ended:?}: {said}"));
    }
    let _ = sys::close(end);
    desk.restarts()?;
    pass_with(said)
}

/// Sets a timer to seconds and nanoseconds from now on.
fn set(fd: i32, value: (i64, i64), every: i64) -> sys::Ret {
    let times = [every, 0, value.0, value.1];
    let args = [fd as usize, 0, times.as_ptr() as usize, 0];
    plain(libc::SYS_timerfd_settime, &args)
}

/// Seconds that a timer has left.
fn left(fd: i32) -> i64 {
    // SAFETY: zeros are a valid structure, which the call fills.
    let mut times: libc::itimerspec = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    unsafe { libc::timerfd_gettime(fd, &mut times) };
    times.it_value.tv_sec
}

/// Clocks of the timers, and the descriptors that they have.
const TIMERS: [(i32, i32); 4] = [
    (libc::CLOCK_MONOTONIC, 50),
    (libc::CLOCK_MONOTONIC, 51),
    (libc::CLOCK_BOOTTIME_ALARM, 52),
    (libc::CLOCK_BOOTTIME_ALARM, 53),
];

/// A program with timers, none of which expires soon.
fn with_timers(desk: &Desk) -> i32 {
    for (clock, fd) in TIMERS {
        let args = [clock as usize, libc::O_NONBLOCK as usize];
        let made = plain(libc::SYS_timerfd_create, &args).unwrap_or(0) as i32;
        if sys::dup_to(made, fd, 0).is_err() || set(fd, (LATER, 0), EVERY).is_err() {
            return 2;
        }
        let _ = sys::close(made);
    }
    let back = desk.checkpoint();
    for (nr, (_, fd)) in TIMERS.into_iter().enumerate() {
        if !(LATER - 600..=LATER).contains(&left(fd)) {
            return 30 + nr as i32;
        }
        if sys::read(fd, &mut [0; 8]) != Err(Errno(libc::EAGAIN)) {
            return 40 + nr as i32;
        }
    }
    match back {
        Ok(0) => RESTARTED,
        Ok(_) => RESUMED,
        Err(_) => 1,
    }
}

/// Gets hold of the timers of a process, and sets them: to a moment, or for an hour.
fn take_timers(pid: i32, taken: &mut Vec<i32>) -> Result<(), String> {
    let pidfd = plain(libc::SYS_pidfd_open, &[pid as usize, 0]).map_err(|e| format!("{e}"))?;
    for (nr, (_, fd)) in TIMERS.into_iter().enumerate() {
        // Where the image has been taken, all descriptors come soon.
        let mut got = Err(Errno(libc::EBADF));
        for _ in 0..5000 * pace::factor() {
            got = plain(libc::SYS_pidfd_getfd, &[pidfd, fd as usize, 0]);
            if got != Err(Errno(libc::EBADF)) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        let got = got.map_err(|e| format!("pidfd_getfd {fd}: {e}"))? as i32;
        let value = if nr % 2 == 0 { (0, 1) } else { (3600, 0) };
        set(got, value, EVERY).map_err(|e| format!("settime: {e}"))?;
        taken.push(got);
    }
    std::thread::sleep(std::time::Duration::from_millis(20));
    let _ = sys::close(pidfd as i32);
    Ok(())
}

/// Timers that somebody else has set before the restart sets them.
fn timers() -> Case {
    let desk = Desk::open("timers");
    let ended = sys::in_child(30, || with_timers(&desk));
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("the checkpoint: {ended:?}; {}", desk.said()));
    }
    let first = behind(&desk, format::FD_ENT, true)?;
    let mut taken = Vec::new();
    let ended = desk.restart_in_two(first, |pid| take_timers(pid, &mut taken))?;
    for fd in taken {
        let _ = sys::close(fd);
    }
    if ended != Ended::Exit(RESTARTED) {
        return Err(format!("{ended:?}: {}", desk.said()));
    }
    pass()
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run_in_child("fifo", 60, fifo);
    cases.run_in_child("timers", 60, timers);
    cases.verdict()
}
