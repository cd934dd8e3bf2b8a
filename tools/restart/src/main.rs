// SPDX-License-Identifier: GPL-2.0
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

//! Brings a process back from its image.
//!
//! ```text
//! args -> image:  the process id in its head; a feeder when it is a pipe
//!         handover: what the feeder changes, with --inherit
//!         gauge:  how far the kernel is, on a terminal
//!         launch: a child with that id calls restart(2) and is the process
//!         clocks: with --timens, the namespace that shows those of the image
//!         init:   with --pidns, the process between this tool and the child
//!         wait:   with --wait, until the process ends
//! ```

mod args;
mod clocks;
mod feed;
mod gauge;
mod group;
mod handover;
mod image;
mod init;
mod launch;
mod login;
mod sys;
mod trouble;
mod wait;

use std::io;
use std::io::ErrorKind;
use std::io::PipeReader;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;
use std::thread::JoinHandle;

use ckpttool::Progress;
use ckpttool::Report;
use ckpttool::Signals;
use clap::CommandFactory;
use clap::Parser;
use clap_complete::Shell;
use nix::unistd::Pid;

use crate::args::Args;
use crate::feed::Feed;
use crate::gauge::Gauge;
use crate::gauge::Shown;
use crate::group::Lead;
use crate::handover::Replace;
use crate::image::Image;
use crate::launch::Plan;
use crate::login::Login;
use crate::trouble::Step;
use crate::trouble::Trouble;
use crate::wait::Stop;

/// There is no process.
const FAILED: u8 = 1;
/// Wrong usage, or a file cannot be opened.
const USAGE: u8 = 2;
/// A signal came first.
const INTERRUPTED: u8 = 3;

/// The thread that feeds a pipe.
type Feeder = JoinHandle<io::Result<()>>;

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(shell) = args.completion {
        return complete(shell);
    }
    let report = match Report::new("restart", args.log.as_deref()) {
        Ok(report) => report,
        Err(e) => {
            let name = args.log.unwrap_or_default();
            let name = ckpttool::escape(name.as_os_str().as_encoded_bytes());
            eprintln!("restart: log {name}: {e}");
            return USAGE.into();
        }
    };
    let (Ok(status) | Err(status)) = restart(args, &report);
    status.into()
}

/// Prints a completion script for a shell.
fn complete(shell: Shell) -> ExitCode {
    // It is not to be written while it is made: what makes it panics on a full disk.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "restart", &mut script);
    match ckpttool::print(|out| out.write_all(&script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("restart: {e}");
            FAILED.into()
        }
    }
}

