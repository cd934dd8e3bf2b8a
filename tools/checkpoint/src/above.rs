// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Whether the process to be saved is above this program.
//!
//! Then this program would be in the image itself, with the unfinished file that it
//! writes to, and its restarted copy would find no such file any more.

use std::fs;

use nix::unistd::getpid;

/// More processes are not above each other; ids that change meanwhile could make a circle.
const MOST: usize = 4096;

/// Is `pid` this process, or one above it, or a thread of such a one? Without procfs nobody
/// knows: no.
pub fn is_above(pid: i32) -> bool {
    // It may be that of another PID namespace, in which the numbers are others.
    let own = fs::read_link("/proc/self").ok();
    if own.is_none_or(|own| own.as_os_str() != getpid().to_string().as_str()) {
        return false;
    }
    let target = process_of(pid).unwrap_or(pid);
    let mut at = getpid().as_raw();
    for _ in 0..MOST {
        if at == target {
            return true;
        }
        match parent_of(at) {
            // The parent is outside of the namespace, or there is none.
            None | Some(0) => return false,
            Some(parent) => at = parent,
        }
    }
    false
}

/// The process that a thread is of.
fn process_of(thread: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?;
    line.trim().parse().ok()
}

/// The parent of a process; its name in parentheses may hold anything.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;
    use std::process::Stdio;

    #[test]
    fn parents_and_this_process_are_above_and_children_are_not() {
        let own = getpid().as_raw();
        assert!(is_above(own));
        assert!(is_above(nix::unistd::getppid().as_raw()));
        assert!(is_above(nix::unistd::gettid().as_raw()));
        assert_eq!(parent_of(own), Some(nix::unistd::getppid().as_raw()));
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        assert!(!is_above(child.id() as i32));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!is_above(i32::MAX));
    }
}
