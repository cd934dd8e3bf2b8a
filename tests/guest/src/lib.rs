// SPDX-License-Identifier: GPL-2.0

//! What the guest tests of checkpoint(2) and restart(2) have in common.
//!
//! A test program arranges some state, calls [`life::Life::checkpoint`] and
//! verifies the state afterwards. It comes back from that call more than once:
//! when the program goes on, and each time the image is restarted. The same
//! code verifies all of them. `guest-run` runs the programs and the restarts.

pub mod act;
pub mod bpf;
pub mod caps;
pub mod cases;
pub mod check;
pub mod desk;
pub mod image;
pub mod lanes;
pub mod life;
pub mod mem;
pub mod odd;
pub mod pace;
pub mod procfs;
pub mod program;
pub mod regs;
pub mod rng;
pub mod sys;
pub mod sys32;
pub mod timer;
pub mod tracing;
pub mod unharmed;
pub mod varies;
pub mod victim;

/// The image records, as the kernel has them.
#[allow(
    dead_code,
    clippy::manual_is_multiple_of,
    reason = "the kernel uses more of it, and is built by older compilers"
)]
#[path = "../../../checkpoint/format/mod.rs"]
pub mod format;

/// Framing and checksums, as the kernel has them.
#[allow(
    dead_code,
    clippy::large_enum_variant,
    clippy::manual_is_multiple_of,
    clippy::result_large_err,
    reason = "the kernel uses more of it, and cannot box"
)]
#[path = "../../../checkpoint/stream/mod.rs"]
pub mod stream;
