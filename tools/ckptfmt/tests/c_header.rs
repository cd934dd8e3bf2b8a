// SPDX-License-Identifier: GPL-2.0

//! The C headers and the Rust sources state the same: sizes, offsets, numbers, flags.
//!
//! A C program is generated that prints what the C compiler makes of
//! `include/uapi/linux/checkpoint.h` and `checkpoint_hdr.h`; its output must be that of
//! Rust: of the records, and of the entry of the system calls for the flags.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;

use ckptfmt::docs::eval::eval;
use ckptfmt::docs::names::constants;
use ckptfmt::docs::source;
use ckptfmt::docs::top;
use ckptfmt::format::TYPES;
use ckptfmt::layout::c_field;
use ckptfmt::layout::Layout;
use ckptfmt::layout::HDR;
use ckptfmt::layout::LAYOUTS;

/// What is compared, in C, and its value in Rust.
fn facts() -> BTreeMap<String, u64> {
    let mut facts = BTreeMap::new();
    for layout in LAYOUTS.iter().chain([&HDR]) {
        let Layout { c, size, .. } = layout;
        facts.insert(format!("sizeof(struct {c})"), *size as u64);
        for (field, offset, size) in layout.fields {
            let field = c_field(c, field);
            facts.insert(format!("offsetof(struct {c}, {field})"), *offset as u64);
            facts.insert(format!("sizeof(((struct {c} *)0)->{field})"), *size as u64);
        }
    }
    for (number, name, _, _) in TYPES {
        facts.insert(format!("CR_HDR_{name}"), *number as u64);
    }
    let sources = source::read().unwrap();
    for source in &sources {
        for constant in constants(source, &sources).unwrap() {
            facts.insert(constant.c, constant.value);
        }
    }
    facts.extend(flags());
    facts
}

/// The name and the value of each `const NAME: TYPE = VALUE;` in a line of its own.
fn consts(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let (before, rest) = line.trim().split_once("const ")?;
        let (name, value) = rest.split_once(": ")?;
        let (_, value) = value.split_once(" = ")?;
        (before.is_empty() || before == "pub ").then_some((name, value.strip_suffix(';')?))
    })
}

fn source(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap()
}

/// The flags that the kernel knows, of either call, with the names that they have in C.
fn flags() -> BTreeMap<String, u64> {
    let entry = source("checkpoint/entry.rs");
    let value = |flag: &str| {
        let (_, value) = consts(&entry).find(|(name, _)| *name == flag).unwrap();
        eval(value, &|_| None).unwrap()
    };
    let mut flags = BTreeMap::new();
    for call in ["checkpoint", "restart"] {
        let (_, body) = entry.split_once(&format!("fn ckpt_sys_{call}(")).unwrap();
        let (_, known) = consts(body).find(|(name, _)| *name == "KNOWN").unwrap();
        for flag in known.split(" | ") {
            let name = flag.strip_prefix("FLAG_").unwrap();
            flags.insert(format!("{}_{name}", call.to_uppercase()), value(flag));
        }
    }
    flags
}

/// Compiles and runs a program; what it prints.
fn run(text: &str, flags: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (source, program) = (dir.path().join("facts.c"), dir.path().join("facts"));
    fs::write(&source, text).unwrap();
    let compiler = Command::new("cc")
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-Wpadded"])
        .args(flags)
        .arg("-I")
        .arg(top().join("include/uapi"))
        .arg("-o")
        .args([&program, &source])
        .output()
        .expect("this test needs a C compiler: apt-get install gcc libc6-dev");
    let errors = String::from_utf8_lossy(&compiler.stderr).into_owned();
    assert!(
        compiler.status.success(),
        "cc does not accept the header:\n{errors}"
    );
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn sizes_offsets_and_numbers_are_those_of_rust() {
    // <errno.h> and <sys/sysmacros.h> define macros that fields must not be named after.
    let mut program = String::from(
        "#include <errno.h>\n#include <stddef.h>\n#include <stdio.h>\n#include <sys/sysmacros.h>\n\
         #include <linux/checkpoint.h>\n#include <linux/checkpoint_hdr.h>\n\nint main(void)\n{\n",
    );
    let facts = facts();
    for what in facts.keys() {
        writeln!(
            program,
            "\tprintf(\"%s=%llu\\n\", \"{what}\", (unsigned long long)({what}));"
        )
        .unwrap();
    }
    program.push_str("\treturn 0;\n}\n");
    let printed = run(&program, &[]);
    let in_c: BTreeMap<String, u64> = printed
        .lines()
        .map(|line| line.split_once('=').unwrap())
        .map(|(what, value)| (what.into(), value.parse().unwrap()))
        .collect();
    let differ: Vec<String> = facts
        .iter()
        .filter(|(what, value)| in_c.get(*what) != Some(value))
        .map(|(what, value)| format!("{what}: {value} in Rust, {:?} in C", in_c.get(what)))
        .collect();
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    assert!(facts.len() > 500, "too few facts: {}", facts.len());
}

#[test]
fn the_headers_state_nothing_else() {
    let headers = ["checkpoint", "checkpoint_hdr"];
    let text = headers.map(|header| source(&format!("include/uapi/linux/{header}.h")));
    let facts = facts();
    for line in text.iter().flat_map(|text| text.lines()) {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("#define"), Some(name)) if !name.starts_with('_') => {
                assert!(
                    facts.contains_key(name),
                    "{name} is not in the Rust sources"
                );
            }
            (Some("struct"), Some(name)) if line.ends_with('{') => {
                let name = format!("sizeof(struct {name})");
                assert!(
                    facts.contains_key(&name),
                    "{name} is not in the Rust sources"
                );
            }
            _ => {}
        }
    }
}

#[test]
fn the_commands_have_the_same_flags() {
    let flags = flags();
    let mut seen = 0;
    for path in ["tools/checkpoint/src/sys.rs", "tools/restart/src/sys.rs"] {
        let text = source(path);
        let own = |name: &str| name.starts_with("CHECKPOINT_") || name.starts_with("RESTART_");
        for (name, value) in consts(&text).filter(|(name, _)| own(name)) {
            assert_eq!(flags.get(name), value.parse().ok().as_ref(), "{name}");
            seen += 1;
        }
    }
    assert_eq!(seen, flags.len(), "flags that no command uses, or others");
}

#[test]
fn either_header_stands_alone() {
    for header in ["checkpoint", "checkpoint_hdr"] {
        run(
            &format!("#include <linux/{header}.h>\nint main(void) {{ return 0; }}\n"),
            &["-pedantic"],
        );
    }
}
