// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The stream of records: framing, padding, counts and checksums.
//!
//! Neither side ever seeks, so that a file, a pipe and a socket serve alike.
//! Nothing in here knows the kernel: a sink and a source are traits, and the
//! tools run this same code on files and memory.
//!
//! Two checksums are kept, both crc32c (Castagnoli): one of all metadata, one
//! of all page data. The trailer carries them.

pub mod reader;
pub mod writer;

use super::format::head::ErrorRec;

/// Where an image is written to.
pub trait Sink {
    /// What can go wrong.
    type Error;

    /// Appends all of `bytes`, or fails.
    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;

    /// Continues the checksum `crc` (0 at the start) over `bytes`.
    fn crc32c(crc: u32, bytes: &[u8]) -> u32;
}

/// Where an image is read from.
pub trait Source {
    /// What can go wrong; an early end is an error.
    type Error;

    /// What is kept of the error record of a checkpoint that failed.
    type Failed: From<ErrorRec>;

    /// Fills all of `buf`, or fails. Never takes more from the stream.
    fn take(&mut self, buf: &mut [u8]) -> Result<(), Self::Error>;

    /// Continues the checksum `crc` (0 at the start) over `bytes`.
    fn crc32c(crc: u32, bytes: &[u8]) -> u32;
}
