// SPDX-License-Identifier: GPL-2.0

//! A parser of the record sources, as simple as those sources are.
//!
//! Knows `///` comments, `pub mod NAME {`, `pub const NAME: TYPE = VALUE;` and
//! `pub struct NAME [SIZE] {` with one field a line. Stops at the unit tests.

use std::fs;
use std::io;

use super::top;

macro_rules! files {
    ($($file:literal,)+) => {
        /// The files, in the order of the page; the part before `.rs`.
        pub const FILES: &[&str] = &[$($file,)+];

        /// Their texts, as they were when this crate was compiled.
        const TEXTS: &[&str] = &[$(
            include_str!(concat!("../../../../checkpoint/format/", $file, ".rs")),
        )+];
    };
}

files! {
    "mod",
    "head",
    "tree",
    "task",
    "seccomp",
    "cpu",
    "call",
    "signal",
    "pending",
    "timer",
    "mm",
    "mm/vma",
    "mm/pages",
    "shmem",
    "files",
    "pipe",
    "socket",
    "anon",
}

/// A field of a structure.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: String,
    /// What it means.
    pub about: String,
}

/// A structure.
#[derive(Clone, Debug, PartialEq)]
pub struct Struct {
    /// Its name in Rust.
    pub rust: String,
    /// Its name in C, from the comment, without `struct`.
    pub c: String,
    /// The rest of the comment.
    pub about: String,
    /// The fields, in order.
    pub fields: Vec<Field>,
}

/// An integer constant.
#[derive(Clone, Debug, PartialEq)]
pub struct Const {
    /// The module inside the file, or nothing.
    pub module: String,
    /// Its name in Rust.
    pub rust: String,
    /// Its value, as written.
    pub value: String,
    /// What it means.
    pub about: String,
}

/// A group of constants: a module inside a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// What it is.
    pub about: String,
}

/// What one file declares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The name of the file, without `.rs`.
    pub file: String,
    /// Structures.
    pub structs: Vec<Struct>,
    /// Integer constants.
    pub consts: Vec<Const>,
    /// Groups.
    pub modules: Vec<Module>,
}

/// Reads all record sources of the repository.
///
/// # Errors
///
/// When one of them cannot be read.
pub fn read() -> io::Result<Vec<Source>> {
    let dir = top().join("checkpoint/format");
    let texts: io::Result<Vec<String>> = FILES
        .iter()
        .map(|file| fs::read_to_string(dir.join(file).with_extension("rs")))
        .collect();
    Ok(sources(texts?.iter().map(String::as_str)))
}

/// All record sources, as they were when this crate was compiled.
pub fn compiled() -> Vec<Source> {
    sources(TEXTS.iter().copied())
}

/// The sources of the texts of all files. What a file in a directory declares is part of
/// the source that the directory is called after.
fn sources<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<Source> {
    let mut all: Vec<Source> = Vec::new();
    for (file, text) in FILES.iter().zip(texts) {
        let part = parse(file, text);
        let whole = file.split_once('/').map(|(directory, _)| directory);
        match all.last_mut().filter(|last| Some(&*last.file) == whole) {
            Some(last) => {
                last.structs.extend(part.structs);
                last.consts.extend(part.consts);
                last.modules.extend(part.modules);
            }
            None => all.push(part),
        }
    }
    all
}

/// Parses the text of one file.
pub fn parse(file: &str, text: &str) -> Source {
    let mut source = Source {
        file: file.into(),
        ..Source::default()
    };
    let mut module = String::new();
    let mut about: Vec<&str> = Vec::new();
    let mut lines = text.lines();
    while let Some(raw) = lines.next() {
        let line = raw.trim();
        if line == "#[cfg(test)]" {
            break;
        } else if let Some(comment) = line.strip_prefix("///") {
            about.push(comment.trim());
            continue;
        } else if raw == "}" {
            module.clear();
        } else if let Some(name) = between(line, "pub mod ", " {") {
            module = name.into();
            source.modules.push(Module {
                name: name.into(),
                about: about.join(" "),
            });
        } else if let Some((name, _)) =
            between(line, "pub struct ", "] {").and_then(|l| l.split_once(" ["))
        {
            source.structs.push(structure(name, &about, &mut lines));
        } else if let Some(rest) = line
            .strip_prefix("pub const ")
            .filter(|rest| !rest.starts_with("fn "))
        {
            let mut whole = rest.to_string();
            while !whole.ends_with(';') {
                let Some(more) = lines.next() else { break };
                whole.push(' ');
                whole.push_str(more.trim());
            }
            source.consts.extend(constant(&module, &whole, &about));
        }
        about.clear();
    }
    source
}

