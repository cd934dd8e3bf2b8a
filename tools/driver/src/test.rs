// SPDX-License-Identifier: GPL-2.0

//! `test`: everything that is a test, in the order in which it is cheap.
//!
//! The guest is booted three times: for the documented session, as `make demo` does; for
//! the suites of KUnit and the guest programs; and to restart images that these left on the
//! host.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::boot::{Boot, End};
use crate::cmd::From;
use crate::kernel::{self, Flavour};
use crate::layout::Layout;
use crate::report::Report;
use crate::source::remove;
use crate::tap::{self, Case, Verdict};
use crate::ui::{say, Progress};
use crate::{cmd, config, demo, frames, guest};

/// The line that ends the output of `guest-run`.
const DONE: &str = "guest-run: done";

/// What to run.
pub struct Plan<'a> {
    /// One guest test instead of everything.
    pub name: Option<&'a str>,
    /// The kernel.
    pub flavour: Flavour,
}

/// Runs the plan; true if all is well.
pub fn run(layout: &Layout, plan: &Plan) -> Result<bool> {
    let mut report = Report::default();
    let everything = plan.name.is_none() && plan.flavour == Flavour::Plain;

    if everything {
        for (section, manifest) in [
            ("tools", "tools/Cargo.toml"),
            ("guest, on the host", "tests/guest/Cargo.toml"),
        ] {
            if let Err(error) = cargo(layout, &mut report, section, &layout.top.join(manifest)) {
                report.fail(section, "cargo test", &format!("{error:#}"));
            }
        }
    }
    let built = guest::build(layout);
    if let Err(error) = &built {
        report.fail("guest", "build", &format!("{error:#}"));
    }
    let tree = match kernel::prepare(layout) {
        Ok(tree) => tree,
        Err(error) => {
            report.fail("kernel", "source", &format!("{error:#}"));
            return report.close(&layout.cache.join("logs/test.json"));
        }
    };
    if everything {
        match kernel::kunit(layout, &tree) {
            Ok(uml) => {
                uml.ktap
                    .cases
                    .into_iter()
                    .for_each(|case| report.add("kunit on uml", case));
                if let Some(why) = uml.failure {
                    report.fail("kunit on uml", "run", &why);
                }
            }
            Err(error) => report.fail("kunit on uml", "build", &format!("{error:#}")),
        }
    }
    match kernel::build(layout, &tree, plan.flavour) {
        Ok((kbuild, image)) if built.is_ok() => {
            if everything {
                match frames::check(&kbuild) {
                    Ok(largest) => {
                        let case = Case::new("stack frames", Verdict::Pass, &largest);
                        report.add("kernel", case);
                    }
                    Err(error) => report.fail("kernel", "stack frames", &format!("{error:#}")),
                }
                session(layout, &mut report, &image);
            }
            let suites = plan.name.is_none() && config::is_on(&kbuild.out, "CONFIG_KUNIT");
            if let Err(error) = guest_tests(layout, &mut report, plan, &image, suites) {
                report.fail("guest", "run", &format!("{error:#}"));
            }
        }
        Ok(_) => {}
        Err(error) => report.fail("kernel", "build", &format!("{error:#}")),
    }
    report.close(&layout.cache.join("logs/test.json"))
}

/// The session of the 2008 document, line by line, in a boot of its own.
fn session(layout: &Layout, report: &mut Report, image: &Path) {
    let mut progress = Progress::start("playing the documented session", 0);
    match demo::play(layout, image, |line| progress.note(line)) {
        Ok(()) => report.add("demo", Case::new("session", Verdict::Pass, "")),
        Err(error) => report.fail("demo", "session", &format!("{error:#}")),
    }
    progress.finish("as `make demo` does");
}

