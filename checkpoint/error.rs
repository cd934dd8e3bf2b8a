// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Failures: which errno, at which place, and why, in words.
//!
//! Lower layers return the kernel's [`Error`]; the code that knows the object
//! turns it into a [`Failure`] with a place and a reason. A failure ends in
//! three places that say the same: the log descriptor, the ERROR record of
//! the image, and the errno of the system call.

use crate::format::head::place;
use crate::format::head::ErrorRec;
use crate::format::Why;
use kernel::alloc::AllocError;
use kernel::fmt;
use kernel::fmt::Write as _;
use kernel::prelude::*;

/// Where a failure happened.
#[derive(Clone, Copy)]
pub(crate) enum Place {
    /// Nowhere in particular.
    None,
    /// A descriptor.
    Fd(u32),
    /// A range of addresses.
    Range(u64, u64),
    /// An offset in the image.
    Image(u64),
    /// A small number: a signal, a resource.
    Number(u64),
}

/// Why an operation failed.
pub(crate) struct Failure {
    /// What the system call returns.
    pub(crate) errno: Error,
    /// Reason, a fixed text.
    pub(crate) why: &'static str,
    /// Where.
    pub(crate) place: Place,
    /// Record at hand, or 0.
    pub(crate) kind: i16,
    /// A path or a name that belongs to the reason; may be empty.
    pub(crate) detail: KVec<u8>,
    /// The task that it is about, as the caller or the image numbers it; 0 for the
    /// one that was asked for.
    pub(crate) pid: u32,
    /// Nothing has happened yet: behind a signal the call may be issued again.
    pub(crate) again: bool,
}

/// The result of a step that can say why it failed.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure without a place.
    pub(crate) fn new(errno: Error, why: &'static str) -> Self {
        Self {
            errno,
            why,
            place: Place::None,
            kind: 0,
            detail: KVec::new(),
            pid: 0,
            again: false,
        }
    }

    /// The same failure at a place, unless a lower layer has named one.
    pub(crate) fn at(mut self, place: Place) -> Self {
        if matches!(self.place, Place::None) {
            self.place = place;
        }
        self
    }

    /// The same failure of a file that is mapped, or is the program: what is not supported
    /// is ETXTBSY, as of all mappings.
    pub(crate) fn of_mapping(mut self) -> Self {
        // Not what the image's own file gives.
        if self.errno == EOPNOTSUPP && self.why != crate::image::NOT_WRITTEN {
            self.errno = ETXTBSY;
        }
        self
    }

    /// The same failure of a task, unless a lower layer has named one.
    pub(crate) fn of_task(mut self, pid: u32) -> Self {
        if self.pid == 0 {
            self.pid = pid;
        }
        self
    }

    /// The same failure with the record at hand, unless there is one.
    pub(crate) fn of(mut self, kind: i16) -> Self {
        if self.kind == 0 {
            self.kind = kind;
        }
        self
    }

    /// The same failure with a path or name. Without memory for it, without.
    pub(crate) fn about(mut self, detail: &[u8]) -> Self {
        if self.detail.is_empty() {
            let mut copy = KVec::new();
            if copy.extend_from_slice(detail, GFP_KERNEL).is_ok() {
                self.detail = copy;
            }
        }
        self
    }

    /// Adds place and reason to a line of text, as far as there is room.
    pub(crate) fn write(&self, text: &mut Text<'_>) {
        // Only a full buffer fails, and a cut line is still of use.
        let _ = match self.place {
            Place::None => Ok(()),
            Place::Fd(fd) => write!(text, "fd {fd}: "),
            Place::Range(start, end) => write!(text, "{start:#x}-{end:#x}: "),
            Place::Image(offset) => write!(text, "image offset {offset}: "),
            Place::Number(n) => write!(text, "{n}: "),
        };
        self.reason(text);
    }

    /// The reason, without the place.
    fn reason(&self, text: &mut Text<'_>) {
        text.push(self.why.as_bytes());
        if !self.detail.is_empty() {
            text.push(b": ");
            text.push(&self.detail);
        }
    }

    /// The failure as the last record of an image.
    pub(crate) fn record(&self, pid: u32) -> ErrorRec {
        let mut record = ErrorRec::zeroed();
        record.errno = self.errno.to_errno().unsigned_abs();
        record.pid = pid;
        record.kind = self.kind;
        (record.place, record.a, record.b) = match self.place {
            Place::None => (place::NONE, 0, 0),
            Place::Fd(fd) => (place::FD, fd.into(), 0),
            Place::Range(start, end) => (place::RANGE, start, end),
            Place::Image(offset) => (place::IMAGE, offset, 0),
            Place::Number(n) => (place::NUMBER, n, 0),
        };
        let mut text = Text::new(&mut record.text);
        self.reason(&mut text);
        record.text_len = text.done().len() as u16;
        record
    }
}

