// SPDX-License-Identifier: GPL-2.0

//! Values of an image that need a right: callers who have it, who lack it, and who need
//! none because they have the value themselves.

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::mem::Map;
use ckpt_guest::sys;

use crate::rights::drop_caps;
use crate::rights::prctl;
use crate::rights::same;
use crate::rights::three;
use crate::rights::who;

const SYS_CHROOT: u64 = 1 << 18;
pub const SYS_ADMIN: u64 = 1 << 21;
const SYS_NICE: u64 = 1 << 23;
const SYS_RESOURCE: u64 = 1 << 24;

/// The limit that nothing here depends on.
const LIMIT: usize = libc::RLIMIT_MSGQUEUE as usize;
/// SCHED_RESET_ON_FORK
const RESET: u32 = 1;
const MDWE: i32 = libc::PR_SET_MDWE;

/// Root without any right but to find files, so that it is as any user.
pub fn user() {
    three([0, 1001, 1002]);
    prctl(libc::PR_SET_DUMPABLE, &[1]);
}

/// The soft limit, and a hard one above it.
fn limit(which: usize, soft: u64, hard: u64) {
    let limit = [soft, hard];
    let _ = sys::plain(libc::SYS_prlimit64, &[0, which, limit.as_ptr() as usize, 0]);
    std::hint::black_box(limit);
}

fn has_limit(soft: u64, hard: u64) -> bool {
    // SAFETY: zeros are a valid one.
    let mut limit: libc::rlimit = unsafe { std::mem::zeroed() };
    // SAFETY: the structure is ours.
    unsafe { libc::getrlimit(libc::RLIMIT_MSGQUEUE, &mut limit) };
    (limit.rlim_cur, limit.rlim_max) == (soft, hard)
}

fn oom(adj: i32) {
    if std::fs::write("/proc/self/oom_score_adj", adj.to_string()).is_err() {
        sys::exit(3);
    }
}

fn has_oom(adj: i32) -> bool {
    let text = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    text.trim() == adj.to_string()
}

/// A lower value than one's own, once more: as far as somebody with privilege allowed it.
fn goes_down_to(lowest: i32, own: i32) -> bool {
    let set = |adj: i32| std::fs::write("/proc/self/oom_score_adj", adj.to_string()).is_ok();
    has_oom(own) && set(lowest) && !set(lowest - 1) && has_oom(lowest)
}

/// ioprio_set(2): the class, and the level.
fn io(class: usize, level: usize) {
    if sys::plain(libc::SYS_ioprio_set, &[1, 0, class << 13 | level]).is_err() {
        sys::exit(3);
    }
}

fn has_io(class: usize, level: usize) -> bool {
    sys::plain(libc::SYS_ioprio_get, &[1, 0]) == Ok(class << 13 | level)
}

/// sched_setattr(2): policy, flags, nice value, real-time priority.
fn sched(policy: i32, flags: u32, nice: i32, priority: u32) {
    let attr = [56, policy as u32, flags, 0, nice as u32, priority];
    let mut all = [0u32; 14];
    all[..6].copy_from_slice(&attr);
    let done = sys::plain(libc::SYS_sched_setattr, &[0, all.as_ptr() as usize, 0]);
    std::hint::black_box(all);
    if done.is_err() {
        sys::exit(3);
    }
}

fn has_sched(policy: i32, flags: u32, nice: i32, priority: u32) -> bool {
    let mut all = [0u32; 14];
    let args = [0, all.as_mut_ptr() as usize, 56, 0, 0, 0];
    // SAFETY: the kernel writes as many bytes.
    let _ = unsafe { sys::raw(libc::SYS_sched_getattr as usize, args) };
    all[1..3] == [policy as u32, flags] && all[4..6] == [nice as u32, priority]
}

fn new_root() {
    let root = "/tmp/creds-root";
    let _ = std::fs::create_dir_all(root);
    if std::os::unix::fs::chroot(root).is_err() || std::env::set_current_dir("/").is_err() {
        sys::exit(3);
    }
}

/// Memory that may be written and executed.
fn map_both() {
    if let Ok(map) = Map::anon(4096) {
        let _ = map.protect(libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC);
    }
}

