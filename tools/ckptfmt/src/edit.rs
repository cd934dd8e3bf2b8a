// SPDX-License-Identifier: GPL-2.0

//! Copies an image record by record, and changes some of them on the way.
//!
//! The copy has padding, counts and checksums of its own; those of the original are
//! checked. One record and a portion of page data are held in memory.

use std::io;
use std::io::Read;
use std::io::Write;

use zerocopy::FromBytes;
use zerocopy::IntoBytes;

use crate::format;
use crate::format::head::Tail;
use crate::format::mm::Pgarr;
use crate::format::mm::PGARR_MAX;
use crate::format::Hdr;
use crate::io::IoSink;
use crate::stream::writer::Writer;

const PAGE: usize = 4096;
/// Page data is copied in portions of this many bytes.
const PORTION: usize = 64 * PAGE;

/// A record as it stands in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    /// What it is.
    pub kind: i16,
    /// The object that it belongs to.
    pub parent: u32,
    /// Its bytes, without padding.
    pub payload: Vec<u8>,
}

/// What is to be changed.
pub trait Edit {
    /// Takes the next record, and gives out what is to be written now.
    ///
    /// # Errors
    ///
    /// Ends the copy, with a reason for a person.
    fn record(&mut self, record: Raw, out: &mut Vec<Raw>) -> Result<(), String>;

    /// Pages, or the end of the image, follow: gives out what was held back.
    fn flush(&mut self, out: &mut Vec<Raw>);

    /// The image is complete but for its trailer.
    ///
    /// # Errors
    ///
    /// Ends the copy, which then is no image, with a reason for a person.
    fn end(&mut self) -> Result<(), String>;
}

/// Copies one image from `input` to `output`, and not a byte more.
///
/// # Errors
///
/// Those of reading and writing; what is no image, or is refused by `edit`, is an error of
/// the kind InvalidData.
pub fn copy<R: Read, W: Write>(input: R, output: W, edit: &mut dyn Edit) -> io::Result<()> {
    let mut copy = Copy {
        input,
        to: Writer::new(IoSink(output)),
        cksum: [0; 2],
        read: 0,
        records: 0,
        out: Vec::new(),
    };
    copy.run(edit)
}

fn bad(why: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.into())
}

struct Copy<R, W: Write> {
    input: R,
    to: Writer<IoSink<W>>,
    /// Of what was read.
    cksum: [u32; 2],
    read: u64,
    records: u64,
    out: Vec<Raw>,
}

impl<R: Read, W: Write> Copy<R, W> {
    fn run(&mut self, edit: &mut dyn Edit) -> io::Result<()> {
        loop {
            let before = (self.read, self.records, self.cksum);
            let record = self.next()?;
            match record.kind {
                // The copy gets its own.
                format::PAD => {}
                format::PGARR => {
                    edit.flush(&mut self.out);
                    self.write()?;
                    self.pages(&record)?;
                }
                format::TAIL => {
                    let tail = Tail::read_from_bytes(&record.payload);
                    let tail = tail.map_err(|_| bad("the trailer has a wrong length"))?;
                    if (tail.nr_bytes, tail.nr_records, tail.cksum) != before {
                        return Err(bad("the checksums of the image are wrong"));
                    }
                    edit.flush(&mut self.out);
                    self.write()?;
                    edit.end().map_err(bad)?;
                    self.to.tail()?;
                    return self.to.sink().0.flush();
                }
                format::ERROR => return Err(bad("the checkpoint that made this image failed")),
                _ => {
                    edit.record(record, &mut self.out).map_err(bad)?;
                    self.write()?;
                }
            }
        }
    }

    fn take(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.input.read_exact(buf)?;
        let [meta, _] = &mut self.cksum;
        *meta = crc32c::crc32c_append(*meta, buf);
        self.read = self.read.saturating_add(buf.len() as u64);
        Ok(())
    }

    fn next(&mut self) -> io::Result<Raw> {
        let mut hdr = Hdr::default();
        self.take(hdr.as_mut_bytes())?;
        let len = hdr.payload().map_err(|why| bad(why.0))?;
        let mut payload = vec![0; len];
        self.take(&mut payload)?;
        let mut padding = [0; format::ALIGN];
        if let Some(padding) = padding.get_mut(..format::padding(len)) {
            self.take(padding)?;
        }
        self.records = self.records.saturating_add(1);
        Ok(Raw {
            kind: hdr.kind,
            parent: hdr.parent,
            payload,
        })
    }

