// SPDX-License-Identifier: GPL-2.0

//! The list of every kind of state, the page that is made of it, and what the
//! sources and the tests say to it.

mod found;

use std::fmt::Write;
use std::path::PathBuf;

use super::page::table;
use super::top;
use crate::format::TYPES;

use found::literals;
use found::KUNIT;
use found::PROGRAMS;
use found::TESTS;

pub use found::look;
pub use found::Found;

/// The list, from the top of the repository.
pub const LIST: &str = "Documentation/checkpoint/state.list";
/// What the reasons of refusals say, in the sources: one of these.
const MARKS: [&str; 11] = [
    "not supported",
    "10 seconds",
    "changed during the checkpoint",
    "was being",
    "is held",
    "been removed",
    "too many",
    "path of a file is too long",
    "path of a directory is too long",
    "cannot be blocked",
    "cannot go to",
];
/// The page that is made of the list.
pub fn page_path() -> PathBuf {
    top().join("Documentation/checkpoint/state.rst")
}

/// What becomes of a kind of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the image, and is there again after a restart.
    Saved,
    /// It is in the image, and must be the same where the image is restarted.
    Compared,
    /// No checkpoint is made of a program that has it.
    Refused,
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its number in the list.
    pub line: usize,
    /// What becomes of it.
    pub fate: Fate,
    /// What it is.
    pub what: String,
    /// Records, or the reason of a refusal.
    pub by: String,
    /// Names of tests.
    pub tests: Vec<String>,
}

/// Reads the list.
///
/// # Errors
///
/// The first line that is not as the list's head says.
pub fn parse(text: &str) -> Result<Vec<Row>, String> {
    let lines = text.lines().zip(1..);
    lines
        .filter(|(line, _)| !line.is_empty() && !line.starts_with('#'))
        .map(|(text, line)| {
            row(text, line).ok_or_else(|| {
                format!("{LIST}:{line}: is not \"saved|compared|refused | what | by | tests\"")
            })
        })
        .collect()
}

fn row(text: &str, line: usize) -> Option<Row> {
    let cells: Vec<&str> = text.split('|').map(str::trim).collect();
    let [fate, what, by, tests] = *cells.as_slice() else {
        return None;
    };
    let fate = match fate {
        "saved" => Fate::Saved,
        "compared" => Fate::Compared,
        "refused" => Fate::Refused,
        _ => return None,
    };
    let tests = match tests {
        "-" if fate == Fate::Refused => Vec::new(),
        "-" | "" => return None,
        tests => tests.split_whitespace().map(str::to_string).collect(),
    };
    let row = Row {
        line,
        fate,
        what: what.into(),
        by: by.into(),
        tests,
    };
    (!what.is_empty() && !by.is_empty()).then_some(row)
}

/// The page, in reStructuredText.
pub fn page(rows: &[Row]) -> String {
    let mut out = String::from(
        ".. SPDX-License-Identifier: GPL-2.0\n\n\
         .. This page is generated from state.list: cargo run -p ckptfmt --bin ckpt-doc\n\n\
         ===================\nEvery kind of state\n===================\n\n\
         What becomes of each kind of state that a program has, and the test that shows\n\
         it. The tests are those of tests/README.md; behind a stroke is one case of one.\n\
         Behind ``kunit/`` is a suite of ``make kunit``.\n\
         ``cargo test`` fails when a record, a reason or a test is missing here, or when\n\
         the sources no longer have one that is here. A test of what the machine has not is\n\
         skipped, and says so: on the emulated one AVX-512, AMX, address masking, speculation\n\
         control and core scheduling.\n\n",
    );
    for (fate, title, about, by) in [
        (
            Fate::Saved,
            "Saved",
            "In the image, and there again after a restart.",
            "Records",
        ),
        (
            Fate::Compared,
            "Compared",
            "A restart is refused where these are not the same.",
            "Records",
        ),
        (
            Fate::Refused,
            "Refused",
            "A checkpoint fails for this reason. Without a test: the condition is met on\n\
             special machines only, or nobody has written one yet.",
            "Reason",
        ),
    ] {
        let rows: Vec<Vec<String>> = rows
            .iter()
            .filter(|row| row.fate == fate)
            .map(|row| {
                let tests = if row.tests.is_empty() {
                    "none".into()
                } else {
                    row.tests.join(", ")
                };
                vec![row.what.clone(), row.by.clone(), tests]
            })
            .collect();
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{title}\n{}\n\n{about}\n", "=".repeat(title.len()));
        table(&mut out, &["State", by, "Shown by"], rows);
    }
    // One newline at the end.
    format!("{}\n", out.trim_end())
}

