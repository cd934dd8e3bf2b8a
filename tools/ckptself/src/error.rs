// SPDX-License-Identifier: GPL-2.0

//! Why a call failed.

use std::fmt;
use std::io;

/// Why a call failed: the error number, and what the kernel said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    errno: i32,
    reason: Option<String>,
}

impl Error {
    pub(crate) fn new(error: &io::Error, reason: Option<String>) -> Self {
        Self {
            errno: error.raw_os_error().unwrap_or(libc::EIO),
            reason,
        }
    }

    /// The error number.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// What the kernel said, if it could be read.
    pub fn reason(&self) -> Option<&str> {
        self.reason.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reason {
            Some(reason) => f.write_str(reason),
            None => io::Error::from_raw_os_error(self.errno).fmt(f),
        }
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(error: Error) -> Self {
        Self::new(io::Error::from_raw_os_error(error.errno).kind(), error)
    }
}
