// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Local sockets: pairs and what waits in them, and those that were never connected. They
//! are open files.

use super::ensure;
use super::wire;
use super::Record;
use super::Why;

/// Messages that wait in a socket at most.
pub const SOCKET_MSGS_MAX: u32 = 1 << 24;
/// Bytes of a message at most.
pub const SOCKET_MSG_MAX: u32 = 1 << 24;
/// Bytes of a record with a part of a message at most.
pub const SOCKET_PART_MAX: u32 = 1 << 14;
/// A call waits for ever.
pub const SOCKET_FOREVER: u64 = 0xffff_ffff_ffff_ffff;

/// Kinds of socket, as of socket(2).
pub mod socket_kind {
    /// Bytes.
    pub const STREAM: u32 = 1;
    /// Messages; the ends do not know whether the other one is there.
    pub const DGRAM: u32 = 2;
    /// Messages, in order, and an end that is known.
    pub const SEQPACKET: u32 = 5;
}

/// Bits of [`Socket::flags`].
pub mod socket_flags {
    /// SO_KEEPALIVE.
    pub const KEEPALIVE: u32 = 1;
    /// SO_OOBINLINE.
    pub const OOBINLINE: u32 = 1 << 1;
    /// SO_BROADCAST.
    pub const BROADCAST: u32 = 1 << 2;
    /// SO_PASSCRED.
    pub const PASSCRED: u32 = 1 << 3;
    /// SO_PASSSEC.
    pub const PASSSEC: u32 = 1 << 4;
    /// SO_PASSPIDFD.
    pub const PASSPIDFD: u32 = 1 << 5;
    /// SO_PASSRIGHTS, which is set in a new socket.
    pub const PASSRIGHTS: u32 = 1 << 6;
    /// SO_INQ.
    pub const INQ: u32 = 1 << 7;
    /// SO_RIGHTS_NOTRUNC.
    pub const NOTRUNC: u32 = 1 << 8;
    /// SO_BUF_LOCK: the size of the send buffer was set.
    pub const SNDBUF_SET: u32 = 1 << 9;
    /// SO_BUF_LOCK: the size of the receive buffer was set.
    pub const RCVBUF_SET: u32 = 1 << 10;
    /// The other end was closed with something unread: the next call fails with
    /// ECONNRESET.
    pub const RESET: u32 = 1 << 11;
    /// It is not of a pair, and was never connected.
    pub const UNCONNECTED: u32 = 1 << 12;
    /// All bits.
    pub const ALL: u32 = (1 << 13) - 1;
}

/// Bits of [`Socket::shutdown`].
pub mod socket_shutdown {
    /// Nothing is received any more.
    pub const RECV: u32 = 1;
    /// Nothing is sent any more.
    pub const SEND: u32 = 1 << 1;
    /// Both.
    pub const ALL: u32 = 3;
}

wire! {
    /// `struct cr_hdr_socket`: a local socket. Of a pair that of the other end follows,
    /// unless it is closed, then the messages of both.
    pub struct Socket [80] {
        /// Object reference.
        objref: u32,
        /// That of the other end; 0 when it is closed, or there is none.
        peer: u32,
        /// See [`socket_kind`].
        kind: u32,
        /// See [`socket_flags`].
        flags: u32,
        /// See [`socket_shutdown`].
        shutdown: u32,
        /// Number of messages that wait to be received.
        nr_msgs: u32,
        /// Size of the send buffer in bytes, as SO_SNDBUF tells it.
        sndbuf: u32,
        /// Size of the receive buffer in bytes, as SO_RCVBUF tells it.
        rcvbuf: u32,
        /// SO_RCVLOWAT.
        rcvlowat: u32,
        /// SO_PEEK_OFF.
        peek_off: i32,
        /// The process that has made the pair (SO_PEERCRED); 0 when the image does not
        /// have it.
        creator: u32,
        /// File type and permissions, as st_mode.
        mode: u32,
        /// Owner.
        uid: u32,
        /// Group.
        gid: u32,
        /// SO_RCVTIMEO in nanoseconds, or [`SOCKET_FOREVER`].
        rcvtimeo: u64,
        /// SO_SNDTIMEO in nanoseconds, or [`SOCKET_FOREVER`].
        sndtimeo: u64,
        /// Zero.
        reserved: u64,
    }
}

