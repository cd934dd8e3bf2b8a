// SPDX-License-Identifier: GPL-2.0
#![warn(missing_docs)]
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

//! checkpoint(2) and restart(2) for applications.
//!
//! ```no_run
//! use std::fs::File;
//! use std::os::unix::fs::OpenOptionsExt;
//! use ckptself::{checkpoint_self, Outcome};
//!
//! // An image holds all that the memory holds: it is for the owner only.
//! let image = File::options().read(true).write(true).create(true).truncate(true)
//!     .mode(0o600).open("me.img")?;
//! match checkpoint_self(&image) {
//!     Ok(Outcome::Saved(id)) => println!("saved as image {id}"),
//!     Ok(Outcome::Restarted) => println!("back again"),
//!     Err(why) => eprintln!("not saved: {why}"),
//! }
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # Where the reason of a failure comes from
//!
//! The kernel tells why it fails in one line on a descriptor that the caller
//! names. [`checkpoint`] and [`restart`] give it a pipe. A program that saves
//! itself cannot: whatever it has open is part of its image, a pipe or a file
//! that has no name any more is refused itself, and a file with a name would
//! have to be there at the restart. But an image whose checkpoint fails ends
//! with a record that says the same. So [`checkpoint_self`] reads it there, if
//! the image is open for reading and can seek. Otherwise a log that the program
//! has open anyhow (its standard error, when that is a terminal or a file) can
//! be named: [`checkpoint_self_logged`].
//!
//! # Which files a program should write to
//!
//! The descriptor of the image is part of the image: it is opened again by its path
//! at the restart, so the file must not be renamed or removed. A program that saves
//! itself again and again, and wants a good image at any time, writes to two files by
//! turns, as the example does.

mod error;
mod record;
mod sys;

use std::io;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;

pub use error::Error;

/// For [`checkpoint`]: the program is killed when its image is complete. That is before the
/// image is on the disk: see [`std::fs::File::sync_all`].
pub const KILL: u64 = 2;
/// For [`checkpoint`]: it is stopped, as by SIGSTOP, when its image is complete.
pub const STOP: u64 = 4;

/// The reason of a failure goes to the fourth argument.
const LOG: u64 = 1;

/// As which of the two a program comes back from saving itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The image is complete; its identifier.
    Saved(i32),
    /// The image was restarted: this may be another process, at another time.
    Restarted,
}

impl Outcome {
    fn of(result: i64) -> Self {
        match i32::try_from(result) {
            Ok(0) => Self::Restarted,
            Ok(id) => Self::Saved(id),
            Err(_) => Self::Saved(i32::MAX),
        }
    }
}

/// Saves the calling program to `image`, from its position on.
///
/// Buffers of the program's own (standard output, files) are part of its
/// memory: flush them first, or both copies will write what is in them.
///
/// # Errors
///
/// Those of checkpoint(2); the reason is known if `image` is open for reading as
/// well and can seek. The program is as it was.
pub fn checkpoint_self(image: impl AsFd) -> Result<Outcome, Error> {
    let image = image.as_fd();
    let start = record::position(image);
    sys::checkpoint(0, image, 0, None)
        .map(Outcome::of)
        .map_err(|e| Error::new(&e, start.and_then(|start| record::reason(image, start))))
}

/// As [`checkpoint_self`], but the reason of a failure goes to `log` as a line.
///
/// The log is part of the image as every descriptor is: a terminal, or a file
/// that will be there at the restart.
///
/// # Errors
///
/// As [`checkpoint_self`].
pub fn checkpoint_self_logged(image: impl AsFd, log: impl AsFd) -> Result<Outcome, Error> {
    let image = image.as_fd();
    let start = record::position(image);
    sys::checkpoint(0, image, LOG, Some(log.as_fd()))
        .map(Outcome::of)
        .map_err(|e| Error::new(&e, start.and_then(|start| record::reason(image, start))))
}

