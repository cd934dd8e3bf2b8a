// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! One checkpoint, one restart: the order of things.

pub(crate) mod built;
mod lookup;
pub(crate) mod restore;
pub(crate) mod save;
