// SPDX-License-Identifier: GPL-2.0

//! Checkpoint and restart of running applications.
//!
//! `checkpoint(2)` writes the complete state of a task as one stream of typed
//! records to a descriptor; `restart(2)` reads it and becomes that task.
//!
//! ```text
//! sys.c -> entry -> ctx::save    -> res/* -> stream::writer -> image -> fd
//!                   ctx::restore <- res/* <- stream::reader <- image <- fd
//!            freeze   objhash       kapi/*, arch (all unsafe code)
//! ```
//!
//! Data flows one way. `res` has one file for each kind of state, save and
//! restore side by side. `format` and `stream` know no kernel type: the tools
//! compile the same files. A restart is a transaction: everything is read,
//! checked and built aside, and the last step cannot fail.

// A panic in the kernel is an oops, and image data is hostile.
#![deny(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used
)]
// A failure carries its place and its record; it is made once.
#![allow(clippy::result_large_err)]

#[cfg(CONFIG_CHECKPOINT)]
#[path = "../arch/x86/checkpoint/arch.rs"]
mod arch;
#[cfg_attr(not(CONFIG_CHECKPOINT), allow(dead_code))]
mod charge;
#[cfg(CONFIG_CHECKPOINT)]
mod cradle;
#[cfg(CONFIG_CHECKPOINT)]
mod ctx;
#[cfg(CONFIG_CHECKPOINT)]
mod entry;
#[cfg(CONFIG_CHECKPOINT)]
mod error;
// The tools use what the kernel does not.
#[allow(dead_code, unreachable_pub)]
mod format;
#[cfg(CONFIG_CHECKPOINT)]
mod freeze;
#[cfg(CONFIG_CHECKPOINT)]
mod herd;
#[cfg(CONFIG_CHECKPOINT)]
mod image;
#[cfg(CONFIG_CHECKPOINT)]
mod kapi;
#[cfg(CONFIG_CHECKPOINT)]
mod mailbox;
#[cfg_attr(not(CONFIG_CHECKPOINT), allow(dead_code))]
mod objhash;
#[cfg(CONFIG_CHECKPOINT)]
mod res;
#[allow(dead_code, unreachable_pub)]
mod stream;
#[cfg(CONFIG_CHECKPOINT_KUNIT_TEST)]
mod unit;

const __LOG_PREFIX: &[u8] = b"checkpoint\0";
