// SPDX-License-Identifier: GPL-2.0

//! Words for numbers, and strings that a terminal can be shown.

use ckptfmt::format::files::file_flags;
use ckptfmt::format::files::file_kind;
use ckptfmt::format::mm::vma_flags;
use ckptfmt::format::mm::vma_kind;
use ckptfmt::format::mm::Vma;
use ckptfmt::format::task::policy;

pub use ckpttool::escape;

/// A name that ends at its first NUL.
pub fn name(bytes: &[u8]) -> String {
    escape(bytes.split(|b| *b == 0).next().unwrap_or_default())
}

/// A number of bytes, for people.
pub fn size(bytes: u64) -> String {
    let mut unit = "bytes";
    let mut value = bytes;
    for next in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 10 * 1024 {
            break;
        }
        value /= 1024;
        unit = next;
    }
    format!("{value} {unit}")
}

/// `n things`, or `1 thing`.
pub fn count(n: u64, thing: &str) -> String {
    format!("{n} {thing}{}", if n == 1 { "" } else { "s" })
}

/// Names of the first 31 signals.
const SIGNALS: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];

/// The name of a signal.
pub fn signal(number: usize) -> String {
    match number.checked_sub(1).and_then(|i| SIGNALS.get(i)) {
        Some(name) => format!("SIG{name}"),
        None => format!("signal {number}"),
    }
}

/// The signals of a mask.
pub fn signals(mask: u64) -> Vec<String> {
    (0..64usize)
        .filter(|i| mask >> i & 1 == 1)
        .map(|i| signal(i.saturating_add(1)))
        .collect()
}

/// Names of the events and flags of epoll_ctl(2).
const EPOLL_EVENTS: [(u32, &str); 16] = [
    (1, "in"),
    (2, "pri"),
    (4, "out"),
    (8, "err"),
    (0x10, "hup"),
    (0x20, "nval"),
    (0x40, "rdnorm"),
    (0x80, "rdband"),
    (0x100, "wrnorm"),
    (0x200, "wrband"),
    (0x400, "msg"),
    (0x2000, "rdhup"),
    (1 << 28, "exclusive"),
    (1 << 29, "wakeup"),
    (1 << 30, "oneshot"),
    (1 << 31, "edge"),
];

/// The events and flags of an entry of an epoll, without errors and hangups, which
/// every entry has.
pub fn epoll_events(events: u32) -> Vec<&'static str> {
    const OF_ALL: u32 = 0x18;
    let spent = events & 0x0fff_ffff == 0;
    let shown = EPOLL_EVENTS.iter();
    let mut names: Vec<_> = shown
        .filter(|(bit, _)| events & bit & !OF_ALL != 0)
        .map(|(_, name)| *name)
        .collect();
    if spent {
        names.push("spent");
    } else if names.is_empty() {
        names.push("errors");
    }
    names
}

/// CPUs, a bit for each, as taskset(1) lists them.
pub fn cpus(bits: &[u8]) -> String {
    let is_set = |cpu: &usize| {
        let byte = bits.get(cpu / 8).copied().unwrap_or(0);
        byte >> (cpu % 8) & 1 == 1
    };
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for cpu in (0..bits.len().saturating_mul(8)).filter(is_set) {
        match ranges.last_mut() {
            Some((_, last)) if last.saturating_add(1) == cpu => *last = cpu,
            _ => ranges.push((cpu, cpu)),
        }
    }
    let text = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    text.collect::<Vec<_>>().join(",")
}

/// An I/O priority, as ionice(1) names it.
pub fn io_priority(ioprio: u32) -> String {
    let level = ioprio & 7;
    match ioprio >> 13 {
        1 => format!("realtime {level}"),
        2 => format!("best-effort {level}"),
        3 => "idle".to_string(),
        _ => "none".to_string(),
    }
}

/// Names of the limits, in the order of the image.
pub const LIMITS: [&str; 16] = [
    "cpu",
    "fsize",
    "data",
    "stack",
    "core",
    "rss",
    "nproc",
    "nofile",
    "memlock",
    "as",
    "locks",
    "sigpending",
    "msgqueue",
    "nice",
    "rtprio",
    "rttime",
];

/// A limit.
pub fn limit(value: u64) -> String {
    if value == u64::MAX {
        "unlimited".into()
    } else {
        value.to_string()
    }
}

/// Names of bits: those of `all` that `flags` has.
fn names(all: &[(u32, &'static str)], flags: u32) -> Vec<&'static str> {
    all.iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, name)| *name)
        .collect()
}

/// Flags of a task.
pub fn task_flags(flags: u32) -> Vec<&'static str> {
    use ckptfmt::format::task::task_flags as f;

    let all = [
        (f::NO_NEW_PRIVS, "no-new-privs"),
        (f::CHILD_SUBREAPER, "subreaper"),
        (f::DUMPABLE, "dumpable"),
        (f::DUMPABLE_ROOT, "dumpable by root"),
        (f::FORKNOEXEC, "forked-no-exec"),
        (f::SUPERPRIV, "used-privileges"),
        (f::MCE_EARLY, "mce-early"),
        (f::MCE_PROCESS, "mce-own-policy"),
        (f::RESET_ON_FORK, "reset-on-fork"),
        (f::CONTINUED, "continued"),
    ];
    names(&all, flags)
}