/// The cargo tests of one workspace.
fn cargo(layout: &Layout, report: &mut Report, section: &str, manifest: &Path) -> Result<()> {
    if !manifest.exists() {
        return Ok(());
    }
    let log = layout.log(&format!("cargo-test-{}", section.replace([' ', ','], "-")));
    let mut progress = Progress::start(&format!("cargo test, {section}"), 0);
    let mut cases = Vec::new();
    let status = cmd::watch(
        Command::new("cargo")
            .args(["test", "--workspace", "--no-fail-fast", "--manifest-path"])
            .arg(manifest)
            .arg("--target-dir")
            .arg(layout.cache.join("tools-target")),
        &log,
        Some(Duration::from_secs(1800)),
        |_, line| {
            progress.note(line.trim());
            cases.extend(tap::cargo_line(line));
        },
    )?;
    progress.finish(&format!("{} tests", cases.len()));
    let failed = cases.iter().any(|case| case.verdict == Verdict::Fail);
    cases.into_iter().for_each(|case| report.add(section, case));
    if !failed && !status.is_some_and(|s| s.success()) {
        let why = if status.is_none() {
            "hung"
        } else {
            "failed without a failing test"
        };
        report.fail(
            section,
            "cargo test",
            &format!("{why}; see {}", log.display()),
        );
    }
    Ok(())
}

/// Both boots.
fn guest_tests(
    layout: &Layout,
    report: &mut Report,
    plan: &Plan,
    image: &Path,
    suites: bool,
) -> Result<()> {
    let debug = plan.flavour == Flavour::Debug;
    let flavour = if debug { "debug" } else { "x86_64" };
    let share = layout.guest_share(flavour);
    remove(&share)?;
    for phase in ["first", "reboot"] {
        let section = if phase == "first" {
            "guest"
        } else {
            "guest, after reboot"
        };
        let file = share.join(format!("tap-{phase}"));
        let name = plan
            .name
            .map(|n| format!(" --name '{}'", n.replace('\'', "")))
            .unwrap_or_default();
        let script = format!(
            "guest-run --dir {dir} --bin {bin} --phase {phase}{name} | tee {file}\n{leaks}",
            dir = share.display(),
            bin = layout.guest_bin().display(),
            file = file.display(),
            leaks = if debug { LEAKS } else { "" },
        );
        let suites = suites && phase == "first";
        let append = ["enable", "autorun"].map(|what| format!("kunit.{what}={}", u8::from(suites)));
        let boot_name = format!("{flavour}-{phase}");
        let boot = Boot {
            kernel: image,
            name: &boot_name,
            script: &script,
            share: &share,
            append: &append,
            limit: limit(debug),
            memory: if debug { "4G" } else { "2G" },
            exact: None,
        };
        let mut progress = Progress::start(&format!("booting {flavour}, phase {phase}"), 0);
        let mut seen = Tap::default();
        let outcome = boot.run(layout, |from, line| {
            if from == From::Out {
                seen.line(line);
            }
            progress.note(&seen.last());
        })?;
        progress.finish(&format!("{} results", seen.cases.len()));
        // What went through the file is whole even if the port lost a line.
        let mut whole = Tap::default();
        std::fs::read_to_string(&file)
            .unwrap_or_default()
            .lines()
            .for_each(|line| whole.line(line));
        // A report of leaks follows the tests and is not in the file.
        whole.leaks.clone_from(&seen.leaks);
        let tap = if whole.done { whole } else { seen };

        if suites {
            let missing = outcome.ktap.incomplete();
            if outcome.ktap.cases.is_empty() {
                report.fail(
                    "kunit at boot",
                    "run",
                    &format!("no test ran; see {}", outcome.log.display()),
                );
            }
            outcome
                .ktap
                .cases
                .into_iter()
                .for_each(|case| report.add("kunit at boot", case));
            if let Some(what) = missing {
                report.fail("kunit at boot", "run", &what);
            }
        }
        tap.judge(report, section, outcome.end, &outcome.log);
        for line in &outcome.begun_again {
            let detail = format!("trouble before the second CPU, booted again: {line}");
            report.add(section, Case::new("boot", Verdict::Skip, &detail));
        }
        if !outcome.trouble.is_empty() {
            say("the kernel's console reports:");
            outcome
                .trouble
                .iter()
                .take(20)
                .for_each(|line| say(format!("    {line}")));
            let detail = format!("{}; see {}", outcome.trouble[0], outcome.log.display());
            report.fail(section, "kernel console is clean", &detail);
        }
        if !matches!(outcome.end, End::Status(_)) || !tap_file_usable(&file) {
            break;
        }
    }
    Ok(())
}

