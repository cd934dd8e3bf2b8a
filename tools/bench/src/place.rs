// SPDX-License-Identifier: GPL-2.0

//! A tmpfs with everything that a worker needs.
//!
//! The guest's root is a file system of the host: each open of a file there waits
//! for the host, and idle time makes the clock jump. So the program, the libraries
//! and all files are copied, and the loader is told to use the copies.

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use ckpt_guest::life::c_path;

/// The directory, mounted; unmounted with the guest.
pub struct Place {
    /// Its path.
    pub dir: PathBuf,
    loader: PathBuf,
}

impl Place {
    /// Mounts a new tmpfs and copies the program and its libraries.
    pub fn new(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let target = c_path(dir);
        // SAFETY: all arguments are C strings.
        let ret = unsafe {
            libc::mount(
                c"none".as_ptr(),
                target.as_ptr(),
                c"tmpfs".as_ptr(),
                libc::MS_NOSUID,
                c"size=1g,huge=never".as_ptr().cast(),
            )
        };
        ensure!(ret == 0, "tmpfs: {}", std::io::Error::last_os_error());
        // The same addresses in every run, for workers too, which inherit it.
        // SAFETY: it concerns programs that are started later.
        unsafe { libc::personality(libc::ADDR_NO_RANDOMIZE as libc::c_ulong) };
        raise_limit();
        let mut loader = None;
        for path in own_libraries()? {
            let name = path.file_name().context("a library without a name")?;
            let copy = dir.join(name);
            std::fs::copy(&path, &copy)?;
            if name.as_bytes().starts_with(b"ld-") {
                loader = Some(copy);
            }
        }
        std::fs::copy(std::env::current_exe()?, dir.join("ckpt-bench"))?;
        Ok(Self {
            dir: dir.to_path_buf(),
            loader: loader.context("the program has no loader")?,
        })
    }

    /// Starts a worker whose every file is in the place.
    pub fn start(&self, words: &[&str]) -> Result<Child> {
        let said = File::create(self.dir.join("said"))?;
        let mut command = Command::new(&self.loader);
        // SAFETY: between fork and exec: a system call without memory.
        unsafe {
            command.pre_exec(|| {
                // The guest's console, which the peer cannot save.
                libc::close_range(3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC as i32);
                Ok(())
            })
        };
        command
            .env_clear()
            .arg("--library-path")
            .arg(&self.dir)
            .arg(self.dir.join("ckpt-bench"))
            .arg("work")
            .args(words)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .spawn()
            .context("cannot start a worker")
    }

    /// Runs a worker to its end and returns what it printed.
    pub fn output(&self, words: &[&str]) -> Result<String> {
        let status = self.start(words)?.wait()?;
        ensure!(
            status.success(),
            "worker {}: {status}: {}",
            words.join(" "),
            self.said()
        );
        Ok(std::fs::read_to_string(self.dir.join("said"))?)
    }

    /// Runs a worker that measures and returns its report.
    pub fn work(&self, words: &[&str]) -> Result<serde_json::Value> {
        self.output(words)?;
        let report = std::fs::read_to_string(self.dir.join(crate::work::REPORT))?;
        Ok(serde_json::from_str(&report)?)
    }

    /// What the last worker or restart printed.
    pub fn said(&self) -> String {
        let text = std::fs::read_to_string(self.dir.join("said")).unwrap_or_default();
        text.trim().replace('\n', "; ")
    }
}

/// Room for descriptors, here and, inherited, in workers and in those who restart them.
fn raise_limit() {
    let limit = libc::rlimit {
        rlim_cur: 8192,
        rlim_max: 8192,
    };
    // SAFETY: the kernel reads `limit`.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) };
}

/// Libraries and loader of this program.
fn own_libraries() -> Result<Vec<PathBuf>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let mut found: Vec<PathBuf> = maps
        .lines()
        .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
        .filter(|path| path.as_os_str().as_bytes().windows(3).any(|w| w == b".so"))
        .collect();
    found.dedup();
    Ok(found)
}
