// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Kinds of state: one file each, save and restore side by side.
//!
//! `save` writes records, `restore` reads and checks them and builds what they
//! describe aside; what it returns has a `commit` that cannot fail, and goes
//! back when it is dropped.

pub(crate) mod anon;
pub(crate) mod attr;
pub(crate) mod cred;
pub(crate) mod epoll;
pub(crate) mod fdtable;
pub(crate) mod file;
mod filekind;
pub(crate) mod filelock;
pub(crate) mod fs;
pub(crate) mod head;
pub(crate) mod holders;
pub(crate) mod mm;
mod namedfile;
pub(crate) mod opener;
mod openflags;
pub(crate) mod pages;
pub(crate) mod pending;
pub(crate) mod pipe;
mod procfs;
pub(crate) mod rlimit;
pub(crate) mod seccomp;
pub(crate) mod sharedfile;
pub(crate) mod shmem;
pub(crate) mod signal;
pub(crate) mod socket;
mod sockmsg;
pub(crate) mod sockopt;
pub(crate) mod task;
pub(crate) mod thread;
pub(crate) mod timer;
pub(crate) mod tree;
pub(crate) mod used;
pub(crate) mod vma;
mod vmaflags;

use crate::error::Failure;
use crate::error::Outcome;
use kernel::prelude::*;

/// Would a restart take this record? What it would not is refused here, while all is
/// still there.
fn valid<T: crate::format::Record>(rec: &T) -> Outcome {
    rec.validate()
        .map_err(|why| Failure::new(EOPNOTSUPP, why.0))
}
