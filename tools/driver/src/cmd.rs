// SPDX-License-Identifier: GPL-2.0

//! Running other programs: logged, watched line by line, bounded in time.
//!
//! Children stay in the driver's process group, so ctrl-C reaches them. What is
//! bounded is ended with all its descendants, found through /proc, because QEMU
//! is a grandchild of a grandchild.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{channel, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{bail, Context, Result};
use nix::sys::signal::{kill, Signal};
use nix::unistd::Pid;

/// How long silence lasts before it is told.
const QUIET: Duration = Duration::from_secs(30);
/// Longest time of a command without a limit of its own: three hours.
const LONGEST: Duration = Duration::from_secs(3 * 3600);

/// Which of the two outputs a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
    /// Neither: nothing came for a while, and the line is empty.
    Quiet,
}

/// Runs a command to its end and returns its standard output; a failure is an error
/// that shows the last line of its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {name}; is it installed?"))?;
    if !out.status.success() {
        let text = String::from_utf8_lossy(&out.stderr);
        let last = text
            .lines()
            .rfind(|l| !l.trim().is_empty())
            .unwrap_or("no message");
        bail!("{name} failed ({}): {last}", out.status);
    }
    Ok(String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs a command, writes all its output to `log` and hands each line to `each`.
///
/// When the time of `limit` is over, or else a time that no step should take, the command
/// and its descendants are killed; the result is `None` then.
pub fn watch(
    command: &mut Command,
    log: &Path,
    limit: Option<Duration>,
    mut each: impl FnMut(From, &str),
) -> Result<Option<ExitStatus>> {
    watch_while(command, log, limit, |from, line| {
        each(from, line);
        true
    })
}

/// Like [`watch`], and ends the command, too, when `each` says false.
pub fn watch_while(
    command: &mut Command,
    log: &Path,
    limit: Option<Duration>,
    mut each: impl FnMut(From, &str) -> bool,
) -> Result<Option<ExitStatus>> {
    let name = command.get_program().to_string_lossy().into_owned();
    let mut file =
        File::create(log).with_context(|| format!("cannot write the log {}", log.display()))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}; is it installed?"))?;

    let (sender, lines) = channel();
    let out = child.stdout.take();
    let err = child.stderr.take();
    if let Some(out) = out {
        pump(From::Out, out, sender.clone());
    }
    if let Some(err) = err {
        pump(From::Err, err, sender);
    }

    let limit = limit.unwrap_or(LONGEST);
    let deadline = Instant::now() + limit;
    loop {
        let wait = deadline.saturating_duration_since(Instant::now());
        let go_on = match lines.recv_timeout(wait.min(QUIET)) {
            Ok((from, line)) => {
                writeln!(file, "{line}")?;
                each(from, &line)
            }
            Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => each(From::Quiet, ""),
        };
        let late = Instant::now() >= deadline;
        if !go_on || late {
            end_tree(&mut child);
            if late {
                writeln!(file, "ended after {} seconds", limit.as_secs())?;
            }
            return Ok(None);
        }
    }
    Ok(Some(child.wait()?))
}

/// Reads one pipe in a thread of its own. Bytes that are not UTF-8 are replaced.
fn pump(from: From, pipe: impl std::io::Read + Send + 'static, lines: Sender<(From, String)>) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(pipe);
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            match reader.read_until(b'\n', &mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let text = String::from_utf8_lossy(&bytes);
            let line = text.trim_end_matches(['\n', '\r']).to_string();
            if lines.send((from, line)).is_err() {
                return;
            }
        }
    });
}

/// Ends a child and everything below it.
fn end_tree(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        end_descendants(pid);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Kills all descendants of a process, deepest last, until none is left.
pub fn end_descendants(root: i32) {
    for _ in 0..20 {
        let below = descendants(root);
        if below.is_empty() {
            return;
        }
        for pid in below {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// All living descendants of `root`, as /proc shows them now.
fn descendants(root: i32) -> Vec<i32> {
    let mut pairs = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
        else {
            continue;
        };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
            continue;
        };
        if let Some((state, parent)) = stat_fields(&stat) {
            if state != 'Z' {
                pairs.push((pid, parent));
            }
        }
    }
    let mut found = vec![root];
    let mut at = 0;
    while let Some(&parent) = found.get(at) {
        found.extend(pairs.iter().filter(|p| p.1 == parent).map(|p| p.0));
        at += 1;
    }
    found.remove(0);
    found
}

/// State and parent out of a line of /proc/PID/stat; the name may hold anything.
fn stat_fields(stat: &str) -> Option<(char, i32)> {
    let rest = &stat[stat.rfind(')')? + 1..];
    let mut words = rest.split_whitespace();
    let state = words.next()?.chars().next()?;
    Some((state, words.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_with_a_strange_name() {
        assert_eq!(stat_fields("12 (a) b) S 7 12 12 0"), Some(('S', 7)));
        assert_eq!(stat_fields("nothing"), None);
    }

    #[test]
    fn lines_and_status_are_seen() {
        let dir = tempfile::tempdir().unwrap();
        let mut seen = Vec::new();
        let status = watch(
            Command::new("sh").args(["-c", "echo one; echo two >&2; exit 3"]),
            &dir.path().join("log"),
            None,
            |from, line| seen.push((from, line.to_string())),
        )
        .unwrap()
        .unwrap();
        assert_eq!(status.code(), Some(3));
        assert!(seen.contains(&(From::Out, "one".into())));
        assert!(seen.contains(&(From::Err, "two".into())));
    }

    #[test]
    fn a_hang_is_ended_with_its_children() {
        let dir = tempfile::tempdir().unwrap();
        let begun = Instant::now();
        let status = watch(
            Command::new("sh").args(["-c", "sh -c 'sleep 60' & wait"]),
            &dir.path().join("log"),
            Some(Duration::from_millis(300)),
            |_, _| {},
        )
        .unwrap();
        assert!(status.is_none());
        assert!(begun.elapsed() < Duration::from_secs(20));
        let log = std::fs::read_to_string(dir.path().join("log")).unwrap();
        assert_eq!(log, "ended after 0 seconds\n");
    }
}
