// SPDX-License-Identifier: GPL-2.0

//! The programs that run in the guest: built on the host, gathered in one directory.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::cmd;
use crate::kbuild::Errors;
use crate::layout::Layout;
use crate::source::remove;
use crate::ui::Progress;

/// Builds the guest tests, the tools, the two sample programs of 2008, and the examples
/// of programs that save themselves.
pub fn build(layout: &Layout) -> Result<()> {
    let bin = layout.guest_bin();
    // Made anew each time: a program that is gone must not be found by the guest.
    remove(&bin)?;
    std::fs::create_dir_all(&bin)?;
    let target = layout.cache.join("guest-target");
    for (what, manifest) in [
        ("guest tests", "tests/guest/Cargo.toml"),
        ("tools", "tools/Cargo.toml"),
    ] {
        let manifest = layout.top.join(manifest);
        if !manifest.exists() {
            continue;
        }
        let out = target.join(what.replace(' ', "-"));
        cargo_build(layout, what, &manifest, &out)?;
        gather(&out.join("release"), &bin)?;
        // By its name: cargo leaves a second copy beside each example.
        let example = out.join("release/examples/counter");
        if example.exists() {
            copy(&example, &bin.join("counter-rs"))?;
        }
    }
    samples(layout)?;
    let source = layout.top.join("tools/ckptself/examples/counter.c");
    if source.exists() {
        compile(layout, &source, &bin.join("counter-c"))?;
    }
    let source = layout.top.join("tests/guest/go/goroutines.go");
    if source.exists() {
        go_build(layout, &source, &bin.join("goroutines"))?;
    }
    Ok(())
}

/// Builds the two sample programs of 2008, which are all that the documented session
/// needs.
pub fn samples(layout: &Layout) -> Result<()> {
    let bin = layout.guest_bin();
    std::fs::create_dir_all(&bin)?;
    for program in ["ckpt", "rstr"] {
        let source = layout.top.join(format!("tests/samples/{program}.c"));
        if source.exists() {
            compile(layout, &source, &bin.join(program))?;
        }
    }
    Ok(())
}

fn cargo_build(layout: &Layout, what: &str, manifest: &Path, out: &Path) -> Result<()> {
    let log = layout.log(&format!("build-{}", what.replace(' ', "-")));
    let mut progress = Progress::start(&format!("building the {what}"), 0);
    let mut errors = Errors::default();
    let status = cmd::watch(
        Command::new("cargo")
            .args(["build", "--release", "--workspace", "--bins", "--examples"])
            .arg("--manifest-path")
            .arg(manifest)
            .arg("--target-dir")
            .arg(out),
        &log,
        None,
        |_, line| {
            progress.note(line.trim());
            errors.line(line);
        },
    )?;
    if !status.is_some_and(|s| s.success()) {
        progress.abandon();
        for line in errors.shown(&layout.top.display().to_string()) {
            eprintln!("    {line}");
        }
        bail!(
            "the {what} do not build; everything is in {}",
            log.display()
        );
    }
    progress.finish("done");
    Ok(())
}

/// Copies the programs among cargo's products.
fn gather(from: &Path, to: &Path) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let path = entry?.path();
        let meta = path.metadata()?;
        let program =
            meta.is_file() && meta.permissions().mode() & 0o111 != 0 && path.extension().is_none();
        let Some(name) = path.file_name().filter(|_| program) else {
            continue;
        };
        copy(&path, &to.join(name))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::copy(from, to).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(())
}

fn compile(layout: &Layout, source: &Path, program: &Path) -> Result<()> {
    let mut gcc = Command::new("gcc");
    gcc.args(["-O2", "-Wall", "-o"])
        .arg(program)
        .arg(source)
        .arg("-I")
        .arg(layout.top.join("include/uapi"))
        .arg("-I")
        .arg(layout.top.join("tools/ckptself/include"));
    one_file(&mut gcc, source, &layout.log("build-samples"))
}

/// Runs the compiler of a program of one file.
fn one_file(compiler: &mut Command, source: &Path, log: &Path) -> Result<()> {
    let status = cmd::watch(compiler, log, None, |_, _| {})?;
    if !status.is_some_and(|s| s.success()) {
        bail!("{} does not build; see {}", source.display(), log.display());
    }
    Ok(())
}

/// Builds a Go program of one file, without a C library and without the network.
fn go_build(layout: &Layout, source: &Path, program: &Path) -> Result<()> {
    let mut go = Command::new("go");
    go.args(["build", "-trimpath", "-o"])
        .arg(program)
        .arg(source)
        .env("GOCACHE", layout.cache.join("go-cache"))
        .env("GOPATH", layout.cache.join("go"))
        .envs([
            ("CGO_ENABLED", "0"),
            ("GO111MODULE", "off"),
            ("GOPROXY", "off"),
            ("GOTOOLCHAIN", "local"),
            ("GOTELEMETRY", "off"),
        ]);
    one_file(&mut go, source, &layout.log("build-go"))
}
