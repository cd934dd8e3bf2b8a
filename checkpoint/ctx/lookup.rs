// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What kinds of state ask a restart for: strings, files and processes of the image.

use super::restore::RestoreCtx;
use crate::charge::charged;
use crate::cradle::killed;
use crate::error::ensure;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Text;
use crate::format;
use crate::format::Hdr;
use crate::kapi::file::FileRef;
use crate::kapi::tree::Process;
use crate::res;
use core::fmt::Write;
use kernel::prelude::*;

/// Bytes of notes at most. Whoever reads the log from a pipe may do so when the call has
/// returned: so many are in a pipe at least.
const NOTES_MAX: usize = 4096;

/// What stands behind the last one that fits.
const NOTES_CUT: &[u8] = b"restart: and more of the like\n";

impl RestoreCtx {
    /// What a process of the image has become, which is there at this moment.
    pub(crate) fn process_of(&self, pid: u32) -> Outcome<&Process> {
        let place = self.forest.process(pid).ok_or(Failure::new(
            EINVAL,
            "reference to a process that is not in the image",
        ))?;
        let process = self.processes.get(place).and_then(Option::as_ref);
        let process = process.filter(|process| process.number() != 0);
        process.ok_or_else(killed)
    }

    /// What the id of a process of the image has become.
    pub(crate) fn number_of(&self, pid: u32) -> Outcome<u32> {
        match self.process_of(pid)?.number() {
            0 => Err(killed()),
            number => Ok(number),
        }
    }

    /// Tells the log of something about a task that will not be as it was.
    pub(crate) fn note(&mut self, pid: u32, what: &str) -> Outcome {
        if self.notes.ends_with(NOTES_CUT) {
            return Ok(());
        }
        let mut line = [0u8; 160];
        let mut text = Text::new(&mut line);
        // A cut line is still of use.
        let _ = write!(text, "restart: process {pid} of the image: {what}");
        let line = text.done();
        let bytes = self.notes.len().saturating_add(line.len());
        if bytes.saturating_add(NOTES_CUT.len()) >= NOTES_MAX {
            return Ok(self.notes.extend_from_slice(NOTES_CUT, GFP_KERNEL)?);
        }
        self.notes.extend_from_slice(line, GFP_KERNEL)?;
        Ok(self.notes.push(b'\n', GFP_KERNEL)?)
    }

    /// Counts a file that is opened.
    pub(crate) fn one_file_more(&mut self) -> Outcome {
        self.files_left = self.files_left.checked_sub(1).ok_or(Failure::new(
            EMFILE,
            "the image has more files than descriptors and mappings are allowed",
        ))?;
        Ok(())
    }

    /// Reads the next pre-header behind any files before it, and what stands before these:
    /// pipes, sockets, shared memory, and who has opened them.
    pub(crate) fn header_after_files(&mut self) -> Outcome<Hdr> {
        let mut opener = false;
        loop {
            let hdr = self.reader.header()?;
            ensure(
                !opener || hdr.kind == format::FILE,
                EINVAL,
                "credentials of a file without the file",
            )?;
            opener = hdr.kind == format::CREDS;
            if opener {
                res::opener::restore(self, &hdr)?;
                continue;
            }
            if !matches!(
                hdr.kind,
                format::FILE | format::PIPE | format::SOCKET | format::SHMEM
            ) {
                return Ok(hdr);
            }
            self.one_file_more()?;
            if hdr.kind == format::PIPE {
                res::pipe::restore(self, &hdr)?;
            } else if hdr.kind == format::SOCKET {
                res::socket::restore(self, &hdr)?;
            } else if hdr.kind == format::SHMEM {
                res::shmem::restore(self, &hdr)?;
            } else {
                res::file::restore(self, &hdr)?;
            }
        }
    }

    /// A path of the image, which is absolute, as the caller would name it.
    pub(crate) fn below_root<'a>(&self, path: &'a [u8]) -> Outcome<&'a [u8]> {
        ensure(
            path.first() == Some(&b'/'),
            EINVAL,
            "a path is not absolute",
        )?;
        crate::kapi::path::below(path, &self.root_name).ok_or(Failure::new(
            ENOENT,
            "a path is outside of the caller's root",
        ))
    }

    /// Reads a string of exactly `len` bytes that belongs to `parent`.
    pub(crate) fn string(&mut self, parent: u32, len: u32) -> Outcome<KVec<u8>> {
        let text = self.any_string(parent)?;
        ensure(
            text.len() == len as usize,
            EINVAL,
            "string has another length than announced",
        )?;
        Ok(text)
    }

    /// Reads a string that belongs to `parent`.
    pub(crate) fn any_string(&mut self, parent: u32) -> Outcome<KVec<u8>> {
        let len = self.reader.string(parent, &mut self.text)?;
        let mut text = KVec::new();
        text.extend_from_slice(self.text.get(..len).unwrap_or_default(), charged())?;
        Ok(text)
    }

    /// Is it a regular file that is open for more than its location?
    pub(crate) fn is_regular(&self, objref: u32) -> bool {
        use format::files::file_kind as kind;
        self.files
            .get(objref)
            .is_some_and(|opened| matches!(opened.kind, kind::REGULAR | kind::SHMEM))
    }

    /// Is it the stream of an image, in whose place whoever restarts has a file?
    pub(crate) fn is_stream(&self, objref: u32) -> bool {
        self.files
            .get(objref)
            .is_some_and(|opened| opened.kind == format::files::file_kind::STREAM)
    }

    /// Has the file the contents of the checkpoint, as far as size and time tell?
    pub(crate) fn is_unchanged(&self, objref: u32) -> Outcome<bool> {
        match self.files.get(objref) {
            Some(opened) => opened.is_unchanged(),
            None => Ok(true),
        }
    }

    /// The open file behind a reference.
    pub(crate) fn file(&self, objref: u32) -> Outcome<&FileRef> {
        self.files
            .get(objref)
            .map(|opened| &opened.file)
            .ok_or(Failure::new(
                EINVAL,
                "reference to a file that is not in the image",
            ))
    }
}
