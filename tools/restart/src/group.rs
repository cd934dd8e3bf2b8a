// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Whose process group and session the first process of an image is in.
//!
//! restart(2) leaves it in those of its caller. A process that led its group, as each job of
//! a shell does, signals it by its own id, and one that led a session has left its terminal:
//! both lead them again, but for a terminal that this tool has.

use std::fs::File;

use nix::errno::Errno;
use nix::unistd::getpgrp;
use nix::unistd::setpgid;
use nix::unistd::setsid;
use nix::unistd::tcgetpgrp;
use nix::unistd::Pid;

/// What a process leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lead {
    /// It is in the group of somebody else.
    #[default]
    Nothing,
    /// Its process group.
    Group,
    /// Its session, and so its process group.
    Session,
}

/// The controlling terminal of this tool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Terminal {
    /// It has none.
    None,
    /// It has one, and is in the background.
    Background,
    /// It has one, which sends signals to its group.
    Foreground,
}

impl Terminal {
    /// That of this tool.
    pub fn of_ours() -> Self {
        match File::open("/dev/tty").map(tcgetpgrp) {
            Ok(Ok(group)) if group == getpgrp() => Self::Foreground,
            Ok(_) => Self::Background,
            Err(_) => Self::None,
        }
    }
}

impl Lead {
    /// What it leads after a restart, if it led this: with `stays` this tool stands by it, and
    /// the terminal is to reach both.
    pub fn again(self, terminal: Terminal, stays: bool) -> Self {
        match (self, terminal) {
            (Self::Nothing, _) => Self::Nothing,
            (_, Terminal::Foreground) if stays => Self::Nothing,
            (Self::Session, Terminal::None) => Self::Session,
            // A session without the terminal would never get it back.
            (Self::Session | Self::Group, _) => Self::Group,
        }
    }

    /// The caller, which leads nothing yet, takes the lead.
    ///
    /// # Errors
    ///
    /// Those of setsid(2) and setpgid(2).
    pub fn take(self) -> Result<(), Errno> {
        let me = Pid::from_raw(0);
        match self {
            Self::Nothing => Ok(()),
            Self::Group => setpgid(me, me),
            Self::Session => setsid().map(|_| ()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_reaches_whoever_it_is_waited_for() {
        for led in [Lead::Group, Lead::Session] {
            assert_eq!(led.again(Terminal::Foreground, true), Lead::Nothing);
            assert_eq!(led.again(Terminal::Foreground, false), Lead::Group);
            assert_eq!(led.again(Terminal::Background, true), Lead::Group);
            assert_eq!(led.again(Terminal::None, true), led);
            assert_eq!(led.again(Terminal::None, false), led);
        }
        for terminal in [Terminal::None, Terminal::Background, Terminal::Foreground] {
            assert_eq!(Lead::Nothing.again(terminal, false), Lead::Nothing);
        }
    }
}
