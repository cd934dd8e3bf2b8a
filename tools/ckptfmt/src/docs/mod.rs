// SPDX-License-Identifier: GPL-2.0

//! The record sources, read as text: names and comments for documents and tests.

pub mod eval;
pub mod names;
pub mod page;
pub mod source;
pub mod state;

use std::path::PathBuf;

/// The top directory of the repository that this crate was compiled in.
pub fn top() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
