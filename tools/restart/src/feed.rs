// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! A thread that writes an image into a pipe: what was looked at, and the rest; as it
//! is, or with changes.

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::ErrorKind;
use std::io::PipeReader;
use std::io::Read;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::Arc;
use std::thread;
use std::thread::JoinHandle;

use ckptfmt::edit;
use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;

use crate::handover::Replace;

/// Bytes that the pipe holds, where so many are allowed.
const PIPE_BYTES: i32 = 1 << 20;

/// What is to be written, and the pipe.
#[derive(Debug)]
pub struct Feed {
    taken: Vec<u8>,
    rest: File,
    to: File,
    changes: Option<Replace>,
    fed: Arc<AtomicU64>,
}

/// Counts the bytes that are read.
struct Counted<R> {
    input: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buf)?;
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        Ok(len)
    }
}

impl Feed {
    /// Makes a pipe that is to get `taken` and then all of `rest`, or one image of that
    /// with changes.
    ///
    /// # Errors
    ///
    /// Those of pipe(2).
    pub fn new(
        taken: Vec<u8>,
        rest: File,
        changes: Option<Replace>,
    ) -> io::Result<(PipeReader, Self)> {
        let (reader, writer) = io::pipe()?;
        let _ = fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE_BYTES));
        // As a file, so that the kernel moves the data by itself.
        let to = OwnedFd::from(writer).into();
        let feed = Self {
            taken,
            rest,
            to,
            changes,
            fed: Arc::default(),
        };
        Ok((reader, feed))
    }

    /// What is read, but for what was looked at before.
    pub fn rest(&self) -> &File {
        &self.rest
    }

    /// How many bytes have been taken to the pipe: that many, but for what is still in it,
    /// the kernel has read.
    pub fn fed(&self) -> Arc<AtomicU64> {
        self.fed.clone()
    }

    /// Writes all as it is.
    fn copy(&mut self) -> io::Result<()> {
        self.to.write_all(&self.taken)?;
        self.fed
            .fetch_add(self.taken.len() as u64, Ordering::Relaxed);
        loop {
            // In pieces, so that somebody can count them.
            let mut piece = (&self.rest).take(PIPE_BYTES as u64);
            match io::copy(&mut piece, &mut self.to)? {
                0 => return Ok(()),
                bytes => self.fed.fetch_add(bytes, Ordering::Relaxed),
            };
        }
    }

    /// Begins to write. No process can be made any more.
    pub fn start(mut self) -> JoinHandle<io::Result<()>> {
        thread::spawn(move || {
            let written = match &mut self.changes {
                Some(changes) => {
                    let input = Counted {
                        input: self.taken.chain(&self.rest),
                        bytes: self.fed,
                    };
                    let output = BufWriter::with_capacity(PIPE_BYTES as usize, &self.to);
                    edit::copy(input, output, changes)
                }
                None => self.copy(),
            };
            match written {
                // The image was read, or will not be.
                Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
                done => done,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn rest(bytes: &[u8]) -> File {
        let (reader, mut writer) = io::pipe().unwrap();
        let bytes = bytes.to_vec();
        thread::spawn(move || writer.write_all(&bytes));
        OwnedFd::from(reader).into()
    }

    #[test]
    fn everything_comes_out_in_order() {
        let large = vec![7; 3 << 20];
        for (taken, follows) in [(&b"head"[..], &large[..]), (&large, b""), (b"", b"x")] {
            let (mut reader, feed) = Feed::new(taken.to_vec(), rest(follows), None).unwrap();
            let feeder = feed.start();
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).unwrap();
            feeder.join().unwrap().unwrap();
            assert!(bytes == [taken, follows].concat());
        }
    }

    #[test]
    fn a_reader_that_has_enough_is_no_error() {
        let (mut reader, feed) = Feed::new(b"head".to_vec(), rest(&[7; 3 << 20]), None).unwrap();
        let feeder = feed.start();
        reader.read_exact(&mut [0; 4]).unwrap();
        drop(reader);
        feeder.join().unwrap().unwrap();
    }

    #[test]
    fn changes_are_made_on_the_way() {
        let mut bytes = ckptfmt::build::Image::sample().bytes();
        let changes = || Some(Replace::new(vec!["0=7".parse().unwrap()]));
        let (head, tail) = bytes.split_at(1000);
        let (mut reader, feed) = Feed::new(head.to_vec(), rest(tail), changes()).unwrap();
        let feeder = feed.start();
        let mut changed = Vec::new();
        reader.read_to_end(&mut changed).unwrap();
        feeder.join().unwrap().unwrap();
        assert!(changed != bytes);
        ckptfmt::walk::walk(changed.as_slice(), &mut |_| {}).unwrap();
        bytes[500] ^= 1;
        let (mut reader, feed) = Feed::new(Vec::new(), rest(&bytes), changes()).unwrap();
        let feeder = feed.start();
        reader.read_to_end(&mut changed).unwrap();
        let e = feeder.join().unwrap().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        let (_reader, feed) = Feed::new(b"head".to_vec(), File::open("/").unwrap(), None).unwrap();
        let e = feed.start().join().unwrap().unwrap_err();
        assert_eq!(e.kind(), ErrorKind::IsADirectory);
    }
}
