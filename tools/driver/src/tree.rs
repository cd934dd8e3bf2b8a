// SPDX-License-Identifier: GPL-2.0

//! The working copy of the kernel: pristine source + patches + overlay.
//!
//! The wanted content of every file is computed first, in memory and in a staging
//! directory; only then are files written, and only those that differ. So a patch
//! that fails leaves the tree as it was, and make rebuilds only what changed.
//!
//! Invariant: a kernel file is changed only after its pristine copy was kept, and
//! an overlay file is written only after its name was noted. A run that is
//! interrupted anywhere is therefore repaired by the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{bail, Context, Result};

use crate::series::{self, Patch};
use crate::source::remove;

/// Directories of the checkout that are laid over the kernel tree.
const OVERLAY: [&str; 7] = [
    "checkpoint",
    "arch",
    "include",
    "Documentation",
    "mm",
    "fs",
    "kernel",
];

/// A working copy.
pub struct Tree {
    /// The kernel source that is built.
    pub root: PathBuf,
    /// What the driver remembers about it.
    pub state: PathBuf,
}

/// What `Tree::compose` did.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Composed {
    /// Files written or restored.
    pub written: usize,
    /// Overlay files that are gone.
    pub removed: usize,
    /// Patches in the series.
    pub patches: usize,
    /// Files in the overlay.
    pub overlay: usize,
}

impl Tree {
    /// The tree at `root`, whether or not it exists yet.
    pub fn at(root: PathBuf) -> Self {
        let mut state = root.clone().into_os_string();
        state.push(".state");
        Tree {
            root,
            state: state.into(),
        }
    }

    /// The name of this source, for build directories.
    pub fn id(&self) -> String {
        self.root
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default()
    }

    /// Files that the driver may have changed or added.
    pub fn own_files(&self) -> Result<BTreeSet<PathBuf>> {
        let mut own = self.kept()?;
        own.extend(self.noted()?);
        Ok(own)
    }

    /// Takes newer originals of changed files from `from`, where the tree was copied from.
    pub fn refresh_pristine(&self, from: &Path) -> Result<()> {
        for path in self.kept()? {
            match std::fs::read(from.join(&path)) {
                Ok(data) => write_if_new(&self.pristine(&path), &data, None).map(|_| ())?,
                Err(_) => std::fs::remove_file(self.pristine(&path))?,
            }
        }
        Ok(())
    }

    /// Brings the tree to: pristine source, all patches of `top`, all overlay files of `top`.
    pub fn compose(&self, top: &Path) -> Result<Composed> {
        let patches = series::read(&top.join("kernel-patches"))?;
        let overlay = overlay_files(top)?;
        let noted = self.noted()?;

        let touched: BTreeSet<&PathBuf> = patches.iter().flat_map(|p| p.files.keys()).collect();
        for patch in &patches {
            for path in patch.files.keys() {
                self.keep(path, &noted)
                    .with_context(|| format!("patch {}", patch.name))?;
            }
        }
        for path in overlay.keys() {
            let in_kernel = self.pristine(path).exists()
                || (self.root.join(path).exists() && !noted.contains(path));
            if in_kernel {
                bail!(
                    "the overlay's {} is a file that the kernel has; change it by a patch in kernel-patches/",
                    path.display()
                );
            }
        }

        let patched = self.stage(&patches, &touched)?;

        // From here on everything is known to fit; nothing below depends on the input.
        let mut all = noted.clone();
        all.extend(overlay.keys().cloned());
        self.note(&all)?;
        let mut done = Composed {
            patches: patches.len(),
            overlay: overlay.len(),
            ..Composed::default()
        };
        for (path, data) in &patched {
            done.written += usize::from(write_if_new(
                &self.root.join(path),
                data,
                Some(&self.pristine(path)),
            )?);
        }
        for (path, from) in &overlay {
            let data = std::fs::read(from)?;
            done.written += usize::from(write_if_new(&self.root.join(path), &data, Some(from))?);
        }
        for path in noted.iter().filter(|path| !overlay.contains_key(*path)) {
            done.removed += usize::from(std::fs::remove_file(self.root.join(path)).is_ok());
            // Directories that the overlay made and that are empty now.
            let mut dir = path.parent();
            while let Some(at) = dir.filter(|d| !d.as_os_str().is_empty()) {
                if std::fs::remove_dir(self.root.join(at)).is_err() {
                    break;
                }
                dir = at.parent();
            }
        }
        self.note(&overlay.into_keys().collect())?;
        Ok(done)
    }

