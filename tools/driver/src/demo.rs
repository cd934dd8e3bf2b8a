// SPDX-License-Identifier: GPL-2.0

//! `demo` and `shell`: the guest for a person to look at.

use std::path::Path;
use std::time::Duration;

use anyhow::{bail, Result};

use crate::boot::{Boot, End};
use crate::cmd::From;
use crate::kernel::{self, Flavour};
use crate::layout::Layout;
use crate::source::remove;
use crate::ui::say;
use crate::{guest, test};

/// Plays the documented session in the guest and shows it.
pub fn demo(layout: &Layout) -> Result<()> {
    guest::samples(layout)?;
    let image = kernel(layout, Flavour::Plain)?;
    say("booting; the session of the 2008 document follows\n");
    play(layout, &image, |line| say(line))
}

/// Plays the documented session with this kernel; `show` gets what a person would see.
///
/// # Errors
///
/// A line was not as documented, or the kernel reports trouble.
pub fn play(layout: &Layout, kernel: &Path, mut show: impl FnMut(&str)) -> Result<()> {
    let script = layout.top.join("tests/demo.sh");
    let share = layout.guest_share("demo");
    remove(&share)?;
    let boot = Boot {
        kernel,
        name: "demo",
        script: &format!(
            "cd {}\nsh {} {}\n",
            share.display(),
            script.display(),
            layout.guest_bin().display()
        ),
        share: &share,
        append: &["kunit.enable=0".to_string()],
        limit: Duration::from_secs(300),
        memory: "2G",
        exact: None,
    };
    let mut last = String::new();
    let outcome = boot.run(layout, |from, line| {
        if from != From::Out {
            return;
        }
        show(line);
        if line.starts_with("demo:") {
            last = line.to_string();
        }
    })?;
    let log = outcome.log.display();
    if let Some(line) = outcome.trouble.first() {
        bail!("the kernel printed: {line}; see {log}");
    }
    match outcome.end {
        End::Status(0) if !last.is_empty() => Ok(()),
        End::Status(_) if last.is_empty() => {
            bail!("the session did not come to its end; see {log}")
        }
        End::Status(code) => bail!("the session was not as documented (status {code}); see {log}"),
        end => bail!("{}; see {log}", end.failure().unwrap_or_default()),
    }
}

/// Runs one command in the guest and shows what it prints; true if all is well.
pub fn run(layout: &Layout, command: &str, flavour: Flavour) -> Result<bool> {
    let image = ready(layout, flavour)?;
    let share = layout.guest_share("run");
    let boot = Boot {
        kernel: &image,
        name: "run",
        script: &format!("cd {}\n{command}\n", share.display()),
        share: &share,
        append: &["kunit.enable=0".to_string()],
        limit: test::limit(flavour == Flavour::Debug),
        memory: "4G",
        exact: None,
    };
    let outcome = boot.run(layout, |from, line| {
        if from == From::Out {
            say(line);
        }
    })?;
    for line in &outcome.trouble {
        say(format!("the kernel printed: {line}"));
    }
    say(format!("console: {}", outcome.log.display()));
    match outcome.end {
        End::Status(code) => Ok(code == 0 && outcome.trouble.is_empty()),
        end => bail!("{}", end.failure().unwrap_or_default()),
    }
}

/// A shell in the guest.
pub fn shell(layout: &Layout) -> Result<()> {
    let image = ready(layout, Flavour::Plain)?;
    let share = layout.guest_share("shell");
    say(format!(
        "{} is writable in the guest and stays; leave with ctrl-D",
        share.display()
    ));
    let boot = Boot {
        kernel: &image,
        name: "shell",
        script: &format!("cd {}\nPS1='guest# '\n", share.display()),
        share: &share,
        append: &["kunit.enable=0".to_string()],
        limit: Duration::ZERO,
        memory: "2G",
        exact: None,
    };
    boot.shell(layout)
}

fn ready(layout: &Layout, flavour: Flavour) -> Result<std::path::PathBuf> {
    guest::build(layout)?;
    kernel(layout, flavour)
}

fn kernel(layout: &Layout, flavour: Flavour) -> Result<std::path::PathBuf> {
    let tree = kernel::prepare(layout)?;
    let (_, image) = kernel::build(layout, &tree, flavour)?;
    if !Path::new(&image).exists() {
        bail!("no kernel image at {}", image.display());
    }
    Ok(image)
}
