// SPDX-License-Identifier: GPL-2.0

//! What can be in the way of a checkpoint: sockets.

use ckpt_guest::desk::Desk;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;

use crate::arrange::had;
use crate::arrange::held_by_another;
use crate::arrange::socket;
use crate::arrange::thing;
use crate::arrange::with_data;
use crate::arrange::Place;
use crate::arrange::Thing;

const STREAM: i32 = libc::SOCK_STREAM;
const DGRAM: i32 = libc::SOCK_DGRAM;

/// A new pair.
pub fn pair(kind: i32) -> Result<[i32; 2], String> {
    let mut ends = [0i32; 2];
    let args = [libc::AF_UNIX as usize, kind as usize, 0, 0, 0, 0];
    had(
        "socketpair",
        with_data(libc::SYS_socketpair, args, 3, &mut ends),
    )?;
    Ok(ends)
}

/// An abstract name of its own.
fn bind(fd: i32) -> Result<(), String> {
    let mut name = [0u8; 8];
    name[0] = libc::AF_UNIX as u8;
    name[3..].copy_from_slice(b"named");
    had(
        "bind",
        with_data(
            libc::SYS_bind,
            [fd as usize, 0, name.len(), 0, 0, 0],
            1,
            &mut name,
        ),
    )?;
    Ok(())
}

fn named(listen: bool) -> Result<Place, String> {
    let Place::Fd(fd) = socket(libc::AF_UNIX, STREAM)? else {
        return Err("no descriptor".to_string());
    };
    bind(fd)?;
    if listen {
        had("listen", plain(libc::SYS_listen, &[fd as usize, 1]))?;
    }
    Ok(Place::Fd(fd))
}

/// A pair that was made in another network namespace.
fn brought(_: &Desk) -> Result<Place, String> {
    let own = had("open", sys::open(c"/proc/self/ns/net", libc::O_RDONLY, 0))?;
    let flag = libc::CLONE_NEWNET as usize;
    had("unshare", plain(libc::SYS_unshare, &[flag]))?;
    let ends = pair(STREAM);
    had("setns", plain(libc::SYS_setns, &[own as usize, flag]))?;
    had("close", sys::close(own))?;
    ends.map(|[end, _]| Place::Fd(end))
}

/// One end does not send to the other any more.
pub fn disconnected() -> Result<[i32; 2], String> {
    let ends = pair(DGRAM)?;
    let mut nobody = [libc::AF_UNSPEC as u16];
    had(
        "connect",
        with_data(
            libc::SYS_connect,
            [ends[0] as usize, 0, 2, 0, 0, 0],
            1,
            &mut nobody,
        ),
    )?;
    Ok(ends)
}

fn one_way(_: &Desk) -> Result<Place, String> {
    disconnected().map(|ends| Place::Fd(ends[0]))
}

fn outside(_: &Desk) -> Result<Place, String> {
    let ends = pair(STREAM)?;
    held_by_another()?;
    let _ = sys::close(ends[1]);
    Ok(Place::Fd(ends[0]))
}

fn shared(_: &Desk) -> Result<Place, String> {
    pair(STREAM)?;
    held_by_another()?;
    // It has both ends.
    Ok(Place::Nowhere)
}

fn set<T>(fd: i32, option: i32, mut value: T) -> Result<(), String> {
    let size = size_of::<T>();
    let (level, option) = (libc::SOL_SOCKET as usize, option as usize);
    let args = [fd as usize, level, option, 0, size, 0];
    had(
        "setsockopt",
        with_data(libc::SYS_setsockopt, args, 3, &mut value),
    )?;
    Ok(())
}

fn with_option(option: i32) -> Result<Place, String> {
    let ends = pair(STREAM)?;
    set(ends[0], option, 3i32)?;
    Ok(Place::Fd(ends[0]))
}

/// Lets everything through.
fn filter(_: &Desk) -> Result<Place, String> {
    let ends = pair(DGRAM)?;
    let mut all = libc::sock_filter {
        code: 6,
        jt: 0,
        jf: 0,
        k: u32::MAX,
    };
    let program = libc::sock_fprog {
        len: 1,
        filter: &mut all,
    };
    set(ends[0], libc::SO_ATTACH_FILTER, program)?;
    Ok(Place::Fd(ends[0]))
}

fn send(fd: i32, flags: i32) -> Result<(), String> {
    let mut byte = [7u8];
    let args = [fd as usize, 0, 1, flags as usize, 0, 0];
    had("send", with_data(libc::SYS_sendto, args, 1, &mut byte))?;
    Ok(())
}

