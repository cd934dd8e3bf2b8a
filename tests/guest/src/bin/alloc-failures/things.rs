// SPDX-License-Identifier: GPL-2.0

//! What a task can have besides private memory: some of all that takes allocations.

use ckpt_guest::bpf;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::mem::RW;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;
use ckpt_guest::timer;

const TEXT: &[u8] = b"what nobody has read yet";
const GROUPS: [u32; 3] = [7, 1001, 2002];
const SIGNAL: i32 = 40;
/// The call that the filters let fail, and how.
const FILTERED: (libc::c_long, i32) = (libc::SYS_getppid, libc::EDOM);
const SHARED_PAGES: usize = 3;
const MADV_GUARD_INSTALL: usize = 102;
const F_OFD_GETLK: i32 = 36;
const F_OFD_SETLK: i32 = 37;

/// All of them, of the calling task.
pub struct Things {
    pair: [i32; 2],
    pipe: [i32; 2],
    memfd: i32,
    event: i32,
    shared: Map,
    timer: usize,
    /// One file, opened twice: the first one has it locked.
    locked: [i32; 2],
    /// A file of the process in procfs.
    proc: i32,
    /// Its second page is a guard.
    guarded: Map,
}

fn number(fd: sys::Ret) -> Result<i32, Errno> {
    fd.map(|fd| fd as i32)
}

fn pair(kind: i32) -> Result<[i32; 2], Errno> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two numbers.
    sys::libc_result(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) })?;
    Ok(ends)
}

/// An epoll that watches `fds`.
fn watch(fds: &[i32]) -> Result<(), Errno> {
    let epoll = number(sys::plain(libc::SYS_epoll_create1, &[0]))?;
    for fd in fds {
        let event = [libc::EPOLLOUT as u32, 17, 0];
        let args = [epoll as usize, 1, *fd as usize, event.as_ptr() as usize];
        sys::plain(libc::SYS_epoll_ctl, &args)?;
    }
    Ok(())
}

/// One call of fcntl(2) with a lock on the first byte; the kind that it leaves behind.
fn lock(fd: i32, command: i32, kind: i32) -> Result<i32, Errno> {
    // SAFETY: zeros are a valid structure.
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    (lock.l_type, lock.l_len) = (kind as i16, 1);
    // SAFETY: the kernel reads and writes the structure.
    sys::libc_result(unsafe { libc::fcntl(fd, command, &raw mut lock) })?;
    Ok(lock.l_type.into())
}

/// A file that is locked in three ways, for reading, so that copies of the task have it, too.
fn locked() -> Result<[i32; 2], Errno> {
    let path = c"/tmp/alloc-failures-locked";
    let flags = libc::O_RDWR | libc::O_CREAT;
    let fds = [
        sys::open(path, flags, 0o600)?,
        sys::open(path, flags, 0o600)?,
    ];
    for command in [libc::F_SETLK, F_OFD_SETLK] {
        lock(fds[0], command, libc::F_RDLCK)?;
    }
    sys::plain(libc::SYS_flock, &[fds[0] as usize, libc::LOCK_SH as usize])?;
    Ok(fds)
}

/// Makes the groups those of the caller: sockets are of those who make them, and their
/// restart of callers who are the same.
pub fn take_groups() -> Result<(), Errno> {
    let args = [GROUPS.len(), GROUPS.as_ptr() as usize];
    sys::plain(libc::SYS_setgroups, &args).map(|_| ())
}

