// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! One restart: a transaction.
//!
//! Everything is read, checked and built aside. Until the commit point every
//! failure drops what was built, and dropping brings the caller's own state
//! back: address space, descriptors, FPU registers. Behind the commit point
//! nothing can fail.

use crate::arch;
use crate::error::ensure;
use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::error::Place;
use crate::format;
use crate::format::Hdr;
use crate::image::FileSource;
use crate::image::ImageReader;
use crate::kapi::file::FileRef;
use crate::kapi::limits;
use crate::kapi::pages::PageBatch;
use crate::kapi::path::PathRef;
use crate::kapi::refuse;
use crate::kapi::sched;
use crate::kapi::task;
use crate::objhash::Restored;
use crate::res;
use kernel::prelude::*;

/// State of one restart.
pub(crate) struct RestoreCtx {
    /// The stream.
    pub(crate) reader: ImageReader,
    /// Open files by reference.
    pub(crate) files: Restored<res::file::Opened>,
    /// Root directory of the caller, and its absolute name.
    pub(crate) root: PathRef,
    pub(crate) root_name: KVec<u8>,
    /// Files that may still be opened: none is in a descriptor table yet.
    pub(crate) files_left: u64,
    /// The image's vDSO is the one of this kernel.
    pub(crate) same_vdso: bool,
    /// Pages on their way.
    pub(crate) batch: PageBatch,
    /// Room for a string.
    pub(crate) text: KVec<u8>,
}

/// Becomes the task of an image; returns what its system call returns.
pub(crate) fn restart(image: FileRef) -> Outcome<isize> {
    ensure(
        task::is_single(),
        EBUSY,
        "the caller has other threads or shares its memory",
    )?;
    if let Some(why) = refuse::in_the_way().or_else(arch::cpu::unsupported) {
        return Err(Failure::new(EBUSY, why));
    }
    let _quiet = sched::Quiet::enter();
    let mut ctx = RestoreCtx {
        reader: ImageReader::new(FileSource::new(image)),
        files: Restored::new(),
        same_vdso: false,
        files_left: limits::files_allowed(),
        root_name: PathRef::root()
            .name()
            .why("the root directory has no name")?,
        root: PathRef::root(),
        batch: PageBatch::new()?,
        text: KVec::from_elem(0, format::STR_MAX, GFP_KERNEL)?,
    };
    ctx.run().map_err(|mut failure| {
        if failure.kind == 0 {
            failure.kind = ctx.reader.kind();
        }
        failure.at(Place::Image(ctx.reader.offset()))
    })
}

impl RestoreCtx {
    fn run(&mut self) -> Outcome<isize> {
        // Dropped last: when the caller's descriptors are in place again.
        let mut segments = arch::cpu::Segments::remember();
        // PREPARE and BUILD: in the order of the image.
        res::head::restore(self)?;
        let (task, task_values) = res::task::restore(self)?;
        let mm = res::mm::restore(self, task, &task_values)?;
        let thread = res::thread::restore(self, task)?;
        let fs = res::fs::restore(self, task)?;
        let files = res::fdtable::restore(self, task)?;
        let signal = res::signal::restore(self, task)?;
        res::cred::restore(self, task)?;
        let rlimits = res::rlimit::restore(self, task)?;
        self.reader.tail()?;
        res::file::finish(self)?;
        // The last steps that can fail. Each brings back what it replaced.
        let cpu = thread.load()?;
        res::task::set_sched(&task_values)?;

        // COMMIT: nothing below can fail.
        segments.forget();
        mm.commit();
        files.commit();
        fs.commit();
        signal.commit();
        rlimits.commit();
        res::task::commit(&task_values);
        Ok(cpu.commit())
    }

    /// Reads the next pre-header behind any files that stand before it.
    pub(crate) fn header_after_files(
        &mut self,
        table: Option<&crate::kapi::fs::NewFiles>,
    ) -> Outcome<Hdr> {
        loop {
            let hdr = self.reader.header()?;
            if hdr.kind != format::FILE {
                return Ok(hdr);
            }
            self.files_left = self.files_left.checked_sub(1).ok_or(Failure::new(
                EMFILE,
                "the image has more files than descriptors and mappings are allowed",
            ))?;
            res::file::restore(self, &hdr, table)?;
        }
    }

    /// A path of the image, which is absolute, as the caller would name it.
    pub(crate) fn below_root<'a>(&self, path: &'a [u8]) -> Outcome<&'a [u8]> {
        ensure(
            path.first() == Some(&b'/'),
            EINVAL,
            "a path is not absolute",
        )?;
        if *self.root_name == *b"/" {
            return Ok(path);
        }
        match path.strip_prefix(&*self.root_name) {
            Some([]) => Ok(b"/"),
            Some(rest) if rest.first() == Some(&b'/') => Ok(rest),
            _ => Err(Failure::new(
                ENOENT,
                "a path is outside of the caller's root",
            )),
        }
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
        text.extend_from_slice(self.text.get(..len).unwrap_or_default(), GFP_KERNEL)?;
        Ok(text)
    }

    /// Is it a regular file that is open for more than its location?
    pub(crate) fn is_regular(&self, objref: u32) -> bool {
        self.files
            .get(objref)
            .is_some_and(|opened| opened.kind == format::files::file_kind::REGULAR)
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