/// A byte out of band, which is received or not.
fn out_of_band(receive: bool) -> Result<Place, String> {
    let ends = pair(STREAM)?;
    send(ends[1], 0)?;
    send(ends[1], libc::MSG_OOB)?;
    if receive {
        let mut byte = [0u8];
        let args = [ends[0] as usize, 0, 1, libc::MSG_OOB as usize, 0, 0];
        had("recv", with_data(libc::SYS_recvfrom, args, 1, &mut byte))?;
    }
    Ok(Place::Fd(ends[0]))
}

fn credentials(_: &Desk) -> Result<Place, String> {
    let ends = pair(STREAM)?;
    set(ends[0], libc::SO_PASSCRED, 1i32)?;
    send(ends[1], 0)?;
    Ok(Place::Fd(ends[0]))
}

/// A file is on its way.
fn files(_: &Desk) -> Result<Place, String> {
    let ends = pair(STREAM)?;
    let mut byte = [7u8];
    let mut vec = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    let rights = (libc::SOL_SOCKET as u64) | (libc::SCM_RIGHTS as u64) << 32;
    let mut control = [20u64, rights, 0];
    // SAFETY: zeros are a valid structure.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    (msg.msg_iov, msg.msg_iovlen) = (&mut vec, 1);
    (msg.msg_control, msg.msg_controllen) = (control.as_mut_ptr().cast(), 24);
    // SAFETY: the structure points to what is ours.
    let sent = unsafe { libc::sendmsg(ends[1], &msg, 0) };
    had("sendmsg", sys::libc_result(sent as i32))?;
    Ok(Place::Fd(ends[0]))
}

fn xattr(_: &Desk) -> Result<Place, String> {
    let ends = pair(STREAM)?;
    let name = c"user.note";
    let at = name.as_ptr() as usize;
    let args = [ends[0] as usize, at, at, 4, 0];
    had("fsetxattr", plain(libc::SYS_fsetxattr, &args))?;
    Ok(Place::Fd(ends[0]))
}

/// Made before the groups changed.
fn other_credentials(_: &Desk) -> Result<Place, String> {
    let ends = pair(STREAM)?;
    let mut group = [7u32];
    had(
        "setgroups",
        with_data(libc::SYS_setgroups, [1, 0, 0, 0, 0, 0], 1, &mut group),
    )?;
    Ok(Place::Fd(ends[0]))
}

/// Sockets.
pub const THINGS: &[Thing] = &[
    thing(
        "fd-socket-from-elsewhere",
        brought,
        &["a socket of another network namespace"],
    ),
    thing(
        "fd-socket-inet",
        |_| socket(libc::AF_INET, DGRAM),
        &["sockets other than local ones"],
    ),
    thing(
        "fd-socket-netlink",
        |_| socket(libc::AF_NETLINK, libc::SOCK_RAW),
        &["sockets other than local ones"],
    ),
    thing("fd-socket-named", |_| named(false), &["with a name"]),
    thing("fd-socket-listening", |_| named(true), &["with a name"]),
    thing(
        "fd-socket-one-way",
        one_way,
        &["connected one way only, or no more"],
    ),
    thing(
        "fd-socket-outside",
        outside,
        &["the other end of a socket is held"],
    ),
    thing("fd-socket-shared", shared, &["socket is also held"]),
    thing("fd-socket-filter", filter, &["with a filter"]),
    thing(
        "fd-socket-timestamps",
        |_| with_option(libc::SO_TIMESTAMP),
        &["options that are not"],
    ),
    thing(
        "fd-socket-priority",
        |_| with_option(libc::SO_PRIORITY),
        &["options that are not"],
    ),
    thing(
        "fd-socket-mark",
        |_| with_option(libc::SO_MARK),
        &["options that are not"],
    ),
    thing("fd-socket-oob", |_| out_of_band(false), &["out-of-band"]),
    thing(
        "fd-socket-oob-received",
        |_| out_of_band(true),
        &["out-of-band"],
    ),
    thing(
        "fd-socket-credentials",
        credentials,
        &["credentials on their way"],
    ),
    thing("fd-socket-files", files, &["open files on their way"]),
    thing("fd-socket-xattr", xattr, &["extended attributes"]),
    thing(
        "fd-socket-other-credentials",
        other_credentials,
        &["with other credentials"],
    ),
];
