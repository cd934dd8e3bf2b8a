// SPDX-License-Identifier: GPL-2.0

//! Locks on files: what others find locked after a restart, and locks that are in the way.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ckpt_guest::caps;
use ckpt_guest::cases::pass;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::life::c_path;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;

const F_OFD_GETLK: i32 = 36;
const F_OFD_SETLK: i32 = 37;
/// Locks of one process, as a data base may have them.
const MANY: i64 = 500;

/// A new file below /tmp: what a host shares keeps its locks itself.
fn new_file(name: &str) -> Result<PathBuf, String> {
    let path = Path::new("/tmp").join(format!("locks-{name}"));
    std::fs::write(&path, "0123456789").map_err(|e| e.to_string())?;
    Ok(path)
}

/// To close it gives back all record locks that the process has on the file.
fn open(path: &Path) -> i32 {
    sys::open(&c_path(path), libc::O_RDWR, 0).unwrap_or(-1)
}

/// One call of fcntl(2) with a lock; `len` 0 is to the end.
fn lock(fd: i32, command: i32, kind: i32, start: i64, len: i64) -> Result<libc::flock, Errno> {
    // SAFETY: zeros are a valid structure.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_start, lock.l_len) = (kind as i16, start, len);
    // SAFETY: the kernel reads and writes the structure.
    let done = unsafe { libc::fcntl(fd, command, &raw mut lock) };
    sys::libc_result(done).map(|_| lock)
}

fn set(fd: i32, command: i32, kind: i32, start: i64, len: i64) -> bool {
    lock(fd, command, kind, start, len).is_ok()
}

fn flock(fd: i32, operation: i32) -> Result<usize, Errno> {
    sys::plain(libc::SYS_flock, &[fd as usize, operation as usize])
}

/// What is in the way of an exclusive lock there of an open file that has none: kind, start,
/// length and owner.
fn found(probe: i32, start: i64, len: i64) -> Option<(i32, i64, i64, i32)> {
    let found = lock(probe, F_OFD_GETLK, libc::F_WRLCK, start, len).ok()?;
    let kind = i32::from(found.l_type);
    (kind != libc::F_UNLCK).then_some((kind, found.l_start, found.l_len, found.l_pid))
}

/// May an open file that has none have a shared, may it have an exclusive lock of flock(2)?
fn free(probe: i32) -> (bool, bool) {
    let got = [libc::LOCK_SH, libc::LOCK_EX].map(|how| flock(probe, how | libc::LOCK_NB).is_ok());
    let _ = flock(probe, libc::LOCK_UN);
    (got[0], got[1])
}

/// The position of the first check that fails, as an exit status.
fn verdict(checks: &[bool], back: sys::Ret) -> i32 {
    match checks.iter().position(|good| !good) {
        Some(wrong) => 100 + wrong as i32,
        None if back == Ok(0) => RESTARTED,
        None if back.is_ok() => RESUMED,
        None => 2,
    }
}

/// Runs a child that goes on after its checkpoint, and restarts its image twice.
fn lives(desk: &Desk, body: impl FnOnce() -> i32) -> Case {
    let ended = sys::in_child(30, body);
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("the checkpoint: {ended:?}; {}", desk.said()));
    }
    desk.restarts()?;
    desk.restarts()?;
    pass_with("restarted twice")
}

/// Record locks, shared and exclusive, with and without an end, and by two descriptors.
fn records() -> Case {
    let desk = Desk::open("records");
    let path = new_file("records")?;
    lives(&desk, || {
        let [fd, second, probe] = [(); 3].map(|()| open(&path));
        let copy = sys::dup_to(fd, 200, 0);
        let arranged = [
            set(fd, libc::F_SETLK, libc::F_RDLCK, 0, 10),
            set(fd, libc::F_SETLK, libc::F_WRLCK, 20, 1),
            set(second, libc::F_SETLK, libc::F_WRLCK, 1 << 40, 0),
            copy.is_ok(),
        ];
        if arranged.contains(&false) {
            return 1;
        }
        let back = desk.checkpoint();
        let me = sys::getpid();
        let mut checks = vec![
            found(probe, 0, 20) == Some((libc::F_RDLCK, 0, 10, me)),
            found(probe, 10, 100) == Some((libc::F_WRLCK, 20, 1, me)),
            found(probe, 21, 0) == Some((libc::F_WRLCK, 1 << 40, 0, me)),
            found(probe, 10, 10).is_none() && found(probe, 21, 1000).is_none(),
            // They are its own, to be given back one by one.
            set(fd, libc::F_SETLK, libc::F_UNLCK, 20, 1),
            found(probe, 10, 100).is_none(),
        ];
        // All of them go with any descriptor of the file.
        let _ = sys::close(200);
        checks.push(found(probe, 0, 0).is_none());
        verdict(&checks, back)
    })
}

