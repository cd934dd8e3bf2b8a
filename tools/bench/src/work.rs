// SPDX-License-Identifier: GPL-2.0

//! A worker: arranges its load, then takes turns between baseline and checkpoint.
//!
//! The same code runs on after a restart of its last image: it takes the time,
//! checks its load and leaves both in a file that it had open at the checkpoint.

use std::path::Path;

use anyhow::bail;
use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use ckpt_guest::life::c_path;
use ckpt_guest::sys;
use serde_json::json;

use crate::clock;
use crate::load::Load;
use crate::resident;

/// Name of the image.
pub const IMAGE: &str = "image";
/// Name of the file for what a restarted worker leaves: start, end, all is well.
pub const RESULT: &str = "result";
/// Name of the file for what a worker measured.
pub const REPORT: &str = "report";
/// Written to the result when the load was found intact.
pub const INTACT: u64 = 0x7461_6374;

/// `work KIND COUNT TURNS`, in the directory of the place.
pub fn main(words: &[&str]) -> Result<()> {
    let [kind, count, turns] = words else {
        bail!("work KIND COUNT TURNS");
    };
    let dir = std::env::current_dir()?;
    let load = Load::arrange(kind, count.parse()?, &dir)?;
    let result = clock::fresh(&c_path(&dir.join(RESULT)))?;
    if *turns == "wait" {
        return wait(&load, &dir);
    }
    measure(&load, &dir, result, turns.parse()?)
}

fn measure(load: &Load, dir: &Path, result: i32, turns: usize) -> Result<()> {
    let image = c_path(&dir.join(IMAGE));
    let (mut base, mut save, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    let resident = resident::unique_pages()?;
    // The first turn warms up and is dropped.
    for turn in 0..=turns {
        let plain = load.baseline(dir)?;
        let fd = clock::fresh(&image)?;
        let used = clock::cpu(libc::RUSAGE_SELF);
        let from = clock::now();
        let ret = sys::checkpoint(0, fd, sys::LOG, 2);
        let to = clock::now();
        let used = clock::cpu(libc::RUSAGE_SELF).wrapping_sub(used);
        match ret {
            Ok(0) => leave(load, result, to),
            Ok(_) if turn == 0 => {}
            Ok(_) => {
                base.push(plain);
                save.push(to.wrapping_sub(from));
                cpu.push(used);
            }
            Err(errno) => bail!("checkpoint: {errno}"),
        }
        sys::close(fd).ok().context("close")?;
    }
    ensure(load)?;
    let report = json!({
        "base": base,
        "save": save,
        "save_cpu": cpu,
        "image_bytes": std::fs::metadata(dir.join(IMAGE))?.len(),
        "resident_pages": resident,
    });
    std::fs::write(dir.join(REPORT), report.to_string())?;
    Ok(())
}

fn ensure(load: &Load) -> Result<()> {
    ensure!(
        load.intact(),
        "the load is not intact after its checkpoints"
    );
    Ok(())
}

/// The restarted worker's end.
fn leave(load: &Load, result: i32, time: u64) -> ! {
    let verdict = if load.intact() { INTACT } else { 0 };
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&time.to_le_bytes());
    bytes[8..].copy_from_slice(&verdict.to_le_bytes());
    let _ = sys::pwrite(result, &bytes, 8);
    sys::exit(i32::from(verdict != INTACT))
}

/// Waits to be saved by somebody else; goes on when there is a file `go`.
fn wait(load: &Load, dir: &Path) -> Result<()> {
    std::fs::write(dir.join(REPORT), "ready")?;
    while !dir.join("go").exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    ensure(load)?;
    std::fs::write(dir.join(REPORT), "intact")?;
    Ok(())
}