/// Saves another program to `image`; returns the identifier of the image.
///
/// `flags` is 0, [`KILL`] or [`STOP`]. The calling program is not for this call:
/// it would not know as which of the two it comes back. If it is below the other one, it is
/// in the image as well, and its restarted copy gets 0.
///
/// # Errors
///
/// Those of checkpoint(2), with the reason; also without pipes to be had.
pub fn checkpoint(pid: i32, image: impl AsFd, flags: u64) -> Result<i32, Error> {
    let own = i32::try_from(std::process::id()).is_ok_and(|own| own == pid);
    if pid == 0 || own {
        let wrong = io::Error::from_raw_os_error(libc::EINVAL);
        return Err(Error::new(
            &wrong,
            Some("the calling program saves itself by checkpoint_self".into()),
        ));
    }
    logged(|log| sys::checkpoint(pid, image.as_fd(), flags | LOG, Some(log)))
        .map(|id| i32::try_from(id).unwrap_or(i32::MAX))
}

/// Becomes the program of `image`, which is read from its position on.
///
/// Returns only on failure, as `exec` does.
pub fn restart(image: impl AsFd) -> Error {
    match logged(|log| sys::restart(image.as_fd(), LOG, Some(log))) {
        Err(error) => error,
        // The call of a restarted program returns there, not here.
        Ok(_) => Error::new(&io::Error::from_raw_os_error(libc::EPROTO), None),
    }
}

/// Makes a call with a pipe for its log. What the kernel writes fits into one.
fn logged(call: impl FnOnce(BorrowedFd<'_>) -> io::Result<i64>) -> Result<i64, Error> {
    let (mut read, write) = io::pipe().map_err(|e| Error::new(&e, None))?;
    let result = call(write.as_fd());
    drop(write);
    result.map_err(|e| {
        let mut line = Vec::new();
        // All of it is there. A child that another thread has forked meanwhile may have
        // the other end as well: to wait for the end of the pipe would be to wait for it.
        sys::do_not_wait(read.as_fd());
        // Without a reason the error number remains.
        let _ = read.read_to_end(&mut line);
        let text = String::from_utf8_lossy(&line).trim().to_string();
        Error::new(&e, (!text.is_empty()).then_some(text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn the_result_tells_which_of_the_two_one_is() {
        assert_eq!(Outcome::of(0), Outcome::Restarted);
        assert_eq!(Outcome::of(17), Outcome::Saved(17));
    }

    #[test]
    fn the_calling_program_is_not_another_one() {
        let null = File::open("/dev/null").unwrap();
        for pid in [0, std::process::id().cast_signed()] {
            let error = checkpoint(pid, &null, 0).unwrap_err();
            assert_eq!(error.errno(), libc::EINVAL);
            assert!(error.to_string().contains("checkpoint_self"));
        }
    }

    #[test]
    fn the_line_of_the_log_is_the_reason() {
        let error = logged(|log| {
            let mut log = File::from(log.try_clone_to_owned()?);
            io::Write::write_all(&mut log, b"restart: pid 7: no (errno 95)\n")?;
            Err(io::Error::from_raw_os_error(95))
        })
        .unwrap_err();
        assert_eq!(error.to_string(), "restart: pid 7: no (errno 95)");
        assert_eq!(error.errno(), 95);
        let error = logged(|_| Err(io::Error::from_raw_os_error(2))).unwrap_err();
        assert_eq!(error.reason(), None);
        assert!(error.to_string().contains("No such file"));
    }

    #[test]
    fn somebody_else_with_the_log_does_not_hold_a_failure() {
        let (tell, told) = std::sync::mpsc::channel();
        let (_holds, held) = std::sync::mpsc::channel::<()>();
        std::thread::spawn(move || {
            let mut line = None;
            let error = logged(|log| {
                // As a child that another thread has forked in the meantime.
                line = Some(log.try_clone_to_owned()?);
                Err(io::Error::from_raw_os_error(38))
            });
            let _ = tell.send(error.unwrap_err().errno());
            let _ = held.recv();
        });
        let errno = told.recv_timeout(std::time::Duration::from_secs(5));
        assert_eq!(errno, Ok(38));
    }
}