/// Locks of open files, which outlive a descriptor as long as there is another.
fn of_open_files() -> Case {
    let desk = Desk::open("files");
    let (path, whole, shared) = (new_file("ofd")?, new_file("flock")?, new_file("shared")?);
    lives(&desk, || {
        let fds = [&path, &whole, &shared].map(|path| open(path));
        let [probe, whole, shared] = [&path, &whole, &shared].map(|path| open(path));
        let copies = [300, 301, 302];
        let arranged = [
            set(fds[0], F_OFD_SETLK, libc::F_WRLCK, 5, 5),
            flock(fds[1], libc::LOCK_EX).is_ok(),
            flock(fds[2], libc::LOCK_SH).is_ok(),
            fds.iter()
                .zip(copies)
                .all(|(fd, to)| sys::dup_to(*fd, to, 0).is_ok()),
            fds[1..].iter().all(|fd| sys::close(*fd).is_ok()),
        ];
        if arranged.contains(&false) {
            return 1;
        }
        let back = desk.checkpoint();
        let mut checks = vec![
            found(probe, 0, 0) == Some((libc::F_WRLCK, 5, 5, -1)),
            free(whole) == (false, false),
            free(shared) == (true, false),
        ];
        let _ = sys::close(fds[0]);
        checks.push(found(probe, 0, 0).is_some());
        for fd in copies {
            let _ = sys::close(fd);
        }
        checks.push(found(probe, 0, 0).is_none());
        checks.push(free(whole) == (true, true) && free(shared) == (true, true));
        verdict(&checks, back)
    })
}

/// Three kinds on one file, which do not know of each other where two are of one owner.
fn all_on_one() -> Case {
    let desk = Desk::open("one");
    let path = new_file("one")?;
    lives(&desk, || {
        let [fd, probe] = [(); 2].map(|()| open(&path));
        let taken = (0..MANY).all(|nr| set(fd, libc::F_SETLK, libc::F_WRLCK, 2 * nr, 1));
        let range = set(fd, F_OFD_SETLK, libc::F_RDLCK, 2 * MANY, 0);
        if !taken || !range || flock(fd, libc::LOCK_SH).is_err() {
            return 1;
        }
        let back = desk.checkpoint();
        let me = sys::getpid();
        let held = |nr| found(probe, 2 * nr, 2) == Some((libc::F_WRLCK, 2 * nr, 1, me));
        let checks = [
            (0..MANY).all(held),
            found(probe, 2 * MANY, 1) == Some((libc::F_RDLCK, 2 * MANY, 0, -1)),
            free(probe) == (true, false),
        ];
        verdict(&checks, back)
    })
}

/// What waits in the way of a restart is said, and nothing stays locked after it.
fn in_the_way() -> Case {
    let desk = Desk::open("way");
    let (first, last) = (new_file("way-first")?, new_file("way-last")?);
    desk.make(|| {
        for path in [&first, &last] {
            let fd = open(path);
            let _ = lock(fd, libc::F_SETLK, libc::F_WRLCK, 0, 0);
            let _ = flock(fd, libc::LOCK_EX);
        }
    })?;
    let fd = open(&last);
    let probes = [open(&first), open(&last)];
    let is_free = |nr: usize| found(probes[nr], 0, 0).is_none() && free(probes[nr]) == (true, true);
    let mut said = Vec::new();
    for one in 0..2 {
        let taken = if one == 0 {
            set(fd, libc::F_SETLK, libc::F_RDLCK, 100, 1)
        } else {
            flock(fd, libc::LOCK_SH).is_ok()
        };
        let (errno, text) = desk.refuses()?;
        let named = text.contains("somebody else has locked") && text.contains("locks-way-last");
        if !taken || errno.0 != libc::EAGAIN || !named {
            return Err(format!("{taken}, {errno}: {text}"));
        }
        if !is_free(0) {
            return Err("the first file is locked".to_string());
        }
        let given = [
            set(fd, libc::F_SETLK, libc::F_UNLCK, 0, 0),
            flock(fd, libc::LOCK_UN).is_ok(),
        ];
        if given.contains(&false) || !is_free(1) {
            return Err("the second file is locked".to_string());
        }
        said.push(text);
    }
    desk.restarts()?;
    pass_with(said.join(" | "))
}

