// SPDX-License-Identifier: GPL-2.0

//! Names in C of what the sources declare in Rust.

use super::eval::eval;
use super::source::Source;

/// Modules of constants and what their names start with in C.
pub const PREFIXES: &[(&str, &str)] = &[
    ("", "CR_"),
    ("place", "CR_PLACE_"),
    ("tree_flags", "CR_TREE_"),
    ("task_flags", "CR_TASK_"),
    ("policy", "CR_POLICY_"),
    ("seccomp_flags", "CR_SECCOMP_FLAG_"),
    ("seg", "CR_SEG_"),
    ("kind", "CR_RESTART_KIND_"),
    ("flags", "CR_RESTART_FLAG_"),
    ("queue", "CR_SIGINFO_"),
    ("siginfo_flags", "CR_SIGINFO_FLAG_"),
    ("cpu_clock", "CR_CPU_CLOCK_"),
    ("notify", "CR_TIMER_NOTIFY_"),
    ("timers_flags", "CR_TIMERS_"),
    ("timer_flags", "CR_TIMER_"),
    ("mm_flags", "CR_MM_"),
    ("vma_kind", "CR_VMA_KIND_"),
    ("vma_flags", "CR_VMA_"),
    ("shmem_kind", "CR_SHMEM_KIND_"),
    ("shmem_flags", "CR_SHMEM_"),
    ("seals", "CR_SEAL_"),
    ("file_kind", "CR_FILE_KIND_"),
    ("lock_kind", "CR_LOCK_KIND_"),
    ("file_flags", "CR_FILE_"),
    ("pipe_buf_flags", "CR_PIPE_BUF_"),
    ("socket_kind", "CR_SOCKET_KIND_"),
    ("socket_flags", "CR_SOCKET_"),
    ("socket_shutdown", "CR_SOCKET_SHUT_"),
    ("eventfd_flags", "CR_EVENTFD_"),
    ("pidfd_flags", "CR_PIDFD_"),
    ("timerfd_flags", "CR_TIMERFD_"),
];

/// Constants that are no part of the interface: masks of what this release
/// knows, what follows from a structure, and numbers of others.
const INTERNAL: &[&str] = &[
    "ALL",
    "INCOMPAT_KNOWN",
    "SA_KNOWN",
    "UNBLOCKABLE",
    "HDR_SIZE",
    "NSEC_PER_SEC",
    "SI_TIMER",
];

/// What the names of the constants of `module` in `file` start with in C.
fn prefix(file: &str, module: &str) -> Option<&'static str> {
    // Apart from other numbers that a header of system calls has.
    if (file, module) == ("call", "") {
        return Some("CR_RESTART_");
    }
    PREFIXES.iter().find(|p| p.0 == module).map(|p| p.1)
}

/// A constant of the interface.
#[derive(Clone, Debug, PartialEq)]
pub struct Constant {
    /// The module inside the file, or nothing.
    pub module: String,
    /// Its name in Rust.
    pub rust: String,
    /// Its name in C.
    pub c: String,
    /// Its value; a negative one in two's complement.
    pub value: u64,
    /// What it means.
    pub about: String,
}

/// The constants of `source` that the C header states.
///
/// # Errors
///
/// Names the constant whose module or value is not understood.
pub fn constants(source: &Source, all: &[Source]) -> Result<Vec<Constant>, String> {
    source
        .consts
        .iter()
        .filter(|c| !INTERNAL.contains(&c.rust.as_str()))
        .map(|c| {
            let prefix = prefix(&source.file, &c.module)
                .ok_or_else(|| format!("module {} has no prefix in C", c.module))?;
            let value = value(&c.value, &c.module, all, 4)
                .ok_or_else(|| format!("value of {}: {}", c.rust, c.value))?;
            Ok(Constant {
                module: c.module.clone(),
                rust: c.rust.clone(),
                c: format!("{prefix}{}", c.rust),
                value,
                about: c.about.clone(),
            })
        })
        .collect()
}

/// The value of an expression in `module`; names may refer to names, `depth` deep.
fn value(text: &str, module: &str, all: &[Source], depth: u8) -> Option<u64> {
    let depth = depth.checked_sub(1)?;
    eval(text, &|name| {
        let found = all
            .iter()
            .flat_map(|s| &s.consts)
            .find(|c| c.rust == name && c.module == module)?;
        value(&found.value, module, all, depth)
    })
}

/// A type as C writes it: the type, and what stands behind the name.
pub fn c_type(ty: &str, all: &[Source]) -> (String, String) {
    let array = ty
        .strip_prefix('[')
        .and_then(|t| t.strip_suffix(']'))
        .and_then(|t| t.split_once("; "));
    let (element, count) = match array {
        Some((element, count)) if count.starts_with(|c: char| c.is_ascii_digit()) => {
            (element, format!("[{count}]"))
        }
        Some((element, count)) => (element, format!("[CR_{count}]")),
        None => (ty, String::new()),
    };
    let base = match element.split_at_checked(1) {
        Some(("u", bits)) => format!("__u{bits}"),
        Some(("i", bits)) => format!("__s{bits}"),
        _ => all
            .iter()
            .flat_map(|s| &s.structs)
            .find(|s| s.rust == element)
            .map_or_else(|| element.into(), |s| format!("struct {}", s.c)),
    };
    (base, count)
}

/// A comment with its links to Rust names turned into C names.
pub fn in_c(about: &str, all: &[Source]) -> String {
    let mut out = String::new();
    let mut rest = about;
    while let Some((before, behind)) = rest.split_once("[`") {
        let Some((link, behind)) = behind.split_once("`]") else {
            break;
        };
        out.push_str(before);
        out.push_str(&format!("``{}``", target(link, all)));
        rest = behind;
    }
    out.push_str(rest);
    // What is left in single backticks is code in reStructuredText, too.
    let mut text = String::new();
    for (i, part) in out.split("``").enumerate() {
        if i > 0 {
            text.push_str("``");
        }
        let code = i % 2 == 1;
        text.push_str(&if code {
            part.into()
        } else {
            part.replace('`', "``")
        });
    }
    text
}

fn target(link: &str, all: &[Source]) -> String {
    let last = link.rsplit("::").next().unwrap_or(link);
    // Structures first: a field may be called as a module is.
    for source in all {
        if let Some(s) = source
            .structs
            .iter()
            .find(|s| link.split("::").next() == Some(&s.rust))
        {
            return match link.split_once("::") {
                Some((_, field)) => format!("{}.{field}", s.c),
                None => format!("struct {}", s.c),
            };
        }
        if source
            .consts
            .iter()
            .any(|c| c.rust == last && c.module.is_empty())
        {
            return format!("{}{last}", prefix(&source.file, "").unwrap_or_default());
        }
    }
    // A module inside a file, or a whole file, by the numbers that it declares.
    let file = all.iter().find(|s| s.file == last).map(|s| s.file.as_str());
    match prefix(
        file.unwrap_or_default(),
        if file.is_some() { "" } else { last },
    ) {
        Some(prefix) if !last.is_empty() => format!("{prefix}*"),
        _ => last.into(),
    }
}
