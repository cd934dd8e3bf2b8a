// SPDX-License-Identifier: GPL-2.0

//! Where everything lives: the checkout, and the cache directory outside of it.
//!
//! The checkout is only read. Sources, build output, logs and guest binaries
//! are below the cache directory, so a clean clone on a warm machine finds them.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The two roots of all paths.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The checkout of this project.
    pub top: PathBuf,
    /// The cache directory, normally `~/.cache/checkpoint-linux`.
    pub cache: PathBuf,
}

impl Layout {
    /// Makes both roots absolute and creates the directories that are always there.
    pub fn new(top: &Path, cache: &Path) -> Result<Self> {
        std::fs::create_dir_all(cache.join("logs")).with_context(|| {
            format!(
                "cannot create {}; set XDG_CACHE_HOME to a directory of yours",
                cache.display()
            )
        })?;
        Ok(Layout {
            top: top.canonicalize()?,
            cache: cache.canonicalize()?,
        })
    }

    /// The log file `name`, below the cache.
    pub fn log(&self, name: &str) -> PathBuf {
        self.cache.join("logs").join(format!("{name}.log"))
    }

    /// Small files that remember what was done: stamps and counts.
    pub fn state(&self, name: &str) -> PathBuf {
        self.cache.join("state").join(name)
    }

    /// The directory of kernel sources, one directory per source.
    pub fn sources(&self) -> PathBuf {
        self.cache.join("src")
    }

    /// The output directory (`O=`) of one kernel flavour built from one source.
    pub fn build(&self, source: &str, flavour: &str) -> PathBuf {
        self.cache.join("build").join(source).join(flavour)
    }

    /// All programs that the guest runs.
    pub fn guest_bin(&self) -> PathBuf {
        self.cache.join("guest-bin")
    }

    /// A host directory that the guest may write, kept over a reboot of the guest.
    pub fn guest_share(&self, name: &str) -> PathBuf {
        self.cache.join("guest-share").join(name)
    }

    /// virtme-ng's runner.
    pub fn vng(&self, program: &str) -> PathBuf {
        self.cache.join("vng/bin").join(program)
    }

    /// The bindgen that the kernel build uses.
    pub fn bindgen(&self) -> PathBuf {
        self.cache.join("bin/bindgen")
    }
}
