// SPDX-License-Identifier: GPL-2.0

//! Pipes and FIFOs, by their ends.

use ckptfmt::format::files::File;
use serde_json::json;
use serde_json::Value;

use crate::model::Model;
use crate::model::View;
use crate::text::count;
use crate::text::escape;
use crate::text::size;

/// Which pipe an end belongs to.
pub fn name(model: &View<'_>, end: &File) -> String {
    match model.pipe(end) {
        Some(pipe) if !pipe.path.is_empty() => format!("{}  FIFO", escape(&pipe.path)),
        _ => format!("pipe {}", end.object),
    }
}

/// What is in the pipe of an end.
pub fn contents(model: &View<'_>, end: &File) -> String {
    let Some(pipe) = model.pipe(end) else {
        return "(not kept)".into();
    };
    let mut line = format!(
        "holds {} in {} of {}",
        size(pipe.bytes),
        pipe.pipe.nr_bufs,
        count(pipe.pipe.slots.into(), "buffer")
    );
    if pipe.packets != 0 {
        line.push_str(&format!(", {}", count(pipe.packets, "packet")));
    }
    line
}

/// The pipe of an end; null of another file.
pub fn json(model: &Model, end: &File) -> Value {
    let Some(pipe) = model.pipe(end) else {
        return Value::Null;
    };
    json!({
        "object": pipe.pipe.objref,
        "path": escape(&pipe.path),
        "slots": pipe.pipe.slots,
        "buffers": pipe.pipe.nr_bufs,
        "packets": pipe.packets,
        "bytes": pipe.bytes,
        "mode": format!("{:06o}", pipe.pipe.mode),
        "uid": pipe.pipe.uid,
        "gid": pipe.pipe.gid,
    })
}
