// SPDX-License-Identifier: GPL-2.0

//! Tasks of other users, with other rights than the caller of restart(2), and callers
//! whose rights are not enough.

use std::process::ExitCode;

use ckpt_guest::act::play;
use ckpt_guest::act::seed;
use ckpt_guest::act::Act;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::life::c_path;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;

const CHOWN: u64 = 1 << 0;
/// To find files.
const FILES: u64 = 1 << 1 | 1 << 2;
const SETGID: u64 = 1 << 6;
const SETUID: u64 = 1 << 7;
const SETPCAP: u64 = 1 << 8;
const BIND: u64 = 1 << 10;
const ALL: u64 = !0;

/// Where control groups are mounted.
const GROUP_DIR: &str = "/tmp/control-groups";

/// SECBIT_NOROOT and its lock
const NOROOT: usize = 3;
/// The lock of SECBIT_KEEP_CAPS
const KEEP_CAPS_LOCKED: usize = 1 << 5;
/// SECBIT_NO_CAP_AMBIENT_RAISE and its lock
const NO_AMBIENT: usize = 3 << 6;

fn plain(nr: libc::c_long, args: &[usize]) {
    if let Err(errno) = sys::plain(nr, args) {
        println!("call {nr}{args:x?}: {errno}");
        sys::exit(3);
    }
}

fn prctl(option: i32, args: &[usize]) {
    let mut all = vec![option as usize];
    all.extend_from_slice(args);
    all.resize(5, 0);
    plain(libc::SYS_prctl, &all);
}

fn set_uids(ids: [usize; 3]) {
    plain(libc::SYS_setresuid, &ids);
}

fn set_gids(ids: [usize; 3]) {
    plain(libc::SYS_setresgid, &ids);
}

fn set_groups(groups: &[u32]) {
    let args = [groups.len(), groups.as_ptr() as usize, 0, 0, 0, 0];
    // SAFETY: the kernel reads as many numbers.
    let done = unsafe { sys::raw(libc::SYS_setgroups as usize, args) };
    if done.is_err() {
        sys::exit(3);
    }
}

