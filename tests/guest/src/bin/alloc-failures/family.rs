// SPDX-License-Identifier: GPL-2.0

//! A small tree of which some have pages in common, and others are what a task can be
//! besides: ended, stopped, in a session without its leader, with descriptors or on the memory
//! of another one.
//!
//! What looks at them at the end takes no memory: the allocation that fails may be there.

use std::sync::mpsc;
use std::time::Duration;

use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;

use crate::odds::Odds;
use crate::twin::Twin;
use crate::PAGES;

/// Status of the one that has ended.
const ENDED: i32 = 7;

/// The children.
pub struct Family {
    memory: Map,
    /// Has a thread, and a child.
    child: i32,
    /// Has the descriptors of the first one, and closes `token` at its end.
    sharer: i32,
    token: i32,
    zombie: i32,
    stopped: i32,
    /// Of a group and a session whose leader is gone.
    member: i32,
    odds: Odds,
    twin: Twin,
    /// Closed when they shall end.
    hold: i32,
}

/// The pipe that tells them to end, and the one in which they say that they have begun.
#[derive(Clone, Copy)]
struct Pipes {
    told: i32,
    hold: i32,
    begun: i32,
    begin: i32,
}

impl Pipes {
    fn new() -> Result<Self, Errno> {
        let [told, hold] = sys::pipe(0)?;
        let [begun, begin] = sys::pipe(0)?;
        Ok(Self {
            told,
            hold,
            begun,
            begin,
        })
    }

    /// Says that it has begun, and who it is.
    fn begin(self) {
        let _ = sys::write(self.begin, &sys::getpid().to_ne_bytes());
    }

    /// Leaves the descriptors that are of no use to whoever waits for its end.
    fn leave(self) {
        for fd in [self.hold, self.begun, self.begin] {
            let _ = sys::close(fd);
        }
    }

    fn until_end(self) {
        let _ = sys::read(self.told, &mut [0]);
    }

    /// Waits until one more has begun.
    fn next(self) -> Result<i32, Errno> {
        let mut pid = [0; 4];
        match sys::read(self.begun, &mut pid)? {
            4 => Ok(i32::from_ne_bytes(pid)),
            _ => Err(Errno(libc::EIO)),
        }
    }
}

/// Ends with its parent: it would not see the end of the pipe.
fn dies_with_parent() {
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
}

/// Waits for what waitid(2) is to tell of a child, and leaves it to be told again.
fn until_told(pid: i32, of: i32) {
    // SAFETY: zeros are a valid structure, which the kernel fills.
    unsafe {
        let mut info = std::mem::zeroed();
        let how = of | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, how);
    }
}

/// As fork(2), with the same descriptors and directories.
fn sharer(pipes: Pipes, token: i32) -> Result<i32, Errno> {
    let flags = libc::CLONE_FILES | libc::CLONE_FS | libc::SIGCHLD;
    let pid = sys::plain(libc::SYS_clone, &[flags as usize, 0, 0, 0, 0])? as i32;
    if pid == 0 {
        dies_with_parent();
        pipes.begin();
        pipes.until_end();
        let closed = sys::close(token);
        sys::exit(i32::from(closed.is_err()))
    }
    pipes.next().map(|_| pid)
}

fn stopped(pipes: Pipes) -> Result<i32, Errno> {
    let pid = sys::fork()?;
    if pid == 0 {
        dies_with_parent();
        pipes.leave();
        let _ = sys::signal_self(libc::SIGSTOP);
        pipes.until_end();
        sys::exit(0)
    }
    until_told(pid, libc::WSTOPPED);
    Ok(pid)
}

fn zombie() -> Result<i32, Errno> {
    let pid = sys::fork()?;
    if pid == 0 {
        sys::exit(ENDED)
    }
    until_told(pid, libc::WEXITED);
    Ok(pid)
}

/// Its leader makes it, and ends; so it becomes a child of ours.
fn member(pipes: Pipes) -> Result<i32, Errno> {
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1])?;
    let ids = || [libc::SYS_getpgid, libc::SYS_getsid].map(|nr| sys::plain(nr, &[0]));
    let leader = sys::fork()?;
    if leader == 0 {
        let _ = sys::plain(libc::SYS_setsid, &[]);
        if !matches!(sys::fork(), Ok(0)) {
            sys::exit(0)
        }
        let before = ids();
        pipes.begin();
        pipes.leave();
        pipes.until_end();
        if ids() != before {
            println!("FAILED: group and session {before:?} became {:?}", ids());
            sys::exit(1)
        }
        sys::exit(0)
    }
    let pid = pipes.next()?;
    match sys::wait_for(leader, 30) {
        Ended::Exit(0) => Ok(pid),
        _ => Err(Errno(libc::EIO)),
    }
}