/// Asks kmemleak twice: an object must look unreferenced for a while to be reported.
const LEAKS: &str = "if [ -e /sys/kernel/debug/kmemleak ]; then\n\
    for _ in 1 2; do sleep 6; echo scan > /sys/kernel/debug/kmemleak || echo 'kmemleak: it does not scan'; done\n\
    leaks=$(head -n 40 /sys/kernel/debug/kmemleak)\n\
    [ -z \"$leaks\" ] || printf 'kmemleak: %s\\n' \"$leaks\"\nfi\n";

fn tap_file_usable(file: &Path) -> bool {
    file.metadata().is_ok_and(|meta| meta.len() > 0)
}

/// How long a boot may take; CKPT_TIMEOUT (seconds) overrides. A program of the guest that hangs
/// is ended long before by a limit of its own: this one must not end a boot on a slow host.
pub fn limit(debug: bool) -> Duration {
    let given = std::env::var("CKPT_TIMEOUT")
        .ok()
        .and_then(|t| t.parse().ok());
    Duration::from_secs(given.unwrap_or(if debug { 10_800 } else { 4800 }))
}

/// The output of `guest-run`.
#[derive(Default)]
struct Tap {
    cases: Vec<Case>,
    plan: Option<usize>,
    done: bool,
    leaks: Vec<String>,
}

impl Tap {
    /// The last result, for the progress.
    fn last(&self) -> String {
        self.cases.last().map_or("booting".to_string(), |case| {
            format!("{} results, the last: {}", self.cases.len(), case.name)
        })
    }

    fn line(&mut self, line: &str) {
        let line = line.trim_end();
        if line == DONE {
            self.done = true;
        } else if let Some(leak) = line.strip_prefix("kmemleak: ") {
            self.leaks.push(leak.to_string());
        } else if let Some(plan) = tap::plan(line).filter(|_| !self.done) {
            self.plan = Some(plan);
        } else if let Some((0, case)) = tap::result(line) {
            self.cases.push(case);
        }
    }

    /// Adds the results, and a failure for everything that is not as agreed.
    fn judge(self, report: &mut Report, section: &str, end: End, log: &Path) {
        let count = self.cases.len();
        let good = self.cases.iter().all(|c| c.verdict != Verdict::Fail);
        self.cases
            .into_iter()
            .for_each(|case| report.add(section, case));
        let see = format!("see {}", log.display());
        if let Some(why) = end.failure() {
            report.fail(section, "run", &format!("{why}; {see}"));
        } else if !self.done {
            report.fail(
                section,
                "run",
                &format!("the guest ended before its tests did; {see}"),
            );
        } else if self.plan != Some(count) {
            let plan = self.plan.map_or("none".to_string(), |n| n.to_string());
            report.fail(
                section,
                "run",
                &format!("planned {plan}, reported {count}; {see}"),
            );
        } else if count == 0 && good && section == "guest" {
            report.fail(section, "run", &format!("no test ran; {see}"));
        }
        if let Some(leak) = self.leaks.first() {
            report.fail(
                section,
                "no memory leaked",
                &format!("kmemleak: {leak}; {see}"),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str, end: End) -> (usize, usize, usize) {
        let mut tap = Tap::default();
        text.lines().for_each(|line| tap.line(line));
        let mut report = Report::default();
        tap.judge(&mut report, "guest", end, Path::new("/log"));
        (
            report.count(Verdict::Pass),
            report.count(Verdict::Fail),
            report.count(Verdict::Skip),
        )
    }

    #[test]
    fn a_whole_run() {
        assert_eq!(
            judged(
                "ok 1 - a\nok 2 - b # SKIP x\n1..2\nguest-run: done\n",
                End::Status(0)
            ),
            (1, 0, 1)
        );
    }

    #[test]
    fn runs_that_are_not_whole() {
        assert_eq!(judged("ok 1 - a\n", End::Status(0)), (1, 1, 0));
        assert_eq!(judged("ok 1 - a\n", End::Hung), (1, 1, 0));
        assert_eq!(
            judged("ok 1 - a\n1..2\nguest-run: done\n", End::Status(0)),
            (1, 1, 0)
        );
        assert_eq!(judged("1..0\nguest-run: done\n", End::Status(0)), (0, 1, 0));
        assert_eq!(
            judged(
                "ok 1 - a\n1..1\nguest-run: done\nkmemleak: unreferenced object\n",
                End::Status(0)
            ),
            (1, 1, 0)
        );
    }
}
