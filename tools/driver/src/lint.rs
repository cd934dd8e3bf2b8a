// SPDX-License-Identifier: GPL-2.0

//! `lint`, `fmt` and `stat`: what can be said about the sources without running them.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::layout::Layout;
use crate::tree::{walk, Tree};
use crate::ui::say;
use crate::{clippy, kernel, rules, series};

/// Kernel Rust is formatted as the kernel formats it.
const EDITION: &str = "2021";
/// Complaints of checkpatch that do not fit a queue of patches outside of a mail,
/// and AVOID_BUG: a line with BUG_ON() moves with the function that is split.
const IGNORED: &str = "FILE_PATH_CHANGES,NO_AUTHOR_SIGN_OFF,MISSING_SIGN_OFF,BAD_SIGN_OFF,EMAIL_SUBJECT,GIT_COMMIT_ID,AVOID_BUG";

/// Checks everything; one line per finding.
pub fn lint(layout: &Layout) -> Result<()> {
    let mut findings = Vec::new();
    let top = &layout.top;
    for manifest in manifests(top) {
        say(format!(
            "cargo fmt, cargo clippy: {}",
            short(top, &manifest)
        ));
        tool(
            Command::new("cargo")
                .args(["fmt", "--all", "--check", "--manifest-path"])
                .arg(&manifest)
                .args(["--", "--color", "never"]),
            "run make fmt",
            &mut findings,
        )?;
        tool(
            Command::new("cargo")
                .args([
                    "clippy",
                    "--quiet",
                    "--workspace",
                    "--all-targets",
                    "--manifest-path",
                ])
                .arg(&manifest)
                .arg("--target-dir")
                .arg(layout.cache.join("tools-target"))
                .args(["--", "-D", "warnings"]),
            "clippy",
            &mut findings,
        )?;
    }
    say("rustfmt: the kernel crate");
    let kernel_rust = kernel_rust(top)?;
    if !kernel_rust.is_empty() {
        tool(
            Command::new("rustfmt")
                .args(["--color", "never", "--check", "--edition", EDITION])
                .args(&kernel_rust),
            "run make fmt",
            &mut findings,
        )?;
    }
    say("own rules: licence tags, unsafe code");
    own_rules(top, &mut findings)?;
    say("checkpatch: the series");
    let tree = kernel::prepare(layout)?;
    patches(layout, &tree, &mut findings)?;
    say("clippy: the kernel crate");
    clippy::kernel_crate(layout, &tree, &mut findings)?;

    if findings.is_empty() {
        say("lint: clean");
        return Ok(());
    }
    findings
        .iter()
        .for_each(|finding| say(format!("  {finding}")));
    bail!("lint: {} findings", findings.len())
}

/// Formats everything.
pub fn format(layout: &Layout) -> Result<()> {
    let mut findings = Vec::new();
    for manifest in manifests(&layout.top) {
        tool(
            Command::new("cargo")
                .args(["fmt", "--all", "--manifest-path"])
                .arg(manifest),
            "cargo fmt",
            &mut findings,
        )?;
    }
    let files = kernel_rust(&layout.top)?;
    if !files.is_empty() {
        tool(
            Command::new("rustfmt")
                .args(["--edition", EDITION])
                .args(files),
            "rustfmt",
            &mut findings,
        )?;
    }
    match findings.first() {
        None => Ok(()),
        Some(finding) => bail!("formatting failed: {finding}"),
    }
}

/// Prints how much of the kernel the patches change, and how much of ours is unsafe.
pub fn stat(layout: &Layout) -> Result<()> {
    let (mut added, mut removed, mut files) = (0, 0, 0);
    say("lines that the patches add to and remove from files of the kernel:");
    let mut sums = std::collections::BTreeMap::<PathBuf, (usize, usize)>::new();
    for patch in series::read(&layout.top.join("kernel-patches"))? {
        for (file, (plus, minus)) in patch.files {
            let sum = sums.entry(file).or_default();
            *sum = (sum.0 + plus, sum.1 + minus);
        }
    }
    for (file, (plus, minus)) in &sums {
        say(format!("  {plus:>5} {minus:>5}  {}", file.display()));
        (added, removed, files) = (added + plus, removed + minus, files + 1);
    }
    say(format!("  {added:>5} {removed:>5}  in {files} files"));

    say("\nunsafe blocks, impls and functions, lines of code:");
    let (mut total, mut lines) = (0, 0);
    for file in kernel_rust(&layout.top)? {
        let text = std::fs::read_to_string(&file)?;
        let count = rules::unsafe_uses(&text).len();
        let length = text.lines().count();
        if count > 0 {
            say(format!(
                "  {count:>5} {length:>6}  {}",
                short(&layout.top, &file)
            ));
        }
        (total, lines) = (total + count, lines + length);
    }
    say(format!(
        "  {total:>5} {lines:>6}  in all of the kernel crate"
    ));
    Ok(())
}

