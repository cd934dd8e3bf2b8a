// SPDX-License-Identifier: GPL-2.0

//! The kernel source: yours, your archive, or Debian's package.
//!
//! Whatever it is, the driver works on a copy below the cache. A tree that is
//! given with `KERNEL_SRC` is only read, and followed when it changes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::layout::Layout;
use crate::tree::Tree;
use crate::ui::Progress;
use crate::{apt, cmd};

/// The kernel that the patches are for.
pub const VERSION: &str = "7.3";

/// Finds or makes the working copy.
pub fn provide(layout: &Layout) -> Result<Tree> {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    match (variable("KERNEL_SRC"), variable("KERNEL_TARBALL")) {
        (Some(_), Some(_)) => bail!("KERNEL_SRC and KERNEL_TARBALL are both set; give one of them"),
        (Some(dir), None) => from_directory(layout, Path::new(&dir)),
        (None, Some(file)) => from_archive(layout, Path::new(&file)),
        (None, None) => from_debian(layout),
    }
}

/// A copy of the user's tree, brought up to date at each run.
fn from_directory(layout: &Layout, dir: &Path) -> Result<Tree> {
    let dir = dir
        .canonicalize()
        .with_context(|| format!("KERNEL_SRC={}: no such directory", dir.display()))?;
    check_version(&dir, "KERNEL_SRC")?;
    let tree = Tree::at(
        layout
            .sources()
            .join(format!("dir-{:016x}", fingerprint(&dir.to_string_lossy()))),
    );
    let fresh = !tree.root.exists();
    std::fs::create_dir_all(&tree.root)?;

    // What the patches or the overlay changed in the copy must survive the copying.
    let list = tree.state.join("exclude");
    std::fs::create_dir_all(&tree.state)?;
    let own: Vec<String> = tree
        .own_files()?
        .iter()
        .map(|p| format!("/{}\n", p.display()))
        .collect();
    std::fs::write(&list, own.concat())?;
    let progress = Progress::start(
        if fresh {
            "copying KERNEL_SRC"
        } else {
            "comparing with KERNEL_SRC"
        },
        0,
    );
    cmd::output(
        Command::new("rsync")
            .args([
                "-a",
                "--delete",
                "--exclude=/.git",
                "--exclude=*.o",
                "--exclude=*.cmd",
                "--exclude=*.a",
            ])
            .args([
                "--exclude=/.config",
                "--exclude=/include/config",
                "--exclude=/include/generated",
            ])
            .args(["--exclude=/arch/*/include/generated", "--exclude=/vmlinux*"])
            .arg(format!("--exclude-from={}", list.display()))
            .arg(format!("{}/", dir.display()))
            .arg(format!("{}/", tree.root.display())),
    )?;
    tree.refresh_pristine(&dir)?;
    progress.finish(&tree.root.display().to_string());
    Ok(tree)
}

/// A kernel.org archive, unpacked once.
fn from_archive(layout: &Layout, file: &Path) -> Result<Tree> {
    let file = file
        .canonicalize()
        .with_context(|| format!("KERNEL_TARBALL={}: no such file", file.display()))?;
    let meta = file.metadata()?;
    let id = fingerprint(&format!(
        "{} {} {:?}",
        file.display(),
        meta.len(),
        meta.modified()?
    ));
    let tree = Tree::at(layout.sources().join(format!("archive-{id:016x}")));
    if !tree.root.exists() {
        unpack(&file, &tree.root, "KERNEL_TARBALL")?;
    }
    Ok(tree)
}

