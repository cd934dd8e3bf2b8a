// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Local sockets: pairs, as of socketpair(2), and those that were never connected.
//!
//! A pair is saved with the first of its ends: both ends, and what waits in them, message
//! by message. The sockets are open files that refer to it. Nothing is taken out. All who
//! have an end must be saved: once everything has been written, both ends must have been
//! met, and be as they were. Of an end that was closed only what it has left is saved.
//!
//! A restart makes a pair, and each end sends the other one what waits there, before
//! anybody else has them.
//!
//! A socket that is neither of a pair nor was ever connected, nor has a name, has nothing but
//! its options: nobody can send to it.
//!
//! Not saved: how much of a message was read when the rest waits (the rest alone counts
//! for the size of the send buffer), how many messages fit in before others wait
//! (net.unix.max_dgram_qlen of today), cookies, times, the inode number; who has made a pair
//! when the image does not have that process.

use super::holders::WATCHED_ONLY;
use super::sockmsg;
use super::sockopt;
use crate::charge::charged;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::format::files::File;
use crate::format::socket::socket_flags as f;
use crate::format::socket::socket_kind as kind;
use crate::format::socket::socket_shutdown as shut;
use crate::format::socket::Socket;
use crate::format::Hdr;
use crate::format::Record;
use crate::image::Written;
use crate::kapi::attr;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::path;
use crate::kapi::skb::Queue;
use crate::kapi::socket;
use crate::kapi::socket::Sock;
use crate::kapi::socket::State;
use crate::objhash::Saved;
use kernel::bindings;
use kernel::prelude::*;
use kernel::rbtree::RBTree;

const WHY: &str = "a socket is also held by a process that is not saved";
const ELSEWHERE: &str = "the other end of a socket is held by a process that is not saved";
const CHANGED: &str = "a socket has changed during the checkpoint, by another process";
const ONE_WAY: &str = "a local socket that is connected one way only, or no more, is not supported";
const WAITING_ERROR: &str = "an error that waits in a socket is not supported";
const OOB: &str = "out-of-band data in a socket is not supported";

/// An end as it was saved.
struct Seen {
    /// Dropped first: messages with files refer to the socket that they wait in.
    queue: Queue,
    sock: Sock,
    peer: Option<Sock>,
    state: State,
}

impl Seen {
    fn now(sock: Sock) -> Outcome<Self> {
        let queue = sock.queue().why("what waits in a socket cannot be read")?;
        Ok(Self {
            peer: sock.peer(),
            state: sock.state(),
            queue,
            sock,
        })
    }

    /// Nothing has changed since.
    fn is_still(&self) -> Outcome<bool> {
        let now = Self::now(self.sock.clone())?;
        Ok(now.queue.is_still(&self.queue)
            && now.state.is_still(&self.state)
            && now.peer == self.peer
            && now.sock.odd().is_none())
    }
}

/// The sockets of an image that is written.
pub(crate) struct Met {
    /// By address: as it was, and the descriptor and name of the end that was met first.
    seen: RBTree<usize, (Seen, u32, KVec<u8>)>,
    /// Ends that no descriptor has led to yet.
    missing: RBTree<usize, ()>,
    /// All that processes of the image have as a descriptor.
    known: Saved,
}

impl Met {
    /// None.
    pub(crate) fn new() -> Self {
        Self {
            seen: RBTree::new(),
            missing: RBTree::new(),
            known: Saved::new(),
        }
    }

    /// A descriptor, before the first byte is written.
    pub(super) fn look(&mut self, file: &FileRef) -> Result {
        if let Some(sock) = Sock::of(file) {
            self.known.refer(sock.identity())?;
        }
        Ok(())
    }

    /// Takes note of a socket that is at descriptor `fd` of a process, behind `end`.
    #[inline(never)]
    fn see(&mut self, seen: Seen, fd: u32, end: &FileRef) -> Outcome {
        let identity = seen.sock.identity();
        let entry = (seen, fd, path::display_name(end));
        self.seen
            .try_create_and_insert(identity, entry, charged())?;
        Ok(())
    }

    /// Refuses what somebody else has, too.
    pub(crate) fn check(&self) -> Outcome {
        for (address, (seen, fd, name)) in &self.seen {
            let (errno, why) = if self.missing.get(address).is_some() {
                (EOPNOTSUPP, ELSEWHERE)
            } else if seen.is_still()? {
                continue;
            } else {
                (EBUSY, CHANGED)
            };
            let failure = Failure::new(errno, why).at(Place::Fd(*fd));
            return Err(failure.about(name).of(format::SOCKET));
        }
        Ok(())
    }
}

