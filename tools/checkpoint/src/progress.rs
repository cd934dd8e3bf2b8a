// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! A line that shows how much is written, for those who wait at a terminal.

use std::io;
use std::io::IsTerminal;
use std::time::Duration;
use std::time::Instant;

use indicatif::ProgressBar;
use indicatif::ProgressStyle;

/// Most images are complete before anybody looks.
const BEFORE: Duration = Duration::from_millis(500);
/// Time between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// The line, once it is there.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    since: Instant,
}

impl Progress {
    /// A line for work that begins now; none when standard error is no terminal.
    pub fn new(pid: i32) -> Option<Self> {
        let style = "checkpoint: process {prefix}: {spinner} {binary_bytes} written, \
                     {binary_bytes_per_sec}, {elapsed}";
        io::stderr().is_terminal().then(|| Self {
            bar: ProgressBar::new_spinner()
                .with_prefix(pid.to_string())
                .with_style(
                    ProgressStyle::with_template(style)
                        .unwrap_or_else(|_| ProgressStyle::default_spinner()),
                ),
            since: Instant::now(),
        })
    }

    /// How often to show.
    pub const fn every() -> Duration {
        EVERY
    }

    /// Shows that this many bytes are written.
    pub fn show(&self, bytes: u64) {
        if self.since.elapsed() >= BEFORE {
            self.bar.set_position(bytes);
            self.bar.tick();
        }
    }
}

/// The line goes away.
impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