fn between<'a>(line: &'a str, before: &str, after: &str) -> Option<&'a str> {
    line.strip_prefix(before)?.strip_suffix(after)
}

fn structure<'a>(name: &str, about: &[&str], lines: &mut impl Iterator<Item = &'a str>) -> Struct {
    let about = about.join(" ");
    let (c, rest) = about
        .strip_prefix("`struct ")
        .and_then(|rest| rest.split_once("`: "))
        .unwrap_or(("", &about));
    let mut fields = Vec::new();
    let mut comment: Vec<&str> = Vec::new();
    for line in lines.map(str::trim) {
        if line == "}" {
            break;
        } else if let Some(text) = line.strip_prefix("///") {
            comment.push(text.trim());
        } else if let Some((name, ty)) = line.trim_end_matches(',').split_once(": ") {
            fields.push(Field {
                name: name.into(),
                ty: ty.into(),
                about: comment.join(" "),
            });
            comment.clear();
        }
    }
    Struct {
        rust: name.into(),
        c: c.into(),
        about: rest.into(),
        fields,
    }
}

/// The constant of a declaration, if it is an integer.
fn constant(module: &str, text: &str, about: &[&str]) -> Option<Const> {
    let (name, rest) = text.strip_suffix(';')?.split_once(": ")?;
    let (ty, value) = rest.split_once(" = ")?;
    let integer = matches!(
        ty,
        "u8" | "u16" | "u32" | "u64" | "usize" | "i16" | "i32" | "i64"
    );
    integer.then(|| Const {
        module: module.into(),
        rust: name.into(),
        value: value.into(),
        about: about.join(" "),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_sources_consist_of_is_understood() {
        let source = parse(
            "mm",
            "/// Bits of [`Mm`].\npub mod mm_flags {\n    /// One\n    /// bit.\n    pub const ONE: u64 = 1 << 4;\n\
             /// All.\n    pub const ALL: u64 = ONE\n        | 2;\n}\n\nwire! {\n    /// `struct cr_hdr_mm`: fields; more.\n    \
             pub struct Mm [16] {\n        /// A\n        /// number.\n        nr: u32,\n        /// Zero.\n        \
             reserved: [u32; 3],\n    }\n}\n#[cfg(test)]\nmod tests {\n pub const X: u32 = 1;\n}\n",
        );
        assert_eq!(source.modules[0].name, "mm_flags");
        assert_eq!(source.consts.len(), 2);
        assert_eq!(source.consts[0].about, "One bit.");
        assert_eq!(source.consts[1].value, "ONE | 2");
        let s = &source.structs[0];
        assert_eq!(
            (s.rust.as_str(), s.c.as_str(), s.about.as_str()),
            ("Mm", "cr_hdr_mm", "fields; more.")
        );
        assert_eq!(s.fields[0].about, "A number.");
        assert_eq!(s.fields[1].ty, "[u32; 3]");
    }

    #[test]
    fn a_function_is_no_constant() {
        let source = parse(
            "call",
            "/// Ends here.\npub const LAST: i64 = -5;\n/// Is it?\npub const fn is(ax: u64) -> bool {\n    \
             ax == 1\n}\n\n/// Kinds.\npub mod kind {\n    /// One.\n    pub const ONE: u32 = 1;\n}\n",
        );
        assert_eq!(source.consts.len(), 2);
        assert_eq!(source.consts[0].value, "-5");
        assert_eq!(source.consts[1].module, "kind");
    }

    #[test]
    fn every_structure_is_found_and_has_a_name_in_c() {
        let found: Vec<(String, String)> = read()
            .unwrap()
            .into_iter()
            .flat_map(|s| s.structs)
            .map(|s| (s.rust, s.c))
            .collect();
        let listed: Vec<(String, String)> = crate::layout::LAYOUTS
            .iter()
            .map(|l| (l.rust.into(), l.c.into()))
            .collect();
        let sorted = |mut v: Vec<(String, String)>| {
            v.sort();
            v
        };
        assert_eq!(
            sorted(found),
            sorted(listed),
            "src/layout.rs must list every structure"
        );
    }

    #[test]
    fn every_field_is_found_and_has_a_comment() {
        for s in read().unwrap().into_iter().flat_map(|s| s.structs) {
            let layout = crate::layout::LAYOUTS
                .iter()
                .find(|l| l.rust == s.rust)
                .unwrap();
            let names: Vec<&str> = s.fields.iter().map(|f| f.name.as_str()).collect();
            let listed: Vec<&str> = layout.fields.iter().map(|f| f.0).collect();
            assert_eq!(names, listed);
            assert!(s.fields.iter().all(|f| !f.about.is_empty()), "{}", s.rust);
        }
    }
}
