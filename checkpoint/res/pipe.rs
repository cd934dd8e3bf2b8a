// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Pipes and FIFOs.
//!
//! What is in a pipe belongs to all who have it open. It is saved with the first
//! of its ends, buffer by buffer, so that packets stay packets and a full pipe is
//! as full as before; the ends are open files that refer to it. Nothing is taken
//! out. All ends must be saved, or bytes would be there twice: once everything
//! has been written, the ends and descriptors that were met are counted against
//! those that the kernel knows, and the pipe must be as it was: somebody outside may
//! have had an end for a moment.
//!
//! Not saved: that pages of splice(2) and vmsplice(2) belong to somebody else,
//! times, the inode number.

use super::filekind::S_IFMT;
use super::holders::Ends;
use super::holders::PIPE_HELD;
use super::namedfile;
use crate::charge::charged;
use crate::ctx::restore::RestoreCtx;
use crate::ctx::save::SaveCtx;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Locate;
use crate::error::Outcome;
use crate::format;
use crate::format::files::file_flags;
use crate::format::files::File;
use crate::format::pipe::pipe_buf_flags as f;
use crate::format::pipe::PipeBuf;
use crate::format::pipe::PIPE_BUF_MAX;
use crate::format::Hdr;
use crate::image::Written;
use crate::kapi::attr;
use crate::kapi::file;
use crate::kapi::file::FileRef;
use crate::kapi::file::Kept;
use crate::kapi::inode;
use crate::kapi::inode::Stat;
use crate::kapi::path;
use crate::kapi::pipe;
use crate::kapi::pipe::Buffer;
use crate::kapi::pipe::Contents;
use crate::kapi::pipe::Pipe;
use kernel::bindings::O_DIRECT;
use kernel::bindings::O_NOCTTY;
use kernel::bindings::O_NONBLOCK;
use kernel::bindings::O_RDWR;
use kernel::prelude::*;

const S_IFIFO: u32 = 0o010000;
const FIFO_IN_USE: &str = "a FIFO is in use";
const NO_FIFO: &str = "a FIFO cannot be opened";

/// The reference of the pipe that a new file is an end of, writing its records when
/// it is a new one; 0 when it is no pipe, or that of the image itself.
pub(crate) fn save(ctx: &mut SaveCtx, end: &FileRef, fd: u32) -> Outcome<u32> {
    let Some(pipe) = Pipe::of(end) else {
        return Ok(0);
    };
    if file::identity(end) == ctx.image {
        return Ok(0);
    }
    ensure(
        !pipe.has_notifications(),
        EOPNOTSUPP,
        "notification pipes are not supported",
    )?;
    let (objref, new) = ctx.objects.refer(pipe.identity())?;
    if new {
        let state = pipe.state()?;
        if state.used != 0 {
            ctx.pipes.check_readable(end, ctx.may_ask())?;
        }
        let ends = Ends {
            end: None,
            look: state.look,
            fd,
            name: path::display_name(end),
            readers: state.readers,
            writers: state.writers,
        };
        ctx.pipes
            .pipes
            .try_create_and_insert(pipe.identity(), ends, charged())?;
        describe(ctx, end, &pipe, objref, &state).map_err(|failure| failure.of(format::PIPE))?;
    }
    let mut first = fd;
    if let Some(ends) = ctx.pipes.pipes.get_mut(&pipe.identity()) {
        first = ends.fd;
        let one = |mode: bool| u32::from(mode);
        ends.readers = ends.readers.wrapping_sub(one(file::may_read(end)));
        ends.writers = ends.writers.wrapping_sub(one(file::may_write(end)));
    }
    ctx.pipes.hold(end, first, PIPE_HELD)?;
    if let Some(ends) = ctx.pipes.pipes.get_mut(&pipe.identity()) {
        // Not before its references were counted.
        ends.end.get_or_insert_with(|| Kept::new(end));
    }
    Ok(objref)
}

