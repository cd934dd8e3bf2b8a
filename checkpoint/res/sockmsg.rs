// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Messages that wait in a local socket.

use super::sockopt;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format;
use crate::format::socket::socket_kind as kind;
use crate::format::socket::Socket;
use crate::format::socket::SocketMsg;
use crate::format::socket::SOCKET_PART_MAX;
use crate::format::Record;
use crate::image::Written;
use crate::kapi::file::FileRef;
use crate::kapi::sched;
use crate::kapi::skb::Queue;
use crate::kapi::socket;
use kernel::prelude::*;

/// Writes what waits in an end, message by message.
pub(super) fn save(ctx: &mut SaveCtx, objref: u32, queue: &Queue) -> Outcome {
    if queue.len() == 0 {
        return Ok(());
    }
    let mut part: KVec<u8> = KVec::from_elem(0, SOCKET_PART_MAX as usize, GFP_KERNEL)?;
    for message in queue.messages() {
        let mut rec = SocketMsg::zeroed();
        rec.nr_bytes = message.len();
        rec.validate()
            .map_err(|why| Failure::new(EOPNOTSUPP, why.0))?;
        ctx.writer.record(objref, &rec).written()?;
        let mut start = 0u32;
        while start < rec.nr_bytes {
            let len = rec.nr_bytes.saturating_sub(start).min(SOCKET_PART_MAX);
            let bytes = part.get_mut(..len as usize).unwrap_or_default();
            message
                .copy(start, bytes)
                .why("what waits in a socket cannot be read")?;
            ctx.writer
                .bytes(format::SOCKET_DATA, objref, bytes)
                .written()?;
            start = start.saturating_add(len);
        }
        sched::breathe()?;
    }
    Ok(())
}

/// Reads what waits in an end, and has its peer send it.
pub(super) fn restore(ctx: &mut RestoreCtx, rec: &Socket, peer: &FileRef) -> Outcome {
    for _ in 0..rec.nr_msgs {
        let msg: SocketMsg = ctx.reader.record(rec.objref)?;
        ensure(
            rec.kind != kind::STREAM || msg.nr_bytes != 0,
            EINVAL,
            "nothing waits in a stream",
        )?;
        let mut bytes: KVVec<u8> = KVVec::new();
        while bytes.len() < msg.nr_bytes as usize {
            let left = (msg.nr_bytes as usize).saturating_sub(bytes.len());
            let start = bytes.len();
            // Not more than the image has proven to have.
            bytes.extend_with(left.min(SOCKET_PART_MAX as usize), 0, GFP_KERNEL_ACCOUNT)?;
            let part = bytes.get_mut(start..).unwrap_or_default();
            ctx.reader.bytes(format::SOCKET_DATA, rec.objref, part)?;
        }
        send(peer, &mut bytes, rec.kind)?;
        sched::breathe()?;
    }
    Ok(())
}

/// Sends a whole message. What is too much for the send buffer was sent while that was
/// larger: it is made as large as the caller may, until the pair is complete.
pub(super) fn send(from: &FileRef, bytes: &mut [u8], kind: u32) -> Outcome {
    const WHY: &str = "what waits in a socket cannot be sent";

    let mut rest = bytes;
    let mut widened = false;
    loop {
        let sent = match socket::send(from, rest) {
            Err(EAGAIN | EMSGSIZE) if !widened => {
                widened = true;
                sockopt::widen(from)?;
                continue;
            }
            Err(EAGAIN | EMSGSIZE) => {
                let why = "what waits in a socket is above the caller's limits";
                return Err(Failure::new(EPERM, why));
            }
            sent => sent.why(WHY)?,
        };
        if kind != kind::STREAM || sent >= rest.len() {
            ensure(sent == rest.len(), EIO, WHY)?;
            return Ok(());
        }
        ensure(sent != 0, EIO, WHY)?;
        rest = rest.get_mut(sent..).unwrap_or_default();
        widened = false;
    }
}
