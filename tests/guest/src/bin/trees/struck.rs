// SPDX-License-Identifier: GPL-2.0

//! Callers of restart(2) that wait for the rest of an image: what becomes of them when
//! somebody kills a task that they have made, and what their own memory counts for.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::format;
use ckpt_guest::image::spans;
use ckpt_guest::life;
use ckpt_guest::mem::Map;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;

use crate::census::described;
use crate::census::newcomers;
use crate::census::processes;
use crate::stress::complete;
use crate::stress::small;
use crate::stress::Body;

/// Processes of [`small`] beside the first one.
const CHILDREN: usize = 4;
/// The least number of images that are given in part, up to where tasks are in it.
const PLACES: usize = 6;

/// A caller that has got a part of an image, and is waiting for the rest.
struct Waiting<'a> {
    pid: i32,
    /// Where the rest is to go.
    pipe: i32,
    rest: &'a [u8],
}

impl<'a> Waiting<'a> {
    fn new(
        bytes: &'a [u8],
        place: usize,
        log: &Path,
        begin: impl FnOnce() -> Result<(), String>,
    ) -> Result<Self, String> {
        let ends = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
        let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_TRUNC;
        let log = sys::open(&life::c_path(log), flags, 0o644).map_err(|e| format!("log: {e}"))?;
        let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if pid == 0 {
            let _ = sys::close(ends[1]);
            if let Err(why) = begin() {
                println!("{why}");
            }
            sys::exit(sys::restart(0, ends[0], sys::LOG, log).0);
        }
        let _ = (sys::close(ends[0]), sys::close(log));
        let (part, rest) = bytes.split_at(place);
        let waiting = Self {
            pid,
            pipe: ends[1],
            rest,
        };
        waiting.give(part)?;
        let start = Instant::now();
        while sys::unread(waiting.pipe) != Ok(0) {
            if start.elapsed() > Duration::from_secs(10 * pace::factor()) {
                return Err("it does not take the image".to_string());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        // It has taken the last bytes, and does with them what it can.
        std::thread::sleep(Duration::from_millis(20 * pace::factor()));
        Ok(waiting)
    }

    fn give(&self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let wrote = sys::write(self.pipe, bytes).map_err(|e| format!("write: {e}"))?;
            bytes = bytes.get(wrote..).unwrap_or_default();
        }
        Ok(())
    }

    /// It gets the rest, unless it has failed already.
    fn ends(self) -> Ended {
        let _ = self.give(self.rest);
        let _ = sys::close(self.pipe);
        sys::wait_for(self.pid, 20)
    }
}

/// Where in an image the caller waits: behind the tree, on the way, and before the trailer.
fn places(bytes: &[u8]) -> Result<Vec<usize>, String> {
    let spans = spans(bytes)?;
    let mut tree = spans.iter().filter(|span| span.kind == format::TREE);
    let first = tree.next_back().ok_or("no tree")?.all.end;
    let last = spans.last().ok_or("no trailer")?.all.start;
    // In each process: behind its record.
    let tasks = spans.iter().filter(|span| span.kind == format::TASK);
    let tasks = tasks.map(|span| span.all.end);
    let places: Vec<_> = [first, last].into_iter().chain(tasks).collect();
    if places.len() < PLACES {
        return Err(format!("{} places", places.len()));
    }
    Ok(places)
}

/// Whatever any of them is doing: the caller says so and lives, and nobody is left.
fn new_task_killed() -> Case {
    let scene = Scene::new("tree-new-task-killed");
    let victim = complete(&scene, small)?;
    let image = victim.checkpoint("image", 0)?;
    victim.ends_well(900)?;
    let bytes = std::fs::read(&image).map_err(|e| e.to_string())?;
    let log = scene.dir.join("log");
    let mut count = 0;
    for place in places(&bytes)? {
        for child in 0..CHILDREN {
            let what = format!("child {child}, {place} of {} bytes", bytes.len());
            let before = processes();
            let caller = Waiting::new(&bytes, place, &log, || Ok(()))?;
            let born = || {
                let mut born = newcomers(&before);
                born.retain(|pid| *pid != caller.pid);
                born
            };
            let start = Instant::now();
            let limit = Duration::from_secs(10 * pace::factor());
            while born().len() < CHILDREN && start.elapsed() < limit {
                std::thread::sleep(Duration::from_millis(1));
            }
            let mut born = born();
            born.sort_unstable();
            if born.len() != CHILDREN {
                return Err(format!("{what}: there are {}", described(&born)));
            }
            let _ = sys::plain(
                libc::SYS_kill,
                &[born[child] as usize, libc::SIGKILL as usize],
            );
            // The signal has been seen when the rest comes.
            std::thread::sleep(Duration::from_millis(10 * pace::factor()));
            let ended = caller.ends();
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            if ended != Ended::Exit(libc::ESRCH) || !said.contains("a new task was killed") {
                return Err(format!("{what}: {ended:?}: {said}"));
            }
            let left = newcomers(&before);
            if !left.is_empty() {
                return Err(format!("{what}: still there: {}", described(&left)));
            }
            count += 1;
        }
    }
    scene.restart(&image, 900)?;
    pass_with(format!("{count} tasks"))
}

/// How likely the OOM killer takes a process.
fn oom_score(pid: &str) -> Result<i32, String> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score"));
    let text = text.map_err(|e| format!("oom_score: {e}"))?;
    text.trim().parse().map_err(|e| format!("oom_score: {e}"))
}

/// Memory of a caller that others would notice.
const MUCH: usize = 256 << 20;

/// A caller that keeps its memory for the way back is as large as it was.
fn old_memory_counts() -> Case {
    let scene = Scene::new("tree-old-memory");
    let victim = complete(&scene, small)?;
    let image = victim.checkpoint("image", 0)?;
    victim.ends_well(900)?;
    let bytes = std::fs::read(&image).map_err(|e| e.to_string())?;
    let place = *places(&bytes)?.get(1).ok_or("no place")?;
    let told = scene.dir.join("score");
    let begin = || {
        let map = Map::anon(MUCH).map_err(|e| format!("mmap: {e}"))?;
        (0..map.pages()).for_each(|page| map.fill_page(page, 1));
        std::fs::write(&told, oom_score("self")?.to_string()).map_err(|e| format!("score: {e}"))
    };
    let caller = Waiting::new(&bytes, place, &scene.dir.join("log"), begin)?;
    let during = oom_score(&caller.pid.to_string())?;
    let ended = caller.ends();
    let before = std::fs::read_to_string(&told).map_err(|e| format!("score: {e}"))?;
    let before: i32 = before.parse().map_err(|e| format!("score: {e}"))?;
    if ended != Ended::Exit(0) {
        return Err(format!("restarted: {ended:?}; {}", scene.said()));
    }
    // Those who have as good as nothing.
    let nothing = oom_score("self")?;
    if before < nothing + 10 || during < before - 2 {
        return Err(format!("{before}, then {during}; without it {nothing}"));
    }
    pass_with(format!("{before}, then {during}; without it {nothing}"))
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("new-task-killed", new_task_killed),
    ("old-memory-counts", old_memory_counts),
];
