// SPDX-License-Identifier: GPL-2.0

//! Running one program: bounded, its output in a file.

use std::fs::File;
use std::fs::OpenOptions;
use std::io::Read;
use std::io::Seek;
use std::io::SeekFrom;
use std::os::unix::process::CommandExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::process::ExitStatus;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::check;
use ckpt_guest::sys;

/// How a program ended.
pub struct Run {
    /// `None` if its time ran out.
    status: Option<ExitStatus>,
    /// What it printed.
    pub output: String,
    /// How long it took.
    pub time: Duration,
}

/// Runs a command that writes to the end of the file `out`, at most `seconds`.
///
/// The descriptors of the command are files: an image can hold them. It gets a
/// process group of its own, which is killed as a whole.
pub fn run(mut command: Command, out: &Path, seconds: u64) -> Result<Run, String> {
    let error = |what: &str, e: std::io::Error| format!("{what} {}: {e}", out.display());
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(out)
        .map_err(|e| error("open", e))?;
    let from = log.metadata().map_err(|e| error("stat", e))?.len();
    let log2 = log.try_clone().map_err(|e| error("dup", e))?;
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::from(log))
        .stderr(Stdio::from(log2))
        .process_group(0)
        .spawn()
        .map_err(|e| format!("start {}: {e}", command.get_program().to_string_lossy()))?;
    let mut status = None;
    let mut pause = Duration::from_micros(500);
    while status.is_none() && start.elapsed() < Duration::from_secs(seconds) {
        status = child.try_wait().map_err(|e| error("wait for", e))?;
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
    let time = start.elapsed();
    kill_group(child.id());
    if status.is_none() {
        let _ = child.wait();
    }
    Ok(Run {
        status,
        output: tail(out, from).map_err(|e| error("read", e))?,
        time,
    })
}

fn kill_group(pid: u32) {
    let group = -(pid as isize);
    let _ = sys::plain(libc::SYS_kill, &[group as usize, libc::SIGKILL as usize]);
}

fn tail(path: &Path, from: u64) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(1 << 20).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl Run {
    /// Whether it did what it should.
    pub fn good(&self) -> bool {
        self.status.is_some_and(|s| s.success()) && !self.output.contains("FAILED:")
    }

    /// Whether SIGKILL has ended it within its time, and it had found nothing wrong.
    pub fn was_killed(&self) -> bool {
        let signal = self.status.and_then(|status| status.signal());
        signal == Some(libc::SIGKILL) && !self.output.contains("FAILED:")
    }

    /// Why it did not run, if it could not.
    pub fn skipped(&self) -> Option<String> {
        let code = self.status?.code()?;
        (code == i32::from(check::SKIP)).then(|| {
            let line = self.lines("skip: ").last();
            line.unwrap_or("no reason given").to_string()
        })
    }

    /// The rest of each line that starts with `prefix`.
    pub fn lines<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a str> {
        self.output
            .lines()
            .filter_map(move |l| l.strip_prefix(prefix))
    }

    /// The end, in words.
    pub fn ended(&self) -> String {
        match self.status {
            None => format!("its time of {} s is over", self.time.as_secs()),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("exit status {code}"),
                (None, signal) => format!("signal {}", signal.unwrap_or(0)),
            },
        }
    }

    /// Duration and remarks, for the result line.
    pub fn detail(&self) -> String {
        let mut text = format!("{} ms", self.time.as_millis());
        for remark in self.lines("detail: ") {
            text.push_str("; ");
            text.push_str(remark);
        }
        text
    }
}
