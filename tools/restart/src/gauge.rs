// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! How far the kernel is with the image, for those who wait at a terminal.
//!
//! While a child calls restart(2), its parent looks: at the position of the open file
//! that both have, or at what the feeder has counted. A pipe that the kernel reads by
//! itself tells nothing.

use std::fs::File;
use std::io::Seek;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::sync::Arc;

use ckpttool::Progress;

use crate::feed::Feed;

/// Where to look.
#[derive(Debug)]
enum Way {
    /// At the position of this file, which began here.
    Position(File, u64),
    /// At this counter.
    Counter(Arc<AtomicU64>),
}

/// Tells how much of an image is read.
#[derive(Debug)]
pub struct Gauge {
    way: Way,
    /// Bytes that can be read, of a file.
    total: Option<u64>,
}

/// Where a regular file is, and how much of it is left.
fn span(mut file: &File) -> Option<(u64, u64)> {
    let about = file.metadata().ok().filter(|about| about.is_file())?;
    let at = file.stream_position().ok()?;
    Some((at, about.len().saturating_sub(at)))
}

impl Gauge {
    /// For what the kernel is going to read; none if nobody can tell.
    ///
    /// A child has the descriptor of this until it closes what is ours.
    pub fn new(image: &OwnedFd, feed: Option<&Feed>) -> Option<Self> {
        if let Some(feed) = feed {
            return Some(Self {
                way: Way::Counter(feed.fed()),
                total: span(feed.rest()).map(|(_, left)| left),
            });
        }
        let file = File::from(image.try_clone().ok()?);
        let (at, left) = span(&file)?;
        Some(Self {
            way: Way::Position(file, at),
            total: Some(left),
        })
    }

    /// How many bytes are read.
    fn read(&self) -> u64 {
        match &self.way {
            Way::Position(file, begin) => {
                // Asking for the position does not move it.
                let mut file = file;
                file.stream_position().unwrap_or(0).saturating_sub(*begin)
            }
            Way::Counter(bytes) => bytes.load(Ordering::Relaxed),
        }
    }
}

/// The line that shows it.
#[derive(Debug)]
pub struct Shown {
    progress: Progress,
    gauge: Gauge,
}

impl Shown {
    /// A line for the image of this name; none without a terminal.
    pub fn new(name: &str, gauge: Gauge) -> Option<Self> {
        let progress = Progress::new(&format!("restart: {name}"), "read", gauge.total)?;
        Some(Self { progress, gauge })
    }

    /// Looks, and shows what there is.
    pub fn look(&self) {
        self.progress.show(self.gauge.read());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::io::SeekFrom;
    use std::io::Write;

    #[test]
    fn a_file_is_told_from_where_it_began() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 100]).unwrap();
        file.seek(SeekFrom::Start(6)).unwrap();
        let image = file.try_clone().unwrap().into();
        let gauge = Gauge::new(&image, None).unwrap();
        assert_eq!((gauge.read(), gauge.total), (0, Some(94)));
        file.read_exact(&mut [0; 50]).unwrap();
        assert_eq!(gauge.read(), 50);
        // As nobody would; but it can be done.
        file.rewind().unwrap();
        assert_eq!(gauge.read(), 0);
    }

    #[test]
    fn a_pipe_is_told_by_who_feeds_it() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        writer.write_all(&[7; 100]).unwrap();
        drop(writer);
        let image = OwnedFd::from(reader);
        assert!(Gauge::new(&image, None).is_none());
        let (_reader, feed) = Feed::new(vec![7; 9], image.into(), None).unwrap();
        let gauge = Gauge::new(&File::open("/").unwrap().into(), Some(&feed)).unwrap();
        assert_eq!((gauge.read(), gauge.total), (0, None));
        feed.start().join().unwrap().unwrap();
        assert_eq!(gauge.read(), 109);
    }
}
