// SPDX-License-Identifier: GPL-2.0

//! What a person sees while something long runs.
//!
//! On a terminal: a bar with the time and the last step. Elsewhere (CI, a pipe):
//! a plain line now and then, so that a log shows that work goes on.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a plain log gets a line.
const PLAIN_PERIOD: Duration = Duration::from_secs(30);

/// One line on standard output, also when that is a pipe whose reader is slow.
pub fn say(text: impl AsRef<str>) {
    // Lines of the driver's own tests would look like results.
    if cfg!(test) {
        return;
    }
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", text.as_ref());
    let _ = out.flush();
}

/// Progress of one long step.
pub struct Progress {
    bar: Option<ProgressBar>,
    what: String,
    total: u64,
    done: u64,
    started: Instant,
    last_line: Instant,
    last_step: String,
}

impl Progress {
    /// Starts a step; `total` 0 means that the amount is not known.
    pub fn start(what: &str, total: u64) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = if total > 0 {
                let style = "{prefix} [{elapsed_precise}] {bar:30} {pos}/{len} {wide_msg}";
                ProgressBar::new(total).with_style(bar_style(style))
            } else {
                ProgressBar::new_spinner().with_style(bar_style(
                    "{prefix} [{elapsed_precise}] {spinner} {wide_msg}",
                ))
            };
            bar.set_prefix(what.to_string());
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        if bar.is_none() {
            say(format!("{what} ..."));
        }
        let now = Instant::now();
        Progress {
            bar,
            what: what.to_string(),
            total,
            done: 0,
            started: now,
            last_line: now,
            last_step: String::new(),
        }
    }

    /// One unit more is done; `step` tells which.
    pub fn step(&mut self, step: &str) {
        self.done += 1;
        if let Some(bar) = &self.bar {
            if self.done > self.total && self.total > 0 {
                bar.set_length(self.done);
            }
            bar.set_position(self.done);
        }
        self.note(step);
    }

    /// Shows what goes on, without counting it; an empty step tells only that it goes on.
    pub fn note(&mut self, step: &str) {
        if !step.is_empty() {
            self.last_step.replace_range(.., step);
        }
        if let Some(bar) = &self.bar {
            bar.set_message(self.last_step.clone());
        } else if self.last_line.elapsed() >= PLAIN_PERIOD {
            self.last_line = Instant::now();
            let done = match (self.done, self.total) {
                (0, _) => String::new(),
                (done, 0) => format!("{done} steps, "),
                (done, total) => format!("{done} of about {total} steps, "),
            };
            let time = span(self.started.elapsed());
            say(format!("  {}: {done}{time}; {}", self.what, self.last_step));
        }
    }

    /// How many units were counted.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// Ends the step with one line that stays.
    pub fn finish(self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        say(format!(
            "{}: {outcome} ({})",
            self.what,
            span(self.started.elapsed())
        ));
    }

    /// Ends the step without a line; the error that follows says what happened.
    pub fn abandon(self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn bar_style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// A duration as a person says it.
pub fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{}.{} s", seconds, time.subsec_millis() / 100)
    } else {
        format!("{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_readable() {
        assert_eq!(span(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(span(Duration::from_secs(61)), "1 min 01 s");
    }
}
