// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]
#![warn(missing_docs)]
// The sources are the kernel's as well, which does not box its errors.
#![allow(clippy::result_large_err)]
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

//! Checkpoint images, for tools: the kernel's own sources and what a host adds.

#[allow(clippy::manual_is_multiple_of)]
#[path = "../../../checkpoint/format/mod.rs"]
pub mod format;
#[allow(clippy::large_enum_variant, clippy::manual_is_multiple_of)]
#[path = "../../../checkpoint/stream/mod.rs"]
pub mod stream;

pub mod build;
pub mod docs;
pub mod edit;
pub mod fields;
pub mod io;
pub mod layout;
pub mod walk;
