// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! A line that shows how much is done, for those who wait at a terminal.

use std::io;
use std::io::IsTerminal;
use std::time::Duration;
use std::time::Instant;

use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;

use crate::plain;

/// Most images are complete before anybody looks.
const BEFORE: Duration = Duration::from_millis(500);
/// Time between two looks.
const EVERY: Duration = Duration::from_millis(100);

/// The line, once it is there. It has no thread and no descriptor of its own.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    since: Instant,
}

impl Progress {
    /// Is there a terminal to show it on?
    pub fn is_wanted() -> bool {
        io::stderr().is_terminal()
    }

    /// A line for work that begins now, at `what`: so many bytes, of `total` if that is
    /// known, are `done`, as in "written". None when standard error is no terminal.
    pub fn new(what: &str, done: &'static str, total: Option<u64>) -> Option<Self> {
        if !Self::is_wanted() {
            return None;
        }
        let bytes = match total {
            Some(_) => "{binary_bytes} of {binary_total_bytes}",
            None => "{binary_bytes}",
        };
        let style = format!(
            "{{prefix}}: {{spinner}} {bytes} {done}, {{binary_bytes_per_sec}}, {{elapsed}}"
        );
        let style = ProgressStyle::with_template(&style);
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr())
            // A name must not drive the terminal.
            .with_prefix(plain(what))
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
        let since = Instant::now();
        Some(Self { bar, since })
    }

    /// How often to show.
    pub const fn every() -> Duration {
        EVERY
    }

    /// Shows that this many bytes are done.
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
