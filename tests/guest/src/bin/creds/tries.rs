// SPDX-License-Identifier: GPL-2.0

//! Callers of restart(2), each with an image, and what of it that caller may not have.

use ckpt_guest::life::c_path;
use ckpt_guest::sys;

use crate::rights::become_odd;
use crate::rights::become_user;
use crate::rights::caps;
use crate::rights::drop_caps;
use crate::rights::prctl;
use crate::rights::set_caps;
use crate::rights::set_gids;
use crate::rights::set_groups;
use crate::rights::set_uids;
use crate::rights::three;
use crate::rights::ALL;
use crate::rights::BIND;
use crate::rights::KEEP_CAPS_LOCKED;
use crate::rights::NOROOT;
use crate::rights::NO_AMBIENT;
use crate::rights::SETGID;
use crate::rights::SETPCAP;
use crate::rights::SETUID;

/// Where control groups are mounted.
const GROUP_DIR: &str = "/tmp/control-groups";

/// A caller, an image, and what of it the caller may not have; nothing when it may.
type Try = (&'static str, fn(), fn(), &'static str);

pub const TRIES: &[Try] = &[
    ("root-for-a-user", || (), || become_user(1000), ""),
    ("root-for-an-odd-one", || (), become_odd, ""),
    (
        "own-ids",
        || three([0, 1001, 1002]),
        || three([1002, 0, 1001]),
        "",
    ),
    (
        "not-own-ids",
        || three([0, 1001, 1002]),
        || three([1002, 0, 1003]),
        "user ids",
    ),
    (
        "no-setuid",
        || drop_caps(SETUID),
        || {
            set_uids([1000; 3]);
        },
        "user ids",
    ),
    (
        "no-setgid",
        || drop_caps(SETGID),
        || {
            set_gids([1000; 3]);
            drop_caps(SETGID);
        },
        "group ids",
    ),
    (
        "no-setgroups",
        || drop_caps(SETGID),
        || {
            set_groups(&[4]);
            drop_caps(SETGID);
        },
        "supplementary groups",
    ),
    (
        "user-with-a-socket",
        || (),
        || {
            become_user(1000);
            let mut pair = [0; 2];
            // SAFETY: an array of two ints. The descriptors stay open.
            unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, pair.as_mut_ptr()) };
        },
        "a local socket of another user",
    ),
    (
        "user-with-a-new-socket",
        || (),
        || {
            become_user(1000);
            // SAFETY: a plain call. The descriptor stays open.
            unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0) };
        },
        "",
    ),
    (
        "user-with-a-control-group",
        || (),
        || {
            open_control_group();
            become_user(1000);
        },
        "a control group that another user",
    ),
    ("fewer-caps", || drop_caps(BIND), || (), "capabilities"),
    ("more-caps", || (), || drop_caps(BIND), ""),
    (
        "no-setpcap",
        || drop_caps(SETPCAP),
        || {
            prctl(libc::PR_CAPBSET_DROP, &[25]);
            drop_caps(SETPCAP);
        },
        "bounding set",
    ),
    (
        "smaller-bounding-set",
        || prctl(libc::PR_CAPBSET_DROP, &[25]),
        || (),
        "bounding set",
    ),
    (
        "locked-bits",
        || prctl(libc::PR_SET_SECUREBITS, &[NOROOT]),
        || (),
        "secure bits",
    ),
    (
        "unlocked-bits",
        || (),
        || prctl(libc::PR_SET_SECUREBITS, &[NOROOT]),
        "",
    ),
    (
        "caps-not-kept",
        || prctl(libc::PR_SET_SECUREBITS, &[KEEP_CAPS_LOCKED]),
        || {
            prctl(libc::PR_SET_KEEPCAPS, &[1]);
            set_uids([1000; 3]);
            prctl(libc::PR_SET_KEEPCAPS, &[0]);
            set_caps(0, SETPCAP, 0);
            set_caps(SETPCAP, SETPCAP, 0);
            prctl(libc::PR_SET_SECUREBITS, &[KEEP_CAPS_LOCKED]);
        },
        "capabilities",
    ),
    (
        "no-ambient",
        || prctl(libc::PR_SET_SECUREBITS, &[NO_AMBIENT]),
        || {
            set_caps(ALL, caps()[1], BIND);
            prctl(libc::PR_CAP_AMBIENT, &[2, 10]);
            prctl(libc::PR_SET_SECUREBITS, &[NO_AMBIENT]);
        },
        "ambient capabilities",
    ),
];

/// Opens a file that acts with the rights of root, who opens it.
pub fn open_control_group() {
    let _ = std::fs::create_dir(GROUP_DIR);
    let dir = c_path(GROUP_DIR.as_ref());
    let kind = c"cgroup2".as_ptr();
    // SAFETY: strings that end with NUL, and no data.
    unsafe { libc::mount(kind, dir.as_ptr(), kind, 0, std::ptr::null()) };
    let file = c_path(format!("{GROUP_DIR}/cgroup.procs").as_ref());
    if sys::open(&file, libc::O_RDWR, 0).is_err() {
        sys::exit(3);
    }
}