/// How the names of files end that have a licence.
const SOURCES: &str = "rs c h S sh py go rst md 1 2 list svg toml config kunitconfig";

fn own_rules(top: &Path, findings: &mut Vec<String>) -> Result<()> {
    for dir in [
        "checkpoint",
        "arch",
        "include",
        "tools",
        "tests",
        "scripts",
        "Documentation",
        "kernel-patches",
        ".ci",
    ] {
        walk(top, &top.join(dir), &mut |path, file| {
            let name = path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned();
            let source = name
                .rsplit_once('.')
                .is_some_and(|(_, kind)| SOURCES.split(' ').any(|known| known == kind))
                || ["Makefile", "Kconfig", "run", "series"].contains(&name.as_str());
            if !source || path.components().any(|c| c.as_os_str() == "target") {
                return;
            }
            let text = std::fs::read_to_string(&file).unwrap_or_default();
            if !rules::has_spdx(&text) {
                findings.push(format!("{}:1: no SPDX-License-Identifier", path.display()));
            }
            if rules::must_forbid(&path) && !rules::forbids(&text) {
                findings.push(format!("{}:1: no #![forbid(unsafe_code)]", path.display()));
            }
            if name.ends_with(".rs") && !path.ends_with("rules.rs") {
                for (line, _) in rules::unsafe_uses(&text)
                    .into_iter()
                    .filter(|(_, good)| !good)
                {
                    findings.push(format!(
                        "{}:{line}: unsafe without its SAFETY comment",
                        path.display()
                    ));
                }
            }
        })?;
    }
    Ok(())
}

fn patches(layout: &Layout, tree: &Tree, findings: &mut Vec<String>) -> Result<()> {
    let all = series::read(&layout.top.join("kernel-patches"))?;
    for patch in all {
        let out = Command::new("perl")
            .arg(tree.root.join("scripts/checkpatch.pl"))
            .arg(format!("--root={}", tree.root.display()))
            .args([
                "--terse",
                "--no-summary",
                "--show-types",
                "--ignore",
                IGNORED,
            ])
            // By name, checkpatch would take a file that git knows for a source.
            .arg("-")
            .stdin(std::fs::File::open(&patch.path)?)
            .output()
            .context("cannot run perl, which checkpatch needs")?;
        for line in String::from_utf8_lossy(&out.stdout)
            .lines()
            .filter(|line| !line.trim().is_empty())
        {
            let text = line.strip_prefix("-:").unwrap_or(line);
            findings.push(format!("{}:{text}", patch.name));
        }
    }
    Ok(())
}

fn manifests(top: &Path) -> Vec<PathBuf> {
    [
        "tools/Cargo.toml",
        "tests/guest/Cargo.toml",
        "tools/fuzz/Cargo.toml",
    ]
    .iter()
    .map(|m| top.join(m))
    .filter(|m| m.exists())
    .collect()
}

fn kernel_rust(top: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for dir in ["checkpoint", "arch"] {
        walk(top, &top.join(dir), &mut |path, file| {
            if path.extension().is_some_and(|e| e == "rs") {
                files.push(file);
            }
        })?;
    }
    files.sort();
    Ok(files)
}

/// Runs a checker; a failure becomes findings, its absence an error.
fn tool(command: &mut Command, hint: &str, findings: &mut Vec<String>) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command.output().with_context(|| {
        format!("cannot run {name}; install rustfmt and clippy (rustup, or Debian's rustfmt-web)")
    })?;
    if !out.status.success() {
        let text = [out.stdout, out.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        if text.contains("no such command") || text.contains("is not installed") {
            bail!(
                "{name}: {}; install rustfmt and clippy with rustup",
                text.lines().next().unwrap_or("")
            );
        }
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| !line.trim().is_empty())
            .collect();
        findings.extend(lines.iter().take(60).map(|line| line.to_string()));
        findings.push(format!("{name}: {hint}"));
    }
    Ok(())
}

fn short(top: &Path, path: &Path) -> String {
    path.strip_prefix(top).unwrap_or(path).display().to_string()
}
