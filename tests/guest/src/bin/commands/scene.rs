// SPDX-License-Identifier: GPL-2.0

//! A shell that knows nothing of the commands, and the commands on another one.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::life;
use ckpt_guest::pace;

/// Counts until it may end; prints its pid as it knew it and as the kernel has it.
pub const SCRIPT: &str = "i=0; while [ ! -e finish ]; do i=$((i + 1)); done; \
                      read -r pid rest < /proc/self/stat; echo \"$$ $pid\"; exit 7";

/// The directory of a case.
pub struct Scene {
    /// Where the commands run.
    pub dir: PathBuf,
}

impl Scene {
    /// A fresh directory.
    pub fn new(name: &str) -> Self {
        // In memory, with everything that the program has open.
        let dir = std::env::temp_dir().join("commands").join(name);
        let _ = std::fs::remove_dir_all(&dir);
        let _ = std::fs::create_dir_all(&dir);
        Self { dir }
    }

    /// Starts the script, its output in the file `out`.
    pub fn start(&self) -> Result<Child, String> {
        let out = File::create(self.dir.join("out")).map_err(|e| e.to_string())?;
        self.start_on(Stdio::null(), out)
    }

    /// Starts the script with these descriptors.
    pub fn start_on(&self, input: impl Into<Stdio>, out: File) -> Result<Child, String> {
        self.start_script(SCRIPT, input, out)
    }

    /// Starts another script.
    pub fn start_script(
        &self,
        script: &str,
        input: impl Into<Stdio>,
        out: File,
    ) -> Result<Child, String> {
        let mut command = Command::new("/bin/bash");
        let script = format!(": > begun; {script}");
        command.args(["--norc", "-c", &script]);
        let mut child = self.start_command(command, input, out)?;
        if let Err(error) = self.until_begun("begun") {
            let _ = child.kill();
            let _ = child.wait();
            return Err(error);
        }
        Ok(child)
    }

    /// Waits until a script has made this file, which is removed.
    pub fn until_begun(&self, name: &str) -> Result<(), String> {
        let mark = self.dir.join(name);
        let begun = || std::fs::remove_file(&mark).is_ok();
        until(begun, "the script does not begin")
    }

    /// Starts another command.
    pub fn start_command(
        &self,
        mut command: Command,
        input: impl Into<Stdio>,
        out: File,
    ) -> Result<Child, String> {
        let err = out.try_clone().map_err(|e| e.to_string())?;
        command
            .env_clear()
            .current_dir(&self.dir)
            .stdin(input)
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .map_err(|e| format!("bash: {e}"))
    }

    /// Runs a command line, the commands on its path, and ends it if it hangs.
    pub fn shell(&self, line: &str) -> Result<Output, String> {
        let path = format!("{}:/usr/bin:/bin:/sbin", life::variable("CKPT_BIN"));
        Command::new("/usr/bin/timeout")
            .args(["-k", "5", &(30 * pace::factor()).to_string()])
            .args(["/bin/bash", "-o", "pipefail", "-c", line])
            .env("PATH", path)
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("bash: {e}"))
    }

    /// Runs a command line that ends with this status; what it says on standard error.
    pub fn succeeds(&self, line: &str, status: i32) -> Result<String, String> {
        let output = self.shell(line)?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.code() != Some(status) {
            return Err(format!("{line}: {}: {text}", output.status));
        }
        Ok(text)
    }

    /// Lets the script end.
    pub fn finish(&self) {
        let _ = std::fs::write(self.dir.join("finish"), "");
    }

    /// The two pids that the script prints at its end.
    pub fn pids(&self) -> Result<(i32, i32), String> {
        let start = Instant::now();
        loop {
            let text = std::fs::read_to_string(self.dir.join("out")).unwrap_or_default();
            let mut words = text.split_whitespace().map(str::parse);
            if let (Some(Ok(a)), Some(Ok(b))) = (words.next(), words.next()) {
                return Ok((a, b));
            }
            if start.elapsed() > Duration::from_secs(20 * pace::factor()) {
                return Err(format!("it has printed: {text}"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// Nothing is left behind by a case that fails.
impl Drop for Scene {
    fn drop(&mut self) {
        self.finish();
    }
}

/// Waits until something is so.
pub fn until(is_so: impl Fn() -> bool, otherwise: &str) -> Result<(), String> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > Duration::from_secs(20 * pace::factor()) {
            return Err(otherwise.to_string());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Is a process stopped by a signal?
pub fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
    stat.is_ok_and(|stat| stat.contains(") T "))
}

/// Waits until a process is stopped by a signal.
pub fn until_stopped(pid: u32) -> Result<(), String> {
    until(|| is_stopped(pid), "it does not stop")
}

/// How a child ends.
pub fn ended(mut child: Child) -> Result<String, String> {
    child
        .wait()
        .map(|s| s.to_string())
        .map_err(|e| e.to_string())
}
