// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! An image that shows how much of it is read, to those who wait at a terminal.

use std::fs::File;
use std::io;
use std::io::Read;
use std::io::Seek;
use std::time::Instant;

use ckpttool::Progress;

/// Reads an image.
pub struct Watched {
    input: File,
    progress: Option<Progress>,
    bytes: u64,
    shown: Instant,
}

impl Watched {
    /// Of a regular file the size is shown as well.
    pub fn new(name: &str, mut input: File) -> Self {
        let about = input.metadata().ok().filter(|about| about.is_file());
        let total = about.and_then(|about| {
            let at = input.stream_position().ok()?;
            Some(about.len().saturating_sub(at))
        });
        Self {
            progress: Progress::new(&format!("ckptinfo: {name}"), "checked", total),
            input,
            bytes: 0,
            shown: Instant::now(),
        }
    }
}

impl Read for Watched {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.input.read(buf)?;
        self.bytes = self.bytes.saturating_add(len as u64);
        if let Some(progress) = &self.progress {
            if self.shown.elapsed() >= Progress::every() {
                self.shown = Instant::now();
                progress.show(self.bytes);
            }
        }
        Ok(len)
    }
}
