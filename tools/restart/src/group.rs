// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Whose process group and session the first process of an image is in.
//!
//! restart(2) leaves it in those of its caller. A process that led its group, as each job of
//! a shell does, signals it by its own id, and one that led a session has left its terminal:
//! both lead them again, but for a terminal that this tool has.

use std::fs::File;

use nix::errno::Errno;
use nix::unistd::setpgid;
use nix::unistd::setsid;
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

/// Has this tool a controlling terminal?
pub fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

impl Lead {
    /// What it leads after a restart, if it led this. When this tool has a `terminal` and
    /// `stays`, both are one job of a shell: what is typed is to reach both, and whoever is
    /// in another group could not read it.
    pub fn again(self, terminal: bool, stays: bool) -> Self {
        match (self, terminal) {
            (_, true) if stays => Self::Nothing,
            // A session without the terminal would never get it back.
            (Self::Session, true) => Self::Group,
            (led, _) => led,
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
    fn who_is_waited_for_has_the_terminal() {
        for led in [Lead::Group, Lead::Session] {
            assert_eq!(led.again(true, true), Lead::Nothing);
            assert_eq!(led.again(true, false), Lead::Group);
            assert_eq!(led.again(false, true), led);
            assert_eq!(led.again(false, false), led);
        }
        for terminal in [false, true] {
            assert_eq!(Lead::Nothing.again(terminal, false), Lead::Nothing);
        }
    }
}