/// Flags of the checkpoint call, as the C header has them.
pub fn checkpoint_flags(flags: u32) -> Vec<&'static str> {
    names(&[(1, "log"), (2, "kill"), (4, "stop")], flags)
}

/// A scheduling policy.
pub fn scheduling(number: u32) -> &'static str {
    match number {
        policy::NORMAL => "normal",
        policy::FIFO => "fifo",
        policy::RR => "rr",
        policy::BATCH => "batch",
        policy::IDLE => "idle",
        _ => "unknown",
    }
}

/// A kind of open file.
pub fn kind(number: u32) -> &'static str {
    match number {
        file_kind::REGULAR => "regular file",
        file_kind::DIRECTORY => "directory",
        file_kind::PATH => "location",
        file_kind::CHARDEV => "device",
        file_kind::TTY => "terminal",
        file_kind::STREAM => "stream of the image",
        file_kind::PIPE => "end of a pipe",
        file_kind::EVENTFD => "eventfd",
        file_kind::SIGNALFD => "signalfd",
        file_kind::TIMERFD => "timerfd",
        file_kind::EPOLL => "epoll",
        file_kind::PIDFD => "pidfd",
        file_kind::SOCKET => "local socket",
        file_kind::SHMEM => "file in memory",
        _ => "unknown",
    }
}

/// Flags of an open file, access mode first.
pub fn open_flags(flags: u32) -> Vec<&'static str> {
    use file_flags as f;

    let mode = match flags & f::ACCMODE {
        0 => "read",
        1 => "write",
        _ => "read-write",
    };
    let mut names = if flags & f::PATH == 0 {
        vec![mode]
    } else {
        vec![]
    };
    let all = [
        (f::APPEND, "append"),
        (f::NONBLOCK, "nonblock"),
        (f::DSYNC, "dsync"),
        (f::SYNC, "sync"),
        (f::DIRECT, "direct"),
        (f::NOATIME, "noatime"),
        (f::PATH, "path"),
        (f::NOFOLLOW, "nofollow"),
        (f::DIRECTORY, "directory"),
        (f::LARGEFILE, "largefile"),
        (f::IMAGE, "image"),
        (f::MAPPED, "mapped"),
        (f::UNSEEN, "no-writer-yet"),
        (f::SHARED, "mapped shared"),
    ];
    names.extend(self::names(&all, flags));
    names
}

/// Protection of a mapping, as /proc shows it.
pub fn protection(vma: &Vma) -> String {
    let shared = matches!(vma.how, vma_kind::SHMEM | vma_kind::SHARED);
    format!("{}{}", access(vma.flags), if shared { 's' } else { 'p' })
}

/// What a mapping allows, as /proc shows it.
pub fn access(flags: u64) -> String {
    let bit = |bit, c| if flags & bit != 0 { c } else { '-' };
    [
        bit(vma_flags::READ, 'r'),
        bit(vma_flags::WRITE, 'w'),
        bit(vma_flags::EXEC, 'x'),
    ]
    .iter()
    .collect()
}

/// Further flags of a mapping.
pub fn mapping_flags(flags: u64) -> Vec<&'static str> {
    vma_flags::NAMES
        .iter()
        .filter(|(bit, _)| flags & bit != 0)
        .map(|(_, name)| *name)
        .collect()
}

/// Error numbers that a checkpoint fails with.
const ERRNOS: &[(u32, &str)] = &[
    (1, "EPERM"),
    (2, "ENOENT"),
    (3, "ESRCH"),
    (4, "EINTR"),
    (5, "EIO"),
    (7, "E2BIG"),
    (9, "EBADF"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (14, "EFAULT"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (24, "EMFILE"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (32, "EPIPE"),
    (34, "ERANGE"),
    (35, "EDEADLK"),
    (36, "ENAMETOOLONG"),
    (38, "ENOSYS"),
    (61, "ENODATA"),
    (71, "EPROTO"),
    (74, "EBADMSG"),
    (75, "EOVERFLOW"),
    (95, "EOPNOTSUPP"),
    (110, "ETIMEDOUT"),
    (116, "ESTALE"),
    (122, "EDQUOT"),
    (133, "EHWPOISON"),
];

/// The name of an error number.
pub fn errno(number: u32) -> String {
    ERRNOS
        .iter()
        .find(|e| e.0 == number)
        .map_or_else(|| format!("errno {number}"), |e| e.1.into())
}

/// How a process ended, from what wait(2) tells.
pub fn exit_code(code: u32) -> String {
    match code & 0x7f {
        0 => format!("exit status {}", code >> 8 & 0xff),
        number => format!("killed by {}", signal(number as usize)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_named() {
        assert_eq!(signals(1 << 8 | 1 << 63), ["SIGKILL", "signal 64"]);
    }
}