impl From<Error> for Failure {
    fn from(errno: Error) -> Self {
        let why = if errno == EINTR {
            "interrupted by a signal"
        } else if errno == ENOMEM {
            "out of memory"
        } else {
            "the kernel refused"
        };
        Self::new(errno, why)
    }
}

impl From<AllocError> for Failure {
    fn from(_: AllocError) -> Self {
        Self::new(ENOMEM, "out of memory")
    }
}

impl From<Why> for Failure {
    fn from(why: Why) -> Self {
        Self::new(EINVAL, why.0)
    }
}

/// Gives results of the kernel a reason and a place.
pub(crate) trait Explain<T> {
    /// Adds the reason.
    fn why(self, why: &'static str) -> Outcome<T>;

    /// Adds a reason that blames the image, the caller or the machine. Memory that was
    /// short is nobody's fault, and is said instead.
    fn blame(self, why: &'static str) -> Outcome<T>;
}

impl<T> Explain<T> for Result<T> {
    fn why(self, why: &'static str) -> Outcome<T> {
        self.map_err(|errno| Failure::new(errno, why))
    }

    fn blame(self, why: &'static str) -> Outcome<T> {
        self.map_err(|errno| {
            if errno == ENOMEM {
                errno.into()
            } else {
                Failure::new(errno, why)
            }
        })
    }
}

/// Adds a place to failures.
pub(crate) trait Locate<T> {
    /// Adds the place, unless there is one.
    fn at(self, place: Place) -> Outcome<T>;

    /// Adds a path or a name, unless there is one.
    fn about(self, detail: &[u8]) -> Outcome<T>;

    /// Adds the record at hand, unless there is one.
    fn of(self, kind: i16) -> Outcome<T>;
}

impl<T> Locate<T> for Outcome<T> {
    fn at(self, place: Place) -> Outcome<T> {
        self.map_err(|failure| failure.at(place))
    }

    fn about(self, detail: &[u8]) -> Outcome<T> {
        self.map_err(|failure| failure.about(detail))
    }

    fn of(self, kind: i16) -> Outcome<T> {
        self.map_err(|failure| failure.of(kind))
    }
}

/// `Err` with this errno and reason unless `ok`.
pub(crate) fn ensure(ok: bool, errno: Error, why: &'static str) -> Outcome {
    if ok {
        Ok(())
    } else {
        Err(Failure::new(errno, why))
    }
}

/// Text of limited length; what does not fit is cut.
pub(crate) struct Text<'a> {
    buf: &'a mut [u8],
    len: usize,
}

impl<'a> Text<'a> {
    /// Starts an empty text.
    pub(crate) fn new(buf: &'a mut [u8]) -> Self {
        Self { buf, len: 0 }
    }

    /// Goes on behind the first `len` bytes.
    pub(crate) fn behind(buf: &'a mut [u8], len: usize) -> Self {
        Self { buf, len }
    }

    /// Appends bytes, control characters as question marks.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let Some(to) = self.buf.get_mut(self.len) else {
                return;
            };
            *to = if byte.is_ascii_control() { b'?' } else { *byte };
            self.len = self.len.saturating_add(1);
        }
    }

    /// The text.
    pub(crate) fn done(self) -> &'a [u8] {
        self.buf.get(..self.len).unwrap_or_default()
    }
}

impl fmt::Write for Text<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        self.push(s.as_bytes());
        Ok(())
    }
}
