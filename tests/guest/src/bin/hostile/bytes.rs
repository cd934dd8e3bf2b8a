// SPDX-License-Identifier: GPL-2.0

//! Changes that know nothing of records: cuts and flipped bits.

use std::ops::Range;

use ckpt_guest::format;
use ckpt_guest::image;
use ckpt_guest::image::Span;

use crate::engine::Attempt;
use crate::engine::List;
use crate::Base;

/// Ends at every record boundary, and inside each record.
pub fn cuts(base: &Base) -> List<'_> {
    let mut lengths = Vec::new();
    for span in &base.spans {
        let (start, meta, end) = (span.all.start, span.meta.end, span.all.end);
        lengths.extend([
            start,
            start + 4,
            start + 8,
            (start + 8 + meta) / 2,
            meta - 1,
        ]);
        if end > meta {
            lengths.extend([meta, (meta + end) / 2, end - 1]);
        }
    }
    lengths.sort_unstable();
    lengths.dedup();
    lengths.retain(|len| *len < base.bytes.len());
    List::of(lengths, |len| Attempt {
        label: format!("cut to {len} bytes {}", place(base, *len)),
        bytes: base.bytes[..*len].to_vec(),
        never: true,
    })
}

fn place(base: &Base, at: usize) -> String {
    let span = base.spans.iter().find(|s| s.all.contains(&at));
    span.map_or(String::new(), |s| {
        format!("({} + {})", format::type_name(s.kind), at - s.all.start)
    })
}

fn flip(base: &Base, at: usize, sealed: bool) -> Attempt {
    let mut bytes = base.bytes.clone();
    // Another bit at each byte, so that all bits have their turn.
    let bit = (at * 5 + at / 8) % 8;
    bytes[at] ^= 1 << bit;
    if sealed {
        image::seal(&mut bytes);
    }
    Attempt {
        label: format!("bit {bit} of byte {at} {}", place(base, at)),
        bytes,
        never: !sealed,
    }
}

fn bytes_of(base: &Base, wanted: impl Fn(&Span) -> Range<usize>) -> Vec<usize> {
    base.spans.iter().flat_map(wanted).collect()
}

/// Each byte of the metadata in turn; the checksum tells.
pub fn flips(base: &Base) -> List<'_> {
    let all = bytes_of(base, |span| span.meta.clone());
    List::of(all, |at| flip(base, *at, false))
}

/// Some bytes of each page; the checksum tells.
pub fn page_flips(base: &Base, seed: u64) -> List<'_> {
    let pages = bytes_of(base, |span| span.meta.end..span.all.end);
    List::of(pages, |at| flip(base, *at, false)).thinned(1021, seed)
}

/// Each byte of the metadata in turn, with a checksum that agrees: what a field does
/// not allow must be found by looking at it.
pub fn sealed_flips(base: &Base) -> List<'_> {
    let all = bytes_of(base, |span| match span.kind {
        // The trailer is made right, and of the zeros a few will do.
        format::TAIL => 0..0,
        kind if !base.changes(kind) => 0..0,
        format::PAD => span.meta.start..span.meta.end.min(span.meta.start + 16),
        _ => span.meta.clone(),
    });
    List::of(all, |at| flip(base, *at, true))
}
