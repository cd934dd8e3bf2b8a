// SPDX-License-Identifier: GPL-2.0

//! Where images that are built go.

use std::convert::Infallible;

use crate::stream::Sink;

/// A sink that keeps an image in memory.
#[derive(Debug, Default)]
pub struct Memory(pub Vec<u8>);

impl Sink for Memory {
    type Error = Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        crc32c::crc32c_append(crc, bytes)
    }
}

/// Lends a sink to a writer.
pub(super) struct SinkRef<'a, S>(pub(super) &'a mut S);

impl<S: Sink> Sink for SinkRef<'_, S> {
    type Error = S::Error;

    fn put(&mut self, bytes: &[u8]) -> Result<(), S::Error> {
        self.0.put(bytes)
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        S::crc32c(crc, bytes)
    }
}
