// SPDX-License-Identifier: GPL-2.0

//! Kernel configurations: virtme-ng's minimum, then our fragments, then a check.
//!
//! Everything that is not asked for is off (`allnoconfig`), which is what keeps
//! the build short. An option that was asked for and did not come out is an error,
//! because a test that silently runs without it proves nothing.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::cmd;
use crate::kbuild::Kbuild;
use crate::layout::Layout;
use crate::source::fingerprint;
use crate::tree::{overlay_files, Tree};
use crate::ui::Progress;

/// Option name to value; an option that is off is absent.
type Options = BTreeMap<String, String>;

/// Makes `O=/.config` from the virtme minimum and `fragments`, unless it is up to date.
pub fn make(layout: &Layout, tree: &Tree, kbuild: &Kbuild, fragments: &[PathBuf]) -> Result<()> {
    let base = cmd::output(
        Command::new(layout.vng("virtme-configkernel")).args(["--allnoconfig", "--dry-run"]),
    )?;
    let mut text = base;
    for fragment in fragments {
        let part = std::fs::read_to_string(fragment).with_context(|| {
            format!(
                "cannot read the configuration fragment {}",
                fragment.display()
            )
        })?;
        text.push('\n');
        text.push_str(&part);
    }
    let stamp_file = kbuild.out.join(".ckptdev-config");
    let config = kbuild.out.join(".config");
    let stamp = format!(
        "{:016x}\n",
        fingerprint(&format!("{text}{}", kconfig_inputs(&layout.top)?))
    );
    if config.exists() && std::fs::read_to_string(&stamp_file).is_ok_and(|old| old == stamp) {
        return Ok(());
    }

    std::fs::create_dir_all(&kbuild.out)?;
    let progress = Progress::start(&format!("configuring {}", kbuild.flavour), 0);
    let all = kbuild.out.join(".ckptdev-allconfig");
    std::fs::write(&all, &text)?;
    // Written beside the old one, which stays if nothing changed: its time decides what is rebuilt.
    let fresh = kbuild.out.join(".ckptdev-newconfig");
    let log = layout.log(&format!("config-{}", kbuild.flavour));
    let status = cmd::watch(
        kbuild
            .make(tree)
            .env("KCONFIG_CONFIG", &fresh)
            .arg(format!("KCONFIG_ALLCONFIG={}", all.display()))
            .arg("allnoconfig"),
        &log,
        None,
        |_, _| {},
    )?;
    if !status.is_some_and(|s| s.success()) {
        progress.abandon();
        bail!("the kernel could not be configured; see {}", log.display());
    }
    let made = std::fs::read_to_string(&fresh)?;
    let wrong = unmet(fragments, &made)?;
    if !wrong.is_empty() {
        progress.abandon();
        bail!(
            "these options of the fragments did not come out as asked, probably because a dependency is \
             missing: {}",
            wrong.join(", ")
        );
    }
    if !std::fs::read_to_string(&config).is_ok_and(|old| old == made) {
        std::fs::rename(&fresh, &config)?;
    }
    std::fs::write(&stamp_file, stamp)?;
    progress.finish("done");
    Ok(())
}

/// Whatever else can change a configuration: the overlay's Kconfig files and the patches.
fn kconfig_inputs(top: &Path) -> Result<String> {
    let mut text = String::new();
    for (path, file) in overlay_files(top)? {
        if path
            .file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with("Kconfig"))
        {
            text.push_str(&std::fs::read_to_string(file)?);
        }
    }
    for patch in crate::series::read(&top.join("kernel-patches"))? {
        if patch.files.keys().any(|f| {
            f.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("Kconfig"))
        }) {
            text.push_str(&std::fs::read_to_string(&patch.path)?);
        }
    }
    Ok(text)
}

/// What the fragments ask for and the configuration does not have. Later fragments win.
fn unmet(fragments: &[PathBuf], made: &str) -> Result<Vec<String>> {
    let mut asked = Options::new();
    for fragment in fragments {
        asked.extend(parse(&std::fs::read_to_string(fragment)?, true));
    }
    Ok(difference(&asked, &parse(made, false)))
}

fn difference(asked: &Options, have: &Options) -> Vec<String> {
    asked
        .iter()
        .filter_map(|(name, want)| {
            let got = have.get(name).map_or("n", String::as_str);
            (got != want).then(|| format!("{name} (asked {want}, got {got})"))
        })
        .collect()
}

/// Parses `.config` syntax; with `keep_off`, options that are off are kept as `n`.
fn parse(text: &str, keep_off: bool) -> Options {
    let mut options = Options::new();
    for line in text.lines() {
        let line = line.trim();
        if let Some(name) = line
            .strip_prefix("# ")
            .and_then(|l| l.strip_suffix(" is not set"))
        {
            options.insert(name.to_string(), "n".to_string());
        } else if let Some((name, value)) = line
            .split_once('=')
            .filter(|(n, _)| n.starts_with("CONFIG_"))
        {
            // A fragment may explain an option on its own line; a string may hold a '#'.
            let value = if value.starts_with('"') {
                value
            } else {
                value.split('#').next().unwrap_or("")
            };
            options.insert(name.to_string(), value.trim().to_string());
        }
    }
    if !keep_off {
        options.retain(|_, value| value != "n");
    }
    options
}

/// Whether an option is on in a built configuration.
pub fn is_on(out: &Path, option: &str) -> bool {
    let text = std::fs::read_to_string(out.join(".config")).unwrap_or_default();
    parse(&text, false).get(option).is_some_and(|v| v == "y")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unmet_options_are_listed() {
        let asked = parse(
            "# why\nCONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"x#y\"\nCONFIG_D=y\n",
            true,
        );
        let have = parse(
            "CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=\"x#y\"\n# CONFIG_D is not set\n",
            false,
        );
        assert_eq!(
            difference(&asked, &have),
            ["CONFIG_B (asked n, got y)", "CONFIG_D (asked y, got n)"]
        );
    }
}
