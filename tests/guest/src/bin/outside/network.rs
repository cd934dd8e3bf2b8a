// SPDX-License-Identifier: GPL-2.0

//! Victims that wait, with a timeout, at sockets that no image holds: they are refused, and
//! wait for the rest of their time.

use ckpt_guest::sys::Errno;
use ckpt_guest::sys::Ret;
use ckpt_guest::victim::Scene;

use crate::calls::asleep_until_done;
use crate::calls::call;
use crate::calls::duration;
use crate::calls::sleeps;
use crate::kills::Body;
use crate::sockets::with_timeout;
use crate::unsaved::receives;
use crate::unsaved::refused_in;
use crate::unsaved::stops;
use crate::waits::made;

const AGAIN: Ret = Err(Errno(libc::EAGAIN));

/// The machine's own network is there.
fn loopback() -> Result<(), String> {
    // SAFETY: zeros are a valid structure.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as i8;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as i16;
    let fd = socket(libc::SOCK_DGRAM)?;
    let args = [fd, libc::SIOCSIFFLAGS as usize, (&raw mut request) as usize];
    made(libc::SYS_ioctl, &args)?;
    made(libc::SYS_close, &[fd]).map(|_| ())
}

fn socket(kind: i32) -> Result<usize, String> {
    made(
        libc::SYS_socket,
        &[libc::AF_INET as usize, kind as usize, 0],
    )
}

fn listener() -> Result<usize, String> {
    let fd = socket(libc::SOCK_STREAM)?;
    made(libc::SYS_listen, &[fd, 1])?;
    Ok(fd)
}

/// A listener, and what leads to it.
fn reachable() -> Result<(usize, libc::sockaddr_in), String> {
    loopback()?;
    let listener = listener()?;
    // SAFETY: zeros are a valid structure.
    let mut address: libc::sockaddr_in = unsafe { std::mem::zeroed() };
    let mut len = size_of_val(&address) as u32;
    let into = (&raw mut address) as usize;
    made(
        libc::SYS_getsockname,
        &[listener, into, (&raw mut len) as usize],
    )?;
    address.sin_addr.s_addr = u32::from_ne_bytes([127, 0, 0, 1]);
    Ok((listener, address))
}

fn connect(fd: usize, address: &libc::sockaddr_in) -> Ret {
    let to = (&raw const *address) as usize;
    call(libc::SYS_connect, &[fd, to, size_of_val(address)])
}

/// Both ends of a connection.
fn tcp() -> Result<[usize; 2], String> {
    let (listener, address) = reachable()?;
    let a = socket(libc::SOCK_STREAM)?;
    connect(a, &address).map_err(|e| format!("connect: {e}"))?;
    let b = made(libc::SYS_accept4, &[listener, 0, 0, 0])?;
    Ok([a, b])
}

/// A listener whose connections nobody takes: it answers no more.
fn silent() -> Result<libc::sockaddr_in, String> {
    let (_, address) = reachable()?;
    for _ in 0..2 {
        let fd = socket(libc::SOCK_STREAM)?;
        connect(fd, &address).map_err(|e| format!("connect: {e}"))?;
    }
    Ok(address)
}

fn tcp_connects(scene: &Scene) -> Result<(), String> {
    let address = silent()?;
    let fd = with_timeout(socket(libc::SOCK_STREAM)?, libc::SO_SNDTIMEO, duration())?;
    scene.announce();
    sleeps(Err(Errno(libc::EINPROGRESS)), || connect(fd, &address))
}

/// Waits for what a call before has begun.
fn tcp_connects_again(scene: &Scene) -> Result<(), String> {
    let address = silent()?;
    let fd = socket(libc::SOCK_STREAM | libc::SOCK_NONBLOCK)?;
    let begun = connect(fd, &address);
    if begun != Err(Errno(libc::EINPROGRESS)) {
        return Err(format!("connect: {begun:?}"));
    }
    made(libc::SYS_fcntl, &[fd, libc::F_SETFL as usize, 0])?;
    let fd = with_timeout(fd, libc::SO_SNDTIMEO, duration())?;
    scene.announce();
    sleeps(Err(Errno(libc::EALREADY)), || connect(fd, &address))
}

fn tcp_receives(scene: &Scene) -> Result<(), String> {
    receives(scene, tcp()?[0])
}

fn tcp_accepts(scene: &Scene) -> Result<(), String> {
    let fd = with_timeout(listener()?, libc::SO_RCVTIMEO, duration())?;
    scene.announce();
    sleeps(AGAIN, || call(libc::SYS_accept4, &[fd, 0, 0, 0]))
}

/// Nobody reads what it sends.
fn tcp_sends(scene: &Scene) -> Result<(), String> {
    let ([fd, _], buf) = (tcp()?, vec![0u8; 1 << 16]);
    let args = |how: i32| [fd, buf.as_ptr() as usize, buf.len(), how as usize, 0, 0];
    let mut full = 0;
    // What was sent is on its way for a moment, and leaves room behind it.
    while full < 20 {
        match call(libc::SYS_sendto, &args(libc::MSG_DONTWAIT)) {
            Ok(_) => full = 0,
            AGAIN => {
                full += 1;
                scene.pause(5);
            }
            other => return Err(format!("sendto: {other:?}")),
        }
    }
    with_timeout(fd, libc::SO_SNDTIMEO, duration())?;
    scene.announce();
    sleeps(AGAIN, || call(libc::SYS_sendto, &args(0)))
}

/// Nothing happens of which the kernel would tell.
fn netlink_receives(scene: &Scene) -> Result<(), String> {
    let args = [libc::AF_NETLINK as usize, libc::SOCK_RAW as usize, 0];
    receives(scene, made(libc::SYS_socket, &args)?)
}

/// The sockets are in no image, which is found before what was interrupted.
const WORD: &str = "sockets other than local ones are not supported";

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("refused-tcp-recv-timeout", || {
        asleep_until_done(|| refused_in("refused-tcp-recv-timeout", tcp_receives, WORD))
    }),
    ("refused-tcp-send-timeout", || {
        asleep_until_done(|| refused_in("refused-tcp-send-timeout", tcp_sends, WORD))
    }),
    ("refused-tcp-accept-timeout", || {
        asleep_until_done(|| refused_in("refused-tcp-accept-timeout", tcp_accepts, WORD))
    }),
    ("refused-tcp-connect-timeout", || {
        asleep_until_done(|| refused_in("refused-tcp-connect-timeout", tcp_connects, WORD))
    }),
    ("refused-tcp-connect-again", || {
        asleep_until_done(|| refused_in("refused-tcp-connect-again", tcp_connects_again, WORD))
    }),
    ("refused-netlink-timeout", || {
        asleep_until_done(|| refused_in("refused-netlink-timeout", netlink_receives, WORD))
    }),
    ("tcp-recv-timeout-stops", || {
        stops("tcp-recv-timeout-stops", tcp_receives)
    }),
    ("tcp-send-timeout-stops", || {
        stops("tcp-send-timeout-stops", tcp_sends)
    }),
    ("tcp-connect-timeout-stops", || {
        stops("tcp-connect-timeout-stops", tcp_connects)
    }),
    ("tcp-connect-again-stops", || {
        stops("tcp-connect-again-stops", tcp_connects_again)
    }),
    ("netlink-timeout-stops", || {
        stops("netlink-timeout-stops", netlink_receives)
    }),
];
