// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! How processes end, in numbers and in words.

use nix::errno::Errno;
use nix::sys::signal::Signal;

/// The exit status that a shell gives a process killed by signal `number`.
pub fn of_signal(number: i32) -> u8 {
    u8::try_from(number).unwrap_or(0).saturating_add(128)
}

/// The name of a signal; its number when it has none.
pub fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |s| s.as_str().into())
}

/// What an error is called, as in `No such process (ESRCH)`.
pub fn errno_words(errno: Errno) -> String {
    format!("{} ({errno:?})", errno.desc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        assert_eq!(of_signal(9), 137);
        assert_eq!(of_signal(64), 192);
        assert_eq!(signal_name(15), "SIGTERM");
        assert_eq!(signal_name(40), "signal 40");
        assert_eq!(errno_words(Errno::ESRCH), "No such process (ESRCH)");
        assert_eq!(
            errno_words(Errno::ENOSYS),
            "Function not implemented (ENOSYS)"
        );
    }
}
