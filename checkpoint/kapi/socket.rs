// SPDX-License-Identifier: GPL-2.0

//! Local sockets: what they are, and new ones.
//!
//! Locking: the state of a socket is read under its state lock, its owner under the lock
//! that its file is taken away by. Options are single words.

use super::file;
use super::file::FileRef;
use super::tree::Process;
use core::ops::Deref;
use core::ptr;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;

/// What a socket is, without what waits in it.
pub(crate) struct State(bindings::ckpt_socket);

impl Deref for State {
    type Target = bindings::ckpt_socket;

    fn deref(&self) -> &bindings::ckpt_socket {
        &self.0
    }
}

/// TCP_ESTABLISHED, for local sockets as well.
const CONNECTED: u32 = 1;

/// A counted reference to a local socket. It keeps the socket, but not open.
pub(crate) struct Sock(NonNull<bindings::sock>);

// SAFETY: The reference count is atomic, and whatever is looked at has locks or is a
// single word.
unsafe impl Send for Sock {}

impl Clone for Sock {
    fn clone(&self) -> Self {
        // SAFETY: The type owns a reference, so that there can be one more.
        unsafe { bindings::ckpt_sock_hold(self.as_ptr()) };
        Self(self.0)
    }
}

impl PartialEq for Sock {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Drop for Sock {
    fn drop(&mut self) {
        // SAFETY: The type owns the reference.
        unsafe { bindings::ckpt_sock_put(self.as_ptr()) };
    }
}

impl Sock {
    /// The local socket of an open file.
    pub(crate) fn of(file: &FileRef) -> Option<Self> {
        // SAFETY: The reference keeps the file, and the file its socket. The result has a
        // reference for us.
        NonNull::new(unsafe { bindings::ckpt_unix_sock(file.as_ptr()) }).map(Self)
    }

    /// For calls of the kernel; the reference stays here.
    pub(super) fn as_ptr(&self) -> *mut bindings::sock {
        self.0.as_ptr()
    }

    /// What it sends to.
    pub(crate) fn peer(&self) -> Option<Self> {
        // SAFETY: The type owns a reference; the result has one for us.
        NonNull::new(unsafe { bindings::ckpt_unix_peer(self.as_ptr()) }).map(Self)
    }

    /// Its address: its identity while a reference is held.
    pub(crate) fn identity(&self) -> usize {
        self.as_ptr() as usize
    }

    /// Its file is closed.
    pub(crate) fn is_closed(&self) -> bool {
        // SAFETY: The type owns a reference; the flag is a bit of a word.
        unsafe { bindings::ckpt_sock_is_closed(self.as_ptr()) }
    }

    /// What is not supported about it.
    pub(crate) fn odd(&self) -> Option<&'static str> {
        let sk = self.as_ptr();
        // SAFETY: The type owns a reference. Only single words are looked at.
        unsafe {
            if bindings::ckpt_unix_is_named(sk) {
                return Some("a local socket with a name is not supported");
            }
            if bindings::ckpt_sock_is_filtered(sk) {
                return Some("a socket with a filter is not supported");
            }
            if bindings::ckpt_sock_is_redirected(sk) {
                return Some("a socket in a BPF map is not supported");
            }
            if bindings::ckpt_unix_has_oob(sk) {
                return Some("out-of-band data in a socket is not supported");
            }
            if bindings::ckpt_sock_has_options(sk) || self.state().has_odd_times() {
                return Some("a socket has options that are not supported");
            }
        }
        None
    }

    /// It is of another network namespace than the current task.
    pub(crate) fn is_elsewhere(&self) -> bool {
        // SAFETY: The type owns a reference, and the socket its namespace.
        unsafe { bindings::ckpt_sock_is_elsewhere(self.as_ptr()) }
    }

    /// It is of a pair, or was connected, even if it is no longer. Nobody has any other one as
    /// a peer, if it has no name.
    pub(crate) fn was_connected(&self) -> bool {
        // SAFETY: The type owns a reference, and the call takes the lock.
        unsafe { bindings::ckpt_unix_was_connected(self.as_ptr()) }
    }

    /// See [`State`].
    pub(crate) fn state(&self) -> State {
        let mut state = bindings::ckpt_socket::default();
        // SAFETY: The type owns a reference, the call takes the locks, and what is filled
        // in is ours.
        unsafe { bindings::ckpt_sock_get(self.as_ptr(), &mut state) };
        State(state)
    }

    /// The process that has made it, 0 when that has been waited for; and whether it had
    /// the user, the groups and the user namespace of the current task.
    pub(crate) fn creator(&self) -> (u32, bool) {
        let mut pid = 0;
        // SAFETY: As above.
        let alike = unsafe { bindings::ckpt_sock_creator(self.as_ptr(), &mut pid) };
        (pid, alike)
    }
}

impl State {
    /// Its peer sends to it, or did so.
    pub(crate) fn is_connected(&self) -> bool {
        self.state == CONNECTED
    }

    /// Waits for longer than an image can tell.
    fn has_odd_times(&self) -> bool {
        [self.rcvtimeo, self.sndtimeo].contains(&(i64::MAX as u64))
    }

    /// Nothing has changed since `old`, which another task may have looked at: owner and
    /// group depend on who looks.
    pub(crate) fn is_still(&self, old: &Self) -> bool {
        let numbers = |s: &Self| {
            [
                s.type_, s.state, s.shutdown, s.error, s.sndbuf, s.rcvbuf, s.buf_lock, s.rcvlowat,
                s.mode,
            ]
        };
        numbers(self) == numbers(old)
            && self.switches() == old.switches()
            && self.peek_off == old.peek_off
            && (self.rcvtimeo, self.sndtimeo) == (old.rcvtimeo, old.sndtimeo)
    }

