// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Options of local sockets, and the sizes of their buffers.

use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format::socket::socket_flags as f;
use crate::format::socket::Socket;
use crate::format::socket::SOCKET_FOREVER;
use crate::kapi::file::FileRef;
use crate::kapi::socket;
use crate::kapi::socket::Sock;
use crate::kapi::socket::State;
use kernel::bindings;
use kernel::prelude::*;

/// Image bits and the options that they stand for.
const SWITCHES: [(u32, u32); 9] = [
    (f::KEEPALIVE, bindings::SO_KEEPALIVE),
    (f::OOBINLINE, bindings::SO_OOBINLINE),
    (f::BROADCAST, bindings::SO_BROADCAST),
    (f::PASSCRED, bindings::SO_PASSCRED),
    (f::PASSSEC, bindings::SO_PASSSEC),
    (f::PASSPIDFD, bindings::SO_PASSPIDFD),
    (f::PASSRIGHTS, bindings::SO_PASSRIGHTS),
    (f::INQ, bindings::SO_INQ),
    (f::NOTRUNC, bindings::SO_RIGHTS_NOTRUNC),
];

/// The options that are on.
fn switches(state: &State) -> u32 {
    let on = state.switches();
    SWITCHES.iter().fold(0, |all, (image, option)| {
        let is_on = on.contains(&(*option, true));
        all | if is_on { *image } else { 0 }
    })
}

/// Enters the options.
pub(super) fn save(rec: &mut Socket, state: &State) {
    rec.flags = switches(state) | state.buf_lock.wrapping_mul(f::SNDBUF_SET);
    (rec.sndbuf, rec.rcvbuf) = (state.sndbuf, state.rcvbuf);
    (rec.rcvlowat, rec.peek_off) = (state.rcvlowat, state.peek_off);
    (rec.rcvtimeo, rec.sndtimeo) = (state.rcvtimeo, state.sndtimeo);
}

/// Makes a send buffer as large as the caller may.
pub(super) fn widen(end: &FileRef) -> Outcome {
    const WHY: &str = "the size of a buffer cannot be set";
    match socket::set(end, bindings::SO_SNDBUFFORCE, i32::MAX) {
        Err(EPERM) => socket::set(end, bindings::SO_SNDBUF, i32::MAX).why(WHY),
        done => done.why(WHY),
    }
}

/// Sets the sizes of the buffers.
pub(super) fn buffers(end: &FileRef, rec: &Socket) -> Outcome {
    let send = [bindings::SO_SNDBUF, bindings::SO_SNDBUFFORCE];
    size(end, rec.sndbuf, send, |state| state.sndbuf)?;
    let receive = [bindings::SO_RCVBUF, bindings::SO_RCVBUFFORCE];
    size(end, rec.rcvbuf, receive, |state| state.rcvbuf)
}

fn size(end: &FileRef, wanted: u32, options: [u32; 2], now: impl Fn(&State) -> u32) -> Outcome {
    const WHY: &str = "the size of a buffer is above the caller's limits";

    for option in options {
        if now(&state(end)?) != wanted {
            // The kernel doubles it.
            socket::set(end, option, (wanted / 2) as i32).why(WHY)?;
        }
    }
    if now(&state(end)?) == wanted {
        Ok(())
    } else {
        Err(Failure::new(EINVAL, "the size of a buffer cannot be set"))
    }
}

fn state(end: &FileRef) -> Result<State> {
    Ok(Sock::of(end).ok_or(EBADF)?.state())
}

/// Sets options, as far as they are not those of a new one.
pub(super) fn restore(end: &FileRef, rec: &Socket) -> Result {
    let state = state(end)?;
    let wrong = switches(&state) ^ rec.flags;
    for (image, option) in SWITCHES {
        if wrong & image != 0 {
            socket::set(end, option, (rec.flags & image != 0).into())?;
        }
    }
    if state.rcvlowat != rec.rcvlowat {
        socket::set(end, bindings::SO_RCVLOWAT, rec.rcvlowat as i32)?;
    }
    if state.peek_off != rec.peek_off {
        socket::set(end, bindings::SO_PEEK_OFF, rec.peek_off)?;
    }
    for (option, time) in [
        (bindings::SO_RCVTIMEO_NEW, rec.rcvtimeo),
        (bindings::SO_SNDTIMEO_NEW, rec.sndtimeo),
    ] {
        if time != SOCKET_FOREVER {
            socket::set_time(end, option, Some(time))?;
        }
    }
    let locked = (rec.flags & (f::SNDBUF_SET | f::RCVBUF_SET)) >> f::SNDBUF_SET.trailing_zeros();
    if state.buf_lock != locked {
        socket::set(end, bindings::SO_BUF_LOCK, locked as i32)?;
    }
    Ok(())
}
