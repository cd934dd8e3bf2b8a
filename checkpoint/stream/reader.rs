// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Reads records, and checks their framing, counts and checksums.

use super::super::format;
use super::Source;
use format::ensure;
use format::head::ErrorRec;
use format::head::Tail;
use format::Hdr;
use format::IntoBytes;
use format::Record;
use format::Why;

/// Why reading stopped.
#[derive(Debug)]
#[allow(clippy::large_enum_variant)] // As large as the source of the image wants it.
pub enum Fault<E, F = ErrorRec> {
    /// The source failed or ended.
    Source(E),
    /// The image breaks a rule of the format.
    Bad(Why),
    /// A checksum or a count of the trailer does not match.
    Checksum(Why),
    /// The checkpoint itself had failed: its error record, or what is kept of it.
    Failed(F),
}

/// What reading from `S` gives.
pub type Got<T, S> = Result<T, Fault<<S as Source>::Error, <S as Source>::Failed>>;

impl<E, F> From<Why> for Fault<E, F> {
    fn from(why: Why) -> Self {
        Self::Bad(why)
    }
}

/// A run of pages of a mapping.
pub enum Run {
    /// So many pages follow; none ends the mapping.
    Here(usize),
    /// They are in the image already.
    Before(format::mm::Pgref),
}

/// The reading end of an image.
pub struct Reader<S: Source> {
    source: S,
    offset: u64,
    records: u64,
    cksum: [u32; 2],
    kind: i16,
}

