// SPDX-License-Identifier: GPL-2.0

//! Victims that wait without a timeout until their child does something: their call comes
//! back once, with what they waited for.

use std::ffi::CString;
use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering;

use ckpt_guest::act::Act;
use ckpt_guest::life;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Ret;
use ckpt_guest::victim::Scene;

use crate::calls::act;
use crate::calls::asleep_until_done;
use crate::calls::call;
use crate::calls::duration;
use crate::calls::time;
use crate::kills::Body;
use crate::unsaved::refused_in;
use crate::waits::made;

/// The child sleeps for the time of a victim and does `wake`; the call must return `want`.
fn woken(
    scene: &Scene,
    wake: impl FnOnce() -> Result<usize, String>,
    want: Ret,
    wait: impl FnOnce() -> Ret,
) -> Result<(), String> {
    let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if pid == 0 {
        let nap = time(duration());
        let slept = call(libc::SYS_nanosleep, &[(&raw const nap) as usize, 0]);
        let done = match slept {
            Ok(0) => wake(),
            other => Err(format!("nanosleep: {other:?}")),
        };
        if let Err(why) = &done {
            println!("the child: {why}");
        }
        sys::exit(i32::from(done.is_err()));
    }
    scene.announce();
    let got = wait();
    let ended = sys::wait_for(pid, 20);
    if got != want || ended != Ended::Exit(0) {
        return Err(format!("{got:?}, not {want:?}; the child: {ended:?}"));
    }
    Ok(())
}

fn write(fd: usize, bytes: &[u8]) -> Result<usize, String> {
    made(libc::SYS_write, &[fd, bytes.as_ptr() as usize, bytes.len()])
}

fn read(fd: usize, bytes: &mut [u8]) -> Ret {
    let at = bytes.as_mut_ptr() as usize;
    call(libc::SYS_read, &[fd, at, bytes.len()])
}

fn path(scene: &Scene, name: &str) -> CString {
    life::c_path(&scene.dir.join(name))
}

fn eventfd(scene: &Scene) -> Result<(), String> {
    let (fd, mut number) = (made(libc::SYS_eventfd2, &[0, 0])?, [0; 8]);
    let wake = || write(fd, &5u64.to_ne_bytes());
    woken(scene, wake, Ok(8), || read(fd, &mut number))?;
    match u64::from_ne_bytes(number) {
        5 => Ok(()),
        other => Err(format!("{other}, not 5")),
    }
}

/// Nobody has to do anything for it.
fn timerfd(scene: &Scene) -> Result<(), String> {
    let (fd, mut number) = (made(libc::SYS_timerfd_create, &[1, 0])?, [0; 8]);
    let [sec, nsec] = time(duration());
    let set = [0, 0, sec, nsec];
    let args = [fd, 0, set.as_ptr() as usize, 0];
    made(libc::SYS_timerfd_settime, &args)?;
    woken(scene, || Ok(0), Ok(8), || read(fd, &mut number))?;
    match u64::from_ne_bytes(number) {
        1 => Ok(()),
        other => Err(format!("the timer has ended {other} times")),
    }
}

fn signalfd(scene: &Scene) -> Result<(), String> {
    let mask = 1u64 << (libc::SIGUSR1 - 1);
    let at = (&raw const mask) as usize;
    made(libc::SYS_rt_sigprocmask, &[0, at, 0, 8])?;
    let fd = made(libc::SYS_signalfd4, &[usize::MAX, at, 8, 0])?;
    let mut info = [0u8; 128];
    let wake = || {
        // A restarted parent may have another id.
        let parent = made(libc::SYS_getppid, &[])?;
        made(libc::SYS_kill, &[parent, libc::SIGUSR1 as usize])
    };
    woken(scene, wake, Ok(128), || read(fd, &mut info))?;
    match i32::from(info[0]) {
        libc::SIGUSR1 => Ok(()),
        other => Err(format!("signal {other}")),
    }
}

/// The call that opens it waits for who writes.
fn fifo(scene: &Scene) -> Result<(), String> {
    let path = path(scene, "fifo");
    let at = path.as_ptr() as usize;
    let _ = call(libc::SYS_unlink, &[at]);
    made(libc::SYS_mknod, &[at, (libc::S_IFIFO | 0o600) as usize, 0])?;
    let fd = made(libc::SYS_dup, &[0])?;
    made(libc::SYS_close, &[fd])?;
    let open = |how: i32| call(libc::SYS_open, &[at, how as usize, 0]);
    let wake = || {
        let fd = open(libc::O_WRONLY).map_err(|e| format!("open: {e}"))?;
        write(fd, b"word")
    };
    woken(scene, wake, Ok(fd), || open(libc::O_RDONLY))?;
    let mut word = [0; 8];
    match read(fd, &mut word) {
        Ok(4) if &word[..4] == b"word" => Ok(()),
        other => Err(format!("{other:?}: {word:?}")),
    }
}

/// The child has the lock until then.
fn flock(scene: &Scene) -> Result<(), String> {
    let path = path(scene, "flock");
    let open = || {
        let flags = (libc::O_RDWR | libc::O_CREAT) as usize;
        made(libc::SYS_open, &[path.as_ptr() as usize, flags, 0o600])
    };
    let lock = |fd: usize, how: i32| call(libc::SYS_flock, &[fd, how as usize]);
    let (its, ours) = (open()?, open()?);
    lock(its, libc::LOCK_EX).map_err(|e| format!("flock: {e}"))?;
    let wake = || lock(its, libc::LOCK_UN).map_err(|e| format!("unlock: {e}"));
    woken(scene, wake, Ok(0), || lock(ours, libc::LOCK_EX))
}

