// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The image on a descriptor: the stream's sink and source in the kernel.

use crate::error::Explain;
use crate::error::Failure;
use crate::error::Outcome;
use crate::format::head::ErrorRec;
use crate::format::FromZeros;
use crate::format::Record;
use crate::format::Why;
use crate::freeze::Freight;
use crate::freeze::Relay;
use crate::kapi::file::FileRef;
use crate::kapi::imagefile::ImageFile;
use crate::kapi::imagefile::END;
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

/// Where the image goes.
enum Out {
    /// To a file, a pipe or a socket.
    File(ImageFile),
    /// To the task that has ordered the image.
    Relay(Relay),
    /// Nowhere yet.
    Nowhere,
}

/// Gathers metadata, and writes it together.
pub(crate) struct ImageSink {
    out: Out,
    buf: KVec<u8>,
}

impl ImageSink {
    /// A sink that was not told yet where the image goes.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            out: Out::Nowhere,
            buf: KVec::with_capacity(BUFFER, GFP_KERNEL)?,
        })
    }

    /// Writes to `file`, from its position on.
    pub(crate) fn write_to(&mut self, file: ImageFile) {
        self.out = Out::File(file);
    }

    /// Has somebody else write.
    pub(crate) fn relay(&mut self, relay: Relay) {
        self.out = Out::Relay(relay);
    }

    /// Writes what has been gathered.
    pub(crate) fn flush(&mut self) -> Result {
        if self.buf.is_empty() {
            return Ok(());
        }
        let done = match &self.out {
            Out::File(file) => file.write_all(&self.buf),
            Out::Relay(relay) => {
                let bytes = core::mem::replace(&mut self.buf, KVec::new());
                relay.write(Freight::Bytes(bytes)).map(|freight| {
                    if let Freight::Bytes(bytes) = freight {
                        self.buf = bytes;
                    }
                })
            }
            Out::Nowhere => Err(EBADF),
        };
        self.buf.clear();
        done
    }

    /// Writes the contents of pages, without a copy of our own.
    ///
    /// After an error the batch may be empty.
    pub(crate) fn put_pages(&mut self, pages: &mut PageBatch) -> Result {
        self.flush()?;
        match &self.out {
            Out::File(file) => file.write_pages(pages),
            Out::Relay(relay) => {
                let freight = core::mem::replace(pages, PageBatch::none());
                if let Freight::Pages(back) = relay.write(Freight::Pages(freight))? {
                    *pages = back;
                }
                Ok(())
            }
            Out::Nowhere => Err(EBADF),
        }
    }
}

impl Sink for ImageSink {
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
///
/// Of a regular file metadata is read ahead up to the next page boundary,
/// where page data may begin, and the position goes back over what was not
/// used.
pub(crate) struct FileSource {
    file: ImageFile,
    ahead: KVec<u8>,
    used: usize,
    regular: bool,
}

/// Most bytes that are read ahead.
const AHEAD: usize = 4096;

impl FileSource {
    /// Starts at the position of `file`.
    pub(crate) fn new(file: FileRef) -> Self {
        let file = ImageFile::new(file);
        Self {
            regular: file.is_regular(),
            file,
            ahead: KVec::new(),
            used: 0,
        }
    }

    /// Fills pages with the next bytes of the image.
    pub(crate) fn take_pages(&mut self, pages: &PageBatch) -> Result {
        self.give_back();
        self.file.read_pages(pages)
    }

    /// Puts the position behind what was used.
    fn give_back(&mut self) {
        let unused = self.ahead.len().saturating_sub(self.used);
        if unused != 0 {
            self.file.rewind(unused);
        }
        self.ahead.clear();
        self.used = 0;
    }

    /// Reads ahead; nothing is left of what was read before.
    fn refill(&mut self) -> Result {
        let bytes = self.file.to_boundary(AHEAD);
        self.ahead.resize(bytes, 0, GFP_KERNEL)?;
        self.used = 0;
        let got = match self.file.read_some(&mut self.ahead) {
            Ok(0) => Err(END),
            got => got,
        };
        self.ahead.truncate(*got.as_ref().unwrap_or(&0));
        got.map(|_| ())
    }
}

/// Why a checkpoint had failed, in words.
pub(crate) struct Reason(KVec<u8>);

impl From<ErrorRec> for Reason {
    fn from(record: ErrorRec) -> Self {
        let mut text = KVec::new();
        let words = record.text.get(..usize::from(record.text_len));
        // Without memory for them, without.
        let _ = text.extend_from_slice(words.unwrap_or_default(), GFP_KERNEL);
        Self(text)
    }
}

impl Source for FileSource {
    type Error = Error;
    // Each result of a read has room for it, on the stack.
    type Failed = Reason;

    fn take(&mut self, mut buf: &mut [u8]) -> Result {
        if !self.regular {
            return self.file.read_exact(buf);
        }
        while !buf.is_empty() {
            let rest = self.ahead.get(self.used..).unwrap_or_default();
            if rest.is_empty() {
                self.refill()?;
                continue;
            }
            let now = rest.len().min(buf.len());
            let (to, later) = buf.split_at_mut(now);
            to.copy_from_slice(rest.get(..now).unwrap_or_default());
            self.used = self.used.saturating_add(now);
            buf = later;
        }
        crate::kapi::sched::breathe()
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        crc32c(crc, bytes)
    }
}

impl Drop for FileSource {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Writes an image.
pub(crate) type ImageWriter = Writer<ImageSink>;
/// Reads an image.
pub(crate) type ImageReader = Reader<FileSource>;

impl From<Fault<Error, Reason>> for Failure {
    fn from(fault: Fault<Error, Reason>) -> Self {
        match fault {
            Fault::Source(errno) if errno == END => Self::new(EIO, "the image ends too early"),
            Fault::Source(errno) => Self::new(errno, "the image cannot be read"),
            Fault::Bad(Why(why)) => Self::new(EINVAL, why),
            Fault::Checksum(Why(why)) => Self::new(EBADMSG, why),
            Fault::Failed(Reason(words)) => Self {
                detail: words,
                ..Self::new(ECANCELED, "the image is that of a checkpoint that failed")
            },
        }
    }
}

/// A record on the heap, all zero: for those too large for a stack of 16 KiB that many
/// functions share.
#[inline(never)]
pub(crate) fn on_heap<R: FromZeros>() -> Result<KBox<R>> {
    Ok(KBox::new(R::new_zeroed(), GFP_KERNEL)?)
}

impl ImageReader {
    /// Like [`Reader::record`], on the heap.
    #[inline(never)]
    pub(crate) fn boxed<R: Record>(&mut self, parent: u32) -> Outcome<KBox<R>> {
        let hdr = self.header()?;
        let mut record = on_heap::<R>()?;
        self.body_into(&hdr, parent, &mut *record)?;
        Ok(record)
    }
}

/// Why a checkpoint failed that could not write.
pub(crate) const NOT_WRITTEN: &str = "the image cannot be written";

/// Gives failed writes their reason.
pub(crate) trait Written<T> {
    /// The result of a write to the image.
    fn written(self) -> Outcome<T>;
}

impl<T> Written<T> for Result<T> {
    fn written(self) -> Outcome<T> {
        self.why(NOT_WRITTEN)
    }
}
