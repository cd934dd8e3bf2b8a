// SPDX-License-Identifier: GPL-2.0

//! From a checkout to a kernel that boots: source, tree, configuration, build.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{bail, Result};

use crate::console::{kernel_line, Scanner};
use crate::kbuild::{void_stamps, Kbuild};
use crate::layout::Layout;
use crate::tap::Ktap;
use crate::tree::Tree;
use crate::ui::{say, Progress};
use crate::{cmd, config, source};

/// Fetches if needed, patches and overlays.
pub fn prepare(layout: &Layout) -> Result<Tree> {
    let tree = source::provide(layout)?;
    let done = tree.compose(&layout.top)?;
    let unchanged = done.written == 0 && done.removed == 0;
    say(format!(
        "tree: {} patches, {} overlay files; {}",
        done.patches,
        done.overlay,
        if unchanged {
            "unchanged".to_string()
        } else {
            format!("{} files written, {} removed", done.written, done.removed)
        }
    ));
    // With a tree of the user's, files that are not ours may have changed as well.
    let followed = std::env::var("KERNEL_SRC").is_ok_and(|v| !v.is_empty());
    if !unchanged || followed {
        void_stamps(layout, &tree);
    }
    Ok(tree)
}

/// Which kernel to build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The plain one.
    Plain,
    /// With every checker on.
    Debug,
    /// The benchmark's: the plain one, without the feature.
    Without,
    /// The benchmark's: the plain one, with what a user-space peer needs.
    Peer,
}

/// Configures and builds a kernel for QEMU; returns the output directory and the image.
pub fn build(layout: &Layout, tree: &Tree, flavour: Flavour) -> Result<(Kbuild, PathBuf)> {
    let name = match flavour {
        Flavour::Plain => "x86_64",
        Flavour::Debug => "debug",
        Flavour::Without => "plain",
        Flavour::Peer => "peer",
    };
    let kbuild = Kbuild::new(layout, tree, name, "x86_64");
    let mut fragments = vec![layout.top.join(".config.fragment")];
    match flavour {
        Flavour::Plain => {}
        Flavour::Debug => fragments.push(layout.top.join("tests/debug.config")),
        Flavour::Without => fragments.push(layout.top.join("tools/bench/plain.config")),
        Flavour::Peer => fragments.push(layout.top.join("tools/bench/peer.config")),
    }
    config::make(layout, tree, &kbuild, &fragments)?;
    let image = kbuild.build(layout, tree, "bzImage", "arch/x86/boot/bzImage")?;
    Ok((kbuild, image))
}

/// What KUnit said on user-mode Linux.
pub struct Uml {
    /// The results.
    pub ktap: Ktap,
    /// Why the run as a whole failed, if it did.
    pub failure: Option<String>,
}

/// Builds user-mode Linux with the suites and runs it.
pub fn kunit(layout: &Layout, tree: &Tree) -> Result<Uml> {
    let kbuild = Kbuild::new(layout, tree, "uml", "um");
    let config_log = layout.log("config-uml");
    let mut configure = Command::new("/usr/bin/python3");
    configure
        .current_dir(&tree.root)
        .args([
            "tools/testing/kunit/kunit.py",
            "config",
            "--kunitconfig=checkpoint/.kunitconfig",
        ])
        .arg(format!("--build_dir={}", kbuild.out.display()));
    for variable in kbuild.variables() {
        configure.arg("--make_options").arg(variable);
    }
    std::fs::create_dir_all(&kbuild.out)?;
    let progress = Progress::start("configuring uml", 0);
    let status = cmd::watch(&mut configure, &config_log, None, |_, _| {})?;
    if !status.is_some_and(|s| s.success()) {
        progress.abandon();
        bail!(
            "user-mode Linux could not be configured; see {}",
            config_log.display()
        );
    }
    progress.finish("done");
    let linux = kbuild.build(layout, tree, "linux", "linux")?;

    let log = layout.log("kunit-uml");
    let mut ktap = Ktap::default();
    let mut scanner = Scanner::default();
    let status = cmd::watch(
        Command::new(&linux).args([
            "mem=512M",
            "console=tty",
            "kunit.enable=1",
            "kunit_shutdown=halt",
        ]),
        &log,
        Some(Duration::from_secs(300)),
        |_, line| {
            let text = kernel_line(line).unwrap_or(line);
            scanner.text(text);
            ktap.line(text);
        },
    )?;
    let failure = if status.is_none() {
        Some(format!(
            "it did not end within 5 minutes; see {}",
            log.display()
        ))
    } else if let Some(line) = scanner.found.first() {
        Some(format!("the kernel printed: {line}; see {}", log.display()))
    } else if ktap.cases.is_empty() {
        Some(format!("no test ran; see {}", log.display()))
    } else {
        ktap.incomplete()
            .map(|what| format!("{what}; see {}", log.display()))
    };
    Ok(Uml { ktap, failure })
}
