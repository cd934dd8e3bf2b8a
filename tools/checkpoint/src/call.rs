// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! One call of checkpoint(2), that can be given up at any time.
//!
//! The call is made by a child process. While the kernel writes to a file no signal
//! ends the call but one that ends its process: so the child is killed, and nothing
//! else is lost. The kernel then lets the process that is being saved go on.

use std::io;
use std::io::PipeReader;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;
use std::time::Instant;

use ckpttool::await_input;
use ckpttool::Signals;
use nix::errno::Errno;
use nix::sys::prctl;
use nix::sys::signal::kill;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::sys::wait::WaitStatus;
use nix::unistd::getpid;
use nix::unistd::getppid;
use nix::unistd::Pid;

use crate::sys;

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The image with this identifier is complete.
    Saved(i32),
    /// The kernel said no.
    Refused(Errno),
    /// A signal for this program came first.
    Interrupted(Signal),
    /// The time was over first.
    TimedOut,
    /// Somebody else killed the child, by this signal.
    Killed(i32),
    /// The child ended, but nobody knows with what answer.
    Silent,
}

/// A call in progress.
#[derive(Debug)]
pub struct Call {
    child: Pid,
    answer: PipeReader,
    log: PipeReader,
}

impl Call {
    /// Begins to write an image of `pid` to `image`.
    ///
    /// # Errors
    ///
    /// When there are no pipes or processes to be had.
    pub fn start(pid: i32, image: BorrowedFd<'_>, flags: u64) -> io::Result<Self> {
        let (answer, mut tell) = io::pipe()?;
        let (log, reasons) = io::pipe()?;
        let parent = getpid();
        ckpttool::want_children();
        let child = sys::in_child(|| {
            // Signals are for the parent to handle, those of the terminal as well.
            let _ = SigSet::all().thread_block();
            let _ = prctl::set_pdeathsig(Signal::SIGKILL);
            if getppid() != parent {
                return;
            }
            let result = match sys::checkpoint(pid, image, flags, reasons.as_fd()) {
                Ok(crid) => crid,
                Err(errno) => (errno as i32).wrapping_neg(),
            };
            let _ = tell.write_all(&result.to_ne_bytes());
        })?;
        Ok(Self { child, answer, log })
    }

    /// Waits for the end, and returns it with what the kernel has to say.
    ///
    /// Meanwhile `tick` is called about `every` so often.
    ///
    /// # Errors
    ///
    /// Those of reading pipes and of waiting. The child has ended then as well, so that
    /// what it has written stays as it is.
    pub fn wait(
        mut self,
        signals: &Signals,
        deadline: Option<Instant>,
        every: Option<Duration>,
        tick: &mut dyn FnMut(),
    ) -> io::Result<(Ended, Vec<u8>)> {
        let result = self.listen(signals, deadline, every, tick);
        if result.is_err() {
            // It was not waited for: the id is still the child's.
            let _ = kill(self.child, Signal::SIGKILL);
        }
        let status = waitpid(self.child, None);
        let (answer, given_up, log) = result?;
        // An answer counts, also when it came at the last moment.
        let ended = match (answer.try_into().map(i32::from_ne_bytes), given_up, status?) {
            (Ok(crid), ..) if crid > 0 => Ended::Saved(crid),
            // No checkpoint gives this number: it is for who comes back from an image.
            (Ok(0), ..) => Ended::Silent,
            (Ok(errno), ..) => Ended::Refused(Errno::from_raw(errno.wrapping_neg())),
            (Err(_), Some(why), _) => why,
            (Err(_), None, WaitStatus::Signaled(_, signal, _)) => Ended::Killed(signal as i32),
            (Err(_), None, _) => Ended::Silent,
        };
        Ok((ended, log))
    }

    /// Reads the answer, why the call was given up if it was, and the log, up to their ends.
    fn listen(
        &mut self,
        signals: &Signals,
        deadline: Option<Instant>,
        every: Option<Duration>,
        tick: &mut dyn FnMut(),
    ) -> io::Result<(Vec<u8>, Option<Ended>, Vec<u8>)> {
        let given_up = loop {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                break Some(Ended::TimedOut);
            }
            let pause = left.into_iter().chain(every).min();
            let [answered, signalled] = await_input([self.answer.as_fd(), signals.as_fd()], pause)?;
            if answered {
                break None;
            }
            if let Some(caught) = signalled.then(|| signals.next()).flatten() {
                break Some(Ended::Interrupted(caught.signal));
            }
            tick();
        };
        if given_up.is_some() {
            kill(self.child, Signal::SIGKILL)?;
        }
        // Up to the end: the child has ended then, or is about to.
        let (mut answer, mut log) = (Vec::new(), Vec::new());
        self.answer.read_to_end(&mut answer)?;
        self.log.read_to_end(&mut log)?;
        Ok((answer, given_up, log))
    }
}