/// What is wrong with the list, each with what to do about it.
pub fn check(rows: &[Row], found: &Found) -> Vec<String> {
    let mut wrong = Vec::new();
    let records: Vec<&str> = rows
        .iter()
        .filter(|row| row.fate != Fate::Refused)
        .flat_map(|row| row.by.split_whitespace())
        .collect();
    for (_, name, _, about) in TYPES {
        if !records.contains(name) {
            let about = about.trim();
            wrong.push(format!(
                "record {name} is not in the list; add a line to {LIST}:\n    \
                 saved | {about} | {name} | TEST"
            ));
        }
    }
    let refusals = || rows.iter().filter(|row| row.fate == Fate::Refused);
    let mut seen = Vec::new();
    // What a record says is wrong with an image has its own tests.
    let reasons = found.texts.iter().filter(|t| !t.0.contains("/format/"));
    let refuses = |text: &str| MARKS.iter().any(|mark| text.contains(mark));
    for (file, text) in reasons.filter(|t| refuses(&t.1)) {
        if !seen.contains(&text) && refusals().all(|row| row.by != *text) {
            wrong.push(format!(
                "{file} refuses what is not in the list; add a line to {LIST}:\n    \
                 refused | WHAT | {text} | refusals/CASE"
            ));
        }
        seen.push(text);
    }
    for test in &found.tests {
        let name = |t: &String| t.split('/').next() == Some(test);
        if !rows.iter().any(|row| row.tests.iter().any(name)) {
            wrong.push(format!(
                "test {test} is not in the list; add {test} to the tests of a line of {LIST}, \
                 or a line:\n    saved | WHAT | RECORDS | {test}"
            ));
        }
    }
    for (program, source) in &found.programs {
        for case in to_be_listed(program, source) {
            let test = format!("{program}/{case}");
            if !rows.iter().any(|row| row.tests.contains(&test)) {
                wrong.push(format!(
                    "case {test} is not in the list; add it to the tests of a line of {LIST}, \
                     or a line:\n    saved | WHAT | RECORDS | {test}\n    \
                     refused | WHAT | REASON | {test}"
                ));
            }
        }
    }
    for row in rows {
        let at = format!("{LIST}:{}", row.line);
        wrong.extend(gone(row, found).map(|what| format!("{at}: {what}")));
    }
    wrong
}

/// The cases of a program that show a refusal, by their names; of trees, all.
fn to_be_listed(program: &str, source: &str) -> Vec<String> {
    let begins: &[&str] = match program {
        "refusals" => &[
            "task-",
            "fd-",
            "map-",
            "lock-",
            "file-",
            "proc-",
            "unlinked-",
            "image-",
            "call-",
        ],
        "outside" => &["refused-"],
        "trees" => return found::cases(source),
        _ => &[],
    };
    let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let mut cases = literals(source);
    cases.retain(|text| {
        let named = begins.iter().any(|begin| text.starts_with(begin));
        named && text.chars().all(is_name)
    });
    cases.sort();
    cases.dedup();
    cases
}

