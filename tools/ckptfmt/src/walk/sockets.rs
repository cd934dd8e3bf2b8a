// SPDX-License-Identifier: GPL-2.0

//! Local sockets, which stand before their files.

use super::cut;
use super::rule;
use super::Event;
use super::Step;
use super::Walker;
use crate::format;
use crate::format::head::ErrorRec;
use crate::format::socket::socket_kind;
use crate::format::socket::Socket;
use crate::format::socket::SocketMsg;
use crate::format::socket::SOCKET_PART_MAX;
use crate::format::tree::Tree;
use crate::format::Hdr;
use crate::stream::reader::Fault;
use crate::stream::Source;

impl<S: Source<Failed = ErrorRec>> Walker<'_, S> {
    pub(super) fn socket(&mut self, hdr: &Hdr) -> Step<S> {
        let one: Socket = self.reader.body(hdr, 0)?;
        self.end(&one)?;
        let mut other = None;
        if one.peer != 0 {
            let second: Socket = self.record(0)?;
            one.check_pair(&second).map_err(Fault::Bad)?;
            self.end(&second)?;
            other = Some(second);
        }
        self.messages(&one)?;
        match other {
            Some(other) => self.messages(&other),
            None => Ok(()),
        }
    }

    fn end(&mut self, socket: &Socket) -> Step<S> {
        self.shareable(socket.objref)?;
        self.sockets.insert(socket.objref, false);
        let known = self.places.get(&socket.creator);
        let known = known.and_then(|at| self.tree.get(*at));
        rule(
            socket.creator == 0 || known.is_some_and(Tree::is_process),
            "socket was made by a process that is not in the forest",
        )?;
        (self.on)(&Event::Socket(socket));
        Ok(())
    }

    fn messages(&mut self, socket: &Socket) -> Step<S> {
        for _ in 0..socket.nr_msgs {
            let msg: SocketMsg = self.record(socket.objref)?;
            rule(
                socket.kind != socket_kind::STREAM || msg.nr_bytes != 0,
                "nothing waits in a stream",
            )?;
            (self.on)(&Event::SocketMsg(socket.objref, &msg));
            let mut left = msg.nr_bytes;
            while left != 0 {
                let len = left.min(SOCKET_PART_MAX);
                self.bytes(format::SOCKET_DATA, socket.objref, len as usize)?;
                (self.on)(&Event::SocketData(
                    socket.objref,
                    cut(&self.buf, len as usize),
                ));
                left = left.saturating_sub(len);
            }
        }
        Ok(())
    }

    /// A file is this socket.
    pub(super) fn open_socket(&mut self, objref: u32) -> Step<S> {
        let open = self.sockets.get_mut(&objref);
        rule(
            open.is_some_and(|open| !std::mem::replace(open, true)),
            "reference to a socket that does not exist or is open already",
        )
    }

    /// All of them are open.
    pub(super) fn all_sockets_open(&self) -> Step<S> {
        rule(
            self.sockets.values().all(|open| *open),
            "a socket is open nowhere",
        )
    }
}
