// SPDX-License-Identifier: GPL-2.0

//! Signals that wait to be read, instead of interrupting.
//!
//! The signals are blocked, so that nothing happens between two steps of a tool:
//! no half-written file is left behind, no signal is lost before the process
//! exists that it is for.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::libc;
use nix::poll::poll;
use nix::poll::PollFd;
use nix::poll::PollFlags;
use nix::poll::PollTimeout;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SfdFlags;
use nix::sys::signalfd::SignalFd;

/// A signal that has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caught {
    /// Which one.
    pub signal: Signal,
    /// It came from the kernel, as those of a terminal do: the other processes of
    /// the process group have got it as well.
    pub from_kernel: bool,
}

/// Blocked signals, and the descriptor that they are read from.
#[derive(Debug)]
pub struct Signals(SignalFd);

impl Signals {
    /// Blocks these signals from now on, but for those that whoever has started
    /// the program wants ignored, as nohup(1) does.
    ///
    /// # Errors
    ///
    /// Those of signalfd(2).
    pub fn block(signals: &[Signal]) -> io::Result<Self> {
        let set: SigSet = signals
            .iter()
            .copied()
            .filter(|signal| *signal == Signal::SIGCHLD || !is_ignored(*signal))
            .collect();
        set.thread_block()?;
        let flags = SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// The next signal that has come, if one has.
    pub fn next(&self) -> Option<Caught> {
        let info = self.0.read_signal().ok().flatten()?;
        Some(Caught {
            signal: Signal::try_from(info.ssi_signo as i32).ok()?,
            from_kernel: info.ssi_code == libc::SI_KERNEL,
        })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Has children that end wait for their parent, whatever was inherited: with SIGCHLD ignored
/// nobody learns how they have ended.
pub fn want_children() {
    // SAFETY: No handler is set.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
}

fn is_ignored(signal: Signal) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: Without a new action the call only fills in the present one, which
    // is read only when the call has succeeded.
    unsafe {
        libc::sigaction(signal as i32, std::ptr::null(), action.as_mut_ptr()) == 0
            && action.assume_init().sa_sigaction == libc::SIG_IGN
    }
}

/// Waits until one of `inputs` can be read or has ended, or the time is over.
///
/// # Errors
///
/// Those of poll(2), but not EINTR: then nobody is ready.
pub fn await_input<const N: usize>(
    inputs: [BorrowedFd<'_>; N],
    time: Option<Duration>,
) -> io::Result<[bool; N]> {
    let mut fds = inputs.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    // Rounded up, so that a time that is not over does not become none.
    let timeout = time.map_or(PollTimeout::NONE, |time| {
        let ms = time.as_micros().div_ceil(1000);
        PollTimeout::try_from(ms).unwrap_or(PollTimeout::MAX)
    });
    match poll(&mut fds, timeout) {
        Ok(_) | Err(Errno::EINTR) => Ok(fds.map(|fd| fd.any().unwrap_or(false))),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::pthread::pthread_kill;
    use nix::sys::pthread::pthread_self;
    use std::io::Write;

    #[test]
    fn a_signal_waits_to_be_read() {
        let signals = Signals::block(&[Signal::SIGUSR1, Signal::SIGCHLD]).unwrap();
        assert_eq!(signals.next(), None);
        // To this thread only: the others of the test do not block it.
        pthread_kill(pthread_self(), Signal::SIGUSR1).unwrap();
        assert_eq!(await_input([signals.as_fd()], None).unwrap(), [true]);
        let caught = signals.next().unwrap();
        assert_eq!(caught.signal, Signal::SIGUSR1);
        assert!(!caught.from_kernel);
    }

    #[test]
    fn what_is_ignored_is_not_blocked() {
        // The runtime of Rust ignores it.
        assert!(is_ignored(Signal::SIGPIPE));
        assert!(!is_ignored(Signal::SIGTERM));
        Signals::block(&[Signal::SIGPIPE]).unwrap();
        assert!(!SigSet::thread_get_mask().unwrap().contains(Signal::SIGPIPE));
    }

    #[test]
    fn waiting_ends_with_data_with_the_end_and_with_time() {
        let (reader, mut writer) = io::pipe().unwrap();
        let (other, held) = io::pipe().unwrap();
        let both = || [reader.as_fd(), other.as_fd()];
        let short = Some(Duration::from_micros(300));
        assert_eq!(await_input(both(), short).unwrap(), [false, false]);
        writer.write_all(b"x").unwrap();
        assert_eq!(await_input(both(), None).unwrap(), [true, false]);
        drop(held);
        assert_eq!(await_input(both(), None).unwrap(), [true, true]);
    }
}