/// The reference of the local socket that a new file is, writing its records when it is a
/// new one; 0 when it is none, or that of the image itself.
#[inline(never)]
pub(crate) fn save(ctx: &mut SaveCtx, end: &FileRef, fd: u32) -> Outcome<u32> {
    let Some(sock) = Sock::of(end) else {
        return Ok(0);
    };
    if file::identity(end) == ctx.image {
        return Ok(0);
    }
    let has_xattrs = attr::has_user_xattrs(end).why("the attributes of a file cannot be read")?;
    ensure(
        !has_xattrs,
        EOPNOTSUPP,
        "a socket with extended attributes is not supported",
    )?;
    let identity = sock.identity();
    let (objref, new) = ctx.objects.refer(identity)?;
    if new {
        pair(ctx, end, sock, objref, fd).map_err(|failure| failure.of(format::SOCKET))?;
    }
    ctx.sockets.missing.remove(&identity);
    ctx.pipes.hold(end, fd, WHY)?;
    Ok(objref)
}

/// Writes a pair, of which an end was met.
#[inline(never)]
fn pair(ctx: &mut SaveCtx, end: &FileRef, sock: Sock, objref: u32, fd: u32) -> Outcome {
    let refuse = |why| Err(Failure::new(EOPNOTSUPP, why));
    if !ctx.sockets.known.knows(sock.identity()) {
        // What waits in it is somebody else's, too: only an epoll has it here.
        return refuse(WATCHED_ONLY);
    }
    if let Some(why) = sock.odd() {
        return refuse(why);
    }
    if sock.is_elsewhere() {
        return refuse("a socket of another network namespace is not supported");
    }
    let Some(peer) = sock.peer() else {
        return unconnected(ctx, end, sock, objref, fd);
    };
    let mut other = None;
    let mut peer_ref = 0;
    if !peer.is_closed() {
        ensure(
            peer.peer().as_ref() == Some(&sock) && peer != sock,
            EOPNOTSUPP,
            ONE_WAY,
        )?;
        if let Some(why) = peer.odd() {
            return refuse(why);
        }
        // What waits there no process of the image could read.
        if !ctx.sockets.known.knows(peer.identity()) {
            return refuse(ELSEWHERE);
        }
        let (number, new) = ctx.objects.refer(peer.identity())?;
        ensure(new, EBUSY, CHANGED)?;
        peer_ref = number;
        other = Some(Seen::now(peer)?);
    }
    let one = Seen::now(sock)?;
    let first = describe(ctx, &one, objref, peer_ref)?;
    let second = match &other {
        Some(other) => Some(describe(ctx, other, peer_ref, objref)?),
        None => None,
    };
    if let Some(second) = &second {
        let checked = first.check_pair(second);
        checked.map_err(|why| Failure::new(EBUSY, why.0))?;
    }
    ctx.writer.record(0, &first).written()?;
    if let Some(second) = &second {
        ctx.writer.record(0, second).written()?;
    }
    sockmsg::save(ctx, objref, &one.queue)?;
    if let Some(other) = other {
        sockmsg::save(ctx, peer_ref, &other.queue)?;
        let identity = other.sock.identity();
        ctx.sockets.see(other, fd, end)?;
        ctx.sockets
            .missing
            .try_create_and_insert(identity, (), charged())?;
    }
    ctx.sockets.see(one, fd, end)
}

/// Writes a socket that is not of a pair.
#[inline(never)]
fn unconnected(ctx: &mut SaveCtx, end: &FileRef, sock: Sock, objref: u32, fd: u32) -> Outcome {
    // Another one may still send to what was disconnected.
    ensure(!sock.was_connected(), EOPNOTSUPP, ONE_WAY)?;
    let seen = Seen::now(sock)?;
    let nothing = seen.peer.is_none() && !seen.state.is_connected() && seen.queue.len() == 0;
    ensure(nothing, EBUSY, CHANGED)?;
    let mut rec = about(&seen, objref);
    rec.flags |= f::UNCONNECTED;
    ensure(seen.state.error == 0, EOPNOTSUPP, WAITING_ERROR)?;
    rec.validate()
        .map_err(|why| Failure::new(EOPNOTSUPP, why.0))?;
    ctx.writer.record(0, &rec).written()?;
    ctx.sockets.see(seen, fd, end)
}

/// What any socket has.
fn about(seen: &Seen, objref: u32) -> Socket {
    let state = &seen.state;
    let mut rec = Socket::zeroed();
    rec.objref = objref;
    rec.kind = state.type_;
    rec.shutdown = state.shutdown;
    (rec.mode, rec.uid, rec.gid) = (state.mode, state.uid, state.gid);
    sockopt::save(&mut rec, state);
    rec
}

