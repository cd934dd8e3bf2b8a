// SPDX-License-Identifier: GPL-2.0

//! CPU time of a program that does the job from user space, on the same worker.
//!
//! It waits for its children, and idle time makes the clock jump; so only the time
//! on the CPU is compared, its children's included.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::ensure;
use anyhow::Context;
use anyhow::Result;
use serde_json::json;

use crate::clock;
use crate::place::Place;
use crate::restart;
use crate::work;

const TURNS: usize = 5;
/// Bytes that the small process holds.
const SMALL: &str = "65536";
/// Looks at a worker's report, 20 ms apart.
const LOOKS: usize = 500;

/// Prints one line: dumps and restores of one small process.
pub fn run(place: &Place, program: &Path) -> Result<()> {
    let (mut dump, mut restore) = (Vec::new(), Vec::new());
    for turn in 0..=TURNS {
        let _ = std::fs::remove_file(place.dir.join("go"));
        let _ = std::fs::remove_file(place.dir.join(work::REPORT));
        let images = place.dir.join(format!("peer{turn}"));
        std::fs::create_dir(&images)?;
        let mut worker = place.start(&["memory", SMALL, "wait"])?;
        reports(place, "ready")?;
        let pid = worker.id().to_string();
        let saved = spent(program, &images, &["dump", "--tree", &pid, "--shell-job"]);
        // Killed by the dump; its number must be free for the restore.
        let _ = worker.kill();
        worker.wait()?;
        let saved = saved?;
        let restored = spent(
            program,
            &images,
            &["restore", "--restore-detached", "--shell-job"],
        )?;
        std::fs::write(place.dir.join("go"), "")?;
        reports(place, "intact")?;
        std::fs::remove_dir_all(&images)?;
        if turn != 0 {
            dump.push(saved);
            restore.push(restored);
        }
    }
    let own = place.work(&["memory", SMALL, &TURNS.to_string()])?;
    let own_restore: Vec<u64> = (0..TURNS)
        .map(|_| restart::once(place))
        .collect::<Result<_>>()?;
    println!(
        "{}",
        json!({"kind": "peer", "dump": dump, "restore": restore,
               "own_dump": own["save_cpu"], "own_restore": own_restore})
    );
    Ok(())
}

fn spent(program: &Path, images: &Path, words: &[&str]) -> Result<u64> {
    let before = clock::cpu(libc::RUSAGE_CHILDREN);
    let out = Command::new(program)
        .args(words)
        .arg("--images-dir")
        .arg(images)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        out.status.success(),
        "{} {}: {}: {}",
        program.display(),
        words.join(" "),
        out.status,
        String::from_utf8_lossy(&out.stderr)
            .trim()
            .replace('\n', "; ")
    );
    Ok(clock::cpu(libc::RUSAGE_CHILDREN).wrapping_sub(before))
}

fn reports(place: &Place, word: &str) -> Result<()> {
    for _ in 0..LOOKS {
        let report = std::fs::read_to_string(place.dir.join(work::REPORT)).unwrap_or_default();
        if report == word {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    anyhow::bail!("the worker did not report '{word}': {}", place.said())
}
