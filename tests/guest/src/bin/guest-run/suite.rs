// SPDX-License-Identifier: GPL-2.0

//! The order of things: run, restart, judge.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use ckpt_guest::life;
use ckpt_guest::pace;

use crate::kmsg::Kmsg;
use crate::program;
use crate::program::Run;
use crate::table::Kind;
use crate::table::Test;
use crate::table::TESTS;
use crate::tap::Tap;

/// Before or after the guest's reboot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Programs run and are restarted.
    First,
    /// Images are restarted.
    Reboot,
}

/// A run of all tests, or of some.
pub struct Suite {
    dir: PathBuf,
    bin: PathBuf,
    phase: Phase,
    dry: bool,
    kmsg: Kmsg,
    /// The results.
    pub tap: Tap,
}

impl Suite {
    /// Nothing has run yet.
    pub fn new(dir: PathBuf, bin: PathBuf, phase: Phase, dry: bool) -> Self {
        Self {
            dir,
            bin,
            phase,
            dry,
            kmsg: Kmsg::open(),
            tap: Tap::default(),
        }
    }

    /// Runs the test of this name, or all.
    pub fn run(&mut self, name: Option<&str>) {
        let chosen: Vec<&Test> = TESTS
            .iter()
            .filter(|t| name.is_none_or(|names| has(names, t.name)))
            .collect();
        if chosen.is_empty() {
            let all: Vec<&str> = TESTS.iter().map(|t| t.name).collect();
            let name = name.unwrap_or("");
            self.tap
                .fail(name, "no such test", &[format!("tests: {}", all.join(" "))]);
        }
        for test in chosen {
            match (test.kind, self.phase) {
                (Kind::Cycle, Phase::First) => self.cycle(test),
                (Kind::Cycle, Phase::Reboot) => self.after_reboot(test),
                (Kind::Phases, _) | (Kind::Once, Phase::First) => self.once(test),
                (Kind::Once, Phase::Reboot) => {}
            }
        }
    }

    fn path(&self, test: &Test, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", test.name))
    }

    /// A program that checkpoints itself and goes on; then its image. Then one that is killed
    /// with the last byte of its image, which stays for after the reboot.
    fn cycle(&mut self, test: &Test) {
        for extension in ["img", "out", "rst", "log", "skip"] {
            let _ = std::fs::remove_file(self.path(test, extension));
        }
        let _ = std::fs::remove_dir_all(self.path(test, "d"));
        let run = self.program(test, false);
        let skipped = run.as_ref().ok().and_then(Run::skipped);
        if let Some(reason) = skipped {
            let _ = std::fs::write(self.path(test, "skip"), &reason);
            self.tap.skip(test.name, &reason);
            return;
        }
        self.judge(&format!("{}/resume", test.name), run, "");
        if self.dry {
            return;
        }
        self.restart(test, "restart");
        let _ = std::fs::remove_dir_all(self.path(test, "d"));
        match self.program(test, true) {
            Ok(run) if run.was_killed() => self.restart(test, "killed"),
            run => {
                let why = run.map_or_else(|why| why, |run| run.ended());
                let name = format!("{}/killed", test.name);
                self.tap
                    .fail(&name, &format!("it was to be killed: {why}"), &[]);
            }
        }
    }

    fn after_reboot(&mut self, test: &Test) {
        match std::fs::read_to_string(self.path(test, "skip")) {
            Ok(reason) => self.tap.skip(test.name, &reason),
            Err(_) => self.restart(test, "reboot"),
        }
    }

