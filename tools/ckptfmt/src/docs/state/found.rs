// SPDX-License-Identifier: GPL-2.0

//! What the kernel's sources and the guest's tests say, which the list must have.

use std::fs;
use std::io;
use std::path::Path;
use std::path::PathBuf;

use crate::docs::top;

/// Where the kernel gives reasons; the checks of images have their own tests.
const SOURCES: [&str; 2] = ["checkpoint", "arch"];
/// The programs of the guest.
pub(super) const PROGRAMS: &str = "tests/guest/src/bin";
/// How the list names the unit tests of the kernel, before the name of a suite.
pub(super) const KUNIT: &str = "kunit";
/// The table of the guest's tests.
pub(super) const TESTS: &str = "tests/guest/src/bin/guest-run/table.rs";

/// What the kernel's sources and the guest's tests have.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// File and text of every string literal.
    pub texts: Vec<(String, String)>,
    /// Suites of unit tests in the kernel.
    pub suites: Vec<String>,
    /// Names of tests.
    pub tests: Vec<String>,
    /// Names of programs, each with its whole source.
    pub programs: Vec<(String, String)>,
}

/// Looks at the sources.
///
/// # Errors
///
/// When one of them cannot be read.
pub fn look() -> io::Result<Found> {
    let mut found = Found::default();
    for dir in SOURCES {
        for path in sources(&top().join(dir))? {
            let name = path.strip_prefix(top()).unwrap_or(&path).display();
            let source = fs::read_to_string(&path)?;
            for text in literals(&source) {
                found.texts.push((name.to_string(), text));
            }
            found.suites.extend(suites(&source));
        }
    }
    let table = fs::read_to_string(top().join(TESTS))?;
    for line in table.lines().map(str::trim) {
        let call = ["cycle(\"", "once(\"", "phases(\""]
            .iter()
            .find_map(|call| line.strip_prefix(call));
        let name = call.and_then(|rest| rest.split('"').next());
        found.tests.extend(name.map(str::to_string));
    }
    for name in &found.tests {
        let base = top().join(PROGRAMS).join(name);
        let files = if base.is_dir() {
            sources(&base)?
        } else {
            vec![base.with_extension("rs")]
        };
        let mut text = String::new();
        for file in files {
            text.push_str(&fs::read_to_string(file)?);
        }
        found.programs.push((name.clone(), text));
    }
    Ok(found)
}

/// All Rust sources below a directory, in order.
fn sources(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut out = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        if path.is_dir() {
            out.extend(sources(&path)?);
        } else if path.extension().is_some_and(|e| e == "rs") {
            out.push(path);
        }
    }
    out.sort();
    Ok(out)
}

/// The suites of unit tests in a source of the kernel.
pub(super) fn suites(text: &str) -> Vec<String> {
    let lines = text.lines().map(str::trim);
    lines
        .filter_map(|line| line.strip_prefix("#[kunit_tests(")?.strip_suffix(")]"))
        .map(str::to_string)
        .collect()
}

/// The string literals of a source, those of one line, without its comments.
pub(super) fn literals(text: &str) -> Vec<String> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"));
    lines
        .flat_map(|line| line.split('"').skip(1).step_by(2))
        .map(str::to_string)
        .collect()
}

/// The names of a program's cases: those of its lists of cases and of its acts.
pub(super) fn cases(text: &str) -> Vec<String> {
    let mut in_list = false;
    let mut names = Vec::new();
    for line in text.lines().map(str::trim) {
        in_list |= line.contains("const CASES:");
        let at_begin = line.strip_prefix("(\"").filter(|_| in_list);
        let behind = at_begin.or_else(|| {
            let begins = ["act(\"", "name: \"", "cases.run_in_child(\""];
            begins.iter().find_map(|begin| line.strip_prefix(begin))
        });
        let name = behind.and_then(|behind| behind.split('"').next());
        names.extend(name.map(str::to_string));
        in_list &= !line.ends_with("];");
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_those_of_lists_and_acts() {
        let source = "(\"no\", 1)\nconst CASES: &[(&str, Body)] = &[\n    (\"one\", one),\n    \
                      (\"two\", || {\n        exact(\"no\")\n    }),\n];\n(\"no\", 1)\n\
                      act(\"three\", three),\nAct {\n    name: \"four\",\n}\n\
                      cases.run_in_child(\"five\", 60, five);\n";
        assert_eq!(cases(source), ["one", "two", "three", "four", "five"]);
    }
}
