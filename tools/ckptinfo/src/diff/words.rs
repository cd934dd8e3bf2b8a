// SPDX-License-Identifier: GPL-2.0

//! Values of fields in words.

use ckptfmt::fields::Part;
use ckptfmt::fields::Raw;

use crate::json::hex;
use crate::text;
use crate::timers;

/// Fields that follow from lists, or number objects within one image: what
/// they say is compared by what they stand for.
const SKIPPED: &[(&str, &str)] = &[
    ("Task", "affinity_len"),
    ("Task", "mm"),
    ("Task", "files"),
    ("Task", "fs"),
    ("Task", "handlers"),
    ("Mm", "map_count"),
    ("Mm", "nr_auxv"),
    ("Mm", "exe_file"),
    ("Vma", "file"),
    ("Vma", "namelen"),
    ("Vma", "nr_guards"),
    ("Vma", "origin"),
    ("MmContext", "nldt"),
    ("Cpu", "nr_restart"),
    ("File", "path_len"),
    ("File", "pid_at"),
    ("File", "creds"),
    ("Files", "nr_fds"),
    ("FdEnt", "fd"),
    ("FdEnt", "file"),
    ("FdEnt", "nr_locks"),
    ("File", "object"),
    ("Pipe", "nr_bufs"),
    ("Socket", "peer"),
    ("Socket", "nr_msgs"),
    ("EpollItem", "file"),
    ("Shmem", "namelen"),
    ("Signal", "nr_pending"),
    ("ThreadSignal", "nr_pending"),
    ("Timers", "nr_timers"),
    ("Timer", "id"),
    ("Creds", "ngroups"),
];

/// Structures whose numbers are addresses, masks or bits.
const IN_HEX: &[&str] = &[
    "Cpu",
    "EpollItem",
    "GuardRange",
    "HeadArch",
    "Mm",
    "MmContext",
    "RestartBlock",
    "Sigaction",
    "Siginfo",
    "Signal",
    "Thread",
    "ThreadSignal",
    "UserDesc",
    "Vma",
];

/// Whether a field is left out.
pub fn skipped(part: &Part) -> bool {
    part.field == "objref" || SKIPPED.contains(&(part.owner, part.field))
}

/// Elements of arrays that have names.
pub fn element(owner: &str, field: &str, index: usize) -> Option<String> {
    match (owner, field) {
        ("Rlimits", "limits") => text::LIMITS.get(index).map(|n| n.to_string()),
        ("Signal", "actions") => Some(text::signal(index.saturating_add(1))),
        ("Itimers", "timers") => timers::TIMERS.get(index).map(|n| n.to_string()),
        ("Creds", "caps") => [
            "inheritable",
            "permitted",
            "effective",
            "bounding",
            "ambient",
        ]
        .get(index)
        .map(|n| n.to_string()),
        _ => None,
    }
}

/// What a field holds.
pub fn value(part: &Part) -> String {
    match &part.raw {
        Raw::Bytes(bytes) => text::name(bytes),
        Raw::Signed(number) => number.to_string(),
        Raw::Unsigned(number) => self::number(part, *number),
    }
}

fn number(part: &Part, number: u64) -> String {
    // Where a 32-bit field has more, its record would not have been valid.
    let small = u32::try_from(number).unwrap_or(u32::MAX);
    let or_none = |names: Vec<String>| {
        if names.is_empty() {
            "none".into()
        } else {
            names.join(" ")
        }
    };
    let words = |names: Vec<&str>| or_none(names.iter().map(|n| n.to_string()).collect());
    match (part.owner, part.field) {
        ("Head", "flags") => words(text::checkpoint_flags(small)),
        ("Task", "flags") => words(text::task_flags(small)),
        ("Task", "policy") => text::scheduling(small).into(),
        ("Task", "personality") => hex(number),
        ("Fs", "umask") => format!("{number:03o}"),
        ("Vma", "flags") => {
            let mut names = vec![text::access(number)];
            names.extend(text::mapping_flags(number).iter().map(|n| n.to_string()));
            names.join(" ")
        }
        ("Vma", "pgoff") => hex(number.saturating_mul(4096)),
        ("File", "kind") => text::kind(small).into(),
        ("File", "flags") => words(text::open_flags(small)),
        ("File", "mode") => format!("{number:06o}"),
        ("FdEnt", "flags") => if number & 1 != 0 {
            "close-on-exec"
        } else {
            "none"
        }
        .into(),
        ("FileLock", "flags") => if number & 1 != 0 {
            "exclusive"
        } else {
            "shared"
        }
        .into(),
        ("Signal" | "ThreadSignal", "blocked") | ("Sigaction", "mask") => {
            or_none(text::signals(number))
        }
        ("Sigaction", "handler") if number == 0 => "default".into(),
        ("Sigaction", "handler") if number == 1 => "ignore".into(),
        ("Rlimit", _) => text::limit(number),
        ("Creds", "caps" | "securebits") | ("Timer", "sigval") => hex(number),
        ("HeadArch", "xsave_size" | "vdso_size")
        | ("RestartBlock", "remaining_ns" | "call")
        | ("Signal" | "ThreadSignal", "ss_size") => number.to_string(),
        (owner, _) if number > 9 && IN_HEX.contains(&owner) => hex(number),
        _ => number.to_string(),
    }
}

/// What a field is called: as in the image's description, but where that says
/// less than a person needs.
pub fn title(part: &Part) -> String {
    match (part.owner, part.field) {
        ("Vma", "flags") => "protection, flags".into(),
        ("Vma", "pgoff") => "offset".into(),
        ("FdEnt", "flags") => "descriptor flags".into(),
        _ => part.path.clone(),
    }
}
