// SPDX-License-Identifier: GPL-2.0

//! The generated part of the format page, in reStructuredText.

use std::fmt::Write;
use std::path::PathBuf;

use super::names::c_type;
use super::names::constants;
use super::names::in_c;
use super::source::Source;
use super::source::Struct;
use super::top;
use crate::format::cpuid;
use crate::format::TYPES;
use crate::layout::c_field;
use crate::layout::LAYOUTS;

/// Line before the generated part.
pub const BEGIN: &str =
    ".. The part from here on is generated: cargo run -p ckptfmt --bin ckpt-doc";
/// Line behind it.
pub const END: &str = ".. End of the generated part";

/// The page that holds the generated part.
pub fn path() -> PathBuf {
    top().join("Documentation/userspace-api/checkpoint-image.rst")
}

/// `page` with its generated part made anew.
///
/// # Errors
///
/// When the page lacks the two lines, or a source is not understood.
pub fn renew(page: &str, sources: &[Source]) -> Result<String, String> {
    let lacks = |line: &str| format!("the page lacks the line {line:?}");
    let (before, rest) = page.split_once(BEGIN).ok_or_else(|| lacks(BEGIN))?;
    let (_, behind) = rest.split_once(END).ok_or_else(|| lacks(END))?;
    let part = generate(sources)?;
    Ok(format!("{before}{BEGIN}\n\n{part}{END}{behind}"))
}

fn generate(sources: &[Source]) -> Result<String, String> {
    let mut out = String::new();
    heading(&mut out, "Record numbers", '-');
    let rows = TYPES.iter().map(|(number, name, layout, about)| {
        vec![
            number.to_string(),
            format!("``CR_HDR_{name}``"),
            layout.to_string(),
            about.trim().into(),
        ]
    });
    table(
        &mut out,
        &["Number", "Name", "Payload", "Meaning"],
        rows.collect(),
    );

    heading(&mut out, "Fields that vary", '-');
    out.push_str(
        "Two images of the same frozen state are equal but for these fields, and the\n\
         checksums of the trailer, which follow from them:\n\n",
    );
    for s in sources.iter().flat_map(|s| &s.structs) {
        for field in s.fields.iter().filter(|f| f.about.contains("Varies")) {
            // Writing to a String cannot fail.
            let _ = writeln!(out, "* ``{}.{}``", s.c, field.name);
        }
    }
    out.push('\n');

    for source in sources {
        for s in &source.structs {
            structure(&mut out, s, sources);
        }
        let all = constants(source, sources)?;
        for module in &source.modules {
            let rows: Vec<_> = all.iter().filter(|c| c.module == module.name).collect();
            if rows.is_empty() {
                continue;
            }
            let about = in_c(&module.about, sources);
            heading(&mut out, about.trim_end_matches('.'), '~');
            numbers(&mut out, &rows, sources);
        }
        let plain: Vec<_> = all.iter().filter(|c| c.module.is_empty()).collect();
        if !plain.is_empty() {
            let title = match source.file.as_str() {
                "mod" => "Numbers of the framing",
                "head" => "Numbers of header and trailer",
                "cpu" => "Numbers of registers and segments",
                "call" => "Numbers of interrupted calls",
                "files" => "Limits of descriptors",
                "mm" => "Limits of an address space",
                "anon" => "Limits of timerfd and epoll",
                "pipe" => "Limits of pipes",
                "socket" => "Limits of sockets",
                "pending" => "Limits of pending signals and timers",
                "shmem" => "Limits of shared memory",
                "signal" => "Limits of signals",
                "tree" => "Limits of the forest",
                _ => "Limits of a task",
            };
            heading(&mut out, title, '~');
            numbers(&mut out, &plain, sources);
        }
    }

    heading(&mut out, "CPUID words", '~');
    let rows = cpuid::WORDS
        .iter()
        .zip(0..)
        .map(|((leaf, subleaf, register), i): (_, i32)| {
            let register = ["eax", "ebx", "ecx", "edx"].get(usize::from(*register));
            vec![
                i.to_string(),
                format!("{leaf:#x}"),
                subleaf.to_string(),
                register.copied().unwrap_or("?").into(),
            ]
        });
    table(
        &mut out,
        &["Word", "Leaf", "Subleaf", "Register"],
        rows.collect(),
    );
    Ok(out)
}

fn structure(out: &mut String, s: &Struct, sources: &[Source]) {
    let Some(layout) = LAYOUTS.iter().find(|l| l.rust == s.rust) else {
        return;
    };
    heading(out, &format!("struct {}", s.c), '-');
    let mut about = in_c(&s.about, sources);
    if let Some(first) = about.get(..1).map(str::to_uppercase) {
        about.replace_range(..1, &first);
    }
    let _ = writeln!(out, "{about} {} bytes.\n", layout.size);
    let rows = s
        .fields
        .iter()
        .zip(layout.fields)
        .map(|(field, (_, offset, _))| {
            let (ty, count) = c_type(&field.ty, sources);
            vec![
                offset.to_string(),
                ty,
                format!("``{}{count}``", c_field(&s.c, &field.name)),
                in_c(&field.about, sources),
            ]
        });
    table(out, &["Offset", "Type", "Field", "Meaning"], rows.collect());
}

fn numbers(out: &mut String, rows: &[&super::names::Constant], sources: &[Source]) {
    let rows = rows.iter().map(|c| {
        vec![
            format!("``{}``", c.c),
            if c.value.cast_signed() < 0 {
                c.value.cast_signed().to_string()
            } else if c.value < 10 || c.module.is_empty() && c.value <= 1 << 20 {
                c.value.to_string()
            } else {
                format!("{:#x}", c.value)
            },
            in_c(&c.about, sources),
        ]
    });
    table(out, &["Name", "Value", "Meaning"], rows.collect());
}

fn heading(out: &mut String, title: &str, line: char) {
    let _ = writeln!(
        out,
        "{title}\n{}\n",
        line.to_string().repeat(title.chars().count())
    );
}

/// A simple table; the text of its cells is in one line each.
pub(super) fn table(out: &mut String, head: &[&str], rows: Vec<Vec<String>>) {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|r| r.get(column))
            .map(|c| c.chars().count());
        let head = head.get(column).map_or(0, |h| h.len());
        cells.max().unwrap_or(0).max(head)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let rule = widths
        .iter()
        .map(|w| "=".repeat(*w))
        .collect::<Vec<_>>()
        .join("  ");
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("  ").trim_end().to_string()
    };
    let head: Vec<String> = head.iter().map(|h| h.to_string()).collect();
    let _ = writeln!(out, "{rule}\n{}\n{rule}", line(&head));
    for row in &rows {
        let _ = writeln!(out, "{}", line(row));
    }
    let _ = writeln!(out, "{rule}\n");
}
