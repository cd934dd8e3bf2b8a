// SPDX-License-Identifier: GPL-2.0

//! Sinks and sources for anything that reads or writes bytes.

use std::io;
use std::io::Read;
use std::io::Write;

use crate::format::head::ErrorRec;
use crate::stream::Sink;
use crate::stream::Source;

fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(crc, bytes)
}

/// Writes an image to a [`Write`].
#[derive(Debug)]
pub struct IoSink<W>(pub W);

impl<W: Write> Sink for IoSink<W> {
    type Error = io::Error;

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        crc32c(crc, bytes)
    }
}

/// Reads an image from a [`Read`], and not a byte more than the image.
#[derive(Debug)]
pub struct IoSource<R>(pub R);

impl<R: Read> Source for IoSource<R> {
    type Error = io::Error;
    type Failed = ErrorRec;

    fn take(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.0.read_exact(buf)
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        crc32c(crc, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_castagnoli_and_continues() {
        assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(crc32c(0, b"12345"), b"6789"), 0xe306_9283);
    }
}
