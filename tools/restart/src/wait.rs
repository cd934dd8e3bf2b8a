// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Standing by a process until it ends: signals go to it, its status comes back.
//!
//! The restarted process may be in the process group of this tool. What a terminal sends
//! goes to the whole group, and must not be handed on a second time, unless the process
//! leads a group of its own or has left ours since.

use std::os::fd::AsFd;

use ckpttool::await_input;
use ckpttool::status;
use ckpttool::Caught;
use ckpttool::Signals;
use nix::libc;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::getpgid;
use nix::unistd::Pid;

use crate::sys;
use crate::sys::Change;

/// Signals that are handed on; and the one that tells of children. Those of timers are not:
/// an alarm that was set before this program began ends it.
pub const WATCHED: [Signal; 12] = [
    Signal::SIGCHLD,
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCONT,
    Signal::SIGTSTP,
    Signal::SIGPWR,
    Signal::SIGURG,
    Signal::SIGWINCH,
];

/// When to stop as well, so that a shell sees a stopped job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// When the terminal, or who sends what the terminal does, has stopped the process. Who
    /// stops it by SIGSTOP continues it by its own id, and knows nothing of this tool.
    WithProcess,
    /// When the terminal asks the group to: nobody tells when the process has.
    WithTerminal,
    /// An init does not stop.
    Never,
}

/// Waits until `process` ends, and returns the status to end with. Takes note of all
/// other children that end as well.
pub fn stand_by(process: Pid, signals: &Signals, stop: Stop) -> u8 {
    // It was stopped by SIGSTOP, and the terminal asks the group to stop.
    let (mut stopped, mut asked) = (false, false);
    loop {
        // There may be news from before.
        while let Ok(Some((pid, change))) = sys::news(None, true) {
            match change {
                Change::Exited(status) if pid == process => return status as u8,
                Change::Killed(signal) if pid == process => return status::of_signal(signal),
                Change::Stopped(signal) if pid == process && stops_us(signal, stop) => {
                    stop_here();
                    (stopped, asked) = (false, false);
                }
                Change::Stopped(_) if pid == process => stopped = true,
                _ => {}
            }
        }
        // Nothing stops what is stopped: there would be no way back to the shell.
        if asked && stopped && stop == Stop::WithProcess && is_stopped(process) {
            stop_here();
            stopped = false;
        }
        asked = false;
        if await_input([signals.as_fd()], None).is_err() {
            return 1;
        }
        while let Some(caught) = signals.next() {
            asked |= caught.signal == Signal::SIGTSTP && caught.from_kernel;
            take(caught, process, stop);
        }
    }
}

/// Does this program stop when this signal has stopped the process?
fn stops_us(signal: i32, stop: Stop) -> bool {
    stop == Stop::WithProcess && signal != libc::SIGSTOP
}

fn take(caught: Caught, process: Pid, stop: Stop) {
    let Caught {
        signal,
        from_kernel,
    } = caught;
    if signal == Signal::SIGCHLD {
        return;
    }
    if !from_kernel || !is_with_us(process) {
        // It may have ended in this moment.
        let _ = kill(process, signal);
    }
    if signal == Signal::SIGTSTP && from_kernel && stop == Stop::WithTerminal {
        stop_here();
    }
}

/// Is this process stopped by a signal, as far as procfs tells?
fn is_stopped(process: Pid) -> bool {
    let stat = std::fs::read(format!("/proc/{process}/stat")).unwrap_or_default();
    let stat = String::from_utf8_lossy(&stat);
    stat.rsplit_once(") ")
        .is_some_and(|(_, state)| state.starts_with('T'))
}

/// Is this process in the process group of this tool?
pub fn is_with_us(process: Pid) -> bool {
    getpgid(Some(process)) == getpgid(None)
}

/// Stops this program, until somebody continues it.
fn stop_here() {
    let _ = kill(Pid::this(), Signal::SIGSTOP);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    /// What ends a process that the terminal's SIGINT is taken for, and SIGTERM is sent to.
    fn ends_by(command: &mut Command) -> Option<i32> {
        let mut child = command.spawn().unwrap();
        let process = Pid::from_raw(child.id() as i32);
        let caught = Caught {
            signal: Signal::SIGINT,
            from_kernel: true,
        };
        take(caught, process, Stop::WithProcess);
        kill(process, Signal::SIGTERM).unwrap();
        child.wait().unwrap().signal()
    }

    #[test]
    fn who_is_stopped_by_its_id_is_continued_by_it() {
        for signal in [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU] {
            assert!(stops_us(signal, Stop::WithProcess));
            assert!(!stops_us(signal, Stop::WithTerminal) && !stops_us(signal, Stop::Never));
        }
        assert!(!stops_us(libc::SIGSTOP, Stop::WithProcess));
    }

    #[test]
    fn a_terminal_does_not_reach_who_has_left_the_group() {
        let sleep = || {
            let mut command = Command::new("sleep");
            command.arg("60");
            command
        };
        assert_eq!(ends_by(&mut sleep()), Some(Signal::SIGTERM as i32));
        let alone = ends_by(sleep().process_group(0));
        assert_eq!(alone, Some(Signal::SIGINT as i32));
    }
}
