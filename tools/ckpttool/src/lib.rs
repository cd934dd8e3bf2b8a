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

//! What the tools `checkpoint` and `restart`, and in part `ckptinfo`, share.
//!
//! The first two put the system call into a child process and wait for three things at
//! once: what the child says, what the kernel writes into its log, and signals.
//! Here is what that needs: [`Report`] for messages, [`Progress`] for those who wait, [`Signals`] for signals that
//! are read like a file, [`status`] for how a process ended, [`plain`] for names.

mod date;
mod escape;
mod leave;
pub mod manual;
mod print;
mod progress;
mod report;
mod signals;
pub mod status;

pub use date::date;
pub use escape::escape;
pub use escape::plain;
pub use leave::end_with;
pub use print::print;
pub use progress::Progress;
pub use report::Report;
pub use signals::await_input;
pub use signals::want_children;
pub use signals::Caught;
pub use signals::Signals;
