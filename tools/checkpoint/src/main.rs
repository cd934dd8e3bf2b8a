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

//! Saves a running process as an image.
//!
//! ```text
//! args -> goal:   where the image goes, looked at
//!         output: a file without its name, or a stream
//!         call:   a child makes the system call; answer, signal or time come first
//!         output: the file gets its name, or is removed
//! ```

mod above;
mod args;
mod call;
mod goal;
mod output;
mod place;
mod sys;
mod trailer;
mod words;

use std::io;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use ckpttool::await_input;
use ckpttool::status;
use ckpttool::Progress;
use ckpttool::Report;
use ckpttool::Signals;
use clap::CommandFactory;
use clap::Parser;
use clap_complete::Shell;
use indicatif::BinaryBytes;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;

use crate::args::Args;
use crate::call::Call;
use crate::call::Ended;
use crate::goal::Goal;
use crate::output::Output;

/// The kernel refused, or a file could not be completed.
const FAILED: u8 = 1;
/// Wrong usage, or a file cannot be opened.
const USAGE: u8 = 2;
/// A signal or the time came first.
const INTERRUPTED: u8 = 3;

/// Signals that end the work.
const ENDING: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// Signals that would stop this program. The processes that are saved would stand still for as
/// long, without a time limit, or be gone without a name for their image.
const STOPPING: [Signal; 3] = [Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU];

/// How long the end of processes that were killed is waited for.
const DYING: Duration = Duration::from_secs(10);

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(shell) = args.completion {
        return complete(shell);
    }
    let report = match Report::new("checkpoint", args.log.as_deref()) {
        Ok(report) => report,
        Err(e) => {
            let name = args.log.unwrap_or_default();
            eprintln!("checkpoint: log {}: {e}", output::name(&name));
            return USAGE.into();
        }
    };
    // The parser lets no command line through that has none.
    let pid = args.pid.unwrap_or_default();
    match save(&args, pid, &report) {
        Ok(()) => ExitCode::SUCCESS,
        Err(status) => status.into(),
    }
}

/// Prints a completion script for a shell.
fn complete(shell: Shell) -> ExitCode {
    // It is not to be written while it is made: what makes it panics on a full disk.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "checkpoint", &mut script);
    match ckpttool::print(|out| out.write_all(&script)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("checkpoint: {e}");
            FAILED.into()
        }
    }
}

/// What is wanted, for messages.
struct Asked<'a> {
    args: &'a Args,
    pid: i32,
    /// What the output is called.
    name: &'a str,
}

/// Saves the process; the error is the exit status.
fn save(args: &Args, pid: i32, report: &Report) -> Result<(), u8> {
    let trouble = |status, e: &dyn std::fmt::Display| {
        report.say(e);
        status
    };
    if above::is_above(pid) {
        let why = format!(
            "process {pid} is above this program, which would be a part of the image with the file \
             that it writes; start it from elsewhere, as by systemd-run, or as another program of \
             who has started process {pid}"
        );
        return Err(trouble(USAGE, &why));
    }
    let deadline = args
        .timeout
        .and_then(|seconds| Instant::now().checked_add(Duration::from_secs(seconds.into())));
    let goal = Goal::new(args.output.as_deref(), args.kill, deadline).map_err(|e| {
        let timed_out = e.kind() == io::ErrorKind::TimedOut;
        trouble(if timed_out { INTERRUPTED } else { USAGE }, &e)
    })?;
    let name = goal.name();
    let named = |e| format!("{name}: {e}");
    // From here on a signal does not leave a half-written file behind.
    let signals = Signals::block(&ENDING).map_err(|e| trouble(FAILED, &e))?;
    let _ = STOPPING.into_iter().collect::<SigSet>().thread_block();
    let output = goal.begin().map_err(|e| trouble(USAGE, &named(e)))?;
    // Its number may be another one's later.
    let process = args.kill.then(|| sys::process(pid).ok()).flatten();
    let asked = Asked {
        args,
        pid,
        name: &name,
    };
    let unanswered = |output, status, why: &str| unanswered(&asked, output, report, status, why);
    let (ended, log) = match call(&asked, deadline, &signals, &output) {
        Ok(result) => result,
        Err(e) => {
            return unanswered(
                output,
                FAILED,
                &format!("cannot make the call or get its answer: {e}"),
            )
        }
    };
    match ended {
        Ended::Saved(crid) => {
            let bytes = output.len();
            // A process that is not running any more cannot simply be saved again.
            let placed = output.commit(args.kill || args.stop);
            let late = placed.map_err(|e| {
                let then = then(args);
                trouble(FAILED, &format!("process {pid} {then}; {}", named(e)))
            })?;
            warn_of_name(report, &name, late);
            if let Some(process) = process {
                // Whoever restarts it next wants its id to be free, and its locks. A signal
                // ends that, and nothing else any more.
                let _ = await_input([process.as_fd(), signals.as_fd()], Some(DYING));
            }
            if !args.quiet {
                report.say(summary(args, pid, crid, bytes, &name));
            }
            Ok(())
        }
        Ended::Refused(errno) => {
            if !report.kernel(&log) {
                report.say(format_args!(
                    "process {pid}: {}",
                    status::errno_words(errno)
                ));
            }
            if let Some(remedy) = words::remedy(errno, pid, &log) {
                report.say(remedy);
            }
            if let Output::Stream(_) = output {
                report.say(format_args!("what was written to {name} is no image"));
            }
            Err(FAILED)
        }
        Ended::Killed(signal) => {
            let signal = status::signal_name(signal);
            let why =
                format!("the part of this program that makes the call was killed by {signal}");
            unanswered(output, FAILED, &why)
        }
        Ended::Silent => {
            let why = "the part of this program that makes the call has ended without an answer";
            unanswered(output, FAILED, why)
        }
        Ended::Interrupted(signal) => {
            report.kernel(&log);
            let why = format!("ended by {}", signal.as_str());
            unanswered(output, INTERRUPTED, &why)
        }
        Ended::TimedOut => {
            report.kernel(&log);
            let seconds = asked.args.timeout.unwrap_or_default();
            let why = format!("ended by --timeout {seconds}");
            unanswered(output, INTERRUPTED, &why)
        }
    }
}