/// Effective, permitted and inheritable capabilities of the calling thread.
fn caps() -> [u64; 3] {
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

fn set_caps(effective: u64, permitted: u64, inheritable: u64) {
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
fn drop_caps(gone: u64) {
    let [effective, permitted, inheritable] = caps();
    set_caps(effective & !gone, permitted & !gone, inheritable & !gone);
}

/// Who the calling thread is. Without files, which it must not have open when it is saved.
fn who() -> String {
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

fn same(whose: &str, before: &str) -> Result<(), String> {
    let now = who();
    if now == before {
        return Ok(());
    }
    Err(format!("{whose}: {before} became {now}"))
}

/// A user without any right.
fn become_user(id: usize) {
    set_groups(&[id as u32, 77, 5]);
    set_gids([id; 3]);
    set_uids([id; 3]);
}

/// A user of these ids, who can open all files.
fn three(ids: [usize; 3]) {
    prctl(libc::PR_SET_KEEPCAPS, &[1]);
    set_uids(ids);
    set_caps(FILES, FILES, 0);
    // The guest's file system knows root only.
    plain(libc::SYS_setfsuid, &[0]);
    set_caps(FILES, FILES, 0);
}

/// A user who has kept some rights, and whose ids are all different.
fn become_odd() {
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

fn finish(pids: &[i32]) -> Result<(), String> {
    for pid in pids {
        match sys::wait_for(*pid, 60) {
            Ended::Exit(0) => {}
            other => return Err(format!("child {pid} ended with {other:?}")),
        }
    }
    Ok(())
}

fn child(scene: &Scene, name: &str, arrange: impl FnOnce()) -> Result<i32, String> {
    let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if pid != 0 {
        return Ok(pid);
    }
    arrange();
    let before = who();
    scene.wait();
    let done = same(name, &before);
    if let Err(why) = &done {
        println!("{why}");
    }
    sys::exit(i32::from(done.is_err()))
}

/// Root, and children that are less.
fn daemon(scene: &Scene) -> Result<(), String> {
    let before = who();
    let pids = [
        child(scene, "user", || become_user(1000))?,
        child(scene, "dumpable", || {
            become_user(65534);
            prctl(libc::PR_SET_DUMPABLE, &[1]);
            prctl(libc::PR_SET_PDEATHSIG, &[12]);
        })?,
        child(scene, "odd", become_odd)?,
        child(scene, "capable", || set_caps(0, BIND | SETPCAP, 0))?,
    ];
    scene.wait();
    finish(&pids)?;
    same("root", &before)
}

/// The first process has fewer rights than its child.
fn upside_down(scene: &Scene) -> Result<(), String> {
    let pid = child(scene, "root", || ())?;
    become_odd();
    let before = who();
    scene.wait();
    finish(&[pid])?;
    same("odd", &before)
}

/// Threads of different users.
fn threads(scene: &Scene) -> Result<(), String> {
    let before = who();
    let arrange: [fn(); 4] = [
        || become_user(1000),
        become_odd,
        || (),
        || set_caps(0, BIND, BIND),
    ];
    let there = std::sync::Barrier::new(arrange.len() + 1);
    std::thread::scope(|scope| {
        let others = arrange.map(|arrange| {
            let there = &there;
            scope.spawn(move || {
                arrange();
                prctl(libc::PR_SET_PDEATHSIG, &[10]);
                there.wait();
                let before = who();
                scene.wait();
                same("thread", &before)
            })
        });
        there.wait();
        let undumpable = who();
        scene.wait();
        for other in others {
            other.join().map_err(|_| "it panicked".to_string())??;
        }
        if before == undumpable {
            return Err("a change of ids has left the process dumpable".to_string());
        }
        same("first", &undumpable)
    })
}

const ACTS: &[Act] = &[
    Act {
        name: "daemon",
        play: daemon,
        waits: 100,
    },
    Act {
        name: "upside-down",
        play: upside_down,
        waits: 100,
    },
    Act {
        name: "threads",
        play: threads,
        waits: 100,
    },
];

/// An image of a child that has run `arrange`, and ends with RESTARTED when it is the
/// same then.
fn make(desk: &Desk, arrange: impl FnOnce()) -> Result<(), String> {
    let ended = sys::in_child(30, || {
        arrange();
        prctl(libc::PR_SET_DUMPABLE, &[1]);
        let before = who();
        match desk.checkpoint() {
            Ok(0) => match same("restarted", &before) {
                Ok(()) => RESTARTED,
                Err(why) => {
                    println!("{why}");
                    2
                }
            },
            Ok(_) => RESUMED,
            Err(_) => 1,
        }
    });
    if ended == Ended::Exit(RESUMED) {
        return Ok(());
    }
    Err(format!("no image: {ended:?}; {}", desk.said()))
}

/// A caller, an image, and what of it the caller may not have; nothing when it may.
type Try = (&'static str, fn(), fn(), &'static str);

const TRIES: &[Try] = &[
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
        "user-with-a-control-group",
        || (),
        || {
            // Opened by one who may change it.
            let _ = std::fs::create_dir(GROUP_DIR);
            let dir = c_path(GROUP_DIR.as_ref());
            let kind = c"cgroup2".as_ptr();
            // SAFETY: strings that end with NUL, and no data.
            unsafe { libc::mount(kind, dir.as_ptr(), kind, 0, std::ptr::null()) };
            let file = c_path(format!("{GROUP_DIR}/cgroup.procs").as_ref());
            if sys::open(&file, libc::O_RDWR, 0).is_err() {
                sys::exit(3);
            }
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

fn attempt(name: &str, caller: fn(), image: fn(), missing: &str) -> Case {
    let desk = Desk::open(&format!("creds-{name}"));
    make(&desk, image)?;
    caller();
    if missing.is_empty() {
        desk.restarts()?;
        return pass_with("restarted");
    }
    let before = who();
    let (errno, said) = desk.refuses()?;
    if errno.0 != libc::EPERM || !said.contains(missing) {
        return Err(format!("{errno}: {said}, not about {missing}"));
    }
    same("caller", &before)?;
    pass_with(said)
}

/// What was prepared is given up when a later step fails.
fn cut() -> Case {
    let desk = Desk::open("creds-cut");
    make(&desk, become_odd)?;
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let before = who();
    for less in 1..24 {
        let image = &bytes[..bytes.len() - 8 * less];
        std::fs::write(&desk.path, image).map_err(|e| e.to_string())?;
        let (errno, said) = desk.refuses()?;
        if errno.0 == 0 {
            return Err(said);
        }
        same("caller", &before)?;
    }
    pass_with("23 lengths")
}

fn main() -> ExitCode {
    let seed = seed();
    let mut cases = Cases::new();
    for act in ACTS {
        cases.run(act.name, || play(act, seed));
    }
    for (name, caller, image, missing) in TRIES {
        cases.run_in_child(name, 60, || attempt(name, *caller, *image, missing));
    }
    cases.run_in_child("cut", 60, cut);
    cases.verdict()
}
