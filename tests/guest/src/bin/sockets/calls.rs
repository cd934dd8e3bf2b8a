// SPDX-License-Identifier: GPL-2.0

//! The calls on sockets, none of which waits.

use ckpt_guest::check;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;

pub const BIG: usize = 100_000;

pub fn pair(kind: i32) -> [i32; 2] {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    let done = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
    check::need("socketpair", sys::libc_result(done));
    ends
}

/// One that is not of a pair.
pub fn single(kind: i32) -> i32 {
    // SAFETY: a plain call.
    let made = unsafe { libc::socket(libc::AF_UNIX, kind, 0) };
    check::need("socket", sys::libc_result(made))
}

/// Connects, or with no path disconnects.
pub fn connect(fd: i32, path: &str) -> sys::Ret {
    let mut name = [0u8; 108];
    let family = if path.is_empty() {
        libc::AF_UNSPEC
    } else {
        libc::AF_UNIX
    };
    name[..2].copy_from_slice(&(family as u16).to_ne_bytes());
    name[2..2 + path.len()].copy_from_slice(path.as_bytes());
    let args = [fd as usize, name.as_ptr() as usize, 3 + path.len(), 0, 0, 0];
    // SAFETY: the kernel reads the array only.
    unsafe { sys::raw(libc::SYS_connect as usize, args) }
}

/// Sends without waiting and without a signal.
pub fn send(fd: i32, bytes: &[u8]) -> sys::Ret {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (at, len) = (bytes.as_ptr() as usize, bytes.len());
    let args = [fd as usize, at, len, flags as usize, 0, 0];
    // SAFETY: the kernel reads the slice only.
    unsafe { sys::raw(libc::SYS_sendto as usize, args) }
}

pub fn receive(fd: i32, buf: &mut [u8], flags: i32) -> sys::Ret {
    let (at, len) = (buf.as_mut_ptr() as usize, buf.len());
    let flags = (flags | libc::MSG_DONTWAIT) as usize;
    // SAFETY: the kernel writes into the slice only.
    unsafe {
        sys::raw(
            libc::SYS_recvfrom as usize,
            [fd as usize, at, len, flags, 0, 0],
        )
    }
}

pub fn put(fd: i32, bytes: &[u8]) {
    check::same("bytes sent", &Ok(bytes.len()), &send(fd, bytes));
}

/// Receives once, and compares.
pub fn take(what: &str, fd: i32, expected: &[u8]) {
    let mut buf = vec![0; BIG * 2];
    let got = receive(fd, &mut buf, 0);
    check::same(&format!("length: {what}"), &Ok(expected.len()), &got);
    check::that(buf.starts_with(expected), format!("bytes: {what}"));
}

pub fn nothing(what: &str, fd: i32, instead: sys::Ret) {
    check::same(what, &instead, &receive(fd, &mut [0; 8], 0));
}

pub fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(len as u64).fill(&mut bytes);
    bytes
}

pub fn set<T>(fd: i32, option: i32, value: T) {
    let at = (&raw const value).cast();
    let len = size_of::<T>() as u32;
    // SAFETY: the kernel reads the value only.
    let done = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, at, len) };
    check::need(&format!("option {option}"), sys::libc_result(done));
}

pub fn get<const N: usize>(fd: i32, option: i32) -> Result<[i32; N], Errno> {
    let mut value = [0; N];
    let mut len = size_of_val(&value) as u32;
    let at = (&raw mut value).cast();
    // SAFETY: the kernel writes as many bytes as there is room for.
    let done = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, at, &mut len) };
    sys::libc_result(done).map(|_| value)
}

pub fn shut_down(fd: i32, how: i32) {
    // SAFETY: a plain call.
    let done = unsafe { libc::shutdown(fd, how) };
    check::need("shutdown", sys::libc_result(done));
}

pub fn close(fd: i32) {
    check::need("close", sys::close(fd));
}

pub fn take_some(fd: i32, len: usize) {
    let mut buf = vec![0; len];
    check::same("some", &Ok(len), &receive(fd, &mut buf, 0));
}
