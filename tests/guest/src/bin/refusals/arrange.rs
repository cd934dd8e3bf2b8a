// SPDX-License-Identifier: GPL-2.0

//! What can be in the way of a checkpoint: descriptors of kinds that are not supported.

use ckpt_guest::desk::Desk;
use ckpt_guest::life::c_path;
use ckpt_guest::odd;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;
use ckpt_guest::sys::Errno;

/// Where the thing is.
pub enum Place {
    /// A descriptor.
    Fd(i32),
    /// The start of a mapping.
    Address(usize),
    /// A directory of the task.
    Path(String),
    /// Not at a place.
    Nowhere,
}

/// Arranges a thing; the error is why it cannot be had here.
pub type Arrange = fn(&Desk) -> Result<Place, String>;

/// A thing that is refused.
pub struct Thing {
    /// Name of the case.
    pub name: &'static str,
    /// How it is made.
    pub arrange: Arrange,
    /// Errno, and others that would do.
    pub errnos: &'static [i32],
    /// The log must contain one of these.
    pub words: &'static [&'static str],
}

/// The usual errno.
pub const UNSUPPORTED: &[i32] = &[libc::EOPNOTSUPP];

/// A thing that is refused with EOPNOTSUPP.
pub const fn thing(name: &'static str, arrange: Arrange, words: &'static [&'static str]) -> Thing {
    Thing {
        name,
        arrange,
        errnos: UNSUPPORTED,
        words,
    }
}

/// A mapping, refused as the document says: ETXTBSY.
pub const fn busy(name: &'static str, arrange: Arrange, words: &'static [&'static str]) -> Thing {
    Thing {
        name,
        arrange,
        errnos: &[libc::ETXTBSY],
        words,
    }
}

/// Makes the reason for a skip or a failure.
pub fn had<T>(what: &str, result: Result<T, Errno>) -> Result<T, String> {
    result.map_err(|e| format!("{what}: {e}"))
}

pub fn fd(what: &str, ret: sys::Ret) -> Result<Place, String> {
    had(what, ret).map(|fd| Place::Fd(fd as i32))
}

/// A call that takes the address of `data` as its argument `nth`.
pub fn with_data<T: ?Sized>(nr: i64, mut args: [usize; 6], nth: usize, data: &mut T) -> sys::Ret {
    args[nth] = (&raw mut *data).cast::<u8>() as usize;
    // SAFETY: every use below passes a structure of the size that the call expects.
    unsafe { sys::raw(nr as usize, args) }
}

/// A process that is no child keeps what is open until this one ends.
pub fn held_by_another() -> Result<(), String> {
    let me = sys::getpid() as usize;
    let ended = sys::in_child(10, || match sys::fork() {
        Ok(0) => {
            while sys::plain(libc::SYS_kill, &[me, 0]).is_ok() {
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            sys::exit(0)
        }
        Ok(_) => 0,
        Err(_) => 1,
    });
    match ended {
        sys::Ended::Exit(0) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Another process has the other end.
fn pipe(_: &Desk) -> Result<Place, String> {
    let ends = had("pipe", sys::pipe(0))?;
    held_by_another()?;
    let _ = sys::close(ends[1]);
    Ok(Place::Fd(ends[0]))
}

/// Another process has both ends, too.
fn shared_pipe(_: &Desk) -> Result<Place, String> {
    let ends = had("pipe", sys::pipe(0))?;
    held_by_another()?;
    Ok(Place::Fd(ends[0]))
}

/// The image goes to a child, which stands still meanwhile: the end to read from, and
/// the one to write to.
fn read_by_child(desk: &Desk, ends: [i32; 2]) -> Result<Place, String> {
    if had("fork", sys::fork())? == 0 {
        let _ = sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
        for fd in [ends[1], desk.image] {
            let _ = sys::close(fd);
        }
        let mut buf = [0; 4096];
        while sys::read(ends[0], &mut buf).is_ok_and(|got| got != 0) {}
        sys::exit(0)
    }
    had("dup2", sys::dup_to(ends[1], desk.image, 0))?;
    for fd in ends {
        let _ = sys::close(fd);
    }
    Ok(Place::Fd(ends[0]))
}

fn image_to_pipe(desk: &Desk) -> Result<Place, String> {
    read_by_child(desk, had("pipe", sys::pipe(0))?)
}

fn image_to_socket(desk: &Desk) -> Result<Place, String> {
    read_by_child(desk, crate::sockets::pair(libc::SOCK_STREAM)?)
}

fn notification_pipe(_: &Desk) -> Result<Place, String> {
    // O_NOTIFICATION_PIPE
    let ends = had("notification pipe", sys::pipe(libc::O_EXCL))?;
    Ok(Place::Fd(ends[0]))
}

fn unlinked_fifo(_: &Desk) -> Result<Place, String> {
    let path = std::env::temp_dir().join("refusals-fifo");
    let _ = std::fs::remove_file(&path);
    // SAFETY: a C string.
    let _ = unsafe { libc::mkfifo(c_path(&path).as_ptr(), 0o600) };
    let opened = sys::open(&c_path(&path), libc::O_RDWR, 0);
    let _ = std::fs::remove_file(&path);
    fd("fifo", opened.map(|fd| fd as usize))
}

pub fn socket(family: i32, kind: i32) -> Result<Place, String> {
    fd(
        "socket",
        plain(libc::SYS_socket, &[family as usize, kind as usize, 0]),
    )
}

/// Another process has it, too.
fn shared_eventfd(_: &Desk) -> Result<Place, String> {
    let fd = had("eventfd", plain(libc::SYS_eventfd2, &[1, 0]))?;
    held_by_another()?;
    Ok(Place::Fd(fd as i32))
}

fn shared_timerfd(_: &Desk) -> Result<Place, String> {
    let clock = libc::CLOCK_MONOTONIC as usize;
    let fd = had("timerfd", plain(libc::SYS_timerfd_create, &[clock, 0]))?;
    held_by_another()?;
    Ok(Place::Fd(fd as i32))
}

fn shared_epoll(_: &Desk) -> Result<Place, String> {
    let fd = had("epoll", plain(libc::SYS_epoll_create1, &[0]))?;
    held_by_another()?;
    Ok(Place::Fd(fd as i32))
}

/// EPIOCSPARAMS: polls network devices for a microsecond before it sleeps.
fn busy_epoll(_: &Desk) -> Result<Place, String> {
    const EPIOCSPARAMS: usize = 0x4008_8a01;
    let fd = had("epoll", plain(libc::SYS_epoll_create1, &[0]))?;
    let mut params = [1u8, 0, 0, 0, 0, 0, 0, 0];
    let args = [fd, EPIOCSPARAMS, 0, 0, 0, 0];
    had("ioctl", with_data(libc::SYS_ioctl, args, 2, &mut params))?;
    Ok(Place::Fd(fd as i32))
}

/// The socket has another descriptor, behind that of the epoll.
fn epoll_of_socket(_: &Desk) -> Result<Place, String> {
    let fd = had("epoll", plain(libc::SYS_epoll_create1, &[0]))?;
    let [socket, _] = crate::sockets::disconnected()?;
    watch(fd, socket as usize)?;
    Ok(Place::Fd(socket))
}

pub fn watch(epoll: usize, fd: usize) -> Result<(), String> {
    let mut event = [1u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let args = [epoll, libc::EPOLL_CTL_ADD as usize, fd, 0, 0, 0];
    had(
        "epoll_ctl",
        with_data(libc::SYS_epoll_ctl, args, 3, &mut event),
    )?;
    Ok(())
}

fn signalfd() -> Result<usize, String> {
    static USR1: u64 = 1 << (libc::SIGUSR1 - 1);
    let args = [usize::MAX, (&raw const USR1) as usize, 8, 0];
    had("signalfd", plain(libc::SYS_signalfd4, &args))
}

/// The file is open in another process, and here it is only watched.
fn epoll_of_a_closed_file(_: &Desk) -> Result<Place, String> {
    let signals = signalfd()?;
    held_by_another()?;
    let fd = had("epoll", plain(libc::SYS_epoll_create1, &[0]))?;
    watch(fd, signals)?;
    had("close", plain(libc::SYS_close, &[signals]))?;
    Ok(Place::Fd(signals as i32))
}

/// A child had the signals watched: its own.
fn epoll_of_a_child(_: &Desk) -> Result<Place, String> {
    let fd = had("epoll", plain(libc::SYS_epoll_create1, &[0]))?;
    let signals = signalfd()?;
    let ended = sys::in_child(10, || i32::from(watch(fd, signals).is_err()));
    if ended != sys::Ended::Exit(0) {
        return Err(format!("the child: {ended:?}"));
    }
    Ok(Place::Fd(fd as i32))
}

/// The child has been waited for.
fn pidfd_of_the_gone(_: &Desk) -> Result<Place, String> {
    let pid = had("fork", sys::fork())?;
    if pid == 0 {
        std::thread::sleep(std::time::Duration::from_secs(100));
        sys::exit(0);
    }
    let opened = plain(libc::SYS_pidfd_open, &[pid as usize, 0]);
    had("kill", plain(libc::SYS_kill, &[pid as usize, 9]))?;
    sys::wait_for(pid, 10);
    fd("pidfd", opened)
}

fn io_uring(_: &Desk) -> Result<Place, String> {
    // The task's own state is looked at before its descriptors.
    had("io_uring", odd::io_uring()).map(|_| Place::Nowhere)
}

fn perf(_: &Desk) -> Result<Place, String> {
    let mut attr = [0u64; 16];
    // PERF_TYPE_SOFTWARE, 128 bytes; PERF_COUNT_SW_TASK_CLOCK; disabled.
    (attr[0], attr[1], attr[5]) = (1 | 128 << 32, 1, 1);
    let args = [0, 0, usize::MAX, usize::MAX, 0, 0];
    fd(
        "perf_event_open",
        with_data(libc::SYS_perf_event_open, args, 0, &mut attr),
    )
}

fn message_queue(_: &Desk) -> Result<Place, String> {
    let name = c"refusals";
    let flags = libc::O_RDWR | libc::O_CREAT;
    let args = [name.as_ptr() as usize, flags as usize, 0o600, 0];
    fd("mq_open", plain(libc::SYS_mq_open, &args))
}

fn device(_: &Desk) -> Result<Place, String> {
    fd(
        "/dev/kmsg",
        sys::open(c"/dev/kmsg", libc::O_RDONLY, 0).map(|fd| fd as usize),
    )
}

fn block_device(_: &Desk) -> Result<Place, String> {
    fd(
        "/dev/zram0",
        sys::open(c"/dev/zram0", libc::O_RDONLY, 0).map(|fd| fd as usize),
    )
}

/// Descriptors.
pub const THINGS: &[Thing] = &[
    thing("fd-pipe-outside", pipe, &["not saved: pipe:["]),
    thing("fd-pipe-shared", shared_pipe, &["pipe is also held"]),
    thing(
        "fd-pipe-notifications",
        notification_pipe,
        &["notification"],
    ),
    thing("fd-fifo-unlinked", unlinked_fifo, &["unlinked"]),
    thing("fd-epoll-shared", shared_epoll, &["epoll is also held"]),
    thing("fd-epoll-busy", busy_epoll, &["polls devices busily"]),
    thing(
        "fd-epoll-socket",
        epoll_of_socket,
        &["connected one way only, or no more"],
    ),
    thing(
        "fd-epoll-closed-file",
        epoll_of_a_closed_file,
        &["a file that no process of the image has"],
    ),
    thing(
        "fd-epoll-of-a-child",
        epoll_of_a_child,
        &["the signals of another process"],
    ),
    thing(
        "fd-eventfd-shared",
        shared_eventfd,
        &["eventfd is also held"],
    ),
    thing(
        "fd-timerfd-shared",
        shared_timerfd,
        &["timerfd is also held"],
    ),
    thing(
        "fd-fanotify",
        |_| fd("fanotify", plain(libc::SYS_fanotify_init, &[0, 0])),
        &["fanotify"],
    ),
    thing(
        "fd-inotify",
        |_| fd("inotify", plain(libc::SYS_inotify_init1, &[0])),
        &["inotify"],
    ),
    thing(
        "fd-pidfd",
        |_| fd("pidfd", plain(libc::SYS_pidfd_open, &[1, 0])),
        &["a pidfd of what is no process of the image"],
    ),
    thing(
        "fd-pidfd-of-the-gone",
        pidfd_of_the_gone,
        &["a pidfd of what is no process of the image"],
    ),
    thing(
        "fd-userfaultfd",
        |_| fd("userfaultfd", plain(libc::SYS_userfaultfd, &[0])),
        &["userfaultfd"],
    ),
    thing("fd-io-uring", io_uring, &["io_uring"]),
    thing("fd-perf", perf, &["perf"]),
    thing(
        "fd-message-queue",
        message_queue,
        &["has no path in a file system"],
    ),
    Thing {
        errnos: &[libc::EDEADLK],
        ..thing("image-to-own-child", image_to_pipe, &["is to read it"])
    },
    Thing {
        errnos: &[libc::EDEADLK],
        ..thing(
            "image-to-own-child-socket",
            image_to_socket,
            &["is to read it"],
        )
    },
    thing(
        "fd-device",
        device,
        &["this character device is not supported"],
    ),
    thing(
        "fd-block-device",
        block_device,
        &["block devices are not supported"],
    ),
];
