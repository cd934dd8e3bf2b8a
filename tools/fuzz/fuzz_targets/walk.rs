// SPDX-License-Identifier: GPL-2.0
#![no_main]

//! A whole image from arbitrary bytes: read to its end or refused.
//!
//! The checksum is zero here, so that the fuzzer gets past the trailer. What
//! is accepted must add up, and must stay refused when it is cut.

use ckptfmt::format::head::ErrorRec;
use ckptfmt::stream::Source;
use ckptfmt::walk::walk_source;
use ckptfmt::walk::Event;
use libfuzzer_sys::fuzz_target;

/// Bytes without checksums.
struct Bytes<'a>(&'a [u8]);

impl Source for Bytes<'_> {
    type Error = ();
    type Failed = ErrorRec;

    fn take(&mut self, buf: &mut [u8]) -> Result<(), ()> {
        let (head, rest) = self.0.split_at_checked(buf.len()).ok_or(())?;
        buf.copy_from_slice(head);
        self.0 = rest;
        Ok(())
    }

    fn crc32c(_: u32, _: &[u8]) -> u32 {
        0
    }
}

fuzz_target!(|bytes: &[u8]| {
    let (mut pages, mut contents, mut mappings) = (0, 0, 0);
    let result = walk_source(Bytes(bytes), &mut |event| match event {
        Event::Pages(addrs) => pages += addrs.len(),
        Event::Data(data) => contents += data.len(),
        Event::Vma(vma, _) => {
            assert!(vma.start < vma.end);
            mappings += 1;
        }
        Event::VmaEnd(_) => mappings -= 1,
        _ => {}
    });
    if let Ok(totals) = result {
        assert!(totals.bytes as usize <= bytes.len());
        assert_eq!(totals.pages as usize, pages);
        assert_eq!(contents, pages * 4096);
        assert_eq!(mappings, 0);
        let cut = &bytes[..totals.bytes as usize - 1];
        assert!(walk_source(Bytes(cut), &mut |_| {}).is_err());
    }
});