/// Debian's package; the newest one that was downloaded before, if any.
fn from_debian(layout: &Layout) -> Result<Tree> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(layout.sources())
        .into_iter()
        .flatten()
        .flatten()
    {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with("debian-") && entry.path().join("Makefile").exists() {
            found.push((entry.metadata()?.modified()?, entry.path()));
        }
    }
    found.sort();
    if let Some((_, root)) = found.pop() {
        return Ok(Tree::at(root));
    }

    let work = layout.cache.join("apt");
    let deb = apt::download(&work, &layout.log("apt"))?;
    let unpacked = work.join("unpacked");
    remove(&unpacked)?;
    cmd::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&unpacked))?;
    let archive = find_archive(&unpacked.join("usr/src"))?;
    let version = cmd::output(Command::new("dpkg-deb").arg("-f").arg(&deb).arg("Version"))?;
    let plain: String = version
        .trim()
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' {
                c
            } else {
                '-'
            }
        })
        .collect();
    let tree = Tree::at(layout.sources().join(format!("debian-{plain}")));
    unpack(&archive, &tree.root, "Debian's package")?;
    remove(&unpacked)?;
    std::fs::remove_file(&deb)?;
    Ok(tree)
}

fn find_archive(dir: &Path) -> Result<PathBuf> {
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.to_string_lossy().contains(".tar.") {
            return Ok(path);
        }
    }
    bail!(
        "the kernel source package holds no archive in {}",
        dir.display()
    )
}

/// Unpacks beside the place and renames, so that an interrupted run leaves no half tree.
fn unpack(archive: &Path, to: &Path, what: &str) -> Result<()> {
    let mut name = std::ffi::OsString::from("part-");
    name.push(to.file_name().unwrap_or_default());
    let part = to.with_file_name(name);
    remove(&part)?;
    std::fs::create_dir_all(&part)?;
    let progress = Progress::start("unpacking the kernel source", 0);
    let done = cmd::output(
        Command::new("tar")
            .arg("-xf")
            .arg(archive)
            .arg("-C")
            .arg(&part)
            .arg("--strip-components=1"),
    )
    .with_context(|| format!("{what}: {} cannot be unpacked", archive.display()))
    .and_then(|_| check_version(&part, what));
    if let Err(error) = done {
        progress.abandon();
        remove(&part)?;
        return Err(error);
    }
    std::fs::rename(&part, to)?;
    progress.finish(&to.display().to_string());
    Ok(())
}

/// Accepts any 7.3.y.
fn check_version(dir: &Path, what: &str) -> Result<()> {
    let makefile = std::fs::read_to_string(dir.join("Makefile")).with_context(|| {
        format!(
            "{what}: {} is no kernel source (no Makefile)",
            dir.display()
        )
    })?;
    let version = version_of(&makefile);
    if version
        .as_deref()
        .is_some_and(|v| v == VERSION || v.starts_with(&format!("{VERSION}.")))
    {
        return Ok(());
    }
    bail!(
        "{what} is Linux {}, but the patches are for {VERSION}.y; give a {VERSION}.y source",
        version.as_deref().unwrap_or("of no known version")
    )
}

/// VERSION.PATCHLEVEL.SUBLEVEL as the kernel's Makefile states them.
fn version_of(makefile: &str) -> Option<String> {
    let field = |name: &str| {
        makefile.lines().take(20).find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then(|| value.trim().to_string())
        })
    };
    Some(format!(
        "{}.{}.{}",
        field("VERSION")?,
        field("PATCHLEVEL")?,
        field("SUBLEVEL")?
    ))
}

/// Removes a directory that may not be there.
pub fn remove(dir: &Path) -> Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", dir.display()))
        }
        _ => Ok(()),
    }
}

/// A short name for a text (FNV-1a). Names and stamps only: nothing depends on its strength.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn version_is_read_from_the_makefile() {
        let text = "# SPDX\nVERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 4\nEXTRAVERSION =\n";
        assert_eq!(version_of(text).as_deref(), Some("7.3.4"));
        assert_eq!(version_of("all:\n"), None);
    }

    #[test]
    fn other_versions_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(dir.path().join("Makefile"), text).unwrap();
        write("VERSION = 7\nPATCHLEVEL = 30\nSUBLEVEL = 0\n");
        assert!(check_version(dir.path(), "x").is_err());
        write("VERSION = 7\nPATCHLEVEL = 3\nSUBLEVEL = 0\n");
        assert!(check_version(dir.path(), "x").is_ok());
    }
}
