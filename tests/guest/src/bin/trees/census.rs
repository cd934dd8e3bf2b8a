// SPDX-License-Identifier: GPL-2.0

//! What the machine holds: tasks, open files, memory. Compared before and after.

use std::collections::BTreeSet;
use std::fs::read_to_string;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::pace;

/// PF_KTHREAD in the flags of /proc/PID/stat.
const KERNEL_THREAD: u64 = 0x20_0000;

/// What is counted. Memory is in KiB.
#[derive(Clone, Debug)]
pub struct Census {
    /// Ids of processes and of their threads, but those of the kernel, whose workers
    /// come and go.
    tasks: BTreeSet<i32>,
    /// Open files of all kinds, of everybody.
    files: u64,
    /// Pages of shared memory, and of files in memory.
    shared: u64,
    /// Memory that is neither free nor could be, without the shared one.
    used: u64,
}

/// What may have come in between, and is no leak.
#[derive(Clone, Copy, Debug)]
pub struct Allowed {
    pub files: u64,
    pub shared: u64,
    pub used: u64,
}

/// The names in a directory that are numbers.
pub fn numbers(dir: &str) -> impl Iterator<Item = i32> {
    let names = std::fs::read_dir(dir).into_iter().flatten().flatten();
    names.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn is_of_the_kernel(pid: i32) -> bool {
    let stat = read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // Behind the name: state, parent, group, session, terminal, its group, flags.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let flags = behind.split_ascii_whitespace().nth(6);
    let flags = flags.and_then(|flags| flags.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & KERNEL_THREAD != 0)
}

/// All processes and threads, but those of the kernel.
fn tasks() -> BTreeSet<i32> {
    let users = numbers("/proc").filter(|pid| !is_of_the_kernel(*pid));
    users
        .flat_map(|pid| std::iter::once(pid).chain(numbers(&format!("/proc/{pid}/task"))))
        .collect()
}

/// How many there are, those of the kernel as well. Soon known.
pub fn tasks_of_all() -> u64 {
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let all = load.split_once('/').map_or("", |(_, behind)| behind);
    let all = all.split_ascii_whitespace().next();
    all.and_then(|all| all.parse().ok()).unwrap_or(0)
}

/// All processes, those of the kernel as well.
pub fn processes() -> BTreeSet<i32> {
    numbers("/proc").collect()
}

/// Who is there that was not before, but for workers of the kernel.
pub fn newcomers(before: &BTreeSet<i32>) -> Vec<i32> {
    let new = numbers("/proc").filter(|pid| !before.contains(pid));
    new.filter(|pid| !is_of_the_kernel(*pid)).collect()
}

/// Who they are, and what they do.
pub fn described<'a>(pids: impl IntoIterator<Item = &'a i32>) -> String {
    let tell = |pid: &i32| {
        let read = |what: &str| read_to_string(format!("/proc/{pid}/{what}"));
        format!(
            "{pid}: {} in {}",
            read("stat").unwrap_or_default().trim(),
            read("wchan").unwrap_or_default()
        )
    };
    let who: Vec<_> = pids.into_iter().map(tell).collect();
    who.join("; ")
}

/// The numbers behind a name, of all lines that have it.
fn sum(text: &str, name: &str) -> u64 {
    let lines = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix(name));
    lines
        .filter_map(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok())
        .sum()
}

impl Census {
    /// Counts.
    pub fn take() -> Self {
        // Brings the counters of the processors together.
        let _ = read_to_string("/proc/sys/vm/stat_refresh");
        let memory = read_to_string("/proc/meminfo").unwrap_or_default();
        let zones = read_to_string("/proc/zoneinfo").unwrap_or_default();
        let of = |name: &str| sum(&memory, name);
        let shared = of("Shmem:");
        // Free pages that the processors keep for themselves are not in MemFree.
        let kept = 4 * sum(&zones, "count:");
        let could_be = of("Buffers:") + of("Cached:") + of("SReclaimable:");
        let free = of("MemFree:") + kept + could_be - shared.min(could_be);
        let files = read_to_string("/proc/sys/fs/file-nr").unwrap_or_default();
        let files = files.split_ascii_whitespace().next();
        Self {
            tasks: tasks(),
            files: files.and_then(|files| files.parse().ok()).unwrap_or(0),
            shared,
            used: of("MemTotal:").saturating_sub(free + shared),
        }
    }

    /// What is there now and was not before, beyond what is allowed.
    fn excess(&self, allowed: Allowed) -> Option<String> {
        let now = Self::take();
        let mut all = Vec::new();
        if !now.tasks.is_subset(&self.tasks) {
            all.push(described(now.tasks.difference(&self.tasks)));
        }
        for (what, before, now, allowed) in [
            ("open files", self.files, now.files, allowed.files),
            (
                "KiB of shared memory",
                self.shared,
                now.shared,
                allowed.shared,
            ),
            ("KiB of other memory", self.used, now.used, allowed.used),
        ] {
            if now > before + allowed {
                all.push(format!("{now} {what}, {before} before"));
            }
        }
        (!all.is_empty()).then(|| all.join("; "))
    }

    /// All is as it was, now or some seconds later: files and memory are given back
    /// when nobody looks at them any more.
    pub fn again(&self, allowed: Allowed) -> Result<(), String> {
        let start = Instant::now();
        while let Some(more) = self.excess(allowed) {
            if start.elapsed() > Duration::from_secs(10 * pace::factor()) {
                return Err(format!("left behind: {more}"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Ok(())
    }

    /// How much more than before there is: files, shared and other memory.
    pub fn growth(&self) -> String {
        let now = Self::take();
        let more = |before: u64, now: u64| now as i64 - before as i64;
        format!(
            "{:+} files, {:+} KiB shared, {:+} KiB",
            more(self.files, now.files),
            more(self.shared, now.shared),
            more(self.used, now.used)
        )
    }
}