    fn write(&mut self) -> io::Result<()> {
        for record in self.out.drain(..) {
            self.to.bytes(record.kind, record.parent, &record.payload)?;
        }
        Ok(())
    }

    /// Copies a run of pages, or the end of the runs.
    fn pages(&mut self, record: &Raw) -> io::Result<()> {
        let run = Pgarr::read_from_bytes(&record.payload);
        let run = run.map_err(|_| bad("a run of pages has a wrong length"))?;
        if run.nr_pages > PGARR_MAX {
            return Err(bad("a run of pages is too long"));
        }
        let mut addrs = vec![0u64; run.nr_pages as usize];
        self.take(addrs.as_mut_bytes())?;
        self.to.pages(record.parent, &addrs)?;
        let mut left = addrs.len().saturating_mul(PAGE);
        let mut buf = vec![0; PORTION.min(left)];
        while left > 0 {
            let now = left.min(PORTION);
            left = left.saturating_sub(now);
            let buf = buf.get_mut(..now).unwrap_or_default();
            self.input.read_exact(buf)?;
            let [_, pages] = &mut self.cksum;
            *pages = crc32c::crc32c_append(*pages, buf);
            self.read = self.read.saturating_add(now as u64);
            self.to.sink().0.write_all(buf)?;
            self.to.wrote_pages(buf);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::Image;
    use crate::walk::walk;

    /// Changes nothing, but holds one record back.
    #[derive(Default)]
    struct Late(Option<Raw>);

    impl Edit for Late {
        fn record(&mut self, record: Raw, out: &mut Vec<Raw>) -> Result<(), String> {
            out.extend(self.0.replace(record));
            Ok(())
        }

        fn flush(&mut self, out: &mut Vec<Raw>) {
            out.extend(self.0.take());
        }

        fn end(&mut self) -> Result<(), String> {
            Ok(())
        }
    }

    /// Drops the names of mappings.
    struct NoNames;

    impl Edit for NoNames {
        fn record(&mut self, mut record: Raw, out: &mut Vec<Raw>) -> Result<(), String> {
            match record.kind {
                format::VMA => {
                    let (vma, _) = format::mm::Vma::mut_from_prefix(&mut record.payload).unwrap();
                    vma.namelen = 0;
                    out.push(record);
                }
                format::STR if record.parent == 2 => {}
                _ => out.push(record),
            }
            Ok(())
        }

        fn flush(&mut self, _: &mut Vec<Raw>) {}

        fn end(&mut self) -> Result<(), String> {
            Ok(())
        }
    }

    #[test]
    fn without_a_change_the_copy_is_the_same() {
        for image in [Image::minimal(), Image::sample()] {
            let mut bytes = image.bytes();
            let whole = bytes.clone();
            bytes.extend_from_slice(b"behind");
            let (mut input, mut output) = (bytes.as_slice(), Vec::new());
            copy(&mut input, &mut output, &mut Late::default()).unwrap();
            assert!(output == whole);
            assert_eq!(input, b"behind");
        }
    }

    #[test]
    fn with_a_change_it_is_an_image_again() {
        let mut image = Image::sample();
        let mut output = Vec::new();
        copy(image.bytes().as_slice(), &mut output, &mut NoNames).unwrap();
        for mapping in &mut image.mappings {
            mapping.name.clear();
        }
        image.settle();
        assert!(output == image.bytes());
        walk(output.as_slice(), &mut |_| {}).unwrap();
    }

    #[test]
    fn what_is_no_image() {
        let bytes = Image::sample().bytes();
        let fails = |bytes: &[u8]| {
            let copied = copy(bytes, io::sink(), &mut Late::default());
            copied.unwrap_err().to_string()
        };
        for end in (0..bytes.len()).step_by(1009) {
            assert_eq!(fails(&bytes[..end]), "failed to fill whole buffer");
        }
        let mut flipped = bytes.clone();
        flipped[100] ^= 1;
        assert_eq!(fails(&flipped), "the checksums of the image are wrong");
        let last_page = bytes.len() - 4000;
        let mut flipped = bytes.clone();
        flipped[last_page] ^= 1;
        assert_eq!(fails(&flipped), "the checksums of the image are wrong");
        let mut long = bytes.clone();
        long[2..4].copy_from_slice(&(-1i16).to_le_bytes());
        assert!(fails(&long).contains("length"), "{}", fails(&long));
    }
}
