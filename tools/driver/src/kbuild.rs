// SPDX-License-Identifier: GPL-2.0

//! Building a kernel out of tree, with progress and with the errors shown.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{bail, Result};

use crate::cmd;
use crate::layout::Layout;
use crate::source::fingerprint;
use crate::tree::Tree;
use crate::ui::{say, Progress};

/// Steps of a first build, when no earlier build tells. It only scales the bar.
const FIRST_GUESS: u64 = 2050;

/// One flavour of the kernel and its output directory.
pub struct Kbuild {
    /// Its name: `x86_64`, `debug`, `uml`.
    pub flavour: String,
    /// The kernel's ARCH.
    pub arch: &'static str,
    /// The output directory.
    pub out: PathBuf,
    bindgen: PathBuf,
}

impl Kbuild {
    /// A flavour of `tree`.
    pub fn new(layout: &Layout, tree: &Tree, flavour: &str, arch: &'static str) -> Self {
        Kbuild {
            flavour: flavour.to_string(),
            arch,
            out: layout.build(&tree.id(), flavour),
            bindgen: layout.bindgen(),
        }
    }

    /// The variables that every make of this flavour gets.
    pub fn variables(&self) -> Vec<String> {
        vec![
            "LLVM=-19".to_string(),
            "RUSTC=/usr/bin/rustc".to_string(),
            "HOSTRUSTC=/usr/bin/rustc".to_string(),
            format!("BINDGEN={}", self.bindgen.display()),
        ]
    }

    /// A make in the source directory.
    ///
    /// Never give it `checkpoint/...` as the only target: kbuild takes every goal
    /// that begins with "check" for one that needs no configuration.
    pub fn make(&self, tree: &Tree) -> Command {
        let mut command = Command::new("make");
        command
            .arg("-C")
            .arg(&tree.root)
            .arg(format!("O={}", self.out.display()))
            .arg(format!("ARCH={}", self.arch))
            .args(self.variables());
        command
    }

    /// Builds `target`, unless it was built after the last change of the tree (which
    /// voids the stamps), with this configuration and this compiler.
    pub fn build(
        &self,
        layout: &Layout,
        tree: &Tree,
        target: &str,
        product: &str,
    ) -> Result<PathBuf> {
        let made = self.out.join(product);
        let stamp_file = self.out.join(".ckptdev-built");
        let config = std::fs::read_to_string(self.out.join(".config")).unwrap_or_default();
        let tools = cmd::output(Command::new("/usr/bin/rustc").arg("--version"))?;
        let stamp = format!(
            "{:016x}\n",
            fingerprint(&format!("{config}{tools}{target}"))
        );
        if made.exists() && std::fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
            say(format!("building {}: up to date", self.flavour));
            return Ok(made);
        }
        let _ = std::fs::remove_file(&stamp_file);

        let count_file = layout.state(&format!("steps-{}", self.flavour));
        let total = std::fs::read_to_string(&count_file)
            .ok()
            .and_then(|t| t.trim().parse().ok());
        let first = !made.exists();
        let mut progress = Progress::start(
            &format!("building {}", self.flavour),
            if first {
                total.unwrap_or(FIRST_GUESS)
            } else {
                0
            },
        );
        let log = layout.log(&format!("build-{}", self.flavour));
        let jobs = std::thread::available_parallelism().map_or(2, |n| n.get());
        let mut errors = Errors::default();
        let status = cmd::watch(
            self.make(tree).arg(format!("-j{jobs}")).arg(target),
            &log,
            None,
            |_, line| {
                if let Some(step) = step_of(line) {
                    progress.step(step);
                } else {
                    progress.note("");
                    errors.line(line);
                }
            },
        )?;
        if !status.is_some_and(|s| s.success()) || !made.exists() {
            progress.abandon();
            for line in errors.shown(&tree.root.display().to_string()) {
                eprintln!("    {line}");
            }
            bail!(
                "the kernel ({}) does not build; its first errors are above, everything is in {}",
                self.flavour,
                log.display()
            );
        }
        // An interrupted build that goes on counts less than all.
        if first && progress.done() > total.unwrap_or(0) {
            std::fs::create_dir_all(layout.state(""))?;
            std::fs::write(&count_file, format!("{}\n", progress.done()))?;
        }
        std::fs::write(&stamp_file, stamp)?;
        progress.finish(&made.display().to_string());
        Ok(made)
    }
}

/// Voids what all flavours of a tree know about being up to date.
pub fn void_stamps(layout: &Layout, tree: &Tree) {
    let root = layout.build(&tree.id(), "");
    for entry in std::fs::read_dir(root).into_iter().flatten().flatten() {
        let _ = std::fs::remove_file(entry.path().join(".ckptdev-built"));
    }
}

/// The step that a line of kbuild's short output stands for.
fn step_of(line: &str) -> Option<&str> {
    let step = line.strip_prefix("  ")?;
    let word = step.split_whitespace().next()?;
    (word.len() >= 2
        && word
            .bytes()
            .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
    .then(|| step.trim())
}

/// The lines of a failed build that say why.
#[derive(Default)]
pub struct Errors {
    lines: Vec<String>,
    /// What make says about it, for failures that no compiler reported.
    make: Vec<String>,
    /// A Rust error was seen; its place follows.
    place: bool,
}

impl Errors {
    /// Takes one line of a build's output.
    pub fn line(&mut self, line: &str) {
        let text = line.trim_start();
        let place = text.starts_with("--> ") && std::mem::take(&mut self.place);
        let error = text.contains("error:")
            || text.starts_with("error[")
            || text.contains("undefined symbol");
        if error || place {
            self.place = text.starts_with("error");
            self.lines.push(line.to_string());
        } else if text.contains("*** ") {
            self.make.push(line.to_string());
        }
    }

    /// The first lines, with the directory `root` cut from their paths.
    pub fn shown(&self, root: &str) -> Vec<String> {
        let lines = if self.lines.is_empty() {
            &self.make
        } else {
            &self.lines
        };
        lines
            .iter()
            .take(12)
            .map(|line| line.replace(&format!("{root}/"), ""))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_their_place_and_warnings_do_not_show() {
        let mut errors = Errors::default();
        for line in [
            "warning: unused",
            "  --> /src/a.rs:1:1",
            "error[E0308]: mismatched types",
            "  --> /src/b.rs:2:2",
            "/src/c.c:3:1: error: no",
            "make: *** [x] Error 1",
        ] {
            errors.line(line);
        }
        let want = [
            "error[E0308]: mismatched types",
            "  --> b.rs:2:2",
            "c.c:3:1: error: no",
        ];
        assert_eq!(errors.shown("/src"), want);
    }

    #[test]
    fn steps_are_told_from_noise() {
        assert_eq!(step_of("  CC      mm/gup.o"), Some("CC      mm/gup.o"));
        assert_eq!(
            step_of("  RUSTC L rust/core.o"),
            Some("RUSTC L rust/core.o")
        );
        assert_eq!(step_of("make[1]: Entering directory"), None);
        assert_eq!(step_of("  --> a.rs:1:2"), None);
    }
}