/// No writer was seen since this end of a FIFO was opened for reading.
pub(super) fn is_unseen(end: &FileRef) -> bool {
    file::may_read(end)
        && !file::may_write(end)
        && Pipe::of(end).is_some_and(|pipe| !pipe.is_anonymous() && pipe.waits_for_writer())
}

fn describe(
    ctx: &mut SaveCtx,
    end: &FileRef,
    pipe: &Pipe<'_>,
    objref: u32,
    state: &pipe::State,
) -> Outcome {
    let mut rec = format::pipe::Pipe::zeroed();
    rec.objref = objref;
    rec.slots = state.slots;
    rec.nr_bufs = state.used;
    let st = inode::stat(end, ctx.may_ask()).why("the attributes of a file cannot be read")?;
    rec.mode = st.mode.into();
    let name = if pipe.is_anonymous() {
        (rec.uid, rec.gid) = attr::owner(end);
        KVec::new()
    } else {
        namedfile::name(end, &st)?
    };
    rec.path_len = name.len() as u32;
    ctx.writer.record(0, &rec).written()?;
    if !name.is_empty() {
        ctx.string(objref, &name)?;
    }
    let mut page: KVec<u8> = KVec::from_elem(0, PIPE_BUF_MAX as usize, GFP_KERNEL)?;
    for nr in 0..state.used {
        let buf = pipe
            .copy(nr, &mut page)
            .why("the contents of a pipe cannot be read")?;
        let mut rec = PipeBuf::zeroed();
        rec.offset = buf.offset;
        rec.nr_bytes = buf.len;
        rec.flags |= if buf.packet { f::PACKET } else { 0 };
        rec.flags |= if buf.merge { f::MERGE } else { 0 };
        super::valid(&rec)?;
        ctx.writer.record(objref, &rec).written()?;
        let bytes = page.get(..buf.len as usize).unwrap_or_default();
        ctx.writer
            .bytes(format::PIPE_DATA, objref, bytes)
            .written()?;
    }
    Ok(())
}

/// A pipe that was built.
pub(crate) struct Built {
    /// The end that reads, and the end that writes; one of both kinds for a FIFO.
    ends: [Option<FileRef>; 2],
    /// Which of them the image has.
    used: [bool; 2],
    /// Path of a FIFO.
    name: Option<KVec<u8>>,
    /// Ends that no writer was seen by.
    unseen: KVec<FileRef>,
}

/// Reads a pipe whose pre-header is `hdr`, and builds and fills it.
#[inline(never)]
pub(crate) fn restore(ctx: &mut RestoreCtx, hdr: &Hdr) -> Outcome {
    let rec: format::pipe::Pipe = ctx.reader.body(hdr, 0)?;
    let (ends, name) = if rec.path_len == 0 {
        (pipe::create().why("a pipe cannot be created")?, None)
    } else {
        let name = ctx.string(rec.objref, rec.path_len)?;
        let end = open_fifo(ctx, &name).about(&name)?;
        ([end.clone(), end], Some(name))
    };
    let [_, write] = &ends;
    fill(ctx, &rec, write).map_err(|failure| match &name {
        Some(name) => failure.about(name),
        None => failure,
    })?;
    if name.is_none() {
        const WHY: &str = "the caller cannot give a pipe its owner and permissions";
        super::attr::restore(write, (rec.uid, rec.gid), rec.mode).why(WHY)?;
    }
    let built = Built {
        ends: ends.map(Some),
        used: [false; 2],
        name,
        unseen: KVec::new(),
    };
    ctx.pipes
        .insert(rec.objref, built)
        .blame("an object reference is used twice")
}

/// Opens a FIFO that nobody else has open: what is in it would be mixed.
fn open_fifo(ctx: &RestoreCtx, name: &[u8]) -> Outcome<FileRef> {
    let flags = O_RDWR | O_NONBLOCK | O_NOCTTY;
    let is_fifo = |st: &Stat| u32::from(st.mode) & S_IFMT == S_IFIFO;
    namedfile::look(ctx, name, NO_FIFO, is_fifo)?;
    let end = namedfile::open(ctx, name, flags, NO_FIFO)?;
    let pipe = Pipe::of(&end).filter(|pipe| !pipe.is_anonymous());
    let Some(pipe) = pipe else {
        return Err(Failure::new(ESTALE, namedfile::OTHER_TYPE));
    };
    let state = pipe.state()?;
    ensure(state.files == 1 && state.used == 0, EBUSY, FIFO_IN_USE)?;
    Ok(end)
}

