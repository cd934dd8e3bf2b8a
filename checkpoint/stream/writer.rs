// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Writes records, and counts and sums what it writes.

use super::super::format;
use super::Sink;
use format::head::Tail;
use format::Hdr;
use format::IntoBytes;
use format::Record;

/// What a PAD record is made of.
static ZEROS: [u8; format::PAGE_ALIGN as usize] = [0; format::PAGE_ALIGN as usize];

/// The writing end of an image.
pub struct Writer<S: Sink> {
    sink: S,
    offset: u64,
    records: u64,
    cksum: [u32; 2],
}

impl<S: Sink> Writer<S> {
    /// Starts an image.
    pub fn new(sink: S) -> Self {
        Self {
            sink,
            offset: 0,
            records: 0,
            cksum: [0; 2],
        }
    }

    /// Bytes written so far.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The sink, for what does not go through this type.
    pub fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    fn meta(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        self.sink.put(bytes)?;
        self.cksum[0] = S::crc32c(self.cksum[0], bytes);
        self.offset = self.offset.wrapping_add(bytes.len() as u64);
        Ok(())
    }

    fn frame(&mut self, kind: i16, parent: u32, payload: &[u8]) -> Result<(), S::Error> {
        debug_assert!(payload.len() <= i16::MAX as usize);
        let hdr = Hdr {
            kind,
            len: payload.len() as i16,
            parent,
        };
        self.meta(hdr.as_bytes())?;
        self.meta(payload)?;
        if let Some(zeros) = [0u8; format::ALIGN].get(..format::padding(payload.len())) {
            self.meta(zeros)?;
        }
        self.records = self.records.wrapping_add(1);
        Ok(())
    }

    /// Writes a record that belongs to the object `parent`.
    pub fn record<R: Record>(&mut self, parent: u32, record: &R) -> Result<(), S::Error> {
        self.frame(R::TYPE, parent, record.as_bytes())
    }

    /// Writes a record of raw bytes, at most 32767 of them.
    pub fn bytes(&mut self, kind: i16, parent: u32, payload: &[u8]) -> Result<(), S::Error> {
        self.frame(kind, parent, payload)
    }

    /// Announces a run of pages: the padding, the record and the addresses.
    ///
    /// The caller then writes the contents to [`Self::sink`] and reports them
    /// with [`Self::wrote_pages`].
    pub fn pages(&mut self, parent: u32, addrs: &[u64]) -> Result<(), S::Error> {
        let run = format::mm::Pgarr {
            nr_pages: addrs.len() as u32,
            reserved: 0,
        };
        if !addrs.is_empty() {
            // Two pre-headers, the payload of the second, and the addresses.
            let after = self
                .offset
                .wrapping_add(
                    const { 2 * format::HDR_SIZE + size_of::<format::mm::Pgarr>() } as u64,
                )
                .wrapping_add(size_of_val(addrs) as u64);
            let pad = after.wrapping_neg() % format::PAGE_ALIGN;
            self.frame(
                format::PAD,
                0,
                ZEROS.get(..pad as usize).unwrap_or_default(),
            )?;
        }
        self.record(parent, &run)?;
        self.meta(addrs.as_bytes())
    }

    /// Accounts page data that went to the sink directly.
    pub fn wrote_pages(&mut self, bytes: &[u8]) {
        self.cksum[1] = S::crc32c(self.cksum[1], bytes);
        self.offset = self.offset.wrapping_add(bytes.len() as u64);
    }

    /// Ends a complete image.
    pub fn tail(&mut self) -> Result<(), S::Error> {
        let tail = Tail {
            magic: format::head::TAIL_MAGIC,
            reserved: 0,
            nr_bytes: self.offset,
            nr_records: self.records,
            cksum: self.cksum,
        };
        self.record(0, &tail)
    }
}