    /// Applies the series to pristine copies and returns the content of all files ever kept.
    fn stage(
        &self,
        patches: &[Patch],
        touched: &BTreeSet<&PathBuf>,
    ) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
        let stage = self.state.join("stage");
        remove(&stage)?;
        let kept = self.kept()?;
        for path in &kept {
            let to = stage.join(path);
            std::fs::create_dir_all(to.parent().unwrap_or(&stage))?;
            std::fs::copy(self.pristine(path), &to)?;
        }
        for patch in patches {
            let out = Command::new("patch")
                .args([
                    "-p1",
                    "--fuzz=0",
                    "--batch",
                    "--no-backup-if-mismatch",
                    "--reject-file=-",
                ])
                .arg("-i")
                .arg(&patch.path)
                .current_dir(&stage)
                .output()
                .context("cannot run patch; is it installed?")?;
            if !out.status.success() {
                let text = String::from_utf8_lossy(&out.stdout);
                let why = text
                    .lines()
                    .find(|l| l.contains("FAILED") || l.contains("malformed"));
                remove(&stage)?;
                bail!(
                    "patch {} does not apply ({}); the tree was left as it was",
                    patch.name,
                    why.or(text.lines().last()).unwrap_or("no message").trim()
                );
            }
        }
        let mut wanted = BTreeMap::new();
        for path in kept {
            let from = if touched.contains(&path) {
                stage.join(&path)
            } else {
                self.pristine(&path)
            };
            let data = std::fs::read(from)?;
            wanted.insert(path, data);
        }
        remove(&stage)?;
        Ok(wanted)
    }

    fn pristine(&self, path: &Path) -> PathBuf {
        self.state.join("pristine").join(path)
    }

    /// Keeps the original of a kernel file that a patch is about to change.
    fn keep(&self, path: &Path, noted: &BTreeSet<PathBuf>) -> Result<()> {
        let copy = self.pristine(path);
        if copy.exists() {
            return Ok(());
        }
        let file = self.root.join(path);
        if !file.is_file() || noted.contains(path) {
            bail!(
                "it changes {}, which this kernel does not have",
                path.display()
            );
        }
        let data = std::fs::read(&file)?;
        write_if_new(&copy, &data, Some(&file)).map(|_| ())
    }

    /// Files whose originals are kept.
    fn kept(&self) -> Result<BTreeSet<PathBuf>> {
        let root = self.state.join("pristine");
        let mut files = BTreeSet::new();
        walk(&root, &root, &mut |path, _| {
            files.insert(path);
        })?;
        Ok(files)
    }

    fn noted(&self) -> Result<BTreeSet<PathBuf>> {
        let text = std::fs::read_to_string(self.state.join("overlay")).unwrap_or_default();
        Ok(text.lines().map(PathBuf::from).collect())
    }

    fn note(&self, files: &BTreeSet<PathBuf>) -> Result<()> {
        let text: String = files.iter().map(|p| format!("{}\n", p.display())).collect();
        write_if_new(&self.state.join("overlay"), text.as_bytes(), None).map(|_| ())
    }
}

/// The overlay of a checkout: path in the kernel tree, file in the checkout.
pub fn overlay_files(top: &Path) -> Result<BTreeMap<PathBuf, PathBuf>> {
    let mut files = BTreeMap::new();
    for dir in OVERLAY {
        walk(top, &top.join(dir), &mut |path, from| {
            files.insert(path, from);
        })?;
    }
    Ok(files)
}

/// Visits all files below `dir`, with their path relative to `base`; leftovers of editors and builds are passed over.
pub fn walk(base: &Path, dir: &Path, each: &mut impl FnMut(PathBuf, PathBuf)) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return Ok(());
    };
    for entry in entries {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if path.is_dir() {
            walk(base, &path, each)?;
        } else if !["~", ".orig", ".rej", ".swp", ".o", ".cmd"]
            .iter()
            .any(|end| name.ends_with(end))
        {
            each(path.strip_prefix(base)?.to_path_buf(), path.clone());
        }
    }
    Ok(())
}

/// Writes a file, by way of a neighbour, unless it has this content already.
fn write_if_new(path: &Path, data: &[u8], mode_of: Option<&Path>) -> Result<bool> {
    if std::fs::read(path).is_ok_and(|old| old == data) {
        return Ok(false);
    }
    let dir = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut part = path.as_os_str().to_os_string();
    part.push(".ckptdev-part");
    let part = PathBuf::from(part);
    std::fs::write(&part, data).with_context(|| format!("cannot write {}", path.display()))?;
    if let Some(meta) = mode_of.and_then(|from| from.metadata().ok()) {
        std::fs::set_permissions(&part, meta.permissions())?;
    }
    std::fs::rename(&part, path)?;
    Ok(true)
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
