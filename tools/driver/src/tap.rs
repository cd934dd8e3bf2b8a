// SPDX-License-Identifier: GPL-2.0

//! Test results: TAP from the guest programs, KTAP from the kernel, cargo's own lines.

use std::collections::BTreeMap;

/// How one test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should.
    Pass,
    /// Otherwise.
    Fail,
    /// It did not run.
    Skip,
}

/// One test.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// Its name, with its suite in front where there is one.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// What it said about it.
    pub detail: String,
}

impl Case {
    /// A case of the driver's own.
    pub fn new(name: &str, verdict: Verdict, detail: &str) -> Self {
        Case {
            name: name.to_string(),
            verdict,
            detail: detail.to_string(),
        }
    }
}

/// Parses one result line: `ok 3 - name # detail`, indented or not.
/// Returns the depth in steps of four blanks, too.
pub fn result(line: &str) -> Option<(usize, Case)> {
    let text = line.trim_start_matches(' ');
    let depth = (line.len() - text.len()) / 4;
    let (good, rest) = match text.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ok ")?),
    };
    let (number, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    number.parse::<u32>().ok()?;
    let rest = rest.strip_prefix("- ").unwrap_or(rest);
    let (name, detail) = rest
        .split_once(" # ")
        .or_else(|| rest.split_once(" #"))
        .unwrap_or((rest, ""));
    let skipped = good && detail.trim_start().to_ascii_uppercase().starts_with("SKIP");
    let verdict = match (good, skipped) {
        (_, true) => Verdict::Skip,
        (true, _) => Verdict::Pass,
        (false, _) => Verdict::Fail,
    };
    Some((depth, Case::new(name.trim(), verdict, detail.trim())))
}

/// The plan `1..N`.
pub fn plan(line: &str) -> Option<usize> {
    line.trim()
        .strip_prefix("1..")?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

/// Collects the innermost results of KTAP, named `suite.case`.
///
/// A result line closes what is deeper than itself; it is a case of its own when
/// nothing was inside, or when it failed although all inside passed.
#[derive(Default)]
pub struct Ktap {
    /// The cases so far.
    pub cases: Vec<Case>,
    /// Per depth, the cases collected there since a shallower result.
    open: BTreeMap<usize, Vec<Case>>,
    /// Whether a header was seen; before it, nothing counts.
    begun: bool,
    planned: Option<usize>,
    suites: usize,
}

impl Ktap {
    /// Takes one line, without the kernel's time stamp.
    pub fn line(&mut self, line: &str) {
        if line.starts_with("KTAP version") {
            self.begun = true;
        }
        if !self.begun {
            return;
        }
        if self.planned.is_none() && line.starts_with("1..") {
            self.planned = plan(line);
        }
        let Some((depth, case)) = result(line) else {
            return;
        };
        let deeper: Vec<usize> = self.open.range(depth + 1..).map(|(d, _)| *d).collect();
        let mut inside: Vec<Case> = deeper
            .into_iter()
            .filter_map(|d| self.open.remove(&d))
            .flatten()
            .collect();
        let own = inside.is_empty()
            || (case.verdict == Verdict::Fail && inside.iter().all(|c| c.verdict != Verdict::Fail));
        for inner in &mut inside {
            inner.name = format!("{}.{}", case.name, inner.name);
        }
        if own {
            inside.push(case);
        }
        if depth == 0 {
            self.suites += 1;
            self.cases.append(&mut inside);
        } else {
            self.open.entry(depth).or_default().append(&mut inside);
        }
    }

    /// What is missing at the end, if anything.
    pub fn incomplete(&self) -> Option<String> {
        let hanging: usize = self.open.values().map(Vec::len).sum();
        match self.planned {
            Some(planned) if self.suites < planned => {
                Some(format!("{} of {planned} suites reported", self.suites))
            }
            _ if hanging > 0 => Some("a suite began and did not end".to_string()),
            _ => None,
        }
    }
}

/// Parses one line of cargo's test output: `test path::name ... ok`.
pub fn cargo_line(line: &str) -> Option<Case> {
    let (name, end) = line.strip_prefix("test ")?.rsplit_once(" ... ")?;
    let verdict = match end.split([',', ' ']).next()? {
        "ok" => Verdict::Pass,
        "FAILED" => Verdict::Fail,
        "ignored" => Verdict::Skip,
        _ => return None,
    };
    Some(Case::new(name, verdict, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(ktap: &Ktap) -> Vec<(String, Verdict)> {
        ktap.cases
            .iter()
            .map(|c| (c.name.clone(), c.verdict))
            .collect()
    }

    #[test]
    fn result_lines() {
        assert_eq!(
            result("ok 1 - a b # 12 ms"),
            Some((0, Case::new("a b", Verdict::Pass, "12 ms")))
        );
        assert_eq!(
            result("not ok 2 - x"),
            Some((0, Case::new("x", Verdict::Fail, "")))
        );
        assert_eq!(
            result("    ok 3 y # SKIP no AVX"),
            Some((1, Case::new("y", Verdict::Skip, "SKIP no AVX")))
        );
        assert_eq!(result("okay"), None);
        assert_eq!(plan("1..12"), Some(12));
    }

    #[test]
    fn ktap_counts_the_innermost() {
        let mut ktap = Ktap::default();
        for line in [
            "ok 9 noise before the header",
            "KTAP version 1",
            "1..2",
            "    KTAP version 1",
            "    # Subtest: codec",
            "    1..2",
            "    ok 1 first",
            "        KTAP version 1",
            "        ok 1 p0",
            "        not ok 2 p1",
            "    not ok 2 second",
            "not ok 1 codec",
            "ok 2 empty # SKIP",
        ] {
            ktap.line(line);
        }
        assert_eq!(
            names(&ktap),
            [
                ("codec.first".to_string(), Verdict::Pass),
                ("codec.second.p0".to_string(), Verdict::Pass),
                ("codec.second.p1".to_string(), Verdict::Fail),
                ("empty".to_string(), Verdict::Skip),
            ]
        );
        assert_eq!(ktap.incomplete(), None);
    }

    #[test]
    fn a_suite_that_fails_by_itself_counts() {
        let mut ktap = Ktap::default();
        for line in ["KTAP version 1", "1..2", "    ok 1 a", "not ok 1 s"] {
            ktap.line(line);
        }
        assert_eq!(
            names(&ktap),
            [
                ("s.a".to_string(), Verdict::Pass),
                ("s".to_string(), Verdict::Fail)
            ]
        );
        assert_eq!(ktap.incomplete().as_deref(), Some("1 of 2 suites reported"));
    }

    #[test]
    fn cargo_lines() {
        assert_eq!(
            cargo_line("test a::b ... ok").unwrap().verdict,
            Verdict::Pass
        );
        assert_eq!(
            cargo_line("test a::b - should panic ... FAILED")
                .unwrap()
                .verdict,
            Verdict::Fail
        );
        assert_eq!(
            cargo_line("test c ... ignored, slow").unwrap().verdict,
            Verdict::Skip
        );
        assert_eq!(cargo_line("test result: ok. 3 passed"), None);
    }
}