    /// A program of many cases.
    fn once(&mut self, test: &Test) {
        if self.dry {
            return self.tap.skip(test.name, "needs the system calls");
        }
        let _ = std::fs::remove_file(self.path(test, "out"));
        if self.phase == Phase::First {
            let _ = std::fs::remove_dir_all(self.path(test, "d"));
        }
        let run = self.program(test, false);
        let mut cases_failed = false;
        if let Ok(run) = &run {
            if let Some(reason) = run.skipped() {
                return self.tap.skip(test.name, &reason);
            }
            for line in run.lines("case ") {
                let (how, rest) = line.split_once(' ').unwrap_or((line, ""));
                let (case, remark) = rest.split_once(" # ").unwrap_or((rest, ""));
                let name = format!("{}/{}", test.name, case.trim_end_matches(" #"));
                match how {
                    "ok" => self.tap.pass(&name, remark),
                    "skip" => self.tap.skip(&name, remark),
                    _ => {
                        cases_failed = true;
                        self.tap.fail(&name, remark, &[]);
                    }
                }
            }
        }
        let trouble = self.kmsg.trouble();
        match run {
            // The cases have been reported, and nothing else is wrong.
            Ok(run) if cases_failed && trouble.is_empty() && run.ended() == "exit status 1" => {}
            run => self.judge_with(test.name, run, trouble, ""),
        }
    }

    fn program(&self, test: &Test, kill: bool) -> Result<Run, String> {
        let image = self.path(test, "img");
        let dir = self.path(test, "d");
        std::fs::create_dir_all(&dir).map_err(|e| format!("{}: {e}", dir.display()))?;
        let mut command = Command::new(self.bin.join(test.program));
        command
            .arg(&image)
            .stdin(Stdio::null())
            .current_dir(&dir)
            .env(life::IMAGE, &image)
            .env(life::DIR, &dir)
            .env(
                life::PHASE,
                match self.phase {
                    Phase::First => "first",
                    Phase::Reboot => "reboot",
                },
            )
            .env("CKPT_BIN", &self.bin);
        if self.dry {
            command.env(life::DRY, "1");
        }
        if kill {
            command.env(life::KILL, "1");
        }
        program::run(
            command,
            &self.path(test, "out"),
            test.seconds * pace::whole(),
        )
    }

    /// Restarts the image. The program writes where it wrote before.
    fn restart(&mut self, test: &Test, how: &str) {
        let name = format!("{}/{how}", test.name);
        let (image, out) = (self.path(test, "img"), self.path(test, "out"));
        let length = std::fs::metadata(&image).map_or(0, |m| m.len());
        let stdin = match File::open(&image) {
            Ok(file) if length > 0 => file,
            _ => return self.tap.fail(&name, "there is no image", &[]),
        };
        let before = std::fs::read_to_string(&out).unwrap_or_default();
        let mut command = Command::new(self.bin.join("restarter"));
        command.arg(self.path(test, "log")).stdin(stdin);
        let mut run = program::run(
            command,
            &self.path(test, "rst"),
            test.seconds * pace::whole(),
        );
        if let Ok(run) = &mut run {
            // The restarter's own words come first, then the program's.
            let after = std::fs::read_to_string(&out).unwrap_or_default();
            run.output
                .push_str(after.strip_prefix(&before).unwrap_or(&after));
        }
        self.judge(&name, run, &format!("{} KiB", length.div_ceil(1024)));
    }

    fn judge(&mut self, name: &str, run: Result<Run, String>, remark: &str) {
        let trouble = self.kmsg.trouble();
        self.judge_with(name, run, trouble, remark);
    }

    fn judge_with(
        &mut self,
        name: &str,
        run: Result<Run, String>,
        trouble: Vec<String>,
        remark: &str,
    ) {
        let run = match run {
            Ok(run) => run,
            Err(error) => return self.tap.fail(name, &error, &trouble),
        };
        if run.good() && trouble.is_empty() {
            let mark = if remark.is_empty() { "" } else { "; " };
            return self
                .tap
                .pass(name, &format!("{}{mark}{remark}", run.detail()));
        }
        let mut diagnostics = vec![run.output.clone()];
        diagnostics.extend(trouble.iter().map(|line| format!("kernel log: {line}")));
        let why = if trouble.is_empty() {
            let reason = run.lines("FAILED: ").next().unwrap_or("");
            format!("{} {reason}", run.ended())
        } else {
            format!("the kernel's log: {}", trouble[0])
        };
        self.tap.fail(name, why.trim(), &diagnostics);
    }
}

/// Is a test among these, which commas or spaces are between? A case stands for its test.
fn has(names: &str, test: &str) -> bool {
    names
        .split([',', ' '])
        .any(|name| name.split('/').next() == Some(test))
}
