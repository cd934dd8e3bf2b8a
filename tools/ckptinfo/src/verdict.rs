// SPDX-License-Identifier: GPL-2.0

//! Why an image is not complete, in one line.

use std::io;
use std::io::ErrorKind;

use ckptfmt::format;
use ckptfmt::format::head::place;
use ckptfmt::format::head::ErrorRec;
use ckptfmt::stream::reader::Fault;
use ckptfmt::walk::Stop;

use crate::text::errno;
use crate::text::escape;

/// Where and why reading stopped: `offset N, record X: reason`.
pub fn line(stop: &Stop<io::Error>) -> String {
    let what = match &stop.fault {
        Fault::Source(e) if e.kind() == ErrorKind::UnexpectedEof => "the image ends here".into(),
        Fault::Source(e) => format!("cannot read: {e}"),
        Fault::Bad(why) | Fault::Checksum(why) => why.0.to_string(),
        Fault::Failed(error) => format!("the checkpoint failed: {}", failure(error)),
    };
    format!("offset {}, {}: {what}", stop.offset, stop.record())
}

/// What an error record says, in one line.
pub fn failure(error: &ErrorRec) -> String {
    let mut out = errno(error.errno);
    if error.pid != 0 {
        out.push_str(&format!(", task {}", error.pid));
    }
    if error.kind != 0 {
        out.push_str(&format!(", {}", format::type_name(error.kind)));
    }
    if let Some(place) = location(error) {
        out.push_str(&format!(", {place}"));
    }
    out.push_str(&format!(": {}", text(error)));
    out
}

/// The place that an error names.
pub fn location(error: &ErrorRec) -> Option<String> {
    match error.place {
        place::NONE => None,
        place::FD => Some(format!("fd {}", error.a)),
        place::RANGE => Some(format!("{:#x}-{:#x}", error.a, error.b)),
        place::IMAGE => Some(format!("image offset {}", error.a)),
        place::OBJECT => Some(format!("object {}", error.a)),
        place::NUMBER => Some(format!("number {}", error.a)),
        other => Some(format!("place {other}: {:#x}, {:#x}", error.a, error.b)),
    }
}

/// The reason that an error gives.
pub fn text(error: &ErrorRec) -> String {
    let len = usize::from(error.text_len);
    escape(error.text.get(..len).unwrap_or_default())
}
