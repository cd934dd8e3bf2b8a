// SPDX-License-Identifier: GPL-2.0

//! Takes images apart and puts them together in other orders.

use std::ops::Range;

use zerocopy::FromBytes;
use zerocopy::IntoBytes;

use crate::format;
use crate::format::head::Tail;
use crate::format::mm::Pgarr;
use crate::format::Hdr;
use crate::format::HDR_SIZE;

/// Bytes of an address and of the contents of its page.
const PER_PAGE: usize = 8 + 4096;

/// Bytes of page data in a run of `len` bytes.
fn data_len(len: usize) -> usize {
    (len / PER_PAGE).saturating_mul(4096)
}

/// The records of a well-framed image: their places in `image`. A run of pages
/// includes addresses and contents, not the padding record before it.
pub fn split(image: &[u8]) -> Vec<Range<usize>> {
    let mut records = Vec::new();
    let mut at = 0usize;
    while let Some((hdr, len)) = image.get(at..).and_then(measure) {
        let end = at.saturating_add(len);
        if end > image.len() {
            break;
        }
        records.push(at..end);
        at = end;
        if hdr.kind == format::TAIL || hdr.kind == format::ERROR {
            break;
        }
    }
    records
}

/// The pre-header at the start of `image`, and the bytes of its whole record.
fn measure(image: &[u8]) -> Option<(Hdr, usize)> {
    let (hdr, rest) = Hdr::read_from_prefix(image).ok()?;
    let payload = hdr.payload().ok()?;
    let mut len = HDR_SIZE
        .saturating_add(payload)
        .saturating_add(format::padding(payload));
    if hdr.kind == format::PGARR {
        let (run, _) = Pgarr::read_from_prefix(rest).ok()?;
        len = len.saturating_add((run.nr_pages as usize).saturating_mul(PER_PAGE));
    }
    Some((hdr, len))
}

/// The given records of `image`, in the given order, with a new trailer.
///
/// Padding records before page runs are made anew, so that the page data is
/// in its place again.
pub fn join<'a>(image: &'a [u8], records: impl IntoIterator<Item = &'a Range<usize>>) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for range in records {
        let bytes = image.get(range.clone()).unwrap_or_default();
        match measure(bytes) {
            Some((hdr, _)) if hdr.kind == format::PAD => continue,
            Some((hdr, len)) if hdr.kind == format::PGARR && len > HDR_SIZE + 8 => {
                pad(&mut out, len);
            }
            _ => {}
        }
        out.extend_from_slice(bytes);
    }
    reseal(&mut out);
    out
}

/// Appends a padding record for a run of pages of `len` bytes in all.
fn pad(out: &mut Vec<u8>, len: usize) {
    let data = data_len(len);
    let before = HDR_SIZE.saturating_add(len).saturating_sub(data);
    let zeros = out.len().saturating_add(before).wrapping_neg() % 4096;
    let hdr = Hdr {
        kind: format::PAD,
        len: i16::try_from(zeros).unwrap_or(i16::MAX),
        parent: 0,
    };
    out.extend_from_slice(hdr.as_bytes());
    out.resize(out.len().saturating_add(zeros), 0);
}

/// Makes the trailer at the end of a well-framed image right again.
pub fn reseal(image: &mut [u8]) {
    let records = split(image);
    let Some((last, before)) = records.split_last() else {
        return;
    };
    let mut cksum = [0; 2];
    for range in before {
        let bytes = image.get(range.clone()).unwrap_or_default();
        let is_run = measure(bytes).is_some_and(|(hdr, _)| hdr.kind == format::PGARR);
        let data = if is_run { data_len(bytes.len()) } else { 0 };
        let (meta, pages) = bytes.split_at(bytes.len().saturating_sub(data));
        cksum = [
            crc32c::crc32c_append(cksum[0], meta),
            crc32c::crc32c_append(cksum[1], pages),
        ];
    }
    let tail = Tail {
        magic: format::head::TAIL_MAGIC,
        reserved: 0,
        nr_bytes: last.start as u64,
        nr_records: before.len() as u64,
        cksum,
    };
    let place = last.start.saturating_add(HDR_SIZE)..last.end;
    if let Some(place) = image
        .get_mut(place)
        .filter(|p| p.len() == tail.as_bytes().len())
    {
        place.copy_from_slice(tail.as_bytes());
    }
}