impl Things {
    /// Makes all of them.
    pub fn new() -> Result<Self, Errno> {
        let (pair, datagrams) = (pair(libc::SOCK_STREAM)?, pair(libc::SOCK_DGRAM)?);
        let pipe = sys::pipe(0)?;
        for fd in [pair[1], datagrams[0], datagrams[0], datagrams[1], pipe[1]] {
            sys::write(fd, TEXT)?;
        }
        let memfd = number(sys::plain(
            libc::SYS_memfd_create,
            &[c"things".as_ptr() as usize, 0],
        ))?;
        sys::write(memfd, TEXT)?;
        let shared = Map::new(Spec {
            len: SHARED_PAGES * PAGE,
            flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            ..Spec::default()
        })?;
        (0..SHARED_PAGES).for_each(|page| shared.fill_page(page, page as u64));
        // The memory of the file, mapped too.
        Map::new(Spec {
            prot: RW,
            flags: libc::MAP_SHARED,
            fd: memfd,
            ..Spec::default()
        })?;
        let unix = [libc::AF_UNIX as usize, libc::SOCK_STREAM as usize, 0];
        sys::plain(libc::SYS_socket, &unix)?;
        let event = number(sys::plain(libc::SYS_eventfd2, &[5, 0]))?;
        let clock = number(sys::plain(libc::SYS_timerfd_create, &[1, 0]))?;
        watch(&[event, clock, pipe[0], pair[0]])?;
        let signals = timer::Signals {
            notify: timer::SIGEV_SIGNAL,
            signo: SIGNAL,
            value: 1,
            tid: 0,
        };
        let timer = timer::create(libc::CLOCK_MONOTONIC, signals, 0)?;
        timer::set(timer, 0, 5000 * timer::SECOND, 0)?;
        timer::block(timer::bit(SIGNAL))?;
        for value in 0..3 {
            timer::queue(SIGNAL, value, None)?;
        }
        for _ in 0..2 {
            bpf::install(&bpf::failing(&[FILTERED]), 0)?;
        }
        let guarded = Map::anon(3 * PAGE)?;
        (0..3).for_each(|page| guarded.fill_page(page, 1));
        let second = [guarded.addr + PAGE, PAGE, MADV_GUARD_INSTALL];
        sys::plain(libc::SYS_madvise, &second)?;
        Ok(Self {
            proc: sys::open(c"/proc/self/status", libc::O_RDONLY, 0)?,
            guarded,
            pair,
            pipe,
            memfd,
            event,
            shared,
            timer,
            locked: locked()?,
        })
    }

    /// Are they as they were made? Takes what was queued.
    pub fn are_there(&self) -> bool {
        let wrong = self.first_wrong();
        if let Some(what) = wrong {
            println!("FAILED: {what}");
        }
        wrong.is_none()
    }

    fn first_wrong(&self) -> Option<&'static str> {
        let holds = |fd: i32| {
            let mut bytes = [0; TEXT.len() + 1];
            sys::read(fd, &mut bytes) == Ok(TEXT.len()) && bytes.starts_with(TEXT)
        };
        let mut bytes = [0; TEXT.len()];
        let in_file = sys::pread(self.memfd, &mut bytes, 0);
        let mut count = [0u8; 8];
        let mut groups = [0u32; GROUPS.len()];
        // SAFETY: the kernel writes as many numbers as there is room for.
        let nr_groups = unsafe { libc::getgroups(GROUPS.len() as i32, groups.as_mut_ptr()) };
        let queued = (0..3).all(|value| {
            timer::wait(timer::bit(SIGNAL), 1).is_some_and(|info| info.value == value)
        });
        // To ask takes an allocation, which may be the one that fails: none behind it does.
        let ask = || lock(self.locked[1], F_OFD_GETLK, libc::F_WRLCK);
        let is_locked = ask().or_else(|_| ask()) == Ok(libc::F_RDLCK);
        // As to ask for a lock.
        let mut name = [0; 5];
        let mut tell = || sys::pread(self.proc, &mut name, 0);
        let told = tell().or_else(|_| tell()) == Ok(5);
        // An eventfd takes no memory, and nothing from behind a guard.
        let from_guard = [self.event as usize, self.guarded.addr + PAGE, 8];
        let guards = [0, 2].iter().all(|page| self.guarded.page_is(*page, 1))
            && sys::plain(libc::SYS_write, &from_guard) == Err(Errno(libc::EFAULT));
        let checks = [
            (told && name == *b"Name:", "a file of procfs"),
            (guards, "a guard"),
            (holds(self.pair[0]), "a socket"),
            (holds(self.pipe[0]), "a pipe"),
            (in_file == Ok(TEXT.len()) && bytes == *TEXT, "a memfd"),
            (
                (0..SHARED_PAGES).all(|page| self.shared.page_is(page, page as u64)),
                "shared memory",
            ),
            (
                sys::read(self.event, &mut count) == Ok(8) && count[0] == 5,
                "an eventfd",
            ),
            (
                timer::get(self.timer).is_ok_and(|[left, _]| left > 1000 * timer::SECOND),
                "a timer",
            ),
            (queued, "the queue of signals"),
            (is_locked, "the locks"),
            (
                nr_groups == GROUPS.len() as i32 && groups == GROUPS,
                "the groups",
            ),
            (
                sys::plain(FILTERED.0, &[]) == Err(Errno(FILTERED.1)),
                "the filters",
            ),
        ];
        checks.iter().find(|check| !check.0).map(|check| check.1)
    }
}