/// Until a child has ended.
fn waitid(scene: &Scene) -> Result<(), String> {
    let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if pid == 0 {
        scene.pause(duration());
        sys::exit(9);
    }
    let mut info = [0i32; 32];
    let at = info.as_mut_ptr() as usize;
    let args = [
        libc::P_PID as usize,
        pid as usize,
        at,
        libc::WEXITED as usize,
        0,
    ];
    scene.announce();
    let got = call(libc::SYS_waitid, &args);
    // si_signo, si_pid and si_status.
    match (got, info[0], info[4], info[6]) {
        (Ok(0), libc::SIGCHLD, who, 9) if who == pid => Ok(()),
        other => Err(format!("waitid: {other:?}")),
    }
}

/// The queue, of the machine and in no image; each victim takes what its child has put.
static QUEUE: AtomicI32 = AtomicI32::new(-1);

fn queue(scene: &Scene) -> Result<(), String> {
    let queue = QUEUE.load(Ordering::Relaxed) as usize;
    // Others may be left: each has a type of its own, and its text.
    let kind = i64::from(sys::getpid()) + 1;
    let message = [kind, 0x1234];
    let mut got = [0i64; 2];
    let wake = || made(libc::SYS_msgsnd, &[queue, message.as_ptr() as usize, 8, 0]);
    let at = got.as_mut_ptr() as usize;
    let args = [queue, at, 8, kind as usize, 0];
    woken(scene, wake, Ok(8), || call(libc::SYS_msgrcv, &args))?;
    if got != message {
        return Err(format!("message {got:?}"));
    }
    Ok(())
}

/// Runs `body` while there is a queue.
pub fn with_queue(body: impl FnOnce()) {
    let private = [libc::IPC_PRIVATE as usize, 0o600];
    let queue = call(libc::SYS_msgget, &private).map_or(-1, |id| id as i32);
    QUEUE.store(queue, Ordering::Relaxed);
    body();
    let _ = call(
        libc::SYS_msgctl,
        &[queue as usize, libc::IPC_RMID as usize, 0],
    );
}

fn inotify(scene: &Scene) -> Result<(), String> {
    let fd = made(libc::SYS_inotify_init1, &[0])?;
    let (dir, file) = (life::c_path(&scene.dir), path(scene, "new"));
    let _ = call(libc::SYS_unlink, &[file.as_ptr() as usize]);
    let watch = [fd, dir.as_ptr() as usize, libc::IN_DELETE as usize];
    made(libc::SYS_inotify_add_watch, &watch)?;
    let wake = || {
        let at = file.as_ptr() as usize;
        let made_file = made(libc::SYS_creat, &[at, 0o600])?;
        made(libc::SYS_unlink, &[at]).map(|_| made_file)
    };
    let mut event = [0u8; 256];
    woken(scene, wake, Ok(32), || read(fd, &mut event))
}

fn posix_queue(scene: &Scene) -> Result<(), String> {
    let name = c"ckpt-woken".as_ptr() as usize;
    let _ = call(libc::SYS_mq_unlink, &[name]);
    let flags = (libc::O_RDWR | libc::O_CREAT) as usize;
    // Flags, most messages, most bytes, messages.
    let limits = [0i64, 4, 16, 0, 0, 0, 0, 0];
    let args = [name, flags, 0o600, limits.as_ptr() as usize];
    let fd = made(libc::SYS_mq_open, &args)?;
    let wake = || made(libc::SYS_mq_timedsend, &[fd, name, 4, 1, 0]);
    let mut message = [0u8; 16];
    let at = message.as_mut_ptr() as usize;
    let args = [fd, at, message.len(), 0, 0];
    woken(scene, wake, Ok(4), || {
        call(libc::SYS_mq_timedreceive, &args)
    })?;
    let _ = call(libc::SYS_mq_unlink, &[name]);
    if &message[..4] != b"ckpt" {
        return Err(format!("message {message:?}"));
    }
    Ok(())
}

/// A listener, without a timeout.
fn accept(scene: &Scene) -> Result<(), String> {
    let mut address = [0u8; 16];
    address[0] = libc::AF_UNIX as u8;
    // A name of its own, which no file has.
    address[3..7].copy_from_slice(b"ckpt");
    let at = address.as_ptr() as usize;
    let socket = || made(libc::SYS_socket, &[1, libc::SOCK_STREAM as usize, 0]);
    let fd = socket()?;
    made(libc::SYS_bind, &[fd, at, 7])?;
    made(libc::SYS_listen, &[fd, 1])?;
    let wake = || made(libc::SYS_connect, &[socket()?, at, 7]);
    let got = made(libc::SYS_dup, &[0])?;
    made(libc::SYS_close, &[got])?;
    woken(scene, wake, Ok(got), || {
        call(libc::SYS_accept4, &[fd, 0, 0, 0])
    })
}

/// Victims that are saved.
pub const ACTS: &[Act] = &[
    act("woken-eventfd", eventfd).there(),
    act("woken-timerfd", timerfd).there(),
    act("woken-signalfd", signalfd).there(),
    act("woken-fifo-open", fifo).there(),
    act("woken-flock", flock).there(),
    act("woken-waitid", waitid).there(),
    act("woken-msgrcv", queue).there(),
];

/// Victims that are refused for what they have open, and wait on.
pub const CASES: &[(&str, Body)] = &[
    ("refused-inotify-read", || {
        asleep_until_done(|| refused_in("refused-inotify-read", inotify, "inotify"))
    }),
    ("refused-mq-receive", || {
        asleep_until_done(|| {
            refused_in(
                "refused-mq-receive",
                posix_queue,
                "no path in a file system",
            )
        })
    }),
    ("refused-accept", || {
        asleep_until_done(|| refused_in("refused-accept", accept, "not supported"))
    }),
];