/// Makes the call, and shows how it gets on.
fn call(
    asked: &Asked<'_>,
    deadline: Option<Instant>,
    signals: &Signals,
    output: &Output,
) -> io::Result<(Ended, Vec<u8>)> {
    let Asked { args, pid, .. } = *asked;
    let mut flags = 0;
    if args.kill {
        flags |= sys::CHECKPOINT_KILL;
    }
    if args.stop {
        flags |= sys::CHECKPOINT_STOP;
    }
    let call = Call::start(pid, output.fd(), flags)?;
    let progress = output
        .len()
        .filter(|_| !args.quiet)
        .and_then(|_| Progress::new(&format!("checkpoint: process {pid}"), "written", None));
    let every = progress.as_ref().map(|_| Progress::every());
    call.wait(signals, deadline, every, &mut || {
        if let (Some(progress), Some(bytes)) = (&progress, output.len()) {
            progress.show(bytes);
        }
    })
}

/// Says why there is no answer, keeps the image if it is complete, and returns `status`.
fn unanswered(
    asked: &Asked<'_>,
    output: Output,
    report: &Report,
    status: u8,
    why: &str,
) -> Result<(), u8> {
    let Asked { args, pid, name } = asked;
    // The process may have been killed already, as it was asked for: then this is
    // all that is left of it.
    if output.is_complete() {
        match output.commit(true) {
            Ok(late) => {
                report.say(format_args!("process {pid}: {why}, but {name} is complete"));
                warn_of_name(report, name, late);
            }
            Err(e) => report.say(format_args!("process {pid}: {why}; {name}: {e}")),
        }
        look_for_yourself(args, *pid, report);
    } else if let Output::Stream(_) = output {
        report.say(format_args!(
            "process {pid}: {why}; what was written to {name} is no complete image, unless \
             ckptinfo --verify says so"
        ));
        look_for_yourself(args, *pid, report);
        // It may be all that is left.
        if args.kill || args.stop {
            if let Err(e) = output.commit(true) {
                report.say(format_args!("{name}: {e}"));
            }
        }
    } else {
        report.say(format_args!("process {pid}: {why}; there is no image"));
    }
    Err(status)
}

/// Says that nobody knows whether the process was killed or stopped, if it was to be.
fn look_for_yourself(args: &Args, pid: i32, report: &Report) {
    if args.kill || args.stop {
        report.say(format_args!(
            "see for yourself whether process {pid} still runs"
        ));
    }
}

/// Says that the image is in its place, but that a crash could still undo that.
fn warn_of_name(report: &Report, name: &str, late: Option<io::Error>) {
    if let Some(e) = late {
        report.say(format_args!(
            "{name} is in its place, but the name may not be on the disk yet: {e}; see sync(1)"
        ));
    }
}

fn summary(args: &Args, pid: i32, crid: i32, bytes: Option<u64>, name: &str) -> String {
    let size = bytes.map_or_else(String::new, |bytes| format!("{}, ", BinaryBytes(bytes)));
    let then = then(args);
    format!("process {pid} is saved to {name} ({size}image {crid}) and {then}")
}

/// What the processes do behind their checkpoint.
fn then(args: &Args) -> &'static str {
    match (args.kill, args.stop) {
        (true, _) => "was killed",
        (_, true) => "is stopped",
        _ => "goes on",
    }
}
