// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Files of the image whose place descriptors of the caller take: `--inherit`.
//!
//! The kernel opens files by their names. A record that says "descriptor N of the caller"
//! instead is a part of the format, so that the image is changed on its way to the
//! kernel: the record of the file, and no other.

use std::os::fd::RawFd;
use std::str::FromStr;

use ckptfmt::edit::Edit;
use ckptfmt::edit::Raw;
use ckptfmt::format;
use ckptfmt::format::files::file_flags;
use ckptfmt::format::files::file_kind;
use ckptfmt::format::files::FdEnt;
use ckptfmt::format::files::File;
use ckptfmt::format::files::Files;
use zerocopy::FromBytes;
use zerocopy::IntoBytes;

/// Which open files of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The one behind this descriptor of the first process, wherever else it is.
    Fd(u32),
    /// All with this path.
    Path(Vec<u8>),
}

/// An argument of `--inherit`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The files of the image.
    pub what: What,
    /// The descriptor of this tool.
    pub fd: RawFd,
}

impl FromStr for Handover {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // A path may have this character in it.
        let (what, fd) = text
            .rsplit_once('=')
            .ok_or("no \"=\": name what is replaced, and a descriptor, as in 0=0")?;
        let what = match what.parse() {
            Ok(fd) => What::Fd(fd),
            Err(_) if what.starts_with('/') => What::Path(what.into()),
            Err(_) => return Err(format!("{what}: neither a descriptor nor an absolute path")),
        };
        let fd = fd
            .parse()
            .ok()
            .filter(|fd| (0..=format::files::FD_MAX.cast_signed()).contains(fd));
        let fd = fd.ok_or("behind \"=\" stands no descriptor of this command")?;
        Ok(Self { what, fd })
    }
}

/// What is wrong with these arguments together, if anything is.
pub fn conflict(wanted: &[Handover]) -> Option<String> {
    let again = wanted.iter().enumerate().find_map(|(at, one)| {
        let mut before = wanted.iter().take(at);
        before.any(|other| other.what == one.what).then_some(one)
    })?;
    Some(match &again.what {
        What::Fd(fd) => format!("--inherit names descriptor {fd} of the image twice"),
        What::Path(path) => format!("--inherit names {} twice", path.escape_ascii()),
    })
}

/// What belongs to the files of a descriptor table, and stands between its descriptors.
const OF_FILES: &[i16] = &[
    format::FILE,
    format::STR,
    format::FD_ENT,
    format::FILE_LOCK,
    format::CREDS,
    format::GROUPS,
    format::PIPE,
    format::PIPE_BUF,
    format::PIPE_DATA,
    format::SOCKET,
    format::SOCKET_MSG,
    format::SOCKET_DATA,
    format::EVENTFD,
    format::SIGNALFD,
    format::TIMERFD,
    format::EPOLL,
    format::EPOLL_ITEM,
    format::PIDFD,
    format::SHMEM,
];

/// Bytes that are held back at most.
const HELD_MAX: usize = 64 << 20;

/// Replaces the files.
#[derive(Debug)]
pub struct Replace {
    /// What is wanted, and whether it was found.
    wanted: Vec<(Handover, bool)>,
    /// Descriptor table of the first process, and whether we are in it.
    table: Option<u32>,
    in_table: bool,
    /// What may still change: all of that table, elsewhere a file whose path is to come.
    held: Vec<Raw>,
    held_bytes: usize,
    /// References of files that were replaced.
    replaced: Vec<u32>,
    /// Locks on one of these that are still to come.
    locks: u32,
}

/// A file record that announces a path, if it is one.
fn file_with_path(record: &Raw) -> Option<File> {
    let file = File::read_from_bytes(&record.payload).ok()?;
    (record.kind == format::FILE && file.path_len != 0).then_some(file)
}

/// Locks are those of the file that was replaced: tells of none at a descriptor of one, and
/// gives the number of those that follow.
fn without_locks(record: &mut Raw, replaced: &[u32]) -> u32 {
    let Ok(mut entry) = FdEnt::read_from_bytes(&record.payload) else {
        return 0;
    };
    if !replaced.contains(&entry.file) {
        return 0;
    }
    let locks = std::mem::take(&mut entry.nr_locks);
    record.payload = entry.as_bytes().to_vec();
    locks
}

impl Replace {
    /// Replaces all of these.
    pub fn new(wanted: Vec<Handover>) -> Self {
        Self {
            wanted: wanted.into_iter().map(|one| (one, false)).collect(),
            table: None,
            in_table: false,
            held: Vec::new(),
            held_bytes: 0,
            replaced: Vec::new(),
            locks: 0,
        }
    }

    /// The descriptor that takes the place of what matches, which is found herewith.
    fn find(&mut self, matches: impl Fn(&What) -> bool) -> Option<RawFd> {
        let mut fd = None;
        for (wanted, found) in &mut self.wanted {
            if matches(&wanted.what) {
                *found = true;
                fd.get_or_insert(wanted.fd);
            }
        }
        fd
    }

