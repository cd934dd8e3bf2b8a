// SPDX-License-Identifier: GPL-2.0

//! The project's driver: from a checkout to a tested kernel.
//!
//! ```text
//! source -> tree (patches + overlay) -> config -> kbuild -> boot -> console, tap -> report
//! ```
//!
//! `make` is how it is called; `make help` lists what it does.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{bail, Context, Result};
use clap::{Parser, Subcommand};

mod apt;
mod bench;
mod boot;
mod clippy;
mod cmd;
mod config;
mod console;
mod demo;
mod frames;
mod guest;
mod kbuild;
mod kernel;
mod layout;
mod lint;
mod report;
mod rules;
mod series;
mod source;
mod tap;
mod test;
mod tree;
mod ui;

use kernel::Flavour;
use layout::Layout;
use report::Report;

/// Fetches, patches, builds, boots and tests the kernel.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// The checkout.
    #[arg(long, default_value = ".")]
    top: PathBuf,
    /// The cache directory.
    #[arg(long)]
    cache: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Build everything and play the documented session.
    Demo,
    /// Patch, configure and build the kernel.
    Kernel,
    /// The same with KASAN, lockdep, kmemleak and more.
    KernelDebug,
    /// Every test, or one guest test.
    Test {
        /// One guest test.
        #[arg(long)]
        name: Option<String>,
    },
    /// The guest tests on the debug kernel.
    TestDebug {
        /// One guest test.
        #[arg(long)]
        name: Option<String>,
    },
    /// The KUnit suites on user-mode Linux.
    Kunit,
    /// A shell in the guest.
    Shell,
    /// One command in the guest.
    Run {
        /// What the guest's shell runs.
        #[arg(long)]
        command: String,
        /// On the debug kernel.
        #[arg(long)]
        debug: bool,
    },
    /// Measure, by counting instructions.
    Bench {
        /// A user-space program to compare with.
        #[arg(long)]
        peer: Option<PathBuf>,
        /// Leave out what needs another kernel.
        #[arg(long)]
        quick: bool,
        /// Put the table and the picture into the documentation.
        #[arg(long, conflicts_with = "quick")]
        document: bool,
    },
    /// Check the sources.
    Lint,
    /// Format the sources.
    Fmt,
    /// Count lines and unsafe blocks.
    Stat,
}

fn main() -> ExitCode {
    let args = Args::parse();
    // Ctrl-C and TERM end what was started, QEMU included, before the driver ends.
    let _ = ctrlc::set_handler(|| {
        if let Ok(own) = i32::try_from(std::process::id()) {
            cmd::end_descendants(own);
        }
        std::process::exit(130);
    });
    match run(args) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("ckptdev: {error:#}.");
            ExitCode::FAILURE
        }
    }
}

fn run(args: Args) -> Result<bool> {
    let layout = Layout::new(&args.top, &args.cache)?;
    let _lock = lock(&layout, &args.action)?;
    let name = |name: Option<String>| name.filter(|n| !n.is_empty());
    match args.action {
        Action::Demo => demo::demo(&layout)?,
        Action::Kernel => {
            kernel::build(&layout, &kernel::prepare(&layout)?, Flavour::Plain)?;
        }
        Action::KernelDebug => {
            kernel::build(&layout, &kernel::prepare(&layout)?, Flavour::Debug)?;
        }
        Action::Test { name: n } => {
            return test::run(
                &layout,
                &test::Plan {
                    name: name(n).as_deref(),
                    flavour: Flavour::Plain,
                },
            );
        }
        Action::TestDebug { name: n } => {
            return test::run(
                &layout,
                &test::Plan {
                    name: name(n).as_deref(),
                    flavour: Flavour::Debug,
                },
            );
        }
        Action::Kunit => return kunit(&layout),
        Action::Shell => demo::shell(&layout)?,
        Action::Run { command, debug } => {
            let flavour = if debug {
                Flavour::Debug
            } else {
                Flavour::Plain
            };
            return demo::run(&layout, &command, flavour);
        }
        Action::Bench {
            peer,
            quick,
            document,
        } => {
            let plan = bench::Plan {
                peer: peer.as_deref(),
                quick,
                document,
            };
            return bench::run(&layout, &plan);
        }
        Action::Lint => lint::lint(&layout)?,
        Action::Fmt => lint::format(&layout)?,
        Action::Stat => lint::stat(&layout)?,
    }
    Ok(true)
}

fn kunit(layout: &Layout) -> Result<bool> {
    let uml = kernel::kunit(layout, &kernel::prepare(layout)?)?;
    let mut report = Report::default();
    uml.ktap
        .cases
        .into_iter()
        .for_each(|case| report.add("kunit on uml", case));
    if let Some(why) = uml.failure {
        report.fail("kunit on uml", "run", &why);
    }
    report.close(&layout.cache.join("logs/kunit.json"))
}

/// Two drivers in one cache would patch the same tree; the second one waits.
fn lock(layout: &Layout, action: &Action) -> Result<Option<std::fs::File>> {
    if matches!(action, Action::Fmt | Action::Stat) {
        return Ok(None);
    }
    let path = layout.cache.join("lock");
    let file =
        std::fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => {}
        Err(std::fs::TryLockError::WouldBlock) => {
            ui::say(format!(
                "another run uses {}; waiting for it to end; with another XDG_CACHE_HOME both run",
                layout.cache.display()
            ));
            file.lock()?;
        }
        Err(std::fs::TryLockError::Error(error)) => {
            bail!("cannot lock {}: {error}", path.display())
        }
    }
    Ok(Some(file))
}
