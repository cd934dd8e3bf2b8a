// SPDX-License-Identifier: GPL-2.0

//! A streaming parser of whole images.
//!
//! Follows the grammar of the format from the header to the trailer and
//! reports each part as an [`Event`]. It never seeks, takes nothing from the
//! source behind the image, and holds one record, one run of page addresses, the
//! POSIX timers of one process and the set of object references in memory, whatever
//! the image says.
//!
//! ```text
//! HEAD STR STR STR HEAD_ARCH { TREE }                start.rs
//! a process:
//! TASK [ AFFINITY ]                                  task.rs
//!   [ MM AUXV { VMA STR GUARD { PAD PGARR | PGREF } PGARR(0) }  mm.rs
//!     MM_CONTEXT LDT ]                               mm.rs
//!   THREAD CPU FPU [ RESTART_BLOCK ]                 task.rs
//!   [ FS STR STR ]                                   task.rs
//!   [ FILES { FD_ENT { FILE_LOCK } } ] FILE STR before users   files.rs
//!         PIPE STR { PIPE_BUF PIPE_DATA } before these
//!         SOCKET SOCKET { SOCKET_MSG { SOCKET_DATA } } before these  sockets.rs
//!         CREDS GROUPS before these
//!         EVENTFD, SIGNALFD, TIMERFD, PIDFD or EPOLL { EPOLL_ITEM } behind these
//!   SIGNAL { SIGINFO } ITIMERS TIMERS { TIMER }      task.rs
//!   CREDS GROUPS [ SECCOMP { SECCOMP_FILTER SECCOMP_CODE } ]  seccomp.rs
//!   RLIMITS                                          task.rs
//! each of its other threads:
//! TASK [ AFFINITY ]                                  task.rs
//!   THREAD CPU FPU [ RESTART_BLOCK ]                 task.rs
//!   [ FS STR STR ] [ FILES { FD_ENT { FILE_LOCK } } ]  task.rs
//!   THREAD_SIGNAL { SIGINFO }                        task.rs
//!   CREDS GROUPS [ SECCOMP { SECCOMP_FILTER SECCOMP_CODE } ]  seccomp.rs
//! a process that has ended:
//! TASK                                               task.rs
//! TAIL
//!
//! Memory, view and descriptors are there for the first task that has them.
//!
//! FILE STR; SHMEM STR { PAD PGARR } PGARR(0)  before users   files.rs, mm.rs
//! ```

mod event;
mod files;
mod mm;
mod seccomp;
mod sockets;
mod start;
mod task;

use std::collections::HashMap;
use std::collections::HashSet;
use std::io;

use crate::format;
use crate::format::head::ErrorRec;
use crate::format::timer::Sent;
use crate::format::timer::Timer;
use crate::format::tree::Tree;
use crate::format::Hdr;
use crate::format::Record;
use crate::format::Why;
use crate::io::IoSource;
use crate::stream::reader::Fault;
use crate::stream::reader::Reader;
use crate::stream::Source;

pub use event::Event;
pub use event::Totals;

/// Most open files and shared memory objects of an image: one for the program, one for each mapping and
/// each descriptor.
pub const FILES_MAX: usize = (1 << 20) + (1 << 20) + 1;

/// Longest release, version or machine string, as uname(2) returns them.
pub const UTS_MAX: usize = 64;

/// Where and why an image could not be read further.
#[derive(Debug)]
pub struct Stop<E> {
    /// Offset in the image of the record at hand, in bytes.
    pub offset: u64,
    /// Its kind; none if not even its pre-header could be read.
    pub kind: Option<i16>,
    /// The reason.
    pub fault: Fault<E>,
}

impl<E> Stop<E> {
    /// The record at hand, as a person calls it.
    pub fn record(&self) -> String {
        match self.kind {
            Some(kind) if format::TYPES.iter().any(|t| t.0 == kind) => {
                format!("record {}", format::type_name(kind))
            }
            Some(kind) => format!("record of unknown kind {kind}"),
            None => "end of the stream".into(),
        }
    }
}

type Step<S> = Result<(), Fault<<S as Source>::Error>>;

