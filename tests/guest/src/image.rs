// SPDX-License-Identifier: GPL-2.0

//! Images taken apart, changed, and put together again.
//!
//! This is a second, minimal reader: it knows the framing and nothing of the
//! records' meaning, so that it also carries what no kernel would write. An
//! image that is put together again has fresh padding, counts and checksums:
//! restart(2) gets as far as the change itself.

use std::ops::Range;

use crate::format;
use crate::format::head::Tail;
use crate::format::Hdr;
use crate::mem::PAGE;
use crate::stream::writer::Writer;
use crate::stream::Sink;

/// One record, with what follows it up to the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rec {
    /// Record number.
    pub kind: i16,
    /// The length that the pre-header tells.
    pub len: i16,
    /// Owner.
    pub parent: u32,
    /// Payload, without padding.
    pub payload: Vec<u8>,
    /// Addresses, if it announces pages.
    pub addrs: Vec<u64>,
    /// Contents, if it announces pages.
    pub pages: Vec<u8>,
}

impl Rec {
    /// A number in the payload; 0 if it is not there.
    pub fn get(&self, field: Range<usize>) -> u64 {
        let mut bytes = [0; 8];
        if let Some(slice) = self.payload.get(field) {
            let len = slice.len().min(8);
            bytes[..len].copy_from_slice(&slice[..len]);
        }
        u64::from_le_bytes(bytes)
    }

    /// Changes a number in the payload.
    pub fn set(&mut self, field: Range<usize>, value: u64) {
        let bytes = value.to_le_bytes();
        if let Some(slice) = self.payload.get_mut(field) {
            let len = slice.len().min(8);
            slice[..len].copy_from_slice(&bytes[..len]);
        }
    }
}

/// Where a record and its parts are in the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// Record number.
    pub kind: i16,
    /// Everything up to the next record.
    pub all: Range<usize>,
    /// Pre-header, payload, padding, addresses.
    pub meta: Range<usize>,
}

/// A whole image, without its PAD records and its trailer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// The records in order.
    pub records: Vec<Rec>,
}

struct Memory(Vec<u8>);

impl Sink for Memory {
    type Error = std::convert::Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        crc32c(crc, bytes)
    }
}

impl Image {
    /// Takes an image apart.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let mut records = Vec::new();
        for span in spans(bytes)? {
            if [format::PAD, format::TAIL].contains(&span.kind) {
                continue;
            }
            let hdr = header(&bytes[span.all.start..]).ok_or("no pre-header")?;
            let start = span.all.start + format::HDR_SIZE;
            let payload = bytes[start..start + hdr.len as usize].to_vec();
            let body = start + payload.len() + format::padding(payload.len());
            records.push(Rec {
                kind: hdr.kind,
                len: hdr.len,
                parent: hdr.parent,
                addrs: bytes[body..span.meta.end]
                    .chunks_exact(8)
                    .map(|c| u64::from_le_bytes(c.try_into().unwrap_or_default()))
                    .collect(),
                pages: bytes[span.meta.end..span.all.end].to_vec(),
                payload,
            });
        }
        Ok(Self { records })
    }

    /// Puts the image together again, as the kernel's writer does it.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Writer::new(Memory(Vec::new()));
        for rec in &self.records {
            let Ok(()) = Self::put(&mut out, rec);
        }
        let Ok(()) = out.tail();
        let mut bytes = std::mem::take(&mut out.sink().0);
        if self.lies() {
            self.write_lies(&mut bytes);
            seal(&mut bytes);
        }
        bytes
    }

    fn put(out: &mut Writer<Memory>, rec: &Rec) -> Result<(), std::convert::Infallible> {
        if rec.kind == format::PGARR && !rec.addrs.is_empty() {
            out.pages(rec.parent, &rec.addrs)?;
            out.sink().put(&rec.pages)?;
            out.wrote_pages(&rec.pages);
            return Ok(());
        }
        out.bytes(rec.kind, rec.parent, &rec.payload)
    }

    /// Whether a pre-header or an announcement differs from what it stands for.
    fn lies(&self) -> bool {
        self.records
            .iter()
            .any(|r| r.len as usize != r.payload.len() || Self::false_count(r))
    }

    fn false_count(rec: &Rec) -> bool {
        rec.kind == format::PGARR
            && (rec.get(0..4) as usize != rec.addrs.len() || rec.get(4..8) != 0)
    }

    /// The writer is honest; the lies are put in afterwards, at their places.
    fn write_lies(&self, bytes: &mut [u8]) {
        let Ok(spans) = spans(bytes) else { return };
        let real = spans
            .iter()
            .filter(|s| ![format::PAD, format::TAIL].contains(&s.kind));
        for (rec, span) in self.records.iter().zip(real) {
            let at = span.all.start;
            bytes[at + 2..at + 4].copy_from_slice(&rec.len.to_le_bytes());
            if Self::false_count(rec) {
                bytes[at + 8..at + 16].copy_from_slice(&rec.payload[..8]);
            }
        }
    }

    /// The first record of a kind.
    pub fn find(&self, kind: i16) -> Option<usize> {
        self.records.iter().position(|r| r.kind == kind)
    }
}

/// The pre-header at the start of `bytes`.
pub fn header(bytes: &[u8]) -> Option<Hdr> {
    let field = |range: Range<usize>| bytes.get(range);
    Some(Hdr {
        kind: i16::from_le_bytes(field(0..2)?.try_into().ok()?),
        len: i16::from_le_bytes(field(2..4)?.try_into().ok()?),
        parent: u32::from_le_bytes(field(4..8)?.try_into().ok()?),
    })
}

