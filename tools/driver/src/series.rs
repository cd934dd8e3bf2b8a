// SPDX-License-Identifier: GPL-2.0

//! The patch series: what it touches, and what it may not do.
//!
//! A patch changes files that the kernel has. New files belong to the overlay,
//! where they can be read and reviewed as files.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use anyhow::{bail, Context, Result};

/// One patch.
#[derive(Debug)]
pub struct Patch {
    /// Its file name, as the series gives it.
    pub name: String,
    /// Its file.
    pub path: PathBuf,
    /// Files that it changes, with lines added and removed.
    pub files: BTreeMap<PathBuf, (usize, usize)>,
}

/// Reads `kernel-patches/series` and all patches in it.
pub fn read(dir: &Path) -> Result<Vec<Patch>> {
    let list = dir.join("series");
    let text = std::fs::read_to_string(&list)
        .with_context(|| format!("cannot read {}", list.display()))?;
    let mut patches = Vec::new();
    for name in names(&text) {
        let path = dir.join(name);
        let text = std::fs::read(&path)
            .with_context(|| format!("the series names {name}, which cannot be read"))?;
        let files =
            touched(&String::from_utf8_lossy(&text)).with_context(|| format!("patch {name}"))?;
        if files.is_empty() {
            bail!("patch {name} changes no file; remove it from the series");
        }
        patches.push(Patch {
            name: name.to_string(),
            path,
            files,
        });
    }
    Ok(patches)
}

/// The names in a series file; `#` starts a comment.
fn names(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or("").trim())
        .filter(|line| !line.is_empty())
}

/// Parses a unified diff. Hunks are counted out by their headers, so that a removed
/// line that begins with `--` is not taken for a file header.
pub fn touched(diff: &str) -> Result<BTreeMap<PathBuf, (usize, usize)>> {
    let mut files: BTreeMap<PathBuf, (usize, usize)> = BTreeMap::new();
    let mut current: Option<PathBuf> = None;
    let (mut old_left, mut new_left) = (0usize, 0usize);
    for line in diff.lines() {
        if old_left > 0 || new_left > 0 {
            let counts = current.as_ref().and_then(|path| files.get_mut(path));
            match (line.chars().next(), counts) {
                (Some('+'), Some(counts)) => {
                    new_left = new_left.saturating_sub(1);
                    counts.0 += 1;
                }
                (Some('-'), Some(counts)) => {
                    old_left = old_left.saturating_sub(1);
                    counts.1 += 1;
                }
                (Some('\\'), _) => {}
                _ => {
                    old_left = old_left.saturating_sub(1);
                    new_left = new_left.saturating_sub(1);
                }
            }
            continue;
        }
        if line.starts_with("new file mode") || line.starts_with("--- /dev/null") {
            bail!("it creates a file; new files belong to the overlay directories");
        }
        if line.starts_with("deleted file mode") || line.starts_with("+++ /dev/null") {
            bail!("it deletes a file");
        }
        if line.starts_with("rename from") || line.starts_with("GIT binary patch") {
            bail!("it renames a file or is binary");
        }
        if let Some(name) = line.strip_prefix("+++ ") {
            let name = name.split('\t').next().unwrap_or(name).trim();
            let path = PathBuf::from(name.strip_prefix("b/").unwrap_or(name));
            if path
                .components()
                .any(|c| !matches!(c, Component::Normal(_)))
            {
                bail!("it names the odd path {name}");
            }
            files.entry(path.clone()).or_default();
            current = Some(path);
        } else if let Some(header) = line.strip_prefix("@@ ") {
            (old_left, new_left) =
                hunk(header).with_context(|| format!("bad hunk header: {line}"))?;
        }
    }
    Ok(files)
}

/// The two line counts of `-a,b +c,d @@`.
fn hunk(header: &str) -> Option<(usize, usize)> {
    let mut words = header.split_whitespace();
    let count = |word: &str| match word.split_once(',') {
        Some((_, n)) => n.parse().ok(),
        None => Some(1),
    };
    Some((
        count(words.next()?.strip_prefix('-')?)?,
        count(words.next()?.strip_prefix('+')?)?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFF: &str =
        "From: x\nSubject: y\n---\n Kbuild | 2 ++\n\ndiff --git a/Kbuild b/Kbuild\n--- a/Kbuild\n\
                        +++ b/Kbuild\n@@ -1,2 +1,3 @@ text\n a\n+b\n--- c\n+d\n--\n2.47\n";

    #[test]
    fn lines_are_counted_by_hunk() {
        let files = touched(DIFF).unwrap();
        assert_eq!(files.get(Path::new("Kbuild")), Some(&(2, 1)));
        assert_eq!(files.len(), 1);
    }

    #[test]
    fn new_deleted_and_escaping_files_are_refused() {
        assert!(touched("new file mode 100644\n--- /dev/null\n+++ b/x\n").is_err());
        assert!(touched("--- a/x\n+++ /dev/null\n").is_err());
        assert!(touched("--- a/../x\n+++ b/../x\n").is_err());
    }

    #[test]
    fn series_has_comments() {
        let all: Vec<_> = names("# why\n0001-a.patch\n\n0002-b.patch # note\n").collect();
        assert_eq!(all, ["0001-a.patch", "0002-b.patch"]);
    }
}
