// SPDX-License-Identifier: GPL-2.0

//! Local sockets.

use ckptfmt::format::files::File;
use ckptfmt::format::socket::socket_flags as f;
use ckptfmt::format::socket::socket_kind;
use ckptfmt::format::socket::socket_shutdown as shut;
use ckptfmt::format::socket::SOCKET_FOREVER;
use serde_json::json;
use serde_json::Value;

use crate::model::Model;
use crate::model::Socket;
use crate::model::View;
use crate::text::count;
use crate::text::size;

/// Flags and their names.
const FLAGS: [(u32, &str); 13] = [
    (f::KEEPALIVE, "keepalive"),
    (f::OOBINLINE, "oobinline"),
    (f::BROADCAST, "broadcast"),
    (f::PASSCRED, "passcred"),
    (f::PASSSEC, "passsec"),
    (f::PASSPIDFD, "passpidfd"),
    (f::PASSRIGHTS, "passrights"),
    (f::INQ, "inq"),
    (f::NOTRUNC, "rights_notrunc"),
    (f::SNDBUF_SET, "sndbuf_set"),
    (f::RCVBUF_SET, "rcvbuf_set"),
    (f::RESET, "reset"),
    (f::UNCONNECTED, "unconnected"),
];

fn kind(socket: &Socket) -> &'static str {
    match socket.rec.kind {
        socket_kind::STREAM => "stream",
        socket_kind::DGRAM => "datagram",
        _ => "seqpacket",
    }
}

/// Which socket a file is, and its peer.
pub fn name(model: &View<'_>, file: &File) -> String {
    match model.socket(file) {
        Some(socket) if socket.rec.flags & f::UNCONNECTED != 0 => {
            format!("{} socket {}, not connected", kind(socket), file.object)
        }
        Some(socket) if socket.rec.peer == 0 => {
            format!("{} socket {}, alone", kind(socket), file.object)
        }
        Some(socket) => format!(
            "{} socket {} to {}",
            kind(socket),
            file.object,
            socket.rec.peer
        ),
        None => format!("socket {}", file.object),
    }
}

/// What waits in a socket, and how it is shut down.
pub fn contents(model: &View<'_>, file: &File) -> String {
    let Some(socket) = model.socket(file) else {
        return "(not kept)".into();
    };
    let mut line = format!(
        "holds {} in {}",
        size(socket.bytes),
        count(socket.rec.nr_msgs.into(), "message")
    );
    match socket.rec.shutdown {
        0 => {}
        shut::RECV => line.push_str(", receives no more"),
        shut::SEND => line.push_str(", sends no more"),
        _ => line.push_str(", is shut down"),
    }
    if socket.rec.flags & f::RESET != 0 {
        line.push_str(", reset by the peer");
    }
    line
}

/// The socket that a file is; null of another file.
pub fn json(model: &Model, file: &File) -> Value {
    let Some(socket) = model.socket(file) else {
        return Value::Null;
    };
    let rec = &socket.rec;
    let time = |t: u64| (t != SOCKET_FOREVER).then(|| t.to_string());
    let flags = FLAGS.iter().filter(|flag| rec.flags & flag.0 != 0);
    json!({
        "object": rec.objref,
        "peer": rec.peer,
        "kind": kind(socket),
        "flags": flags.map(|flag| flag.1).collect::<Vec<_>>(),
        "receives": rec.shutdown & shut::RECV == 0,
        "sends": rec.shutdown & shut::SEND == 0,
        "messages": rec.nr_msgs,
        "bytes": socket.bytes,
        "sndbuf": rec.sndbuf,
        "rcvbuf": rec.rcvbuf,
        "rcvlowat": rec.rcvlowat,
        "peek_off": rec.peek_off,
        "rcvtimeo": time(rec.rcvtimeo),
        "sndtimeo": time(rec.sndtimeo),
        "creator": rec.creator,
        "mode": format!("{:06o}", rec.mode),
        "uid": rec.uid,
        "gid": rec.gid,
    })
}