/// Sets the capacity of an empty pipe, reads its buffers, and fills it.
fn fill(ctx: &mut RestoreCtx, rec: &format::pipe::Pipe, end: &FileRef) -> Outcome {
    // Checked by the caller: both kinds were just made.
    let pipe = Pipe::of(end).ok_or(EBADF)?;
    if pipe.state()?.slots != rec.slots {
        pipe.resize(rec.slots)
            .blame("the capacity of a pipe is above the caller's limits")?;
    }
    let mut contents = Contents::new();
    for _ in 0..rec.nr_bufs {
        let buf: PipeBuf = ctx.reader.record(rec.objref)?;
        let buf = Buffer {
            offset: buf.offset,
            len: buf.nr_bytes,
            packet: buf.flags & f::PACKET != 0,
            merge: buf.flags & f::MERGE != 0,
        };
        let bytes = contents.add(&buf).why("a pipe cannot be filled")?;
        ctx.reader.bytes(format::PIPE_DATA, rec.objref, bytes)?;
    }
    // Both ends of a pipe without a name are there, and the one of a FIFO.
    let files = if rec.path_len == 0 { 2 } else { 1 };
    // Whoever has opened a FIFO while the image was read has a part in it.
    pipe.fill(contents, files).map_err(|errno| {
        if errno == EBUSY {
            Failure::new(errno, FIFO_IN_USE)
        } else {
            errno.into()
        }
    })
}

/// Opens an end: one of the first two, or one more.
pub(super) fn open(ctx: &mut RestoreCtx, rec: &File) -> Outcome<FileRef> {
    let fail = || Failure::new(EINVAL, "reference to a pipe that is not in the image");
    let access = rec.flags & file_flags::ACCMODE;
    let built = ctx.pipes.get(rec.object).ok_or_else(fail)?;
    let [Some(read), Some(write)] = &built.ends else {
        return Err(fail());
    };
    let old = Pipe::of(write).ok_or(EBADF)?;
    let end = match (&built.name, access, built.used) {
        (Some(name), _, _) => {
            // Packets are for fcntl(2); all other flags are asked for here.
            let flags = super::openflags::open_flags(rec) & !O_DIRECT;
            let flags = flags | O_NONBLOCK | O_NOCTTY;
            let end = namedfile::open(ctx, name, flags, NO_FIFO).about(name)?;
            let same = Pipe::of(&end).is_some_and(|new| new.identity() == old.identity());
            ensure(same, ESTALE, "a FIFO is another one").about(name)?;
            end
        }
        (None, 0, [false, _]) => read.clone(),
        (None, 1, [_, false]) => write.clone(),
        (None, _, _) => old
            .open(access)
            .why("one more end of a pipe cannot be opened")?,
    };
    let named = built.name.is_some();
    let built = ctx.pipes.get_mut(rec.object).ok_or_else(fail)?;
    if let (false, Some(used)) = (named, built.used.get_mut(access as usize)) {
        *used = true;
    }
    if rec.flags & file_flags::UNSEEN != 0 {
        ensure(named, EINVAL, "file has flags of a FIFO")?;
        built.unseen.push(end.clone(), charged())?;
    }
    Ok(end)
}

/// Closes the ends that an image does not have, once all others are open.
pub(super) fn finish(ctx: &mut RestoreCtx) {
    for built in ctx.pipes.values_mut() {
        for end in built.unseen.drain_all() {
            if let Some(pipe) = Pipe::of(&end) {
                pipe.wait_for_writer();
            }
        }
        // Not later, or somebody would still see an end that nobody has.
        for end in built.ends.iter_mut().filter_map(Option::take) {
            file::close(end);
        }
    }
}
