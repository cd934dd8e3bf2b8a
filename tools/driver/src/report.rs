// SPDX-License-Identifier: GPL-2.0

//! The list of all results, and the closing line that counts them.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use crate::tap::{Case, Verdict};
use crate::ui::say;

/// All results of one run.
#[derive(Default)]
pub struct Report {
    cases: Vec<(String, Case)>,
}

impl Report {
    /// Adds and prints one result.
    pub fn add(&mut self, section: &str, case: Case) {
        let word = match case.verdict {
            Verdict::Pass => "ok  ",
            Verdict::Fail => "FAIL",
            Verdict::Skip => "skip",
        };
        let detail = if case.detail.is_empty() {
            String::new()
        } else {
            format!("  # {}", case.detail)
        };
        say(format!("  {word}  {section}: {}{detail}", case.name));
        self.cases.push((section.to_string(), case));
    }

    /// Adds a failure of the run itself.
    pub fn fail(&mut self, section: &str, name: &str, detail: &str) {
        self.add(section, Case::new(name, Verdict::Fail, detail));
    }

    /// How many results have this verdict.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.cases
            .iter()
            .filter(|(_, c)| c.verdict == verdict)
            .count()
    }

    /// Prints the failures again and the closing line; writes everything as JSON.
    /// True if there was at least one test and none failed.
    pub fn close(&self, json_file: &Path) -> Result<bool> {
        let (passed, failed, skipped) = (
            self.count(Verdict::Pass),
            self.count(Verdict::Fail),
            self.count(Verdict::Skip),
        );
        if failed > 0 {
            say("\nfailed:");
            for (section, case) in self
                .cases
                .iter()
                .filter(|(_, c)| c.verdict == Verdict::Fail)
            {
                say(format!("  {section}: {}  {}", case.name, case.detail));
            }
        }
        let cases: Vec<_> = self
            .cases
            .iter()
            .map(|(section, case)| {
                json!({
                    "section": section,
                    "name": case.name,
                    "verdict": format!("{:?}", case.verdict).to_lowercase(),
                    "detail": case.detail,
                })
            })
            .collect();
        let all = json!({ "passed": passed, "failed": failed, "skipped": skipped, "cases": cases });
        std::fs::write(json_file, serde_json::to_string_pretty(&all)?)?;
        say(format!("\nall results: {}", json_file.display()));
        say(self.closing_line());
        Ok(failed == 0 && passed > 0)
    }

    fn closing_line(&self) -> String {
        format!(
            "{} passed, {} failed, {} skipped",
            self.count(Verdict::Pass),
            self.count(Verdict::Fail),
            self.count(Verdict::Skip)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closing_line_counts() {
        let mut report = Report::default();
        report.add("a", Case::new("x", Verdict::Pass, ""));
        report.add("a", Case::new("y", Verdict::Skip, "no AVX"));
        assert_eq!(report.closing_line(), "1 passed, 0 failed, 1 skipped");
        let dir = tempfile::tempdir().unwrap();
        assert!(report.close(&dir.path().join("r.json")).unwrap());
        report.fail("b", "z", "hung");
        assert!(!report.close(&dir.path().join("r.json")).unwrap());
    }
}
