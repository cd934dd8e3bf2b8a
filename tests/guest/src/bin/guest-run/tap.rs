// SPDX-License-Identifier: GPL-2.0

//! TAP output: one line per result, diagnostics behind it.

use std::io::Write;

/// Numbers the results and counts them.
#[derive(Default)]
pub struct Tap {
    count: usize,
    failed: usize,
}

impl Tap {
    fn line(&self, text: &str) {
        // A reader that has gone away is no reason to stop testing.
        let mut out = std::io::stdout().lock();
        let _ = writeln!(out, "{text}");
        let _ = out.flush();
    }

    fn result(&mut self, good: &str, name: &str, detail: &str) {
        self.count += 1;
        let detail = detail.replace('\n', " | ");
        let mark = if detail.is_empty() { "" } else { " # " };
        self.line(&format!("{good} {} - {name}{mark}{detail}", self.count));
    }

    /// A test that passed.
    pub fn pass(&mut self, name: &str, detail: &str) {
        self.result("ok", name, detail);
    }

    /// A test that did not run.
    pub fn skip(&mut self, name: &str, reason: &str) {
        self.result("ok", name, &format!("SKIP {reason}"));
    }

    /// A test that failed, with all that is known about it.
    pub fn fail(&mut self, name: &str, detail: &str, diagnostics: &[String]) {
        self.failed += 1;
        self.result("not ok", name, detail);
        for text in diagnostics {
            for line in text.lines() {
                self.line(&format!("# {line}"));
            }
        }
    }

    /// Ends the output; true if nothing failed.
    pub fn finish(&self) -> bool {
        self.line(&format!("1..{}", self.count));
        self.line("guest-run: done");
        self.failed == 0
    }
}
