// SPDX-License-Identifier: GPL-2.0

//! Locks on open files, in words and as JSON.

use ckptfmt::format::files::lock_kind;
use ckptfmt::format::files::FileLock;
use ckptfmt::format::files::LOCK_END;
use serde_json::json;
use serde_json::Value;

use crate::model::View;

/// Those that follow a descriptor. They are in the order of their descriptors.
pub fn of<'a>(model: &'a View<'a>, fd: u32) -> impl Iterator<Item = &'a FileLock> {
    let first = model.locks.partition_point(|(of, _)| *of < fd);
    let behind = model.locks.get(first..).unwrap_or_default().iter();
    behind
        .take_while(move |(of, _)| *of == fd)
        .map(|(_, lock)| lock)
}

/// Whose it is, by the call that sets it.
pub fn kind(lock: &FileLock) -> &'static str {
    match lock.kind {
        lock_kind::RECORD => "record lock",
        lock_kind::DESCRIPTION => "open file description lock",
        _ => "flock lock",
    }
}

/// As `record lock, exclusive, bytes 0 to 9`.
pub fn line(lock: &FileLock) -> String {
    let mode = if lock.flags & 1 != 0 {
        "exclusive"
    } else {
        "shared"
    };
    let range = match (lock.start, lock.end) {
        (0, LOCK_END) => "all of the file".into(),
        (start, LOCK_END) => format!("bytes from {start} on"),
        (start, end) => format!("bytes {start} to {end}"),
    };
    format!("{}, {mode}, {range}", kind(lock))
}

/// A lock without an end has none.
pub fn json(lock: &FileLock) -> Value {
    json!({
        "kind": kind(lock),
        "exclusive": lock.flags & 1 != 0,
        "start": lock.start.to_string(),
        "end": (lock.end != LOCK_END).then(|| lock.end.to_string()),
    })
}
