// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Unit tests of the image format and the stream, on UML and at boot.

use kernel::prelude::*;

#[kunit_tests(checkpoint_codec)]
#[allow(clippy::arithmetic_side_effects, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use crate::format;
    use crate::format::files::FdEnt;
    use crate::format::files::Files;
    use crate::format::head::ErrorRec;
    use crate::format::mm::Mm;
    use crate::format::Hdr;
    use crate::format::Record;
    use crate::stream::reader::Fault;
    use crate::stream::reader::Reader;
    use crate::stream::writer::Writer;
    use crate::stream::Sink;
    use crate::stream::Source;

    /// A checksum that is good enough for a test.
    fn sum(crc: u32, bytes: &[u8]) -> u32 {
        bytes.iter().fold(crc, |crc, b| {
            crc.rotate_left(5)
                .wrapping_add(u32::from(*b))
                .wrapping_add(1)
        })
    }

    struct Mem(KVec<u8>);

    impl Sink for Mem {
        type Error = Error;
        fn put(&mut self, bytes: &[u8]) -> Result {
            Ok(self.0.extend_from_slice(bytes, GFP_KERNEL)?)
        }
        fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
            sum(crc, bytes)
        }
    }

    struct Bytes<'a>(&'a [u8]);

    impl Source for Bytes<'_> {
        type Error = Error;
        type Failed = ErrorRec;
        fn take(&mut self, buf: &mut [u8]) -> Result {
            let (now, later) = self.0.split_at_checked(buf.len()).ok_or(EIO)?;
            buf.copy_from_slice(now);
            self.0 = later;
            Ok(())
        }
        fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
            sum(crc, bytes)
        }
    }

    fn entry(fd: u32) -> FdEnt {
        FdEnt {
            fd,
            file: 9,
            flags: 0,
            nr_locks: 0,
        }
    }

    fn image() -> Result<KVec<u8>> {
        let mut writer = Writer::new(Mem(KVec::new()));
        let files = Files {
            objref: 3,
            nr_fds: 2,
            reserved: 0,
        };
        writer.record(1, &files)?;
        writer.record(3, &entry(0))?;
        writer.record(3, &entry(2))?;
        writer.bytes(format::STR, 3, b"seven b")?;
        writer.pages(3, &[0x1000, 0x2000])?;
        let page: KVec<u8> = KVec::from_elem(0xa5, 4096, GFP_KERNEL)?;
        for _ in 0..2 {
            writer.sink().put(&page)?;
            writer.wrote_pages(&page);
        }
        writer.pages(3, &[])?;
        writer.tail()?;
        Ok(core::mem::replace(&mut writer.sink().0, KVec::new()))
    }

    fn read(bytes: &[u8]) -> Result<(), Fault<Error>> {
        let mut reader = Reader::new(Bytes(bytes));
        let files: Files = reader.record(1)?;
        for _ in 0..files.nr_fds {
            let _: FdEnt = reader.record(3)?;
        }
        let mut text = [0; 16];
        reader.string(3, &mut text)?;
        let nr = reader.pages(3)?;
        let mut addrs = [0; 2];
        reader.addrs(addrs.get_mut(..nr).unwrap_or_default())?;
        let page = KVec::from_elem(0, 4096, GFP_KERNEL);
        let mut page: KVec<u8> = page.map_err(|_| Fault::Source(ENOMEM))?;
        for _ in 0..nr {
            reader.source().take(&mut page).map_err(Fault::Source)?;
            reader.read_pages(&page);
        }
        reader.pages(3)?;
        reader.tail()
    }

    #[test]
    fn what_is_written_is_read() -> Result {
        assert!(read(&image()?).is_ok());
        Ok(())
    }

    #[test]
    fn page_data_is_aligned() -> Result {
        let image = image()?;
        let at = image.iter().position(|b| *b == 0xa5);
        assert_eq!(at.map(|at| at % 4096), Some(0));
        Ok(())
    }

    #[test]
    fn every_truncation_is_found() -> Result {
        let image = image()?;
        for len in (0..image.len()).filter(|len| len % 8 == 0 || *len < 64) {
            assert!(read(image.get(..len).unwrap_or_default()).is_err());
        }
        Ok(())
    }

    #[test]
    fn every_flip_is_found() -> Result {
        let mut image = image()?;
        let len = image.len();
        for at in (0..len).filter(|at| *at < 400 || at + 120 > len || at % 61 == 0) {
            for bit in [1, 0x80] {
                let flip = |image: &mut KVec<u8>| {
                    if let Some(byte) = image.get_mut(at) {
                        *byte ^= bit;
                    }
                };
                flip(&mut image);
                assert!(read(&image).is_err());
                flip(&mut image);
            }
        }
        Ok(())
    }

    #[test]
    fn negative_lengths_are_refused() {
        let hdr = Hdr {
            kind: format::STR,
            len: -1,
            parent: 0,
        };
        assert!(hdr.payload().is_err());
    }

    #[test]
    fn kernel_addresses_are_refused() {
        let mut mm = Mm::zeroed();
        mm.objref = 1;
        mm.task_size = format::cpu::TASK_SIZE_MAX;
        assert!(mm.validate().is_ok());
        mm.brk = 0xffff_8880_0000_0000;
        assert!(mm.validate().is_err());
    }

    #[test]
    fn checksum_continues() {
        assert_eq!(sum(sum(0, b"ab"), b"c"), sum(0, b"abc"));
    }
}