impl Socket {
    /// The other end, if it is closed, has left this mark on the socket.
    fn is_closed_well(&self) -> bool {
        use socket_flags as f;

        let reset = self.flags & f::RESET != 0;
        let has_seen = self.kind != socket_kind::DGRAM && self.flags & f::UNCONNECTED == 0;
        if self.peer != 0 || !has_seen {
            return !reset;
        }
        self.shutdown == socket_shutdown::ALL
    }

    /// Checks a pair, whose first end is `self`.
    ///
    /// # Errors
    ///
    /// The first violated rule.
    pub fn check_pair(&self, other: &Self) -> Result<(), Why> {
        ensure(
            self.peer == other.objref && other.peer == self.objref,
            "two sockets are no pair",
        )?;
        ensure(self.kind == other.kind, "ends of a pair are of two kinds")?;
        // What one does not send the other does not receive.
        let crossed = self.shutdown >> 1 | (self.shutdown & 1) << 1;
        ensure(
            self.kind == socket_kind::DGRAM || other.shutdown == crossed,
            "ends of a pair are shut down in two ways",
        )
    }
}

impl Record for Socket {
    const TYPE: i16 = super::SOCKET;

    fn validate(&self) -> Result<(), Why> {
        use socket_flags as f;
        use socket_kind as kind;

        ensure(self.objref != 0, "socket has no object reference")?;
        ensure(self.peer != self.objref, "socket is a pair")?;
        ensure(
            matches!(self.kind, kind::STREAM | kind::DGRAM | kind::SEQPACKET),
            "socket is of an unknown kind",
        )?;
        ensure(self.flags & !f::ALL == 0, "socket has unknown flags")?;
        ensure(
            self.flags & f::INQ == 0 || self.kind == kind::STREAM,
            "socket has flags of a stream",
        )?;
        ensure(
            self.shutdown & !socket_shutdown::ALL == 0,
            "socket is shut down in an unknown way",
        )?;
        let of_a_pair = self.peer != 0 || self.nr_msgs != 0 || self.creator != 0;
        ensure(
            self.flags & f::UNCONNECTED == 0 || !of_a_pair,
            "socket that was never connected has what those of pairs have",
        )?;
        ensure(
            self.is_closed_well(),
            "state of a socket is not that of its peer",
        )?;
        ensure(
            self.nr_msgs <= SOCKET_MSGS_MAX,
            "too many messages in a socket",
        )?;
        let size = 1..=i32::MAX as u32;
        ensure(
            size.contains(&self.sndbuf) && size.contains(&self.rcvbuf),
            "size of a buffer is out of range",
        )?;
        ensure(
            size.contains(&self.rcvlowat) && self.peek_off >= -1,
            "an option of a socket is out of range",
        )?;
        ensure(self.mode >> 12 == 0o14, "mode of a socket is another")?;
        let time = |t: u64| t <= i64::MAX as u64 || t == SOCKET_FOREVER;
        ensure(
            time(self.rcvtimeo) && time(self.sndtimeo),
            "time of a socket is out of range",
        )?;
        ensure(self.reserved == 0, "reserved field is not zero")
    }
}

wire! {
    /// `struct cr_hdr_socket_msg`: a message that waits; its bytes follow in parts.
    pub struct SocketMsg [16] {
        /// Number of bytes that are to be received; of a stream never 0.
        nr_bytes: u32,
        /// Zero.
        reserved: u32,
        /// Zero.
        reserved2: u64,
    }
}

impl Record for SocketMsg {
    const TYPE: i16 = super::SOCKET_MSG;

    fn validate(&self) -> Result<(), Why> {
        ensure(self.nr_bytes <= SOCKET_MSG_MAX, "message is too long")?;
        ensure(
            self.reserved == 0 && self.reserved2 == 0,
            "reserved field is not zero",
        )
    }
}