impl<S: Source> Reader<S> {
    /// Starts at the beginning of an image.
    pub fn new(source: S) -> Self {
        Self {
            source,
            offset: 0,
            records: 0,
            cksum: [0; 2],
            kind: 0,
        }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Kind of the record that was read last.
    pub fn kind(&self) -> i16 {
        self.kind
    }

    /// The source, for what does not go through this type.
    pub fn source(&mut self) -> &mut S {
        &mut self.source
    }

    fn meta(&mut self, buf: &mut [u8]) -> Got<(), S> {
        self.source.take(buf).map_err(Fault::Source)?;
        self.cksum[0] = S::crc32c(self.cksum[0], buf);
        self.offset = self.offset.wrapping_add(buf.len() as u64);
        Ok(())
    }

    fn pad(&mut self, len: usize) -> Got<(), S> {
        let mut zeros = [0u8; format::ALIGN];
        if let Some(zeros) = zeros.get_mut(..format::padding(len)) {
            self.meta(zeros)?;
            ensure(zeros.iter().all(|b| *b == 0), "padding is not zero")?;
        }
        Ok(())
    }

    fn payload<R: Record>(&mut self, hdr: &Hdr) -> Got<R, S> {
        let mut record = R::new_zeroed();
        self.payload_into(hdr, &mut record)?;
        Ok(record)
    }

    fn payload_into<R: Record>(&mut self, hdr: &Hdr, record: &mut R) -> Got<(), S> {
        ensure(
            hdr.payload()? == size_of::<R>(),
            "record has the wrong length for its kind",
        )?;
        self.meta(record.as_mut_bytes())?;
        self.pad(size_of::<R>())?;
        Ok(record.validate()?)
    }

    /// Reads the next pre-header. An error record ends the image here.
    pub fn header(&mut self) -> Got<Hdr, S> {
        let mut hdr = Hdr::default();
        self.meta(hdr.as_mut_bytes())?;
        self.records = self.records.wrapping_add(1);
        self.kind = hdr.kind;
        if hdr.kind == format::ERROR {
            ensure(hdr.parent == 0, "record belongs to another object")?;
            return Err(self.failed(&hdr));
        }
        Ok(hdr)
    }

    /// Reads the error record whose pre-header is `hdr`.
    #[cold]
    #[inline(never)]
    fn failed(&mut self, hdr: &Hdr) -> Fault<S::Error, S::Failed> {
        match self.payload::<ErrorRec>(hdr) {
            Ok(record) => Fault::Failed(record.into()),
            Err(fault) => fault,
        }
    }

    /// Reads the payload of the record whose pre-header is `hdr`.
    pub fn body<R: Record>(&mut self, hdr: &Hdr, parent: u32) -> Got<R, S> {
        ensure(hdr.kind == R::TYPE, "record is not the one expected here")?;
        ensure(hdr.parent == parent, "record belongs to another object")?;
        self.payload(hdr)
    }

    /// Reads a record of this kind and owner, and nothing else.
    pub fn record<R: Record>(&mut self, parent: u32) -> Got<R, S> {
        let hdr = self.header()?;
        self.body(&hdr, parent)
    }

    /// Like [`Self::record`], into memory of the caller: for large records.
    pub fn record_into<R: Record>(&mut self, parent: u32, record: &mut R) -> Got<(), S> {
        let hdr = self.header()?;
        self.body_into(&hdr, parent, record)
    }

    /// Like [`Self::body`], into memory of the caller.
    pub fn body_into<R: Record>(&mut self, hdr: &Hdr, parent: u32, record: &mut R) -> Got<(), S> {
        ensure(hdr.kind == R::TYPE, "record is not the one expected here")?;
        ensure(hdr.parent == parent, "record belongs to another object")?;
        self.payload_into(hdr, record)
    }

    /// Reads a record of raw bytes, which must fill `buf`.
    pub fn bytes(&mut self, kind: i16, parent: u32, buf: &mut [u8]) -> Got<(), S> {
        let hdr = self.header()?;
        ensure(hdr.kind == kind, "record is not the one expected here")?;
        ensure(hdr.parent == parent, "record belongs to another object")?;
        ensure(
            hdr.payload()? == buf.len(),
            "record has another length than announced",
        )?;
        self.meta(buf)?;
        self.pad(buf.len())
    }

    /// Reads a string of unknown length into `buf` and returns its length.
    pub fn string(&mut self, parent: u32, buf: &mut [u8]) -> Got<usize, S> {
        let hdr = self.header()?;
        ensure(
            hdr.kind == format::STR,
            "record is not the string expected here",
        )?;
        ensure(hdr.parent == parent, "record belongs to another object")?;
        let len = hdr.payload()?;
        let buf = buf.get_mut(..len).ok_or(Why("string is too long"))?;
        self.meta(buf)?;
        self.pad(len)?;
        ensure(!buf.contains(&0), "string contains a zero byte")?;
        Ok(len)
    }

    /// Reads the announcement of a run of pages, with its padding.
    ///
    /// Returns the number of pages; their addresses follow ([`Self::addrs`]),
    /// then their contents, on a page boundary of the stream.
    pub fn pages(&mut self, parent: u32) -> Got<usize, S> {
        let hdr = self.header()?;
        self.pages_behind(hdr, parent)
    }

    /// Like [`Self::pages`]; the run may also be one of pages that came before.
    pub fn run(&mut self, parent: u32) -> Got<Run, S> {
        let hdr = self.header()?;
        if hdr.kind == format::PGREF {
            return Ok(Run::Before(self.body(&hdr, parent)?));
        }
        Ok(Run::Here(self.pages_behind(hdr, parent)?))
    }

    fn pages_behind(&mut self, mut hdr: Hdr, parent: u32) -> Got<usize, S> {
        let padded = hdr.kind == format::PAD;
        if padded {
            ensure(hdr.parent == 0, "padding belongs to an object")?;
            let len = hdr.payload()?;
            ensure(
                len < format::PAGE_ALIGN as usize && len % format::ALIGN == 0,
                "padding has a wrong length",
            )?;
            // In small pieces: the stack of a kernel is small.
            let mut left = len;
            while left != 0 {
                let mut zeros = [0u8; 64];
                let now = left.min(zeros.len());
                if let Some(zeros) = zeros.get_mut(..now) {
                    self.meta(zeros)?;
                    ensure(zeros.iter().all(|b| *b == 0), "padding is not zero")?;
                }
                left = left.saturating_sub(now);
            }
            hdr = self.header()?;
        }
        let run: format::mm::Pgarr = self.body(&hdr, parent)?;
        let nr_pages = run.nr_pages as usize;
        ensure(
            padded == (nr_pages != 0),
            "padding without pages, or pages without",
        )?;
        ensure(
            nr_pages == 0
                || self
                    .offset
                    .wrapping_add(nr_pages.wrapping_mul(size_of::<u64>()) as u64)
                    % format::PAGE_ALIGN
                    == 0,
            "page data is not on a page boundary",
        )?;
        Ok(nr_pages)
    }

    /// Reads the addresses of a run of pages.
    pub fn addrs(&mut self, addrs: &mut [u64]) -> Got<(), S> {
        self.meta(addrs.as_mut_bytes())
    }

    /// Accounts page data that was taken from the source directly.
    pub fn read_pages(&mut self, bytes: &[u8]) {
        self.cksum[1] = S::crc32c(self.cksum[1], bytes);
        self.offset = self.offset.wrapping_add(bytes.len() as u64);
    }

    /// Reads the trailer and compares counts and checksums.
    pub fn tail(&mut self) -> Got<(), S> {
        let (offset, records, cksum) = (self.offset, self.records, self.cksum);
        let tail: Tail = self.record(0)?;
        let same = |ok, why| {
            if ok {
                Ok(())
            } else {
                Err(Fault::Checksum(Why(why)))
            }
        };
        same(tail.nr_bytes == offset, "length of the image differs")?;
        same(tail.nr_records == records, "number of records differs")?;
        same(
            tail.cksum[0] == cksum[0],
            "checksum of the metadata differs",
        )?;
        same(
            tail.cksum[1] == cksum[1],
            "checksum of the page data differs",
        )
    }
}
