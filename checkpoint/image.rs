// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The image on a descriptor: the stream's sink and source in the kernel.

use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format::Why;
use crate::kapi::file::FileRef;
use crate::kapi::file::ImageFile;
use crate::kapi::pages::PageBatch;
use crate::kapi::sched::crc32c;
use crate::stream::reader::Fault;
use crate::stream::reader::Reader;
use crate::stream::writer::Writer;
use crate::stream::Sink;
use crate::stream::Source;
use kernel::prelude::*;

/// Bytes of metadata that are gathered before they are written.
const BUFFER: usize = 16384;

/// Writes an image to a file, a pipe or a socket.
pub(crate) struct FileSink {
    file: ImageFile,
    buf: KVec<u8>,
}

impl FileSink {
    /// Starts at the position of `file`.
    pub(crate) fn new(file: FileRef) -> Result<Self> {
        Ok(Self {
            file: ImageFile::new(file),
            buf: KVec::with_capacity(BUFFER, GFP_KERNEL)?,
        })
    }

    /// Writes what has been gathered.
    pub(crate) fn flush(&mut self) -> Result {
        let done = self.file.write_all(&self.buf);
        self.buf.clear();
        done
    }

    /// Writes the contents of pages, without a copy of our own.
    pub(crate) fn put_pages(&mut self, pages: &PageBatch) -> Result {
        self.flush()?;
        self.file.write_pages(pages)
    }
}

impl Sink for FileSink {
    type Error = Error;

    fn put(&mut self, mut bytes: &[u8]) -> Result {
        while !bytes.is_empty() {
            let room = BUFFER.saturating_sub(self.buf.len());
            if room == 0 {
                self.flush()?;
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.buf.extend_from_slice(now, GFP_KERNEL)?;
            bytes = later;
        }
        Ok(())
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        crc32c(crc, bytes)
    }
}

/// Reads an image from a file, a pipe or a socket, and not a byte more.
pub(crate) struct FileSource {
    file: ImageFile,
}

impl FileSource {
    /// Starts at the position of `file`.
    pub(crate) fn new(file: FileRef) -> Self {
        Self {
            file: ImageFile::new(file),
        }
    }

    /// Fills pages with the next bytes of the image.
    pub(crate) fn take_pages(&mut self, pages: &PageBatch) -> Result {
        self.file.read_pages(pages)
    }
}

impl Source for FileSource {
    type Error = Error;

    fn take(&mut self, buf: &mut [u8]) -> Result {
        self.file.read_exact(buf)
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        crc32c(crc, bytes)
    }
}

/// Writes an image.
pub(crate) type ImageWriter = Writer<FileSink>;
/// Reads an image.
pub(crate) type ImageReader = Reader<FileSource>;

impl From<Fault<Error>> for Failure {
    fn from(fault: Fault<Error>) -> Self {
        match fault {
            Fault::Source(errno) if errno == EIO => Self::new(EIO, "the image ends too early"),
            Fault::Source(errno) => Self::new(errno, "the image cannot be read"),
            Fault::Bad(Why(why)) => Self::new(EINVAL, why),
            Fault::Checksum(Why(why)) => Self::new(EBADMSG, why),
            Fault::Failed(record) => {
                Self::new(ECANCELED, "the image is that of a checkpoint that failed").about(
                    record
                        .text
                        .get(..usize::from(record.text_len))
                        .unwrap_or_default(),
                )
            }
        }
    }
}

/// Gives failed writes their reason.
pub(crate) trait Written<T> {
    /// The result of a write to the image.
    fn written(self) -> Outcome<T>;
}

impl<T> Written<T> for Result<T> {
    fn written(self) -> Outcome<T> {
        self.why("the image cannot be written")
    }
}
