// SPDX-License-Identifier: GPL-2.0

//! All unsafe code of this tool: system calls that nobody wraps.

use std::fs::read_dir;
use std::fs::DirEntry;
use std::io;
use std::mem::zeroed;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::fd::BorrowedFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::thread::sleep;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::OFlag;
use nix::libc;
use nix::unistd::Pid;

/// Number of restart(2).
const NR_RESTART: libc::c_long = 474;
/// The reason of a failure goes to the log.
const RESTART_LOG: libc::c_ulong = 1;
/// The tasks that the call makes get any free ids.
const RESTART_NEWPIDS: libc::c_ulong = 2;

/// A PID namespace and a mount namespace for the new process.
pub const NEW_NAMESPACES: i32 = libc::CLONE_NEWPID | libc::CLONE_NEWNS;

/// restart(2): becomes the first process of the image, and makes all others, which
/// get any ids with `new_pids`. Returns only on failure.
pub fn restart(image: BorrowedFd<'_>, log: BorrowedFd<'_>, new_pids: bool) -> Errno {
    let flags = if new_pids {
        RESTART_LOG | RESTART_NEWPIDS
    } else {
        RESTART_LOG
    };
    // SAFETY: The call takes four numbers. When it succeeds this program is gone,
    // with all that could notice.
    let result = unsafe {
        libc::syscall(
            NR_RESTART,
            0 as libc::c_long,
            libc::c_long::from(image.as_raw_fd()),
            flags,
            libc::c_long::from(log.as_raw_fd()),
        )
    };
    Errno::result(result).err().unwrap_or(Errno::EIO)
}

/// For how long an id may be one of a process that has ended.
const PATIENCE: Duration = Duration::from_secs(3);

/// Runs `work` in a child process, which then ends with that status. It has the
/// process id `pid` if there is one: as the kernel does for the others, this waits a
/// while for whoever has ended and still has it.
///
/// # Errors
///
/// Those of clone3(2).
pub fn spawn(namespaces: i32, pid: Option<i32>, work: impl FnOnce() -> i32) -> Result<Pid, Errno> {
    // SAFETY: All zeros is a valid request for a child like that of fork(2).
    let mut args: libc::clone_args = unsafe { zeroed() };
    args.flags = namespaces as u64;
    args.exit_signal = libc::SIGCHLD as u64;
    if let Some(pid) = &pid {
        args.set_tid = std::ptr::from_ref(pid) as u64;
        args.set_tid_size = 1;
    }
    // SAFETY: The child has a copy of all memory and goes on here. This program has
    // one thread at this time, so that the child finds no lock that somebody else
    // holds. The request and the id in it live until the call returns.
    let clone = || unsafe { libc::syscall(libc::SYS_clone3, &args, size_of_val(&args)) };
    let start = Instant::now();
    loop {
        // Whoever has slept for too long tries once more.
        let last = start.elapsed() >= PATIENCE;
        match Errno::result(clone()) {
            Ok(0) => ckpttool::end_with(70, work),
            Ok(child) => return Ok(Pid::from_raw(child as i32)),
            Err(Errno::EEXIST) if !last && pid.is_some_and(crate::trouble::is_ending) => {
                sleep(Duration::from_millis(5));
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Makes a time namespace for the children of this program that share no memory with it.
///
/// # Errors
///
/// Those of unshare(2).
pub fn new_time_namespace() -> Result<(), Errno> {
    // SAFETY: The call takes a number, and changes nothing for this program itself.
    Errno::result(unsafe { libc::unshare(libc::CLONE_NEWTIME) }).map(drop)
}

/// What has become of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It has ended with this status.
    Exited(i32),
    /// This signal has killed it.
    Killed(i32),
    /// This signal has stopped it.
    Stopped(i32),
}

/// Looks whether a child, or this one, has changed, without waiting; takes the news
/// away when `take` is set.
///
/// # Errors
///
/// Those of waitid(2): ECHILD when there is no child.
pub fn news(of: Option<Pid>, take: bool) -> io::Result<Option<(Pid, Change)>> {
    let (what, id) = of.map_or((libc::P_ALL, 0), |pid| (libc::P_PID, pid.as_raw() as u32));
    let keep = if take { 0 } else { libc::WNOWAIT };
    let flags = libc::WEXITED | libc::WSTOPPED | libc::WNOHANG | keep;
    let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
    // SAFETY: The call fills in the structure, which was all zeros before: then the
    // process id in it says whether there were news.
    let info = unsafe {
        Errno::result(libc::waitid(what, id, info.as_mut_ptr(), flags))?;
        info.assume_init()
    };
    // SAFETY: waitid(2) fills in what it does for SIGCHLD.
    let (pid, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((pid != 0).then(|| {
        let change = match info.si_code {
            libc::CLD_EXITED => Change::Exited(status),
            libc::CLD_KILLED | libc::CLD_DUMPED => Change::Killed(status),
            _ => Change::Stopped(status),
        };
        (Pid::from_raw(pid), change)
    }))
}

/// The version of capset(2) that takes two words of each set.
const CAPABILITY_VERSION: u32 = 0x2008_0522;

/// Gives up the permitted, effective and inheritable capabilities of this thread, and
/// with them the ambient ones.
///
/// # Errors
///
/// Those of capset(2), which refuses nobody that.
pub fn give_up_capabilities() -> Result<(), Errno> {
    // The version, and this thread; then three sets for each of two words.
    let header = [CAPABILITY_VERSION, 0];
    let none = [0u32; 6];
    // SAFETY: Both are as large as that version of the call reads.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Descriptors of this tool go to numbers from here on, where an image expects none
/// of the caller's.
const HIGH: i32 = 1000;

/// The same open file under a high number; under any when there are no high ones.
///
/// # Errors
///
/// Those of fcntl(2).
pub fn high(fd: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let number = fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(HIGH))
        .or_else(|_| fcntl(fd, FcntlArg::F_DUPFD_CLOEXEC(0)))?;
    // SAFETY: The descriptor is new, and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Reads of this pipe take what is there.
///
/// # Errors
///
/// Those of fcntl(2).
pub fn do_not_wait(pipe: BorrowedFd<'_>) -> Result<(), Errno> {
    fcntl(pipe, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).map(drop)
}

/// Is it a descriptor that whoever called this tool has given it?
pub fn is_callers(fd: RawFd) -> bool {
    // SAFETY: Asks for the flags of a number, which need not be a descriptor.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    flags != -1 && flags & libc::FD_CLOEXEC == 0
}

/// Closes what this tool has opened, but for `keep`: what an exec would close.
///
/// Only for a child that does not use any of it.
pub fn close_ours(keep: &[RawFd]) {
    close_but(keep, |fd| {
        // SAFETY: Asks for the flags of a number, which need not be a descriptor.
        let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
        flags != -1 && flags & libc::FD_CLOEXEC != 0
    });
}

/// Closes all descriptors but for `keep` and the first three.
///
/// Only for a child that does not use any of it.
pub fn close_rest(keep: &[RawFd]) {
    close_but(keep, |fd| fd > 2);
}

fn close_but(keep: &[RawFd], which: impl Fn(RawFd) -> bool) {
    let number = |entry: io::Result<DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let all: Vec<RawFd> = match read_dir("/proc/self/fd") {
        Ok(entries) => entries.filter_map(number).collect(),
        Err(_) => (0..HIGH).collect(),
    };
    for fd in all {
        if !keep.contains(&fd) && which(fd) {
            // SAFETY: The callers' contract: nobody uses the descriptor, nor closes
            // it again. The process ends without destructors.
            unsafe { libc::close(fd) };
        }
    }
}
