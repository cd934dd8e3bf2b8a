// SPDX-License-Identifier: GPL-2.0

//! Victims that wait at a socket with a timeout, in each way in which a call may do so.

use ckpt_guest::act::Act;
use ckpt_guest::life;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;
use ckpt_guest::sys::Ret;
use ckpt_guest::victim::Scene;

use crate::calls::act;
use crate::calls::call;
use crate::calls::duration;
use crate::calls::sleeps;
use crate::waits::filtered;
use crate::waits::made;

const AGAIN: Ret = Err(Errno(libc::EAGAIN));
const DONTWAIT: usize = libc::MSG_DONTWAIT as usize;

/// A pair of local sockets.
pub fn pair(kind: i32) -> Result<[usize; 2], String> {
    let mut ends = [0i32; 2];
    let at = ends.as_mut_ptr() as usize;
    made(libc::SYS_socketpair, &[1, kind as usize, 0, at])?;
    Ok(ends.map(|fd| fd as usize))
}

/// Sets the timeout `option` of a socket, which is returned.
pub fn with_timeout(fd: usize, option: i32, millis: u64) -> Result<usize, String> {
    let time = [millis / 1000, millis % 1000 * 1000];
    let args = [
        fd,
        libc::SOL_SOCKET as usize,
        option as usize,
        time.as_ptr() as usize,
        size_of_val(&time),
    ];
    made(libc::SYS_setsockopt, &args)?;
    Ok(fd)
}

/// A receiver that waits for as long as victims do; the other end stays open.
fn receiver(kind: i32) -> Result<[usize; 2], String> {
    let [a, b] = pair(kind)?;
    Ok([with_timeout(a, libc::SO_RCVTIMEO, duration())?, b])
}

fn recv(_: &Scene) -> Result<(), String> {
    let ([fd, _], mut buf) = (receiver(libc::SOCK_STREAM)?, [0u8; 8]);
    let args = [fd, buf.as_mut_ptr() as usize, 8, 0, 0, 0];
    sleeps(AGAIN, || call(libc::SYS_recvfrom, &args))
}

fn recvmsg(_: &Scene) -> Result<(), String> {
    let ([fd, _], mut buf) = (receiver(libc::SOCK_SEQPACKET)?, [0u8; 8]);
    let vec = [buf.as_mut_ptr() as usize, buf.len()];
    let message = [0, 0, vec.as_ptr() as usize, 1, 0, 0, 0];
    let args = [fd, message.as_ptr() as usize, 0];
    sleeps(AGAIN, || call(libc::SYS_recvmsg, &args))
}

/// With the calls that work on any file.
fn read(_: &Scene) -> Result<(), String> {
    let ([fd, _], mut buf) = (receiver(libc::SOCK_DGRAM)?, [0u8; 8]);
    let vec = [buf.as_mut_ptr() as usize, buf.len()];
    with_timeout(fd, libc::SO_RCVTIMEO, duration() / 2)?;
    let whole = || match call(libc::SYS_read, &[fd, vec[0], vec[1]]) {
        AGAIN => call(libc::SYS_readv, &[fd, vec.as_ptr() as usize, 1]),
        other => other,
    };
    sleeps(AGAIN, whole)
}

/// One message has come: a stop may end the wait for the second, with a count. What
/// follows knows nothing of that.
fn recvmmsg(_: &Scene) -> Result<(), String> {
    let ([fd, other], mut buf) = (receiver(libc::SOCK_DGRAM)?, [0u8; 8]);
    let vec = [buf.as_mut_ptr() as usize, buf.len()];
    let one = [0, 0, vec.as_ptr() as usize, 1, 0, 0, 0, 0];
    let all = [one, one];
    made(libc::SYS_write, &[other, c"1".as_ptr() as usize, 1])?;
    let args = [fd, all.as_ptr() as usize, all.len(), 0, 0];
    let got = call(libc::SYS_recvmmsg, &args);
    if got != Ok(1) || buf[0] != b'1' {
        return Err(format!("recvmmsg: {got:?}, byte {}", buf[0]));
    }
    sleeps(AGAIN, || call(libc::SYS_recvmmsg, &args))
}

/// A sender whose receiver has no room.
fn full(kind: i32) -> Result<[usize; 2], String> {
    let ([a, b], buf) = (pair(kind)?, [0u8; 512]);
    let args = [a, buf.as_ptr() as usize, buf.len(), DONTWAIT, 0, 0];
    loop {
        match call(libc::SYS_sendto, &args) {
            Ok(_) => {}
            AGAIN => break,
            other => return Err(format!("sendto: {other:?}")),
        }
    }
    Ok([with_timeout(a, libc::SO_SNDTIMEO, duration())?, b])
}

fn send(_: &Scene) -> Result<(), String> {
    let ([fd, _], buf) = (full(libc::SOCK_STREAM)?, [0u8; 512]);
    let args = [fd, buf.as_ptr() as usize, buf.len(), 0, 0, 0];
    sleeps(AGAIN, || call(libc::SYS_sendto, &args))
}

fn write(_: &Scene) -> Result<(), String> {
    let ([fd, _], buf) = (full(libc::SOCK_DGRAM)?, [0u8; 512]);
    let args = [fd, buf.as_ptr() as usize, buf.len()];
    sleeps(AGAIN, || call(libc::SYS_write, &args))
}

/// From a socket into a pipe.
fn splice_from(_: &Scene) -> Result<(), String> {
    let [fd, _] = receiver(libc::SOCK_STREAM)?;
    let [_, pipe] = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    let args = [fd, 0, pipe as usize, 0, 8, 0];
    sleeps(AGAIN, || call(libc::SYS_splice, &args))
}

/// From a pipe into a socket that has no room.
fn splice_into(_: &Scene) -> Result<(), String> {
    let [fd, _] = full(libc::SOCK_STREAM)?;
    let [pipe, end] = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    sys::write(end, &[7; 512]).map_err(|e| format!("write: {e}"))?;
    let args = [pipe as usize, 0, fd, 0, 512, 0];
    sleeps(AGAIN, || call(libc::SYS_splice, &args))?;
    // It has all of it still.
    match sys::unread(pipe) {
        Ok(512) => Ok(()),
        other => Err(format!("in the pipe: {other:?}")),
    }
}

/// From a file into a socket that has no room.
fn sendfile(scene: &Scene) -> Result<(), String> {
    let [fd, _] = full(libc::SOCK_STREAM)?;
    let path = scene.dir.join("sent");
    std::fs::write(&path, [7; 512]).map_err(|e| format!("file: {e}"))?;
    let file = sys::open(&life::c_path(&path), libc::O_RDONLY, 0);
    let file = file.map_err(|e| format!("file: {e}"))?;
    let args = [fd, file as usize, 0, 512];
    sleeps(AGAIN, || call(libc::SYS_sendfile, &args))?;
    // It is where it was.
    match sys::lseek(file, 0, libc::SEEK_CUR) {
        Ok(0) => Ok(()),
        other => Err(format!("position: {other:?}")),
    }
}

/// Victims that wait at sockets.
pub const ACTS: &[Act] = &[
    act("recv-timeout", recv),
    act("filtered-recv-timeout", |scene| filtered(|| recv(scene))),
    act("recvmsg-timeout", recvmsg),
    act("read-timeout", read),
    act("recvmmsg-timeout", recvmmsg),
    act("send-timeout", send),
    act("write-timeout", write),
    act("splice-from-timeout", splice_from),
    act("splice-into-timeout", splice_into),
    act("sendfile-timeout", sendfile),
];
