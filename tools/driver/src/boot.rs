// SPDX-License-Identifier: GPL-2.0

//! Booting a kernel under virtme-ng: bounded, logged, its console read.
//!
//! The guest sees the host's root file system read-only at the same paths; one
//! directory of the host can be written and outlives the guest. The script's
//! standard output comes over a port of its own, ending with its status; the
//! kernel's console is what is left, on standard error.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{bail, Context, Result};

use crate::cmd::{self, From};
use crate::console::{kernel_line, Scanner};
use crate::layout::Layout;
use crate::tap::Ktap;
use crate::ui::say;

/// One boot.
pub struct Boot<'a> {
    /// The kernel image.
    pub kernel: &'a Path,
    /// Names the log and the script.
    pub name: &'a str,
    /// Shell commands that the guest runs as root.
    pub script: &'a str,
    /// A directory of the host that the guest may write.
    pub share: &'a Path,
    /// More of the kernel's command line.
    pub append: &'a [String],
    /// When the guest has hung.
    pub limit: Duration,
    /// The guest's memory, as QEMU takes it.
    pub memory: &'a str,
    /// One CPU of this model, and a clock that counts its instructions.
    pub exact: Option<&'a str>,
}

/// How a boot ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The script ran to its end, with this status.
    Status(i32),
    /// The guest ended before the script did.
    Died,
    /// Time ran out.
    Hung,
}

impl End {
    /// Why there are no results, if there are none.
    pub fn failure(self) -> Option<&'static str> {
        match self {
            End::Status(_) => None,
            End::Died => Some("the guest ended before the script did"),
            End::Hung => Some("the guest hung and was ended"),
        }
    }
}

/// What a boot showed.
pub struct Outcome {
    /// How it ended.
    pub end: End,
    /// Console lines that report trouble.
    pub trouble: Vec<String>,
    /// The same of boots that were begun again, one line of each.
    pub begun_again: Vec<String>,
    /// KUnit's results.
    pub ktap: Ktap,
    /// Everything, in the order it came.
    pub log: PathBuf,
}

impl Boot<'_> {
    /// Boots, runs the script, powers off. `each` gets the script's standard output as
    /// `From::Out`, and everything else as it comes.
    ///
    /// A boot in which the kernel reports trouble before its second CPU is up, that is
    /// before any code of this project, is ended and begun again, [`BOOTS`] times in all.
    pub fn run(&self, layout: &Layout, mut each: impl FnMut(From, &str)) -> Result<Outcome> {
        let mut begun_again = Vec::new();
        loop {
            let (mut outcome, stillborn) = self.once(layout, &mut each)?;
            match outcome.trouble.first() {
                Some(line) if stillborn && begun_again.len() + 1 < BOOTS => {
                    say(format!(
                        "the kernel was in trouble before its second CPU, booting again: {line}"
                    ));
                    begun_again.push(line.clone());
                }
                _ => {
                    outcome.begun_again = begun_again;
                    return Ok(outcome);
                }
            }
        }
    }

    /// One boot, and whether it was ended for trouble before its second CPU was up.
    fn once(&self, layout: &Layout, each: &mut impl FnMut(From, &str)) -> Result<(Outcome, bool)> {
        std::fs::create_dir_all(self.share)?;
        let body = self.share.join(format!("{}.sh", self.name));
        std::fs::write(&body, format!("{}{}", environment(layout)?, self.script))?;
        let starter = self.share.join("start.sh");
        std::fs::write(
            &starter,
            format!("{PORT}sh {}\necho \"{STATUS}$?\"\n", body.display()),
        )?;
        let log = layout.log(&format!("console-{}", self.name));

        let mut command = self.vng(layout);
        command
            .arg("--verbose")
            .arg("--exec")
            .arg(format!("sh {}", starter.display()));
        let mut scanner = Scanner::default();
        let mut ktap = Ktap::default();
        let mut code = None;
        let ended = cmd::watch_while(&mut command, &log, Some(self.limit), |from, line| {
            if from == From::Out {
                match line.trim_end().strip_prefix(STATUS) {
                    Some(number) => code = number.parse().ok(),
                    None => each(from, line.trim_end_matches('\r')),
                }
                return true;
            }
            if let Some(text) = kernel_line(line) {
                scanner.text(text);
                ktap.line(text);
            }
            each(from, line);
            !scanner.stillborn()
        })?;
        let stillborn = scanner.stillborn();
        let outcome = Outcome {
            end: match (ended, code) {
                (None, _) => End::Hung,
                (Some(_), None) => End::Died,
                (Some(_), Some(code)) => End::Status(code),
            },
            trouble: scanner.found,
            begun_again: Vec::new(),
            ktap,
            log,
        };
        Ok((outcome, stillborn))
    }

    /// Boots a shell for a person.
    pub fn shell(&self, layout: &Layout) -> Result<()> {
        std::fs::create_dir_all(self.share)?;
        let profile = self.share.join("profile.sh");
        std::fs::write(&profile, format!("{}{}", environment(layout)?, self.script))?;
        let starter = self.share.join("shell.sh");
        let text = format!("#!/bin/bash\nexec bash --rcfile {}\n", profile.display());
        std::fs::write(&starter, text)?;
        make_executable(&starter)?;
        let status = self
            .vng(layout)
            .arg("--shell")
            .arg(&starter)
            .stdin(Stdio::inherit())
            .status()
            .context("cannot run vng")?;
        if !status.success() {
            bail!("the guest's shell could not be started; a shell needs a terminal");
        }
        Ok(())
    }

    fn vng(&self, layout: &Layout) -> Command {
        let mut path = layout.cache.join("vng/bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let mut command = Command::new(layout.vng("vng"));
        command
            .env("PATH", path)
            .current_dir(self.share)
            .args([
                "--disable-kvm",
                "--force-9p",
                "--disable-monitor",
                "--user",
                "root",
            ])
            .args(["--cpus", if self.exact.is_some() { "1" } else { "2" }])
            .args(["--memory", self.memory])
            .arg(format!("--rwdir={}", self.share.display()));
        command.arg(match self.exact {
            Some(cpu) => format!("--qemu-opts=-cpu {cpu} -icount shift=0,sleep=off"),
            None => format!("--qemu-opts={FEW_EVENTS}"),
        });
        command.arg("--run").arg(self.kernel);
        for word in self.append {
            command.arg("--append").arg(word);
        }
        command
    }
}

