// SPDX-License-Identifier: GPL-2.0

//! x86-64: what the architecture keeps of a task, saved and restored.
//!
//! Everything acts on the current task. A restart writes registers last,
//! when nothing can fail any more; all values have been checked by then.

pub(crate) mod context;
pub(crate) mod cpu;
pub(crate) mod fpu;
pub(crate) mod machine;
pub(crate) mod refuse;
pub(crate) mod tls;
