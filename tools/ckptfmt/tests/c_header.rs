// SPDX-License-Identifier: GPL-2.0

//! The C headers and the Rust records state the same: sizes, offsets, numbers.
//!
//! A C program is generated that prints what the C compiler makes of
//! `include/uapi/linux/checkpoint_hdr.h`; its output must be that of Rust.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::process::Command;

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
    facts.insert("CHECKPOINT_LOG".into(), 1);
    facts.insert("CHECKPOINT_KILL".into(), 2);
    facts.insert("CHECKPOINT_STOP".into(), 4);
    facts.insert("RESTART_LOG".into(), 1);
    facts
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
fn the_header_states_nothing_else() {
    let text = fs::read_to_string(top().join("include/uapi/linux/checkpoint_hdr.h")).unwrap();
    let facts = facts();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        match (words.next(), words.next()) {
            (Some("#define"), Some(name)) if !name.starts_with('_') => {
                assert!(
                    facts.contains_key(name),
                    "{name} is not in the record sources"
                );
            }
            (Some("struct"), Some(name)) if line.ends_with('{') => {
                let name = format!("sizeof(struct {name})");
                assert!(
                    facts.contains_key(&name),
                    "{name} is not in the record sources"
                );
            }
            _ => {}
        }
    }
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