/// Finds the records of an image that the kernel wrote, up to its trailer.
pub fn spans(bytes: &[u8]) -> Result<Vec<Span>, String> {
    let mut spans = Vec::new();
    let mut at = 0;
    loop {
        let bad = |what: &str| format!("{what} at byte {at} of {}", bytes.len());
        let hdr = header(bytes.get(at..).unwrap_or_default()).ok_or(bad("the image ends"))?;
        let len = usize::try_from(hdr.len).map_err(|_| bad("negative length"))?;
        let mut meta = at + format::HDR_SIZE + len + format::padding(len);
        let mut end = meta;
        if hdr.kind == format::PGARR {
            let count = bytes.get(at + 8..at + 12).ok_or(bad("the image ends"))?;
            let count = u32::from_le_bytes(count.try_into().unwrap_or_default()) as usize;
            meta += count * 8;
            end = meta + count * PAGE;
        }
        if end > bytes.len() {
            return Err(bad(&format!("{} is cut", format::type_name(hdr.kind))));
        }
        spans.push(Span {
            kind: hdr.kind,
            all: at..end,
            meta: at..meta,
        });
        at = end;
        if hdr.kind == format::TAIL {
            return Ok(spans);
        }
        if hdr.kind == format::ERROR {
            return Err("the image is one of a checkpoint that failed".to_string());
        }
    }
}

/// Cuts a stream of complete images behind each trailer.
pub fn split(mut stream: &[u8]) -> Result<Vec<&[u8]>, String> {
    let mut images = Vec::new();
    while !stream.is_empty() {
        let end = spans(stream)?.last().map_or(0, |s| s.all.end);
        let (image, rest) = stream.split_at(end);
        images.push(image);
        stream = rest;
    }
    Ok(images)
}

/// Makes counts and checksums of the trailer right, as far as the records can be found.
pub fn seal(bytes: &mut [u8]) {
    let tail = bytes.len() - format::HDR_SIZE - size_of::<Tail>();
    let mut sums = [0; 2];
    let mut records = 0u64;
    let mut at = 0;
    while let Some(hdr) = header(&bytes[at..tail]) {
        let len = usize::try_from(hdr.len).unwrap_or(0);
        let meta = at + format::HDR_SIZE + len + format::padding(len);
        let count = match bytes.get(at + 8..at + 12) {
            Some(n) if hdr.kind == format::PGARR => {
                u32::from_le_bytes(n.try_into().unwrap_or_default()) as usize
            }
            _ => 0,
        };
        let meta = meta.saturating_add(count.saturating_mul(8)).min(tail);
        let end = meta.saturating_add(count.saturating_mul(PAGE)).min(tail);
        sums[0] = crc32c(sums[0], &bytes[at..meta]);
        sums[1] = crc32c(sums[1], &bytes[meta..end]);
        records += 1;
        at = end;
    }
    let body = &mut bytes[tail + format::HDR_SIZE..];
    body[8..16].copy_from_slice(&(tail as u64).to_le_bytes());
    body[16..24].copy_from_slice(&records.to_le_bytes());
    body[24..28].copy_from_slice(&sums[0].to_le_bytes());
    body[28..32].copy_from_slice(&sums[1].to_le_bytes());
}

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut i = 0;
    while i < 256 {
        let mut crc = i as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
            bit += 1;
        }
        table[i] = crc;
        i += 1;
    }
    table
};

/// Continues a crc32c, 0 at the start, as the stream has it.
pub fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!crc, |crc, b| {
        TABLE[((crc ^ u32::from(*b)) & 0xff) as usize] ^ (crc >> 8)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rec(kind: i16, payload: Vec<u8>) -> Rec {
        Rec {
            kind,
            len: payload.len() as i16,
            parent: 7,
            payload,
            addrs: Vec::new(),
            pages: Vec::new(),
        }
    }

    fn sample() -> Image {
        let mut run = rec(format::PGARR, vec![2, 0, 0, 0, 0, 0, 0, 0]);
        run.addrs = vec![0x1000, 0x2000];
        run.pages = (0..2 * PAGE).map(|i| i as u8).collect();
        let end = rec(format::PGARR, vec![0; 8]);
        Image {
            records: vec![rec(format::STR, b"hello".to_vec()), run, end],
        }
    }

    #[test]
    fn an_image_survives_its_dissection() {
        let bytes = sample().to_bytes();
        let image = Image::parse(&bytes).unwrap();
        assert_eq!(image, sample());
        assert_eq!(image.to_bytes(), bytes);
        let spans = spans(&bytes).unwrap();
        assert_eq!(spans.last().unwrap().all.end, bytes.len());
        assert_eq!(spans[2].meta.end % PAGE, 0);
    }

    #[test]
    fn sealing_an_honest_image_changes_nothing() {
        let mut bytes = sample().to_bytes();
        let before = bytes.clone();
        seal(&mut bytes);
        assert_eq!(bytes, before);
    }

    #[test]
    fn a_lie_stays_in_the_image() {
        let mut image = sample();
        image.records[0].len = -1;
        let bytes = image.to_bytes();
        assert_eq!(header(&bytes).unwrap().len, -1);
        let mut image = sample();
        image.records[1].set(0..4, 4097);
        assert!(Image::parse(&image.to_bytes()).is_err());
    }

    #[test]
    fn streams_of_images_are_cut() {
        let one = sample().to_bytes();
        let two = [one.clone(), one.clone()].concat();
        assert_eq!(split(&two).unwrap(), [&one[..], &one[..]]);
    }

    #[test]
    fn crc_is_castagnoli() {
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
    }
}
