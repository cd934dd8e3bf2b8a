// SPDX-License-Identifier: GPL-2.0

//! Victims in calls that a stop ends half-way: with a count, and never with EINTR.

use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;
use ckpt_guest::sys::Ret;
use ckpt_guest::victim::Scene;

use crate::calls::act;
use crate::calls::call;
use crate::calls::duration;
use crate::calls::time;
use crate::sockets::pair;
use crate::waits::made;

/// What the other end takes or gives at a time, and how often.
const PIECE: usize = 4096;
const PIECES: usize = 384;

const INT: Ret = Err(Errno(libc::EINTR));

/// Numbers, each of which is there once.
fn numbers() -> Vec<u8> {
    let words = 0..(PIECE * PIECES / 4) as u32;
    words.flat_map(u32::to_le_bytes).collect()
}

/// Where what has come differs first from what was sent.
fn same(got: &[u8], sent: &[u8]) -> Result<(), String> {
    match got.iter().zip(sent).position(|(got, sent)| got != sent) {
        Some(i) => Err(format!("byte {i} is {}, not {}", got[i], sent[i])),
        None => Ok(()),
    }
}

/// Nothing came twice.
fn is_end(ret: Ret) -> Result<(), String> {
    match ret {
        Ok(0) => Ok(()),
        other => Err(format!("behind the end: {other:?}")),
    }
}

/// One call for all of it, and others for what it has left, as programs do. `step` gets
/// how much is done.
fn in_one_call(mut step: impl FnMut(usize) -> Ret) -> Result<(), String> {
    let (mut done, mut calls) = (0, 0);
    while done < PIECE * PIECES {
        match step(done) {
            Ok(0) => return Err(format!("call {calls}: the end, after {done} bytes")),
            Ok(count) => done += count,
            INT => return Err(format!("call {calls}: EINTR, after {done} bytes")),
            other => return Err(format!("call {calls}: {other:?}")),
        }
        calls += 1;
    }
    // Before the first stop it was in the middle.
    match calls {
        1 => Err("no call was ended half-way".to_string()),
        _ => Ok(()),
    }
}

/// A child at the other end, which is slow: `step` gets the number of the piece.
fn slowly(
    near: usize,
    far: usize,
    step: impl FnMut(usize) -> Result<(), String>,
) -> Result<i32, String> {
    let child = sys::fork().map_err(|e| format!("fork: {e}"))?;
    let unused = if child == 0 { near } else { far };
    sys::close(unused as i32).map_err(|e| format!("close: {e}"))?;
    if child == 0 {
        let done = (0..PIECES).try_for_each(step);
        if let Err(why) = &done {
            println!("the other end: {why}");
        }
        sys::exit(i32::from(done.is_err()));
    }
    Ok(child)
}

/// Between two pieces.
fn nap() -> Result<(), String> {
    let time = time(duration() / PIECES as u64);
    match call(libc::SYS_nanosleep, &[(&raw const time) as usize, 0]) {
        Ok(0) => Ok(()),
        other => Err(format!("nanosleep: {other:?}")),
    }
}

fn ends_well(child: i32) -> Result<(), String> {
    match sys::wait_for(child, 20) {
        Ended::Exit(0) => Ok(()),
        other => Err(format!("the other end: {other:?}")),
    }
}

/// A write to a pipe that has room for a small part of it.
fn write_half(scene: &Scene) -> Result<(), String> {
    let [reader, writer] = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    let (all, mut piece) = (numbers(), [0u8; PIECE]);
    let child = slowly(writer as usize, reader as usize, |i| {
        let mut got = 0;
        while got < PIECE {
            match sys::read(reader, &mut piece[got..]) {
                Ok(count) if count > 0 => got += count,
                other => return Err(format!("piece {i}: {other:?}")),
            }
        }
        same(&piece, &all[i * PIECE..]).map_err(|why| format!("piece {i}: {why}"))?;
        if i == 0 {
            scene.announce();
        }
        if i + 1 < PIECES {
            return nap();
        }
        is_end(sys::read(reader, &mut piece))
    })?;
    in_one_call(|done| sys::write(writer, &all[done..]))?;
    sys::close(writer).map_err(|e| format!("close: {e}"))?;
    ends_well(child)
}

/// Sends a whole piece, the first of which must have been taken.
fn send(fd: usize, piece: &[u8], scene: &Scene, i: usize) -> Result<(), String> {
    let mut done = 0;
    while done < piece.len() {
        match sys::write(fd as i32, &piece[done..]) {
            Ok(count) => done += count,
            other => return Err(format!("piece {i}: {other:?}")),
        }
    }
    if i == 0 {
        let mut left = 1i32;
        while left > 0 {
            nap()?;
            let at = (&raw mut left) as usize;
            made(libc::SYS_ioctl, &[fd, libc::TIOCOUTQ as usize, at])?;
        }
        scene.announce();
    }
    nap()
}

/// A receiver that waits for all of it.
fn receive_half(scene: &Scene) -> Result<(), String> {
    let [near, far] = pair(libc::SOCK_STREAM)?;
    let (all, mut got) = (numbers(), vec![0u8; PIECE * PIECES]);
    let child = slowly(near, far, |i| {
        send(far, &all[i * PIECE..(i + 1) * PIECE], scene, i)
    })?;
    in_one_call(|done| {
        let rest = &mut got[done..];
        let (at, wait) = (rest.as_mut_ptr() as usize, libc::MSG_WAITALL as usize);
        call(libc::SYS_recvfrom, &[near, at, rest.len(), wait, 0, 0])
    })?;
    same(&got, &all)?;
    ends_well(child)?;
    is_end(sys::read(near as i32, &mut got))
}

/// Victims whose calls are ended half-way.
pub const ACTS: &[Act] = &[
    act("write-half-way", write_half).there(),
    act("receive-half-way", receive_half).there(),
];
