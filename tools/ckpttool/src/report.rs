// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Messages: lines on standard error, and the same lines with their times in a log file.

use std::fmt::Display;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use crate::date;
use crate::plain;

/// Where messages go.
#[derive(Debug)]
pub struct Report {
    tool: &'static str,
    log: Option<File>,
}

impl Report {
    /// Messages of `tool`, which also go to the end of the file `log`.
    ///
    /// # Errors
    ///
    /// Those of opening the file. It is created if need be, for the owner only.
    pub fn new(tool: &'static str, log: Option<&Path>) -> io::Result<Self> {
        let open = |path| {
            OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)
        };
        Ok(Self {
            tool,
            log: log.map(open).transpose()?,
        })
    }

    /// Writes one line, behind the name of the tool.
    ///
    /// What is in the name of a file is made [`plain`].
    pub fn say(&self, text: impl Display) {
        self.line(&plain(&format!("{}: {text}", self.tool)));
    }

    /// Writes the lines that the kernel has put into its log, and says whether
    /// there were any.
    ///
    /// The kernel begins them with the name of the call, which is the tool's.
    pub fn kernel(&self, log: &[u8]) -> bool {
        let text = String::from_utf8_lossy(log);
        let mut any = false;
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            any = true;
            // What is in a path must not drive the terminal.
            let line = line.replace(char::is_control, "?");
            match line.strip_prefix(self.tool) {
                Some(rest) if rest.starts_with(": ") => self.line(&plain(&line)),
                _ => self.say(line),
            }
        }
        any
    }

    fn line(&self, line: &str) {
        // A message that nobody can read is no further error.
        let _ = writeln!(io::stderr(), "{line}");
        if let Some(mut log) = self.log.as_ref() {
            // In one piece: others may write to the same file.
            let _ = log.write_all(format!("{} {line}\n", now()).as_bytes());
        }
    }
}

/// The time, as RFC 3339 has it.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let [year, month, day, hour, minute, second] = date(since.unwrap_or_default().as_secs());
    format!("{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn lines_are_appended_with_the_name_of_the_tool_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        for _ in 0..2 {
            let report = Report::new("restart", Some(&path)).unwrap();
            report.say(format_args!("number {}", 1));
            assert!(report.kernel(b"restart: pid 2: no\x1b (errno 3)\nelse\n\n"));
            report.say("/tmp/\x1b[2J\n: no");
            assert!(!report.kernel(b""));
        }
        let once = "restart: number 1\nrestart: pid 2: no? (errno 3)\nrestart: else\n\
                    restart: /tmp/\\u{1b}[2J\\n: no\n";
        let mut lines = String::new();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let (time, line) = line.split_once(' ').unwrap();
            assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
            lines += &format!("{line}\n");
        }
        assert_eq!(lines, once.repeat(2));
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(Report::new("restart", Some(dir.path())).is_err());
    }
}