/// A failure behind the locks gives all of them back: the scheduling is the very last of all.
fn given_back() -> Case {
    const RIGHTS: u64 = caps::SYS_NICE | caps::SYS_ADMIN;
    let desk = Desk::open("back");
    let path = new_file("back")?;
    desk.make(|| {
        let _ = sys::plain(libc::SYS_setpriority, &[0, 0, -15i32 as usize]);
        let _ = caps::give_up(RIGHTS);
        let fd = open(&path);
        let _ = lock(fd, libc::F_SETLK, libc::F_WRLCK, 0, 4);
        let _ = lock(fd, F_OFD_SETLK, libc::F_WRLCK, 4, 4);
        let _ = flock(fd, libc::LOCK_EX);
    })?;
    // Whoever may do that has all of them.
    desk.restarts()?;
    caps::give_up(RIGHTS).map_err(|e| format!("capset: {e}"))?;
    let (errno, said) = desk.refuses()?;
    if errno.0 != libc::EPERM || !said.contains("the scheduling of the image is not allowed") {
        return Err(format!("{errno}: {said}"));
    }
    let probe = open(&path);
    if found(probe, 0, 0).is_some() || free(probe) != (true, true) {
        return Err(format!("the file is locked after {errno}: {said}"));
    }
    pass_with(said)
}

/// What was changed while nobody had it locked is not what the program has read.
fn changed() -> Case {
    let desk = Desk::open("changed");
    let path = new_file("changed")?;
    desk.make(|| {
        let fd = open(&path);
        let _ = lock(fd, libc::F_SETLK, libc::F_RDLCK, 0, 4);
    })?;
    let time = std::fs::metadata(&path).and_then(|meta| meta.modified());
    let time = time.map_err(|e| e.to_string())?;
    std::fs::write(&path, "9876543210").map_err(|e| e.to_string())?;
    let (errno, said) = desk.refuses()?;
    let named = said.contains("a locked file has changed") && said.contains("locks-changed");
    if errno.0 != libc::ESTALE || !named {
        return Err(format!("{errno}: {said}"));
    }
    let probe = open(&path);
    if found(probe, 0, 0).is_some() {
        return Err("the file is locked".to_string());
    }
    // As a copy of then is that was put back.
    let file = std::fs::OpenOptions::new().write(true).open(&path);
    let back = file.and_then(|file| file.set_modified(time));
    back.map_err(|e| e.to_string())?;
    desk.restarts()?;
    pass_with(said)
}

/// Who has the lock gives it back soon: the original may be on its way out.
fn given_back_soon() -> Case {
    let desk = Desk::open("soon");
    let path = new_file("soon")?;
    desk.make(|| {
        let fd = open(&path);
        let _ = lock(fd, libc::F_SETLK, libc::F_WRLCK, 0, 0);
        let _ = flock(fd, libc::LOCK_EX);
    })?;
    let fd = open(&path);
    if !set(fd, libc::F_SETLK, libc::F_WRLCK, 0, 1) || flock(fd, libc::LOCK_SH).is_err() {
        return Err("the file is locked".to_string());
    }
    std::thread::scope(|threads| {
        threads.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(300));
            let _ = lock(fd, libc::F_SETLK, libc::F_UNLCK, 0, 0);
            let _ = flock(fd, libc::LOCK_UN);
        });
        desk.restarts()
    })?;
    pass()
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run("records", records);
    cases.run("of-open-files", of_open_files);
    cases.run("all-on-one", all_on_one);
    cases.run("in-the-way", in_the_way);
    // It gives rights up.
    cases.run_in_child("given-back", 60, given_back);
    cases.run("changed", changed);
    cases.run("given-back-soon", given_back_soon);
    cases.verdict()
}