fn describe(ctx: &SaveCtx, seen: &Seen, objref: u32, peer: u32) -> Outcome<Socket> {
    let state = &seen.state;
    ensure(state.is_connected(), EOPNOTSUPP, ONE_WAY)?;
    let mut rec = about(seen, objref);
    rec.peer = peer;
    if state.error != 0 {
        ensure(
            state.error == bindings::ECONNRESET && peer == 0,
            EOPNOTSUPP,
            WAITING_ERROR,
        )?;
        rec.flags |= f::RESET;
    }
    let (creator, alike) = seen.sock.creator();
    ensure(
        alike,
        EOPNOTSUPP,
        "a socket that was made with other credentials is not supported",
    )?;
    if ctx.processes.binary_search(&creator).is_ok() {
        rec.creator = creator;
    }
    for message in seen.queue.messages() {
        let why = if message.has_files() {
            "open files on their way through a socket are not supported"
        } else if message.has_creds() {
            "credentials on their way through a socket are not supported"
        } else if rec.kind == kind::STREAM && message.len() == 0 {
            OOB
        } else {
            continue;
        };
        return Err(Failure::new(EOPNOTSUPP, why));
    }
    rec.nr_msgs = u32::try_from(seen.queue.len()).map_err(|_| EOVERFLOW)?;
    rec.validate()
        .map_err(|why| Failure::new(EOPNOTSUPP, why.0))?;
    Ok(rec)
}

/// A socket that was built, until a file takes it.
pub(crate) struct Built(Option<FileRef>);

/// Reads a socket, or a pair whose first pre-header is `hdr`, and builds and fills it.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, hdr: &Hdr) -> Outcome {
    let one: Socket = ctx.reader.body(hdr, 0)?;
    if one.flags & f::UNCONNECTED != 0 {
        let end = socket::unconnected(one.kind).why("a socket cannot be created")?;
        return finish_end(ctx, &one, end);
    }
    let mut other: Option<Socket> = None;
    if one.peer != 0 {
        let second = ctx.reader.record(0)?;
        one.check_pair(&second)?;
        other = Some(second);
        // A file of its own, for which nobody has counted yet.
        ctx.one_file_more()?;
    }
    let [first, second] = socket::pair(one.kind).why("a pair of sockets cannot be created")?;
    sockopt::buffers(&first, &one)?;
    if let Some(other) = &other {
        sockopt::buffers(&second, other)?;
    }
    sockmsg::restore(ctx, &one, &second)?;
    if let Some(other) = &other {
        sockmsg::restore(ctx, other, &first)?;
    }
    let Some(other) = other else {
        if one.flags & f::RESET != 0 {
            // What it does not read is what it leaves behind.
            sockmsg::send(&first, &mut [0], one.kind)?;
        }
        file::close(second);
        return finish_of_pair(ctx, &one, first);
    };
    finish_of_pair(ctx, &one, first)?;
    finish_of_pair(ctx, &other, second)
}

/// Gives an end of a pair all that it has besides what waits, and enters it.
fn finish_of_pair(ctx: &mut RestoreCtx, rec: &Socket, end: FileRef) -> Outcome {
    let creator = match rec.creator {
        0 => None,
        pid => Some(ctx.process_of(pid)?),
    };
    socket::set_creator(&end, creator).why("the maker of a pair of sockets cannot be set")?;
    ctx.tied_to_caller = Some("a local socket of another user than the caller is not supported");
    finish_end(ctx, rec, end)
}

/// Gives a socket its options, owner and permissions, and enters it.
fn finish_end(ctx: &mut RestoreCtx, rec: &Socket, end: FileRef) -> Outcome {
    // Sending may have changed it.
    sockopt::buffers(&end, rec)?;
    sockopt::restore(&end, rec).why("an option of a socket cannot be set")?;
    let [receive, send] = [shut::RECV, shut::SEND].map(|bit| rec.shutdown & bit != 0);
    socket::shut_down(&end, receive, send).why("a socket cannot be shut down")?;
    super::attr::restore(&end, (rec.uid, rec.gid), rec.mode)
        .blame("the caller cannot give a socket its owner and permissions")?;
    ctx.sockets
        .insert(rec.objref, Built(Some(end)))
        .blame("an object reference is used twice")
}

/// The socket that a file is.
pub(super) fn open(ctx: &mut RestoreCtx, rec: &File) -> Outcome<FileRef> {
    let built = ctx.sockets.get_mut(rec.object);
    built.and_then(|built| built.0.take()).ok_or(Failure::new(
        EINVAL,
        "reference to a socket that is not in the image, or open already",
    ))
}

/// Refuses sockets that no file has taken.
pub(super) fn finish(ctx: &mut RestoreCtx) -> Outcome {
    let all_taken = ctx.sockets.values_mut().all(|built| built.0.is_none());
    ensure(all_taken, EINVAL, "a socket is open nowhere")
}