/// What a line has that the sources do not have.
fn gone<'a>(row: &'a Row, found: &'a Found) -> impl Iterator<Item = String> + 'a {
    let by: Vec<String> = if row.fate == Fate::Refused {
        let known = found.texts.iter().any(|t| t.1 == row.by);
        let what = format!("no source says {:?}: remove or change the line", row.by);
        (!known).then_some(what).into_iter().collect()
    } else {
        row.by
            .split_whitespace()
            .filter(|name| !TYPES.iter().any(|t| t.1 == *name))
            .map(|name| format!("there is no record {name}: remove or change it"))
            .collect()
    };
    let tests = row.tests.iter().filter_map(|test| {
        let (name, case) = match test.split_once('/') {
            Some((name, case)) => (name, Some(case)),
            None => (test.as_str(), None),
        };
        if name == KUNIT {
            let known = found
                .suites
                .iter()
                .any(|suite| Some(suite.as_str()) == case);
            return (!known).then(|| format!("no source has the unit tests {test}"));
        }
        let Some((_, source)) = found.programs.iter().find(|p| p.0 == name) else {
            return Some(format!("there is no test {name}: see {TESTS}"));
        };
        let case = case.filter(|case| !source.contains(&format!("\"{case}\"")))?;
        Some(format!("{PROGRAMS}/{name} has no case {case:?}"))
    });
    by.into_iter().chain(tests)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        Found {
            texts: vec![
                ("res/a.rs".into(), "a is not supported".into()),
                ("res/a.rs".into(), "a lock waits".into()),
            ],
            suites: vec!["codec".into()],
            tests: vec!["heap".into(), "refusals".into()],
            programs: vec![
                ("heap".into(), String::new()),
                ("refusals".into(), "thing(\"fd-a\", a)".into()),
            ],
        }
    }

    /// A list that names every record, and `more`.
    fn list(more: &str) -> Vec<Row> {
        let all: Vec<&str> = TYPES.iter().map(|t| t.1).collect();
        let text = format!("# head\n\nsaved | all | {} | heap\n{more}", all.join(" "));
        parse(&text).unwrap()
    }

    #[test]
    fn a_list_that_has_all_is_right() {
        let rows = list(
            "refused | a | a is not supported | refusals/fd-a\n\
             refused | locks | a lock waits | -\n",
        );
        assert_eq!(check(&rows, &found()), Vec::<String>::new());
        let page = page(&rows);
        assert!(page.contains("\na      a is not supported  refusals/fd-a\n"));
        assert!(
            page.contains("\nlocks  a lock waits        none\n"),
            "{page}"
        );
    }

    #[test]
    fn suites_of_unit_tests_are_looked_for() {
        let text = "#[cfg(X)]\n#[kunit_tests(a)]\nmod tests {\n// #[kunit_tests(b)]\n";
        assert_eq!(found::suites(text), ["a"]);
        let row = |suite: &str| format!("refused | a | a is not supported | refusals/fd-a {suite}");
        let wrong = |suite: &str| check(&list(&row(suite)), &found());
        assert_eq!(wrong("kunit/codec"), Vec::<String>::new());
        for gone in ["kunit/other", "kunit"] {
            assert!(wrong(gone)[0].contains("no source has the unit tests"));
        }
    }

    #[test]
    fn what_is_missing_is_said_with_the_line_to_add() {
        let wrong = check(&list(""), &found());
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        assert!(wrong[0].contains("res/a.rs"));
        assert!(wrong[0].ends_with("\n    refused | WHAT | a is not supported | refusals/CASE"));
        assert!(wrong[1].starts_with("test refusals is not in the list; add"));
        assert!(wrong[2].starts_with("case refusals/fd-a is not in the list; add"));
        let rows = parse("refused | a | a is not supported | refusals/fd-a heap").unwrap();
        let wrong = check(&rows, &found());
        assert_eq!(wrong.len(), TYPES.len());
        assert!(wrong[0].ends_with("| HEAD | TEST"), "{}", wrong[0]);
    }

    #[test]
    fn what_is_gone_is_said_with_its_line() {
        let rows = list(
            "refused | a | a is not supported | refusals/fd-a refusals/fd-b\n\
             refused | b | b is not supported | stack\n\
             saved | c | HEADER | heap\n",
        );
        let wrong = check(&rows, &found());
        assert_eq!(wrong.len(), 4, "{wrong:?}");
        assert!(wrong[0].starts_with(&format!("{LIST}:4: ")));
        assert!(wrong[0].ends_with("refusals has no case \"fd-b\""));
        assert!(wrong[1].contains("no source says \"b is not supported\""));
        assert!(wrong[2].contains("no test stack"));
        assert!(wrong[3].contains("no record HEADER"));
    }

    #[test]
    fn lines_that_are_not_understood() {
        for line in [
            "kept | a | HEAD | heap",
            "saved | a | HEAD",
            "saved | a | HEAD | -",
            "refused | | x is not supported | -",
        ] {
            let why = parse(line).unwrap_err();
            assert!(why.contains("state.list:1: "), "{why}");
        }
    }
}
