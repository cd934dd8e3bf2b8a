// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Standing by a process until it ends: signals go to it, its status comes back.
//!
//! The restarted process is in the process group of this tool. What a terminal sends
//! goes to the whole group, and must not be handed on a second time.

use std::os::fd::AsFd;

use ckpttool::await_input;
use ckpttool::status;
use ckpttool::Caught;
use ckpttool::Signals;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

use crate::sys;
use crate::sys::Change;

/// Signals that are handed on; and the one that tells of children.
pub const WATCHED: [Signal; 9] = [
    Signal::SIGCHLD,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGTSTP,
];

/// When to stop as well, so that a shell sees a stopped job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// When the process has stopped.
    WithProcess,
    /// When the terminal asks the group to: nobody tells when the process has.
    WithTerminal,
    /// An init does not stop.
    Never,
}

/// Waits until `process` ends, and returns the status to end with. Takes note of all
/// other children that end as well.
pub fn stand_by(process: Pid, signals: &Signals, stop: Stop) -> u8 {
    loop {
        // There may be news from before.
        while let Ok(Some((pid, change))) = sys::news(None, true) {
            match change {
                Change::Exited(status) if pid == process => return status as u8,
                Change::Killed(signal) if pid == process => return status::of_signal(signal),
                Change::Stopped if pid == process && stop == Stop::WithProcess => stop_here(),
                _ => {}
            }
        }
        if await_input([signals.as_fd()], None).is_err() {
            return 1;
        }
        while let Some(caught) = signals.next() {
            take(caught, process, stop);
        }
    }
}

fn take(caught: Caught, process: Pid, stop: Stop) {
    match caught {
        Caught {
            signal: Signal::SIGCHLD,
            ..
        } => {}
        Caught {
            signal: Signal::SIGTSTP,
            from_kernel: true,
        } if stop == Stop::WithTerminal => stop_here(),
        Caught {
            from_kernel: true, ..
        } => {}
        Caught { signal, .. } => {
            // It may have ended in this moment.
            let _ = kill(process, signal);
        }
    }
}

/// Stops this program, until somebody continues it.
fn stop_here() {
    let _ = kill(Pid::this(), Signal::SIGSTOP);
}
