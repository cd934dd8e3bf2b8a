// SPDX-License-Identifier: GPL-2.0

//! Victims that talk to each other through pairs of local sockets.

use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;

use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::family::act;
use crate::family::child;
use crate::family::ends_well;
use crate::family::parent;

fn pair() -> Result<(UnixStream, UnixStream), String> {
    UnixStream::pair().map_err(|e| format!("socketpair: {e}"))
}

/// The process that has made a pair.
fn maker(of: &UnixStream) -> i32 {
    let mut cred = libc::ucred {
        pid: -1,
        uid: 0,
        gid: 0,
    };
    let mut len = size_of_val(&cred) as u32;
    let at = (&raw mut cred).cast();
    // SAFETY: the kernel writes as many bytes as there is room for.
    unsafe {
        libc::getsockopt(
            of.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            at,
            &mut len,
        )
    };
    cred.pid
}

/// A child waits for questions, and one for room to send.
fn talk(scene: &Scene) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    let (mut ask, mut answer) = pair()?;
    let (mut drain, mut fill) = pair()?;
    let asked = child(|| {
        // The child's copies of the other ends would keep them open.
        for end in [&ask, &drain, &fill] {
            let _ = sys::close(end.as_raw_fd());
        }
        let mut question = [0; 4];
        while answer.read_exact(&mut question).is_ok() {
            // A restart may fall between these two, and the parent has another id then.
            let (mut mother, mut by) = (0, 0);
            while mother != parent() {
                (mother, by) = (parent(), maker(&answer));
            }
            if by != mother {
                return Err(format!("made by {by}, not {mother}"));
            }
            let number = u32::from_le_bytes(question).wrapping_mul(3);
            answer.write_all(&number.to_le_bytes()).map_err(io)?;
        }
        Ok(())
    })?;
    const LEN: usize = 3_000_000;
    let sending = child(|| {
        for end in [&ask, &answer, &drain] {
            let _ = sys::close(end.as_raw_fd());
        }
        let bytes: Vec<u8> = (0..LEN).map(|i| (i / 1000) as u8).collect();
        fill.write_all(&bytes).map_err(io)
    })?;
    drop((answer, fill));
    let mut number = 1u32;
    while !scene.finished() {
        ask.write_all(&number.to_le_bytes()).map_err(io)?;
        let mut answer = [0; 4];
        ask.read_exact(&mut answer).map_err(io)?;
        if u32::from_le_bytes(answer) != number.wrapping_mul(3) {
            return Err(format!("{number} became {answer:?}"));
        }
        number = number.wrapping_mul(3);
        scene.pause(1);
    }
    let mut bytes = Vec::new();
    drain.read_to_end(&mut bytes).map_err(io)?;
    let right = bytes
        .iter()
        .enumerate()
        .all(|(i, b)| *b == (i / 1000) as u8);
    if bytes.len() != LEN || !right {
        return Err(format!("{} bytes, right: {right}", bytes.len()));
    }
    drop(ask);
    ends_well(asked)?;
    ends_well(sending)
}

/// A child has a pair with its parent, and one whose maker has been waited for.
fn heirs(scene: &Scene) -> Result<(), String> {
    let io = |e: std::io::Error| e.to_string();
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]).map_err(|e| format!("prctl: {e}"))?;
    let (mut up, mut down) = pair()?;
    let gone = child(|| {
        let (mut one, mut other) = pair()?;
        let me = sys::getpid();
        child(|| {
            one.write_all(b"from me").map_err(io)?;
            scene.announce();
            scene.wait();
            while parent() == me {
                scene.pause(1);
            }
            let mut text = [0; 7];
            other.read_exact(&mut text).map_err(io)?;
            // After a restart it is nobody.
            if text != *b"from me" || ![me, 0].contains(&maker(&one)) {
                return Err(format!("{text:?} by {}", maker(&one)));
            }
            if maker(&down) != parent() {
                return Err(format!("made by {}", maker(&down)));
            }
            let me = sys::getpid();
            down.write_all(&me.to_le_bytes()).map_err(io)
        })?;
        Ok(())
    })?;
    ends_well(gone)?;
    drop(down);
    let mut heir = [0; 4];
    up.read_exact(&mut heir).map_err(io)?;
    ends_well(i32::from_le_bytes(heir))
}

/// Victims with sockets.
pub const ACTS: &[Act] = &[
    act("sockets-talk", talk),
    act("sockets-heirs", heirs).there(),
];