/// Reads one image from `input` and reports its parts to `on`.
///
/// # Errors
///
/// Where the image ends early, breaks a rule, fails its checksums, or holds
/// the error record of a failed checkpoint.
pub fn walk<R: io::Read>(
    input: R,
    on: &mut dyn FnMut(&Event<'_>),
) -> Result<Totals, Box<Stop<io::Error>>> {
    walk_source(IoSource(input), on)
}

/// As [`walk`], from any source.
///
/// # Errors
///
/// As [`walk`].
pub fn walk_source<S: Source<Failed = ErrorRec>>(
    source: S,
    on: &mut dyn FnMut(&Event<'_>),
) -> Result<Totals, Box<Stop<S::Error>>> {
    let mut walker = Walker::new(source, on);
    match walker.image() {
        Ok(()) => Ok(walker.totals),
        Err(fault) => Err(Box::new(Stop {
            offset: walker.at,
            kind: walker.kind,
            fault,
        })),
    }
}

/// `Err` with the reason unless `ok`.
fn rule<E>(ok: bool, why: &'static str) -> Result<(), Fault<E>> {
    if ok {
        Ok(())
    } else {
        Err(Fault::Bad(Why(why)))
    }
}

/// The first `len` bytes of `buf`.
fn cut(buf: &[u8], len: usize) -> &[u8] {
    buf.get(..len).unwrap_or_default()
}

/// The state of one walk.
struct Walker<'v, S: Source<Failed = ErrorRec>> {
    reader: Reader<S>,
    on: &'v mut dyn FnMut(&Event<'_>),
    /// Offset and kind of the record at hand.
    at: u64,
    kind: Option<i16>,
    totals: Totals,
    /// Who there is, and where each id is in it; the session of each group.
    tree: Vec<Tree>,
    places: HashMap<u32, usize>,
    sessions: HashMap<u32, u32>,
    /// Object references: of tasks, address spaces, tables; of files; of pipes.
    objects: HashSet<u32>,
    files: HashSet<u32>,
    /// Those of the files that are streams of an image.
    streams: HashSet<u32>,
    pipes: HashSet<u32>,
    /// Those of local sockets, and whether a file is one.
    sockets: HashMap<u32, bool>,
    /// Those of shared memory; of who has opened files, which are among the objects.
    shmem: HashSet<u32>,
    openers: HashSet<u32>,
    /// Those of address spaces, of file system views, of descriptor tables.
    spaces: HashSet<u32>,
    views: HashSet<u32>,
    tables: HashSet<u32>,
    /// Those of signal handlers, and the memory that goes with them.
    handlers: HashMap<u32, u32>,
    /// Memory and handlers of the process at hand.
    process: (u32, u32),
    /// Those of filters of system calls.
    filters: HashSet<u32>,
    task: u32,
    /// Its thread id.
    tid: u32,
    /// POSIX timers of the process at hand, and what they have sent to its threads.
    timers: Vec<Timer>,
    sent: Vec<Sent>,
    mm: u32,
    xsave_size: u32,
    /// String, array and page data at hand.
    buf: Vec<u8>,
    addrs: Vec<u64>,
}

/// Page data is read in portions of this many bytes.
const PORTION: usize = 16 * 4096;

impl<'v, S: Source<Failed = ErrorRec>> Walker<'v, S> {
    fn new(source: S, on: &'v mut dyn FnMut(&Event<'_>)) -> Self {
        Self {
            reader: Reader::new(source),
            on,
            at: 0,
            kind: None,
            totals: Totals::default(),
            tree: Vec::new(),
            places: HashMap::new(),
            sessions: HashMap::new(),
            objects: HashSet::new(),
            files: HashSet::new(),
            streams: HashSet::new(),
            pipes: HashSet::new(),
            sockets: HashMap::new(),
            shmem: HashSet::new(),
            openers: HashSet::new(),
            spaces: HashSet::new(),
            views: HashSet::new(),
            tables: HashSet::new(),
            handlers: HashMap::new(),
            process: (0, 0),
            filters: HashSet::new(),
            task: 0,
            tid: 0,
            timers: Vec::new(),
            sent: Vec::new(),
            mm: 0,
            xsave_size: 0,
            buf: vec![0; PORTION],
            addrs: vec![0; format::mm::PGARR_MAX as usize],
        }
    }

    fn image(&mut self) -> Step<S> {
        self.start()?;
        for place in 0..self.tree.len() {
            if let Some(entry) = self.tree.get(place).copied() {
                self.task(&entry)?;
            }
            let next = self.tree.get(place.saturating_add(1));
            if next.is_none_or(Tree::is_process) {
                self.pairs()?;
            }
        }
        self.begin();
        let result = self.reader.tail();
        self.seen(result)?;
        self.all_sockets_open()?;
        self.totals.bytes = self.reader.offset();
        (self.on)(&Event::End(&self.totals));
        Ok(())
    }

    /// A record starts here.
    fn begin(&mut self) {
        self.at = self.reader.offset();
        self.kind = None;
    }

    /// Notes the kind of the record that `result` comes from.
    fn seen<T>(&mut self, result: Result<T, Fault<S::Error>>) -> Result<T, Fault<S::Error>> {
        if self.reader.offset() != self.at {
            self.kind = Some(self.reader.kind());
            self.totals.records = self.totals.records.saturating_add(1);
        }
        result
    }

    /// Reads the pre-header of the next record.
    fn header(&mut self) -> Result<Hdr, Fault<S::Error>> {
        self.begin();
        let result = self.reader.header();
        self.seen(result)
    }

    /// Reads the record that must come next.
    fn record<R: Record>(&mut self, parent: u32) -> Result<R, Fault<S::Error>> {
        self.begin();
        let result = self.reader.record(parent);
        self.seen(result)
    }

    /// Reads a record of exactly `len` raw bytes; they are then in `buf`.
    fn bytes(&mut self, kind: i16, parent: u32, len: usize) -> Result<&[u8], Fault<S::Error>> {
        self.begin();
        let buf = self.buf.get_mut(..len).ok_or(Why("record is too long"))?;
        let result = self.reader.bytes(kind, parent, buf);
        self.seen(result)?;
        Ok(cut(&self.buf, len))
    }

    /// Reads a string of at most `max` bytes; it is then in `buf`.
    fn string(&mut self, parent: u32, max: usize) -> Result<usize, Fault<S::Error>> {
        self.begin();
        let buf = self.buf.get_mut(..max).ok_or(Why("string is too long"))?;
        let result = self.reader.string(parent, buf);
        self.seen(result)
    }

    /// Takes note of an object reference, which nothing else may have.
    fn object(&mut self, objref: u32) -> Step<S> {
        rule(
            !self.objects.contains(&objref)
                && !self.files.contains(&objref)
                && !self.pipes.contains(&objref)
                && !self.sockets.contains_key(&objref)
                && !self.shmem.contains(&objref),
            "object reference is used twice",
        )?;
        self.objects.insert(objref);
        Ok(())
    }
}