    /// Options that are on or off: the number of each, and which it is.
    pub(crate) fn switches(&self) -> [(u32, bool); 9] {
        [
            (bindings::SO_KEEPALIVE, self.keepalive),
            (bindings::SO_OOBINLINE, self.oobinline),
            (bindings::SO_BROADCAST, self.broadcast),
            (bindings::SO_PASSCRED, self.passcred),
            (bindings::SO_PASSSEC, self.passsec),
            (bindings::SO_PASSPIDFD, self.passpidfd),
            (bindings::SO_PASSRIGHTS, self.passrights),
            (bindings::SO_INQ, self.inq),
            (bindings::SO_RIGHTS_NOTRUNC, self.notrunc),
        ]
    }
}

/// A socket without a file.
struct Loose(*mut bindings::socket);

impl Loose {
    fn into_file(self) -> Result<FileRef> {
        let sock = self.0;
        core::mem::forget(self);
        // SAFETY: The socket is ours, and handed over, also when the call fails. The result
        // is a file with one reference, or an error.
        unsafe {
            let file = from_err_ptr(bindings::sock_alloc_file(sock, 0, ptr::null()))?;
            file::adopt(file).ok_or(EBADF)
        }
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        // SAFETY: The socket is ours.
        unsafe { bindings::sock_release(self.0) };
    }
}

/// A new socket, with the limits and rights that socket(2) asks for.
///
/// # Errors
///
/// ENFILE, ENOMEM; those of a security module.
pub(crate) fn unconnected(kind: u32) -> Result<FileRef> {
    let mut sock = ptr::null_mut();
    // SAFETY: The call stores a socket that is ours, or fails.
    to_result(unsafe {
        bindings::sock_create(bindings::AF_UNIX as c_int, kind as c_int, 0, &mut sock)
    })?;
    Loose(sock).into_file()
}

/// A new pair, with the limits and rights that socketpair(2) asks for.
///
/// # Errors
///
/// ENFILE, ENOMEM; those of a security module.
pub(crate) fn pair(kind: u32) -> Result<[FileRef; 2]> {
    let mut ends = [ptr::null_mut(); 2];
    // SAFETY: The call stores two sockets that are ours, or fails.
    to_result(unsafe { bindings::ckpt_socket_pair(kind, ends.as_mut_ptr()) })?;
    let [one, other] = ends.map(Loose);
    Ok([one.into_file()?, other.into_file()?])
}

/// Sets an option as setsockopt(2) does, with the rights that it asks for.
///
/// # Errors
///
/// Those of setsockopt(2).
pub(crate) fn set(socket: &FileRef, option: u32, value: i32) -> Result {
    set_bytes(socket, option, &mut value.to_ne_bytes())
}

/// As [`set`], a time in nanoseconds; `None` is for ever.
pub(crate) fn set_time(socket: &FileRef, option: u32, time: Option<u64>) -> Result {
    /// In microseconds.
    const SECOND: u64 = 1_000_000;

    // Zeros are for ever, and what is below zero is no time at all.
    let (seconds, micros) = match time {
        None => (0, 0),
        Some(0) => (-1, 0),
        Some(time) => {
            let micros = (time / 1000).max(1);
            ((micros / SECOND) as i64, (micros % SECOND) as i64)
        }
    };
    let mut value = [0; 16];
    let (to_seconds, to_micros) = value.split_at_mut(8);
    to_seconds.copy_from_slice(&i64::to_ne_bytes(seconds));
    to_micros.copy_from_slice(&i64::to_ne_bytes(micros));
    set_bytes(socket, option, &mut value)
}

fn set_bytes(socket: &FileRef, option: u32, value: &mut [u8]) -> Result {
    // SAFETY: The reference keeps the file, which is a socket; the value is only read.
    to_result(unsafe {
        bindings::ckpt_socket_set(
            socket.as_ptr(),
            option as c_int,
            value.as_mut_ptr().cast(),
            value.len() as c_int,
        )
    })
}

/// Sends a message, or a part of a stream, without waiting; returns how much of it.
///
/// # Errors
///
/// EAGAIN and EMSGSIZE above the size of the send buffer; those of sendmsg(2).
pub(crate) fn send(socket: &FileRef, bytes: &mut [u8]) -> Result<usize> {
    // SAFETY: The reference keeps the file, which is a socket; the bytes are only read.
    let done = unsafe {
        bindings::ckpt_socket_send(socket.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len())
    };
    to_result(done)?;
    Ok(done.max(0) as usize)
}

/// Shuts a socket down as shutdown(2) does: whether it sends and receives no more.
///
/// # Errors
///
/// Those of a security module.
pub(crate) fn shut_down(socket: &FileRef, receive: bool, send: bool) -> Result {
    let how = match (receive, send) {
        (false, false) => return Ok(()),
        (true, false) => 0,
        (false, true) => 1,
        (true, true) => 2,
    };
    // SAFETY: The reference keeps the file, which is a socket.
    to_result(unsafe { bindings::ckpt_socket_shutdown(socket.as_ptr(), how) })
}

/// Has a socket tell that a process has made it; with `None` it tells none. Nobody else
/// has the socket yet.
///
/// # Errors
///
/// ENOMEM; ESRCH when the process is gone.
pub(crate) fn set_creator(socket: &FileRef, process: Option<&Process>) -> Result {
    let pid = process.map_or(core::ptr::null_mut(), Process::as_ptr);
    // SAFETY: The reference keeps the file, which is a socket; the process is held.
    to_result(unsafe { bindings::ckpt_sock_set_creator(socket.as_ptr(), pid) })
}