/// A caller, an image, and what the restarted process has, or why it is none.
struct Grant {
    name: &'static str,
    caller: fn(),
    image: fn(),
    ends: Ends,
}

enum Ends {
    /// In a process of which this is true.
    Has(fn() -> bool),
    /// With this error, for this reason.
    Lacks(i32, &'static str),
}

use Ends::Has;
use Ends::Lacks;

const fn grant(name: &'static str, image: fn(), caller: fn(), ends: Ends) -> Grant {
    Grant {
        name,
        caller,
        image,
        ends,
    }
}

const LIMIT_REASON: Ends = Lacks(
    libc::EPERM,
    "a resource limit of the image is above the caller's",
);
const OOM_REASON: Ends = Lacks(
    libc::EPERM,
    "the oom_score_adj of the image, or how far it may be lowered, needs CAP_SYS_RESOURCE",
);
const IO_REASON: Ends = Lacks(libc::EPERM, "the I/O priority of the image is not allowed");
const SCHED_REASON: Ends = Lacks(libc::EPERM, "the scheduling of the image is not allowed");
const ROOT_REASON: Ends = Lacks(libc::EPERM, "another root directory needs CAP_SYS_CHROOT");

/// What both do: the second one after the first.
macro_rules! both {
    ($one:expr, $two:expr) => {
        || {
            $one;
            $two;
        }
    };
}

const NO_RESOURCE: fn() = || drop_caps(SYS_RESOURCE);
const NO_NICE: fn() = || drop_caps(SYS_NICE);
const NO_IO: fn() = || drop_caps(SYS_NICE | SYS_ADMIN);
const NO_CHROOT: fn() = || drop_caps(SYS_CHROOT);

/// Images, callers, and what becomes of them.
#[rustfmt::skip]
const GRANTS: &[Grant] = &[
    grant("limit", both!(limit(LIMIT, 4000, 8000), NO_RESOURCE()),
        both!(limit(LIMIT, 100, 7999), NO_RESOURCE()), LIMIT_REASON),
    grant("limit-for-a-user", both!(limit(LIMIT, 4000, 8000), user()),
        both!(limit(LIMIT, 100, 200), user()), LIMIT_REASON),
    grant("limit-allowed", || limit(LIMIT, 4000, 8000),
        || limit(LIMIT, 100, 200), Has(|| has_limit(4000, 8000))),
    grant("limit-below", both!(limit(LIMIT, 4000, 8000), user()),
        both!(limit(LIMIT, 100, 8000), user()), Has(|| has_limit(4000, 8000))),
    grant("oom", both!(oom(-500), NO_RESOURCE()), NO_RESOURCE, OOM_REASON),
    grant("oom-for-a-user", both!(oom(-1), user()), user, OOM_REASON),
    grant("oom-allowed", || oom(-500), || (), Has(|| has_oom(-500))),
    grant("oom-as-before", both!(oom(-500), user()),
        both!(oom(-500), user()), Has(|| has_oom(-500))),
    grant("oom-lowest", both!(oom(-500), both!(user(), oom(0))()), || (),
        Has(|| goes_down_to(-500, 0))),
    grant("oom-lowest-of-the-image", both!(oom(-100), both!(user(), oom(0))()),
        both!(oom(-500), NO_RESOURCE()), Has(|| goes_down_to(-100, 0))),
    grant("oom-lowest-for-a-user", both!(oom(-500), both!(user(), oom(0))()), user, OOM_REASON),
    grant("oom-above", both!(oom(10), user()), both!(user(), oom(300)), Has(|| has_oom(10))),
    grant("io", both!(io(1, 4), NO_IO()), NO_IO, IO_REASON),
    grant("io-for-a-user", both!(io(1, 4), user()), user, IO_REASON),
    grant("io-allowed", both!(io(1, 4), NO_NICE()), NO_NICE, Has(|| has_io(1, 4))),
    grant("io-as-before", both!(io(1, 4), user()), both!(io(1, 4), user()), Has(|| has_io(1, 4))),
    grant("io-below", both!(io(3, 0), user()), both!(io(1, 4), user()), Has(|| has_io(3, 0))),
    grant("fifo", both!(sched(libc::SCHED_FIFO, 0, 0, 5), NO_NICE()), NO_NICE, SCHED_REASON),
    grant("fifo-for-a-user", both!(sched(libc::SCHED_FIFO, 0, 0, 1), user()), user, SCHED_REASON),
    grant("fifo-allowed", || sched(libc::SCHED_FIFO, RESET, 0, 5), || (),
        Has(|| has_sched(libc::SCHED_FIFO, RESET, 0, 5))),
    grant("fifo-within-a-limit",
        both!(limit(libc::RLIMIT_RTPRIO as usize, 10, 10), both!(sched(libc::SCHED_FIFO, 0, 0, 5), user())()),
        both!(limit(libc::RLIMIT_RTPRIO as usize, 5, 10), user()),
        Has(|| has_sched(libc::SCHED_FIFO, 0, 0, 5))),
    grant("fifo-above-a-limit",
        both!(limit(libc::RLIMIT_RTPRIO as usize, 10, 10), both!(sched(libc::SCHED_FIFO, 0, 0, 6), user())()),
        both!(limit(libc::RLIMIT_RTPRIO as usize, 5, 10), user()), SCHED_REASON),
    grant("round-robin", both!(sched(libc::SCHED_RR, 0, 0, 1), NO_NICE()), NO_NICE, SCHED_REASON),
    grant("nice", both!(sched(0, 0, -1, 0), NO_NICE()), NO_NICE, SCHED_REASON),
    grant("nice-for-a-user", both!(sched(0, 0, 3, 0), user()),
        both!(sched(0, 0, 4, 0), user()), SCHED_REASON),
    grant("nice-allowed", || sched(0, 0, -5, 0), || (), Has(|| has_sched(0, 0, -5, 0))),
    grant("nice-within-a-limit",
        both!(limit(libc::RLIMIT_NICE as usize, 25, 25), both!(sched(0, 0, -5, 0), user())()),
        both!(limit(libc::RLIMIT_NICE as usize, 25, 25), user()),
        Has(|| has_sched(0, 0, -5, 0))),
    grant("no-more-reset", user, both!(sched(0, RESET, 0, 0), user()), SCHED_REASON),
    grant("no-more-idle", user, both!(sched(libc::SCHED_IDLE, 0, 0, 0), user()), SCHED_REASON),
    grant("root-directory", both!(new_root(), NO_CHROOT()), NO_CHROOT, ROOT_REASON),
    grant("root-directory-for-a-user", both!(new_root(), user()), user, ROOT_REASON),
    // Who has it keeps it, whatever is in the image.
    grant("caller-with-mdwe", || (), || prctl(MDWE, &[1]),
        Has(|| sys::prctl(libc::PR_GET_MDWE, &[0; 4]) == Ok(1))),
    grant("caller-with-mdwe-of-its-own", || (), || prctl(MDWE, &[3]),
        Has(|| sys::prctl(libc::PR_GET_MDWE, &[0; 4]) == Ok(0))),
    grant("mdwe-stays-for-children", || prctl(MDWE, &[3]), || prctl(MDWE, &[1]),
        Has(|| sys::prctl(libc::PR_GET_MDWE, &[0; 4]) == Ok(1))),
    grant("mdwe-and-both", map_both, || prctl(MDWE, &[1]), Lacks(libc::EACCES, "a mapping cannot be made")),
];

fn attempt(grant: &Grant) -> Case {
    let desk = Desk::open(&format!("creds-{}", grant.name));
    desk.make_with(grant.image, || match grant.ends {
        Has(value) => value(),
        Lacks(..) => true,
    })?;
    (grant.caller)();
    let Lacks(wanted, reason) = grant.ends else {
        desk.restarts()?;
        return pass_with("restarted");
    };
    let before = who();
    let (errno, said) = desk.refuses()?;
    if errno.0 != wanted || !said.contains(reason) {
        return Err(format!("{errno}: {said}, not: {reason}"));
    }
    same("caller", &before)?;
    pass_with(said)
}

/// Runs them all.
pub fn run(cases: &mut ckpt_guest::cases::Cases) {
    for grant in GRANTS {
        cases.run_in_child(grant.name, 60, || attempt(grant));
    }
}
