// SPDX-License-Identifier: GPL-2.0

//! Safe wrappers of what the kernel offers, one file for each area.
//!
//! All unsafe code of the subsystem is here and in the architecture layer.
//! The wrappers are thin: no policy, no image format. Nearly all of them act
//! on the current task, which is the one that is saved or restored: nothing
//! but its own system call runs on its behalf, and it is single-threaded.

pub(crate) mod anon;
pub(crate) mod attr;
pub(crate) mod birth;
pub(crate) mod call;
pub(crate) mod common;
pub(crate) mod cred;
pub(crate) mod epoll;
pub(crate) mod file;
pub(crate) mod filelock;
pub(crate) mod fs;
pub(crate) mod ids;
pub(crate) mod imagefile;
pub(crate) mod inode;
pub(crate) mod layout;
pub(crate) mod limits;
pub(crate) mod memfile;
pub(crate) mod mm;
pub(crate) mod mmswitch;
pub(crate) mod opener;
pub(crate) mod pages;
pub(crate) mod park;
pub(crate) mod path;
pub(crate) mod pending;
pub(crate) mod pipe;
pub(crate) mod procfs;
pub(crate) mod refuse;
pub(crate) mod sched;
pub(crate) mod seccomp;
pub(crate) mod sharing;
pub(crate) mod shmem;
pub(crate) mod signal;
pub(crate) mod skb;
pub(crate) mod socket;
pub(crate) mod task;
pub(crate) mod timer;
pub(crate) mod tree;
pub(crate) mod vma;
pub(crate) mod walk;
