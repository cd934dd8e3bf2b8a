// SPDX-License-Identifier: GPL-2.0

//! Objects behind descriptors that several processes have since a fork: what one does to
//! them, another one sees, also after a restart.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use ckpt_guest::act::slowness;
use ckpt_guest::act::Act;
use ckpt_guest::life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::family::act;
use crate::family::child;
use crate::family::ends_well;

/// Milliseconds until one does something to the objects.
const WAITS: u64 = 300;
const PART: usize = 24;

/// What both processes have.
struct Objects {
    /// Counters: from the child, and to it.
    told: i32,
    asked: i32,
    timer: i32,
    /// Watches `told` alone.
    epoll: i32,
    /// A file in memory and one on a disk, both mapped, and read at their positions.
    files: [(i32, Map); 2],
}

fn made(what: &str, fd: libc::c_int) -> Result<i32, String> {
    sys::libc_result(fd).map_err(|e| format!("{what}: {e}"))
}

/// A file of one page, mapped by all who come after.
fn mapped(fd: i32) -> Result<(i32, Map), String> {
    let text = |e: sys::Errno| format!("shared file: {e}");
    sys::pwrite(fd, &[b'.'; PAGE], 0).map_err(text)?;
    let map = Map::new(Spec {
        flags: libc::MAP_SHARED,
        fd,
        ..Spec::default()
    });
    Ok((fd, map.map_err(text)?))
}

impl Objects {
    fn new(scene: &Scene) -> Result<Self, String> {
        let path = life::c_path(&scene.dir.join("common"));
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let file = sys::open(&path, flags, 0o600).map_err(|e| format!("file: {e}"))?;
        // SAFETY: these make descriptors, and the name is a C string.
        let (memory, told, asked, timer, epoll) = unsafe {
            (
                made("memfd", libc::memfd_create(c"common".as_ptr(), 0))?,
                made("eventfd", libc::eventfd(0, 0))?,
                made("eventfd", libc::eventfd(0, 0))?,
                made("timerfd", libc::timerfd_create(libc::CLOCK_MONOTONIC, 0))?,
                made("epoll", libc::epoll_create1(0))?,
            )
        };
        let mut event = libc::epoll_event {
            events: libc::EPOLLIN as u32,
            u64: 77,
        };
        // SAFETY: the kernel reads the event.
        let added = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, told, &mut event) };
        made("epoll_ctl", added)?;
        Ok(Self {
            told,
            asked,
            timer,
            epoll,
            files: [mapped(memory)?, mapped(file)?],
        })
    }

    /// A word of a mapping, which the other process changes.
    fn word(&self, nr: usize, at: usize) -> &AtomicU64 {
        assert!(at < PAGE / 8);
        // SAFETY: the page is mapped until the process ends, and only used through atomics.
        unsafe { &*(self.files[nr].1.addr as *const AtomicU64).add(at) }
    }

    /// Sets the timer, which both have; 0 disarms it.
    fn set_timer(&self, seconds: i64) -> Result<(), String> {
        // SAFETY: zeros are a valid structure, and the kernel reads it.
        let set = unsafe {
            let mut time: libc::itimerspec = std::mem::zeroed();
            time.it_value.tv_sec = seconds;
            libc::timerfd_settime(self.timer, 0, &time, std::ptr::null_mut())
        };
        made("timerfd_settime", set).map(|_| ())
    }

    /// Seconds until the timer ends.
    fn left(&self) -> Result<i64, String> {
        // SAFETY: zeros are a valid structure, and the kernel writes it.
        unsafe {
            let mut time: libc::itimerspec = std::mem::zeroed();
            made(
                "timerfd_gettime",
                libc::timerfd_gettime(self.timer, &mut time),
            )?;
            Ok(time.it_value.tv_sec)
        }
    }

    /// What the epoll has to tell: one thing at most.
    fn event(&self, millis: i32) -> Result<Option<u64>, String> {
        let mut event = libc::epoll_event { events: 0, u64: 0 };
        // SAFETY: there is room for one event.
        let count = unsafe { libc::epoll_wait(self.epoll, &mut event, 1, millis) };
        let word = event.u64;
        Ok((made("epoll_wait", count)? == 1).then_some(word))
    }
}

fn tell(fd: i32, number: u64) -> Result<(), String> {
    match sys::write(fd, &number.to_ne_bytes()) {
        Ok(8) => Ok(()),
        other => Err(format!("write to an eventfd: {other:?}")),
    }
}

fn hear(fd: i32) -> Result<u64, String> {
    let mut number = [0; 8];
    match sys::read(fd, &mut number) {
        Ok(8) => Ok(u64::from_ne_bytes(number)),
        other => Err(format!("read of an eventfd: {other:?}")),
    }
}

fn must<T: PartialEq + std::fmt::Debug>(what: &str, got: T, want: T) -> Result<(), String> {
    if got == want {
        return Ok(());
    }
    Err(format!("{what}: {got:?}, not {want:?}"))
}

/// Asleep at its counter; then changes everything, and ends when the parent has seen it.
fn changes(of: &Objects) -> Result<(), String> {
    must("what the parent has asked", hear(of.asked)?, 5)?;
    for (nr, (fd, _)) in of.files.iter().enumerate() {
        must(
            "a word of the parent",
            of.word(nr, 1).load(Ordering::SeqCst),
            11,
        )?;
        of.word(nr, 2).store(22, Ordering::SeqCst);
        let mut part = [0; PART];
        must("read", sys::read(*fd, &mut part), Ok(PART))?;
    }
    of.set_timer(5000)?;
    tell(of.told, 6)?;
    must("what the parent has asked then", hear(of.asked)?, 1)
}

fn common_objects(scene: &Scene) -> Result<(), String> {
    let of = Objects::new(scene)?;
    let other = child(|| changes(&of))?;
    // The images are from this time.
    scene.pause(WAITS * slowness());
    must("the epoll", of.event(0)?, None)?;
    must("the timer", of.left()?, 0)?;
    for nr in 0..2 {
        of.word(nr, 1).store(11, Ordering::SeqCst);
    }
    tell(of.asked, 5)?;
    must("the epoll", of.event(20_000)?, Some(77))?;
    must("what the child has told", hear(of.told)?, 6)?;
    for (nr, (fd, _)) in of.files.iter().enumerate() {
        must(
            "a word of the child",
            of.word(nr, 2).load(Ordering::SeqCst),
            22,
        )?;
        let at = sys::lseek(*fd, 0, libc::SEEK_CUR);
        must("the position", at, Ok(PART))?;
    }
    let left = of.left()?;
    if !(4000..=5000).contains(&left) {
        return Err(format!("the timer that the child has set: {left} s"));
    }
    of.set_timer(0)?;
    tell(of.asked, 1)?;
    ends_well(other)
}

/// Victims.
pub const ACTS: &[Act] = &[Act {
    waits: WAITS,
    ..act("common-objects", common_objects)
}];
