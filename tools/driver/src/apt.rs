// SPDX-License-Identifier: GPL-2.0

//! Debian's kernel source package, through apt and without touching its configuration.
//!
//! The mirror and its key are those that the machine uses already. Lists and
//! archives go to a directory of our own; apt checks the signature and the hashes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::cmd;
use crate::ui::Progress;

/// The suite that carries 7.3 for Debian 12 and 13.
const SUITE: &str = "trixie-backports";
/// The package.
const PACKAGE: &str = "linux-source-7.3";
/// Where Debian installs its keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// One mirror as the machine's own sources name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mirror {
    /// Its address.
    pub uri: String,
    /// The key file that must have signed it, if the source names one.
    pub signed_by: Option<String>,
}

/// Downloads the package into `dir` and returns its file.
pub fn download(dir: &Path, log: &Path) -> Result<PathBuf> {
    for part in ["lists/partial", "cache/archives/partial", "etc"] {
        std::fs::create_dir_all(dir.join(part))?;
    }
    let mirror = machine_mirror().context(
        "no Debian mirror in /etc/apt; give the kernel with KERNEL_TARBALL=FILE or KERNEL_SRC=DIR",
    )?;
    let list = dir.join("etc/sources.list");
    std::fs::write(&list, source_line(&mirror))?;

    let mut progress = Progress::start("fetching the kernel source", 0);
    let update = ["update", "-q"];
    let fetch = ["download", "-q", PACKAGE];
    for step in [&update[..], &fetch[..]] {
        let mut last = String::new();
        let status = cmd::watch(
            Command::new("apt-get")
                .args(options(dir))
                .args(step)
                .current_dir(dir),
            log,
            None,
            |_, line| {
                progress.note(line);
                if line.starts_with("E:") || last.is_empty() {
                    last = line.to_string();
                }
            },
        )?;
        if !status.is_some_and(|s| s.success()) {
            progress.abandon();
            bail!(
                "apt-get {} of {PACKAGE} from {SUITE} failed ({last}); check the network, or give the \
                 kernel with KERNEL_TARBALL=FILE or KERNEL_SRC=DIR (log: {})",
                step[0],
                log.display()
            );
        }
    }
    let deb = newest_deb(dir)?;
    progress.finish("downloaded, hashes checked by apt");
    Ok(deb)
}

/// Options that keep apt away from the machine's own lists and caches.
fn options(dir: &Path) -> Vec<String> {
    let at = |part: &str| dir.join(part).display().to_string();
    [
        format!("Dir::Etc::sourcelist={}", at("etc/sources.list")),
        "Dir::Etc::sourceparts=/dev/null".to_string(),
        format!("Dir::State::lists={}", at("lists")),
        format!("Dir::Cache={}", at("cache")),
        "APT::Sandbox::User=root".to_string(),
        "Acquire::Languages=none".to_string(),
        "Acquire::Retries=3".to_string(),
    ]
    .iter()
    .flat_map(|option| ["-o".to_string(), option.clone()])
    .collect()
}

fn newest_deb(dir: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "deb") {
            found.push((path.metadata()?.modified()?, path));
        }
    }
    found.sort();
    match found.pop() {
        Some((_, path)) => Ok(path),
        None => bail!("apt-get downloaded no package into {}", dir.display()),
    }
}

/// The one line of our own sources list.
fn source_line(mirror: &Mirror) -> String {
    let key = mirror
        .signed_by
        .clone()
        .or_else(|| Path::new(KEYRING).exists().then(|| KEYRING.to_string()));
    let option = key.map(|k| format!("[signed-by={k}] ")).unwrap_or_default();
    format!("deb {option}{} {SUITE} main\n", mirror.uri)
}

/// The first Debian mirror in the machine's sources.
fn machine_mirror() -> Option<Mirror> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    let mut more: Vec<_> = std::fs::read_dir("/etc/apt/sources.list.d")
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .collect();
    more.sort();
    files.extend(more);
    files.iter().find_map(|file| {
        let text = std::fs::read_to_string(file).ok()?;
        match file.extension().and_then(|e| e.to_str()) {
            Some("sources") => deb822(&text),
            Some("list") => one_line(&text),
            _ => None,
        }
    })
}

/// A Debian archive and not one of its relatives or a third party.
fn is_debian(uri: &str, suites: &str) -> bool {
    let path = uri.trim_end_matches('/');
    let known = [
        "bookworm", "trixie", "stable", "testing", "sid", "unstable", "forky",
    ];
    path.ends_with("/debian")
        && suites
            .split_whitespace()
            .any(|s| known.iter().any(|k| s.starts_with(k)))
}

/// Parses the one-line format: `deb [options] URI SUITE COMPONENT...`.
fn one_line(text: &str) -> Option<Mirror> {
    text.lines().find_map(|line| {
        let rest = line.trim().strip_prefix("deb ")?.trim_start();
        let (options, rest) = match rest.strip_prefix('[') {
            Some(rest) => rest.split_once(']')?,
            None => ("", rest),
        };
        let mut words = rest.split_whitespace();
        let uri = words.next()?;
        if !is_debian(uri, words.next()?) {
            return None;
        }
        let key = options
            .split_whitespace()
            .find_map(|o| o.strip_prefix("signed-by="));
        Some(Mirror {
            uri: uri.to_string(),
            signed_by: key.map(str::to_string),
        })
    })
}

/// Parses the deb822 format: stanzas of `Field: value`.
fn deb822(text: &str) -> Option<Mirror> {
    text.split("\n\n").find_map(|stanza| {
        let field = |name: &str| {
            stanza.lines().find_map(|line| {
                let (key, value) = line.split_once(':')?;
                key.trim()
                    .eq_ignore_ascii_case(name)
                    .then(|| value.trim().to_string())
            })
        };
        if field("Enabled").is_some_and(|v| v.eq_ignore_ascii_case("no")) {
            return None;
        }
        let uris = field("URIs")?;
        let uri = uris.split_whitespace().next()?;
        if !field("Types")?.contains("deb") || !is_debian(uri, &field("Suites")?) {
            return None;
        }
        // A key may also be given inline; only a file can be named in our list.
        let key = field("Signed-By").filter(|k| k.starts_with('/'));
        Some(Mirror {
            uri: uri.to_string(),
            signed_by: key,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deb822_skips_security_and_disabled() {
        let text = "Types: deb\nURIs: http://m.example/debian-security\nSuites: bookworm-security\n\n\
                    Enabled: no\nTypes: deb\nURIs: http://off.example/debian\nSuites: bookworm\n\n\
                    # a comment\nTypes: deb deb-src\nURIs: http://m.example/debian\nSuites: bookworm bookworm-updates\n\
                    Signed-By: /usr/share/keyrings/k.gpg\n";
        let mirror = deb822(text).unwrap();
        assert_eq!(mirror.uri, "http://m.example/debian");
        assert_eq!(
            mirror.signed_by.as_deref(),
            Some("/usr/share/keyrings/k.gpg")
        );
    }

    #[test]
    fn one_line_with_options() {
        let text = "# deb http://no.example/debian bookworm main\n\
                    deb https://packages.example/apt stable main\n\
                    deb [arch=amd64 signed-by=/k.gpg] http://m.example/debian/ trixie main\n";
        let mirror = one_line(text).unwrap();
        assert_eq!(mirror.uri, "http://m.example/debian/");
        assert_eq!(mirror.signed_by.as_deref(), Some("/k.gpg"));
        assert!(source_line(&mirror)
            .starts_with("deb [signed-by=/k.gpg] http://m.example/debian/ trixie-"));
    }
}