/// A child with a thread, and one below it; all have pages in common.
fn child(pipes: Pipes, memory: Map) -> Result<i32, Errno> {
    let end = |own: u64, next: Option<i32>| {
        memory.fill_page(0, own);
        pipes.begin();
        pipes.leave();
        pipes.until_end();
        let good = |page: usize| match page {
            0 => memory.page_is(0, own),
            page => memory.page_is(page, page as u64),
        };
        let ended = next.map_or(Ended::Exit(0), |pid| sys::wait_for(pid, 30));
        let bad = (0..PAGES).find(|page| !good(*page));
        if ended != Ended::Exit(0) || bad.is_some() {
            println!("FAILED: below {own}: {ended:?}, page {bad:?}");
            sys::exit(1);
        }
        sys::exit(0)
    };
    let child = sys::fork()?;
    if child == 0 {
        let (tell, told) = mpsc::channel();
        std::thread::spawn(move || {
            let _ = tell.send(());
            loop {
                std::thread::sleep(Duration::from_secs(1000));
            }
        });
        // What it needs for its stack is none of the test's either.
        let _ = told.recv();
        match sys::fork() {
            Ok(0) => end(1000, None),
            Ok(next) => end(2000, Some(next)),
            Err(_) => sys::exit(1),
        }
    }
    Ok(child)
}

impl Family {
    /// Starts them, and waits until they have begun: what they allocate for themselves is
    /// none of the test's.
    pub fn new() -> Result<Self, Errno> {
        let memory = Map::anon(PAGES * PAGE)?;
        (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
        let pipes = Pipes::new()?;
        let token = sys::fcntl(pipes.told, libc::F_DUPFD, 0)? as i32;
        // First, while nobody else says that it has begun.
        let sharer = sharer(pipes, token)?;
        let (zombie, stopped) = (zombie()?, stopped(pipes)?);
        let member = member(pipes)?;
        let child = child(pipes, memory)?;
        let _ = sys::close(pipes.begin);
        // It and the one below it.
        for _ in 0..2 {
            pipes.next()?;
        }
        let _ = sys::close(pipes.begun);
        Ok(Self {
            memory,
            child,
            sharer,
            token,
            zombie,
            stopped,
            member,
            odds: Odds::new(child)?,
            twin: Twin::new()?,
            hold: pipes.hold,
        })
    }

    /// All end, and have found what they had.
    pub fn ends_well(self) -> bool {
        let wrong = self.first_wrong();
        if let Some(what) = wrong {
            println!("FAILED: {what}");
        }
        wrong.is_none()
    }

    /// Tells what is wrong, when all have been told to end.
    fn first_wrong(self) -> Option<&'static str> {
        let odd = self.odds.first_wrong();
        // First: it has the end of the pipe as well.
        let twin = self.twin.ends_well();
        let _ = sys::close(self.hold);
        // Whoever was stopped has not seen that.
        let mut status = 0;
        // SAFETY: `status` is an int of ours.
        let told = unsafe { libc::waitpid(self.stopped, &mut status, libc::WUNTRACED) };
        let stops = told == self.stopped
            && libc::WIFSTOPPED(status)
            && libc::WSTOPSIG(status) == libc::SIGSTOP;
        let args = [self.stopped as usize, libc::SIGCONT as usize];
        let _ = sys::plain(libc::SYS_kill, &args);
        let ends = |pid: i32, status: i32| sys::wait_for(pid, 30) == Ended::Exit(status);
        let all = |memory: Map| (0..PAGES).all(|page| memory.page_is(page, page as u64));
        let checks = [
            (odd.is_none(), odd.unwrap_or_default()),
            (stops, "a child that was stopped"),
            (ends(self.stopped, 0), "the end of the stopped child"),
            (ends(self.child, 0), "the child with a child"),
            (self.odds.has_ended(), "a pidfd of a process that has ended"),
            (ends(self.zombie, ENDED), "the zombie"),
            (ends(self.member, 0), "the member of a session"),
            (twin, "the process on our memory"),
            (ends(self.sharer, 0), "the child with our descriptors"),
            (
                sys::fcntl(self.token, libc::F_GETFD, 0) == Err(Errno(libc::EBADF)),
                "what that child has closed",
            ),
            (all(self.memory), "the pages"),
        ];
        checks.iter().find(|check| !check.0).map(|check| check.1)
    }
}