/// Restarts the process, and returns the exit status, in both cases.
fn restart(args: Args, report: &Report) -> Result<u8, u8> {
    let says = |status: u8| {
        move |e: &dyn std::fmt::Display| {
            report.say(e);
            status
        }
    };
    if let Some(why) = handover::conflict(&args.inherit) {
        return Err(says(USAGE)(&why));
    }
    let mut image = Image::open(args.input.as_deref()).map_err(|e| says(USAGE)(&e))?;
    let user = args.user.as_deref().map(Login::find);
    let user = user.transpose().map_err(|e| says(USAGE)(&e))?;
    // A pipe that nobody has looked into is read by the kernel itself.
    let looked = (!args.new_pids || args.timens || image.is_file()).then(|| image.first());
    let first = looked.transpose().map_err(|e| says(FAILED)(&e))?;
    let pid = first.map(|first| first.pid).filter(|_| !args.new_pids);
    let led = first.map_or(Lead::Nothing, |first| first.led);
    let clocks = first.map(|first| first.clocks);
    let name = image.name();
    for wanted in &args.inherit {
        if !sys::is_callers(wanted.fd) {
            return Err(says(USAGE)(&format!(
                "descriptor {} is not open",
                wanted.fd
            )));
        }
        if wanted.fd == 0 && image.is_stdin() {
            return Err(says(USAGE)(&"descriptor 0 is the image itself"));
        }
    }
    let changes = (!args.inherit.is_empty()).then(|| Replace::new(args.inherit));
    let (image, feed) = image.input(changes).map_err(|e| says(FAILED)(&e))?;
    let (mut log, to_log) = io::pipe().map_err(|e| says(FAILED)(&e))?;
    ckpttool::want_children();
    let signals = Signals::block(&wait::WATCHED).map_err(|e| says(FAILED)(&e))?;
    let wanted = !args.quiet && Progress::is_wanted();
    let gauge = wanted.then(|| Gauge::new(&image, feed.as_ref())).flatten();
    let plan = Plan {
        image,
        pid,
        new_pids: args.new_pids,
        lead: led.again(group::has_terminal(), args.wait),
        root: args.root,
        user,
    };
    let moved = clocks.filter(|_| args.timens);
    let moved = moved.map_or(Ok(()), |clocks| clocks.go_on());
    let started = moved.and_then(|()| match (args.pidns, pid) {
        (false, _) => launch::task(&plan, 0, &to_log),
        // What was the first process of a namespace is that again.
        (true, Some(1)) => launch::task(&plan, sys::NEW_NAMESPACES, &to_log),
        (true, _) => init::start(&plan, &to_log, &signals),
    });
    let asked = Asked {
        pid,
        name,
        root: plan.root.clone(),
    };
    // The child has its own: what is still open here would never end.
    drop((plan, to_log));
    let mut feeder = None;
    let process = started.and_then(|started| {
        feeder = feed.map(Feed::start);
        let shown = gauge.and_then(|gauge| Shown::new(&asked.name, gauge));
        started.watch(&signals, shown)
    });
    let process = match process {
        Ok(process) => process,
        Err(trouble) => return Err(failed(trouble, &asked, log, feeder, report)),
    };
    // What is not as it was; the program itself does not have the log any more.
    let mut notes = Vec::new();
    let _ = log.read_to_end(&mut notes);
    report.kernel(&notes);
    let behind = clocks.filter(|_| !args.timens).and_then(|c| c.behind());
    if let Some(behind) = behind.filter(|_| !args.quiet) {
        report.say(format_args!(
            "CLOCK_MONOTONIC is {} s behind that of the image: timers that programs keep by \
             themselves are as late; --timens lets the clock go on",
            behind.as_secs()
        ));
    }
    if !args.wait {
        if !args.quiet {
            report.say(goes_on(process, pid.filter(|_| args.pidns)));
        }
        return Ok(0);
    }
    let stop = if args.pidns {
        Stop::WithTerminal
    } else {
        Stop::WithProcess
    };
    Ok(wait::stand_by(process, &signals, stop))
}

/// What was to be restarted, for messages.
struct Asked {
    pid: Option<i32>,
    name: String,
    root: Option<PathBuf>,
}

/// Says why there is no process; returns the exit status.
fn failed(
    trouble: Trouble,
    asked: &Asked,
    mut log: PipeReader,
    feeder: Option<Feeder>,
    report: &Report,
) -> u8 {
    let Asked { pid, name, root } = asked;
    let mut lines = Vec::new();
    // All is written. Those that were made may still have the pipe, and wait for others.
    let _ = sys::do_not_wait(log.as_fd());
    let _ = log.read_to_end(&mut lines);
    let reason = String::from_utf8_lossy(&lines).into_owned();
    // If the image could not be read, or not be changed, that is the cause of all else.
    // It has nobody to write to any more, but may wait for what it reads.
    let mut patience = 100u32;
    while feeder.as_ref().is_some_and(|f| !f.is_finished()) && patience > 0 {
        std::thread::sleep(std::time::Duration::from_millis(5));
        patience = patience.saturating_sub(1);
    }
    let fed = feeder.filter(|f| f.is_finished()).map(|f| f.join());
    let cause = match fed {
        Some(Ok(Err(e))) => Some(e),
        _ => None,
    };
    if let Some(e) = cause
        .as_ref()
        .filter(|e| e.kind() == ErrorKind::InvalidData)
    {
        report.say(format_args!("{name}: {e}"));
        return FAILED;
    }
    if trouble.step != Step::Restart || !report.kernel(&lines) {
        report.say(trouble.words(*pid, root.as_deref()));
    }
    if let Some(e) = cause {
        report.say(format_args!("{name}: cannot read: {e}"));
    }
    if let Some(remedy) = trouble.remedy(&reason) {
        report.say(remedy);
    }
    if trouble.is_interruption() {
        INTERRUPTED
    } else {
        FAILED
    }
}

fn goes_on(process: Pid, inside: Option<i32>) -> String {
    match inside {
        None => format!("process {process} goes on"),
        Some(1) => format!("process {process} goes on, as process 1 of a PID namespace"),
        Some(pid) => format!(
            "process {pid} goes on in a PID namespace, whose init is process {process} here"
        ),
    }
}