/// Each of the guest's streams is a serial device with 31 ports as a rule, and each port has
/// two queues: QEMU's main loop polls hundreds of event descriptors, 700 times a second,
/// which takes one of two CPUs from the guest.
const FEW_EVENTS: &str =
    "-global virtio-serial-pci.max_ports=2 -global virtio-serial-pci.ioeventfd=off";

/// How often a kernel is booted whose first CPU alone gets into trouble.
const BOOTS: usize = 3;

/// Begins the script's last line of output.
const STATUS: &str = "guest-status: ";

/// Without udev in the guest, the port for standard output is there but nobody opens it.
const PORT: &str = "[ -e /dev/virtio-ports ] || for port in /sys/class/virtio-ports/*; do\n\
    read -r name <\"$port/name\"\n\
    [ \"$name\" = virtme.stdout ] && exec >/dev/${port##*/}\ndone\n";

/// What a script or a shell in the guest finds.
fn environment(layout: &Layout) -> Result<String> {
    let seed = seed(std::env::var("CKPT_SEED").ok())?;
    let full = match std::env::var_os("CKPT_FULL") {
        Some(_) => "export CKPT_FULL=1\n",
        None => "",
    };
    Ok(format!(
        "export PATH={}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         export HOME=/root LC_ALL=C.UTF-8\n\
         mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug 2>/dev/null\n\
         mountpoint -q /sys/kernel/tracing || mount -t tracefs none /sys/kernel/tracing 2>/dev/null\n\
         {seed}{full}",
        layout.guest_bin().display()
    ))
}

/// Hands the seed of the tests' chance on. They would take their own for one that is no
/// number.
fn seed(told: Option<String>) -> Result<String> {
    let Some(text) = told else {
        return Ok(String::new());
    };
    let seed: u64 = text
        .parse()
        .with_context(|| format!("CKPT_SEED is not a number: {text}"))?;
    Ok(format!("export CKPT_SEED={seed}\n"))
}

fn make_executable(path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_handed_on() {
        let seed = |text: &str| seed(Some(text.to_string()));
        assert_eq!(seed("12").unwrap(), "export CKPT_SEED=12\n");
        assert!(seed("").is_err());
        assert!(seed("1; reboot").is_err());
        assert_eq!(super::seed(None).unwrap(), "");
    }
}
