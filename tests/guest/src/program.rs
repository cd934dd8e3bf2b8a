// SPDX-License-Identifier: GPL-2.0

//! A test's own program, on a file system where everybody may open it.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

/// Tells that all is in memory.
const MOVED: &str = "CKPT_IN_MEMORY";

/// Goes on as a copy of the program in memory, with its libraries: a restart opens them,
/// and the disk of the machine is slow and lets no other user do so.
///
/// # Errors
///
/// When it cannot be copied or executed.
pub fn move_to_memory() -> Result<(), String> {
    if std::env::var_os(MOVED).is_some() {
        return Ok(());
    }
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let name = own.file_name().ok_or("the program has no name")?;
    let dir = &Path::new("/tmp").join(name).with_extension("program");
    let copy = |from: &Path| -> Result<PathBuf, String> {
        let to = dir.join(from.file_name().ok_or("a file has no name")?);
        std::fs::copy(from, &to).map_err(|e| format!("{}: {e}", from.display()))?;
        Ok(to)
    };
    std::fs::create_dir_all(dir).map_err(|e| e.to_string())?;
    std::env::set_current_dir("/tmp").map_err(|e| e.to_string())?;
    let maps = std::fs::read_to_string("/proc/self/maps").map_err(|e| e.to_string())?;
    let mut loader = None;
    for line in maps.lines() {
        let name = line.split_whitespace().nth(5).unwrap_or_default();
        if name.contains(".so") {
            let to = copy(Path::new(name))?;
            if name.contains("/ld-") {
                loader = Some(to);
            }
        }
    }
    let mut again = Command::new(loader.ok_or("there is no loader")?);
    again.arg("--library-path").arg(dir).arg(copy(&own)?);
    Err(again.env(MOVED, "1").exec().to_string())
}
