// SPDX-License-Identifier: GPL-2.0

//! Child processes: how they are made, and how they end.

use super::exit;
use super::int;
use super::last;
use super::plain;
use super::raw;
use super::Errno;

/// fork(2); 0 in the child. Only for programs with one thread.
pub fn fork() -> Result<i32, Errno> {
    // SAFETY: the programs have one thread, so that the child may do anything;
    // the C library's fork keeps its own state right.
    match unsafe { libc::fork() } {
        -1 => Err(last()),
        pid => Ok(pid),
    }
}

/// As [`fork`], with this process id for the child.
pub fn fork_as(pid: i32) -> Result<i32, Errno> {
    let ids = [pid];
    let mut args = [0u64; 11];
    args[4] = libc::SIGCHLD as u64;
    (args[8], args[9]) = (ids.as_ptr() as u64, 1);
    let all = [args.as_ptr() as usize, size_of_val(&args), 0, 0, 0, 0];
    // SAFETY: as above, but that the C library does not know of it: the child finds its
    // state as it was. Both arrays live until the call returns.
    let made = unsafe { raw(libc::SYS_clone3 as usize, all) };
    std::hint::black_box((ids, args));
    made.map(|pid| pid as i32)
}

/// As [`fork_as`], also when those who had the id have yet to be gone: an id is free only
/// some time after the end of a process was told, and that of a group when all have ended.
pub fn fork_as_soon(pid: i32) -> Result<i32, Errno> {
    let start = std::time::Instant::now();
    let patience = std::time::Duration::from_secs(10 * crate::pace::factor());
    loop {
        match fork_as(pid) {
            Err(Errno(libc::EEXIST)) if start.elapsed() < patience => {
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
            done => return done,
        }
    }
}

/// Has nobody this process group?
pub fn group_is_gone(group: i32) -> bool {
    plain(libc::SYS_kill, &[-group as usize, 0]) == Err(Errno(libc::ESRCH))
}

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this status.
    Exit(i32),
    /// By this signal.
    Signal(i32),
    /// It was killed when its time was over.
    Hung,
}

/// Has this child ended? It can still be waited for.
pub fn has_ended(pid: i32) -> bool {
    let how = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: the kernel writes into a zeroed structure.
    unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, how) != 0 || info.si_pid() != 0
    }
}

/// Waits for a child, at most `seconds` of a fast kernel; kills it then.
pub fn wait_for(pid: i32, seconds: u64) -> Ended {
    let seconds = seconds * crate::pace::factor();
    let start = std::time::Instant::now();
    let mut hung = false;
    let mut pause = 200;
    loop {
        let mut status = 0;
        // SAFETY: `status` is an int of ours.
        let ret = unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) };
        if ret == pid {
            return match () {
                () if hung => Ended::Hung,
                () if libc::WIFEXITED(status) => Ended::Exit(libc::WEXITSTATUS(status)),
                () => Ended::Signal(libc::WTERMSIG(status)),
            };
        }
        if ret < 0 && last() != Errno(libc::EINTR) {
            return Ended::Exit(-1);
        }
        if !hung && start.elapsed().as_secs() >= seconds {
            hung = true;
            let _ = plain(libc::SYS_kill, &[int(pid), int(libc::SIGKILL)]);
        }
        std::thread::sleep(std::time::Duration::from_micros(pause));
        pause = (pause * 2).min(20_000);
    }
}

/// Runs `body` in a child, which exits with its value, and waits as `wait_for` does.
pub fn in_child(seconds: u64, body: impl FnOnce() -> i32) -> Ended {
    match fork() {
        Ok(0) => exit(body()),
        Ok(pid) => wait_for(pid, seconds),
        Err(errno) => {
            eprintln!("fork: {errno}");
            Ended::Exit(-1)
        }
    }
}