    /// Puts the descriptor `fd` of the caller in the place of the file held at `at`,
    /// whose path follows it.
    fn replace(&mut self, at: usize, file: &File, fd: RawFd) -> Result<(), &'static str> {
        if file.flags & file_flags::PATH != 0 {
            return Err("is open for its location only (O_PATH)");
        }
        if file.flags & (file_flags::MAPPED | file_flags::SHARED) != 0 {
            return Err("is mapped into memory");
        }
        let path = at.saturating_add(1);
        if self
            .held
            .get(path)
            .is_none_or(|next| next.kind != format::STR)
        {
            return Err("has no path");
        }
        let mut stream = File::zeroed();
        stream.objref = file.objref;
        stream.kind = file_kind::STREAM;
        stream.flags = file.flags & file_flags::ACCMODE;
        stream.mode = file.mode;
        stream.stream_fd = fd.cast_unsigned();
        self.replaced.push(file.objref);
        if let Some(record) = self.held.get_mut(at) {
            record.payload = stream.as_bytes().to_vec();
        }
        self.held.remove(path);
        // Descriptors before the one that is named may have it, with its locks.
        let mut locks = 0;
        self.held.retain_mut(|record| match record.kind {
            format::FD_ENT => {
                locks = without_locks(record, &[file.objref]);
                true
            }
            format::FILE_LOCK if locks > 0 => {
                locks = locks.saturating_sub(1);
                false
            }
            _ => true,
        });
        Ok(())
    }

    /// A path came, which is held; it may be the one of the file before it.
    fn path(&mut self) -> Result<(), String> {
        let [.., before, path] = self.held.as_slice() else {
            return Ok(());
        };
        let (Some(file), path) = (file_with_path(before), path.payload.clone()) else {
            return Ok(());
        };
        // As it is, or as ckptinfo shows it.
        let shown = ckpttool::escape(&path);
        let is_it = |what: &What| matches!(what, What::Path(wanted) if *wanted == path || wanted == shown.as_bytes());
        match self.find(is_it) {
            None => Ok(()),
            Some(fd) => self
                .replace(self.held.len().saturating_sub(2), &file, fd)
                .map_err(|why| format!("{} {why}: it cannot be replaced", path.escape_ascii())),
        }
    }

    fn descriptor(&mut self, record: &Raw) -> Result<(), String> {
        let Ok(entry) = FdEnt::read_from_bytes(&record.payload) else {
            return Ok(());
        };
        let Some(fd) = self.find(|what| *what == What::Fd(entry.fd)) else {
            return Ok(());
        };
        // Two descriptors of one open file are that again.
        if self.replaced.contains(&entry.file) {
            return Ok(());
        }
        let is_it = |file: &File| file.objref == entry.file;
        let mut held = self.held.iter().map(file_with_path).enumerate();
        let found = held.find_map(|(at, file)| Some((at, file.filter(is_it)?)));
        let no = |why: &str| format!("descriptor {} {why}", entry.fd);
        match found {
            Some((at, file)) => self
                .replace(at, &file, fd)
                .map_err(|why| no(&format!("{why}: it cannot be replaced"))),
            None => Err(no(
                "is no file with a path, or one that something before it uses: \
                 name it by its path, if it has one",
            )),
        }
    }
}

impl Edit for Replace {
    fn record(&mut self, mut record: Raw, out: &mut Vec<Raw>) -> Result<(), String> {
        let kind = record.kind;
        if kind == format::FILE_LOCK && self.locks > 0 {
            self.locks = self.locks.saturating_sub(1);
            return Ok(());
        }
        if kind == format::FD_ENT {
            if self.in_table {
                self.descriptor(&record)?;
            }
            self.locks = without_locks(&mut record, &self.replaced);
        }
        let of_files = OF_FILES.contains(&kind);
        self.in_table &= of_files;
        let waits = match kind {
            format::FILE => true,
            format::STR => self
                .held
                .last()
                .is_some_and(|last| last.kind == format::FILE),
            _ => false,
        };
        if !self.in_table && kind == format::FILE {
            self.flush(out);
        }
        if !self.in_table && !waits {
            self.flush(out);
            out.push(record);
            let last = out.last().filter(|_| kind == format::FILES);
            if let (Some(files), None) = (last, self.table) {
                let files = Files::read_from_bytes(&files.payload).ok();
                self.table = files.map(|files| files.objref);
                self.in_table = self.table.is_some();
            }
            return Ok(());
        }
        let bytes = size_of::<Raw>().saturating_add(record.payload.len());
        self.held_bytes = self.held_bytes.saturating_add(bytes);
        if self.held_bytes > HELD_MAX {
            return Err("its first process has more descriptors than --inherit can look at".into());
        }
        self.held.push(record);
        if kind == format::STR {
            self.path()?;
        }
        Ok(())
    }

    fn flush(&mut self, out: &mut Vec<Raw>) {
        out.append(&mut self.held);
        self.held_bytes = 0;
    }

    fn end(&mut self) -> Result<(), String> {
        match self.wanted.iter().find(|(_, found)| !found) {
            None => Ok(()),
            Some((Handover { what, .. }, _)) => Err(match what {
                What::Fd(fd) => format!("its first process has no descriptor {fd}"),
                What::Path(path) => format!("no open file is {}", path.escape_ascii()),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
