// SPDX-License-Identifier: GPL-2.0

//! Clippy over the kernel crate, with the flags of the kernel's own build.
//!
//! `make CLIPPY=1` would rebuild every crate below ours with another compiler.
//! The build has written down how it compiled the crate: the same command with
//! clippy in place of the compiler looks at our crate alone, in seconds. The
//! linter must be of exactly the compiler that built the kernel.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::kernel::{self, Flavour};
use crate::layout::Layout;
use crate::tree::Tree;

/// The linter that belongs to /usr/bin/rustc.
const DRIVER: &str = "/usr/bin/clippy-driver";

/// Checks the kernel crate; builds the kernel if it is not built yet.
pub fn kernel_crate(layout: &Layout, tree: &Tree, findings: &mut Vec<String>) -> Result<()> {
    if !Path::new(DRIVER).exists() {
        findings.push(format!("{DRIVER} is missing: install rust-web-clippy"));
        return Ok(());
    }
    let (kbuild, _) = kernel::build(layout, tree, Flavour::Plain)?;
    let saved = kbuild.out.join("checkpoint/.checkpoint.o.cmd");
    let text = std::fs::read_to_string(&saved)
        .with_context(|| format!("cannot read {}", saved.display()))?;
    let line = text.lines().next().unwrap_or("");
    let output = kbuild.out.join("checkpoint/.clippy.rmeta");
    let Some(command) = with_clippy(line, &output) else {
        findings.push(format!("{} holds no command of rustc", saved.display()));
        return Ok(());
    };
    let out = Command::new("sh")
        .args(["-c", &format!("{command} -Dwarnings")])
        .current_dir(&kbuild.out)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CLIPPY_CONF_DIR", &tree.root)
        .output()
        .context("cannot run sh")?;
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stderr);
        findings.extend(text.lines().take(60).map(str::to_string));
        findings.push("clippy: the kernel crate".to_string());
    }
    Ok(())
}

/// The saved command of a crate, made one of clippy that writes only metadata.
fn with_clippy(saved: &str, output: &Path) -> Option<String> {
    let (_, command) = saved.split_once(":= ")?;
    let command = command.split(';').next()?;
    if !command.contains("/usr/bin/rustc") {
        return None;
    }
    let words = command.split_whitespace().filter_map(|word| {
        if word == "/usr/bin/rustc" {
            Some(DRIVER.to_string())
        } else if word.starts_with("--emit=dep-info=") {
            None
        } else if word.starts_with("--emit=obj=") {
            Some(format!("--emit=metadata={}", output.display()))
        } else {
            Some(word.to_string())
        }
    });
    Some(words.collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiler_and_its_outputs_are_replaced() {
        let saved = "savedcmd_x.o := A=b /usr/bin/rustc -O --emit=dep-info=x.d \
                     --emit=obj=x.o x.rs; objtool x.o";
        assert_eq!(
            with_clippy(saved, Path::new("/o")).as_deref(),
            Some("A=b /usr/bin/clippy-driver -O --emit=metadata=/o x.rs")
        );
    }

    #[test]
    fn another_compiler_is_not_taken() {
        assert_eq!(
            with_clippy("savedcmd_x.o := gcc x.c", Path::new("/o")),
            None
        );
    }
}
