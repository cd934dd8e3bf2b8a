// SPDX-License-Identifier: GPL-2.0

//! Whose a thread is and what it may do: the calls that change it, and those that tell.

use ckpt_guest::sys;

const CHOWN: u64 = 1 << 0;
/// To find files.
const FILES: u64 = 1 << 1 | 1 << 2;
pub const SETGID: u64 = 1 << 6;
pub const SETUID: u64 = 1 << 7;
pub const SETPCAP: u64 = 1 << 8;
/// CAP_SYSLOG.
pub const SYSLOG: u64 = 1 << 34;
pub const BIND: u64 = 1 << 10;
pub const ALL: u64 = !0;

/// SECBIT_NOROOT and its lock
pub const NOROOT: usize = 3;
/// The lock of SECBIT_KEEP_CAPS
pub const KEEP_CAPS_LOCKED: usize = 1 << 5;
/// SECBIT_NO_CAP_AMBIENT_RAISE and its lock
pub const NO_AMBIENT: usize = 3 << 6;

fn plain(nr: libc::c_long, args: &[usize]) {
    if let Err(errno) = sys::plain(nr, args) {
        println!("call {nr}{args:x?}: {errno}");
        sys::exit(3);
    }
}

pub fn prctl(option: i32, args: &[usize]) {
    let mut all = vec![option as usize];
    all.extend_from_slice(args);
    all.resize(5, 0);
    plain(libc::SYS_prctl, &all);
}

pub fn set_uids(ids: [usize; 3]) {
    plain(libc::SYS_setresuid, &ids);
}

pub fn set_gids(ids: [usize; 3]) {
    plain(libc::SYS_setresgid, &ids);
}

pub fn set_groups(groups: &[u32]) {
    let args = [groups.len(), groups.as_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: the kernel reads as many numbers.
    let done = unsafe { sys::raw(libc::SYS_setgroups as usize, args) };
    if done.is_err() {
        sys::exit(3);
    }
}

/// Effective, permitted and inheritable capabilities of the calling thread.
pub fn caps() -> [u64; 3] {
    let (mut header, mut data) = ([0x2008_0522u32, 0], [0u32; 6]);
    let args = [
        header.as_mut_ptr() as usize,
        data.as_mut_ptr() as usize,
        0,
        0,
        0,
        0,
    ];
    // SAFETY: the kernel writes two structures of three numbers.
    let _ = unsafe { sys::raw(libc::SYS_capget as usize, args) };
    [0, 1, 2].map(|i| u64::from(data[i]) | u64::from(data[i + 3]) << 32)
}

pub fn set_caps(effective: u64, permitted: u64, inheritable: u64) {
    let [have, _, _] = caps();
    let sets = [effective, permitted, inheritable].map(|set| if set == ALL { have } else { set });
    let mut header = [0x2008_0522u32, 0];
    let mut data = [0u32; 6];
    for (i, set) in sets.into_iter().enumerate() {
        (data[i], data[i + 3]) = (set as u32, (set >> 32) as u32);
    }
    let args = [
        header.as_mut_ptr() as usize,
        data.as_mut_ptr() as usize,
        0,
        0,
        0,
        0,
    ];
    // SAFETY: the kernel reads two structures of three numbers.
    if unsafe { sys::raw(libc::SYS_capset as usize, args) }.is_err() {
        println!("capset {sets:x?}");
        sys::exit(3);
    }
}

/// Gives capabilities up.
pub fn drop_caps(gone: u64) {
    let [effective, permitted, inheritable] = caps();
    set_caps(effective & !gone, permitted & !gone, inheritable & !gone);
}

/// Who the calling thread is. Without files, which it must not have open when it is saved.
pub fn who() -> String {
    let (mut uid, mut gid) = ([0; 3], [0; 3]);
    let mut groups = [0; 64];
    let mut death = 0i32;
    // SAFETY: all write to arrays of ours that are as long as they say.
    let count = unsafe {
        libc::getresuid(&mut uid[0], &mut uid[1], &mut uid[2]);
        libc::getresgid(&mut gid[0], &mut gid[1], &mut gid[2]);
        libc::prctl(libc::PR_GET_PDEATHSIG, &raw mut death);
        libc::getgroups(64, groups.as_mut_ptr())
    };
    let groups = groups.get(..count as usize).unwrap_or_default();
    let has = |option, args: [usize; 4]| sys::prctl(option, &args) == Ok(1);
    let set = |option, first: &[usize]| -> u64 {
        let args = |cap| match first {
            [] => [cap, 0, 0, 0],
            [first, ..] => [*first, cap, 0, 0],
        };
        let bits = (0..64).filter(|cap| has(option, args(*cap)));
        bits.map(|cap| 1u64 << cap).sum()
    };
    let fs = [libc::SYS_setfsuid, libc::SYS_setfsgid];
    let fs = fs.map(|nr| sys::plain(nr, &[u32::MAX as usize]).unwrap_or(0));
    let bounding = set(libc::PR_CAPBSET_READ, &[]);
    let ambient = set(libc::PR_CAP_AMBIENT, &[1]);
    let values = [
        libc::PR_GET_SECUREBITS,
        libc::PR_GET_DUMPABLE,
        libc::PR_GET_KEEPCAPS,
        libc::PR_GET_NO_NEW_PRIVS,
    ];
    let values = values.map(|option| sys::prctl(option, &[0; 4]).unwrap_or(99));
    format!(
        "{uid:?} {gid:?} {fs:?} {groups:?} {:x?} {bounding:x} {ambient:x} {values:?} {death}",
        caps()
    )
}

pub fn same(whose: &str, before: &str) -> Result<(), String> {
    let now = who();
    if now == before {
        return Ok(());
    }
    Err(format!("{whose}: {before} became {now}"))
}

/// A user without any right.
pub fn become_user(id: usize) {
    set_groups(&[id as u32, 77, 5]);
    set_gids([id; 3]);
    set_uids([id; 3]);
}

/// A user of these ids, who can open all files.
pub fn three(ids: [usize; 3]) {
    prctl(libc::PR_SET_KEEPCAPS, &[1]);
    set_uids(ids);
    set_caps(FILES, FILES, 0);
    // The guest's file system knows root only.
    plain(libc::SYS_setfsuid, &[0]);
    set_caps(FILES, FILES, 0);
}

/// A user who has kept some rights, and whose ids are all different.
pub fn become_odd() {
    prctl(libc::PR_SET_KEEPCAPS, &[1]);
    prctl(libc::PR_CAPBSET_DROP, &[25]);
    set_groups(&[]);
    set_gids([1000, 1001, 1002]);
    set_uids([1000, 1001, 1002]);
    set_caps(caps()[1], caps()[1], CHOWN | BIND);
    plain(libc::SYS_setfsgid, &[1003]);
    plain(libc::SYS_setfsuid, &[1004]);
    prctl(libc::PR_CAP_AMBIENT, &[2, 10]);
    prctl(libc::PR_SET_SECUREBITS, &[NOROOT | NO_AMBIENT]);
    set_caps(CHOWN, CHOWN | BIND, CHOWN | BIND);
}
