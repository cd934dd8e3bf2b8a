// SPDX-License-Identifier: GPL-2.0

//! Victims in calls that no image holds: they are refused, and their calls go on. And a
//! call whose time runs however often its task is stopped.

use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::sys::Errno;
use ckpt_guest::victim::Scene;

use crate::calls::asleep_until_done;
use crate::calls::call;
use crate::calls::duration;
use crate::calls::sleeps;
use crate::calls::time;
use crate::kills::Body;
use crate::sockets::pair;
use crate::sockets::with_timeout;
use crate::waits::made;

/// Events of a context that nothing is asked of.
fn io_getevents(scene: &Scene) -> Result<(), String> {
    io_getevents_for(scene, time(duration()))
}

/// The same with more nanoseconds than a second has, which no other call takes.
fn io_getevents_odd(scene: &Scene) -> Result<(), String> {
    io_getevents_for(scene, [-1, 1_000_000_000 + 1_000_000 * duration() as i64])
}

fn io_getevents_for(scene: &Scene, time: [i64; 2]) -> Result<(), String> {
    let (mut context, mut event) = (0usize, [0u64; 4]);
    made(libc::SYS_io_setup, &[1, (&raw mut context) as usize])?;
    let at = event.as_mut_ptr() as usize;
    let args = [context, 1, 1, at, (&raw const time) as usize];
    scene.announce();
    sleeps(Ok(0), || call(libc::SYS_io_getevents, &args))
}

/// A socket that nobody connects to, in this boot of the machine.
fn listener() -> Result<usize, String> {
    let fd = made(libc::SYS_socket, &[1, libc::SOCK_STREAM as usize, 0])?;
    let family = libc::AF_UNIX as u16;
    made(libc::SYS_bind, &[fd, (&raw const family) as usize, 2])?;
    made(libc::SYS_listen, &[fd, 1])?;
    Ok(fd)
}

fn accept(scene: &Scene) -> Result<(), String> {
    let fd = with_timeout(listener()?, libc::SO_RCVTIMEO, duration())?;
    scene.announce();
    let again = Err(Errno(libc::EAGAIN));
    sleeps(again, || call(libc::SYS_accept4, &[fd, 0, 0, 0]))
}

/// Nobody takes the connections of a listener, and there is room for no more.
fn connect(scene: &Scene) -> Result<(), String> {
    let (listener, mut address) = (listener()?, [0u8; 16]);
    let mut len = address.len() as u32;
    let into = [
        listener,
        address.as_mut_ptr() as usize,
        (&raw mut len) as usize,
    ];
    made(libc::SYS_getsockname, &into)?;
    let again = Err(Errno(libc::EAGAIN));
    let connect = |fd: usize| {
        let args = [fd, address.as_ptr() as usize, len as usize];
        call(libc::SYS_connect, &args)
    };
    let socket = |more: i32| {
        let kind = libc::SOCK_STREAM | more;
        made(libc::SYS_socket, &[1, kind as usize, 0])
    };
    loop {
        match connect(socket(libc::SOCK_NONBLOCK)?) {
            Ok(_) => {}
            full if full == again => break,
            other => return Err(format!("connect: {other:?}")),
        }
    }
    let fd = with_timeout(socket(0)?, libc::SO_SNDTIMEO, duration())?;
    scene.announce();
    sleeps(again, || connect(fd))
}

/// The victim is refused three times while it waits, and waits for its whole time.
pub fn refused_in(
    name: &'static str,
    play: fn(&Scene) -> Result<(), String>,
    word: &'static str,
) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(play)?;
    scene.until_there()?;
    let mut said = String::new();
    for _ in 0..3 {
        scene.pause(duration() / 8);
        said = victim.refuses(libc::EOPNOTSUPP, word)?;
        victim.unnoticed()?;
    }
    victim.ends_well(duration())?;
    pass_with(said.trim())
}

pub fn receives(scene: &Scene, fd: usize) -> Result<(), String> {
    let fd = with_timeout(fd, libc::SO_RCVTIMEO, duration())?;
    let mut buf = [0u8; 8];
    let args = [fd, buf.as_mut_ptr() as usize, 8, 0, 0, 0];
    scene.announce();
    let again = Err(Errno(libc::EAGAIN));
    sleeps(again, || call(libc::SYS_recvfrom, &args))
}

fn local(scene: &Scene) -> Result<(), String> {
    receives(scene, pair(libc::SOCK_STREAM)?[0])
}

fn udp(scene: &Scene) -> Result<(), String> {
    receives(
        scene,
        made(libc::SYS_socket, &[2, libc::SOCK_DGRAM as usize, 0])?,
    )
}

/// A wait that started anew with each stop would not end while the stops go on.
pub fn stops(name: &'static str, play: fn(&Scene) -> Result<(), String>) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(play)?;
    scene.until_there()?;
    let start = Instant::now();
    let mut stops = 0;
    while !victim.has_ended() {
        if start.elapsed() > Duration::from_millis(10 * duration()) {
            return Err(format!("it still waits after {stops} stops"));
        }
        victim.signal(libc::SIGSTOP);
        scene.pause(duration() / 30);
        victim.signal(libc::SIGCONT);
        scene.pause(duration() / 30);
        stops += 1;
    }
    victim.ends_well(0)?;
    if stops < 3 {
        return Err(format!("only {stops} stops"));
    }
    pass_with(format!("{stops} stops"))
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("refused-io-getevents", || {
        asleep_until_done(|| refused_in("refused-io-getevents", io_getevents, "asynchronous"))
    }),
    ("refused-accept-timeout", || {
        let word = "interrupted system call";
        asleep_until_done(|| refused_in("refused-accept-timeout", accept, word))
    }),
    ("recv-timeout-stops", || stops("recv-timeout-stops", local)),
    ("udp-timeout-stops", || stops("udp-timeout-stops", udp)),
    ("refused-connect-timeout", || {
        let word = "interrupted system call";
        asleep_until_done(|| refused_in("refused-connect-timeout", connect, word))
    }),
    ("connect-timeout-stops", || {
        stops("connect-timeout-stops", connect)
    }),
    ("accept-timeout-stops", || {
        stops("accept-timeout-stops", accept)
    }),
    ("io-getevents-stops", || {
        stops("io-getevents-stops", io_getevents)
    }),
    ("io-getevents-odd-stops", || {
        stops("io-getevents-odd-stops", io_getevents_odd)
    }),
];
