// SPDX-License-Identifier: GPL-2.0

//! Which fields of the records may differ between images of the same state.
//!
//! The record sources are the documentation of the format: a field whose
//! comment says "Varies" may differ, and no other. So the sources are read.

use std::ops::Range;

use crate::format;

const SOURCES: [&str; 17] = [
    include_str!("../../../checkpoint/format/head.rs"),
    include_str!("../../../checkpoint/format/task.rs"),
    include_str!("../../../checkpoint/format/signal.rs"),
    include_str!("../../../checkpoint/format/cpu.rs"),
    include_str!("../../../checkpoint/format/mm.rs"),
    include_str!("../../../checkpoint/format/mm/vma.rs"),
    include_str!("../../../checkpoint/format/mm/pages.rs"),
    include_str!("../../../checkpoint/format/shmem.rs"),
    include_str!("../../../checkpoint/format/files.rs"),
    include_str!("../../../checkpoint/format/pipe.rs"),
    include_str!("../../../checkpoint/format/anon.rs"),
    include_str!("../../../checkpoint/format/seccomp.rs"),
    include_str!("../../../checkpoint/format/call.rs"),
    include_str!("../../../checkpoint/format/pending.rs"),
    include_str!("../../../checkpoint/format/socket.rs"),
    include_str!("../../../checkpoint/format/timer.rs"),
    include_str!("../../../checkpoint/format/tree.rs"),
];

/// A field: its name, and its place in the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Record number.
    pub kind: i16,
    /// Name in the sources.
    pub name: &'static str,
    /// Bytes in the payload.
    pub at: Range<usize>,
}

type Layout = (i16, &'static str, &'static [(&'static str, usize, usize)]);

/// Every record with a fixed layout.
pub const LAYOUTS: &[Layout] = &[
    (format::HEAD, "Head", format::head::Head::FIELDS),
    (
        format::HEAD_ARCH,
        "HeadArch",
        format::head::HeadArch::FIELDS,
    ),
    (format::TREE, "Tree", format::tree::Tree::FIELDS),
    (format::TASK, "Task", format::task::Task::FIELDS),
    (format::THREAD, "Thread", format::cpu::Thread::FIELDS),
    (format::CPU, "Cpu", format::cpu::Cpu::FIELDS),
    (format::CREDS, "Creds", format::task::Creds::FIELDS),
    (format::SECCOMP, "Seccomp", format::seccomp::Seccomp::FIELDS),
    (
        format::SECCOMP_FILTER,
        "SeccompFilter",
        format::seccomp::SeccompFilter::FIELDS,
    ),
    (format::RLIMITS, "Rlimits", format::task::Rlimits::FIELDS),
    (format::FS, "Fs", format::task::Fs::FIELDS),
    (format::SIGNAL, "Signal", format::signal::Signal::FIELDS),
    (
        format::THREAD_SIGNAL,
        "ThreadSignal",
        format::signal::ThreadSignal::FIELDS,
    ),
    (
        format::RESTART_BLOCK,
        "RestartBlock",
        format::call::RestartBlock::FIELDS,
    ),
    (format::SIGINFO, "Siginfo", format::pending::Siginfo::FIELDS),
    (format::ITIMERS, "Itimers", format::pending::Itimers::FIELDS),
    (format::TIMERS, "Timers", format::timer::Timers::FIELDS),
    (format::TIMER, "Timer", format::timer::Timer::FIELDS),
    (format::MM, "Mm", format::mm::Mm::FIELDS),
    (format::VMA, "Vma", format::mm::Vma::FIELDS),
    (
        format::MM_CONTEXT,
        "MmContext",
        format::cpu::MmContext::FIELDS,
    ),
    (format::PGARR, "Pgarr", format::mm::Pgarr::FIELDS),
    (format::PGREF, "Pgref", format::mm::Pgref::FIELDS),
    (format::SHMEM, "Shmem", format::shmem::Shmem::FIELDS),
    (format::FILES, "Files", format::files::Files::FIELDS),
    (format::FD_ENT, "FdEnt", format::files::FdEnt::FIELDS),
    (
        format::FILE_LOCK,
        "FileLock",
        format::files::FileLock::FIELDS,
    ),
    (format::FILE, "File", format::files::File::FIELDS),
    (format::PIPE, "Pipe", format::pipe::Pipe::FIELDS),
    (format::PIPE_BUF, "PipeBuf", format::pipe::PipeBuf::FIELDS),
    (format::SOCKET, "Socket", format::socket::Socket::FIELDS),
    (
        format::SOCKET_MSG,
        "SocketMsg",
        format::socket::SocketMsg::FIELDS,
    ),
    (format::EVENTFD, "Eventfd", format::anon::Eventfd::FIELDS),
    (format::SIGNALFD, "Signalfd", format::anon::Signalfd::FIELDS),
    (format::TIMERFD, "Timerfd", format::anon::Timerfd::FIELDS),
    (format::EPOLL, "Epoll", format::anon::Epoll::FIELDS),
    (
        format::EPOLL_ITEM,
        "EpollItem",
        format::anon::EpollItem::FIELDS,
    ),
    (format::PIDFD, "Pidfd", format::anon::Pidfd::FIELDS),
    (format::TAIL, "Tail", format::head::Tail::FIELDS),
];

type Array = (i16, usize, &'static [(&'static str, usize, usize)]);

/// Every record that is an array: the bytes of an element, and its fields.
pub const ARRAYS: &[Array] = &[
    (format::GROUPS, 4, &[("group", 0, 4)]),
    (
        format::SECCOMP_CODE,
        size_of::<format::seccomp::SockFilter>(),
        format::seccomp::SockFilter::FIELDS,
    ),
    (
        format::GUARD,
        size_of::<format::mm::GuardRange>(),
        format::mm::GuardRange::FIELDS,
    ),
    (format::AUXV, 8, &[("word", 0, 8)]),
    (
        format::LDT,
        size_of::<format::cpu::UserDesc>(),
        format::cpu::UserDesc::FIELDS,
    ),
];

/// Every field of a record kind; none for records without a layout.
pub fn fields(kind: i16) -> Vec<Field> {
    let layout = LAYOUTS.iter().find(|l| l.0 == kind);
    layout.map_or_else(Vec::new, |(kind, _, fields)| {
        fields
            .iter()
            .map(|(name, offset, size)| Field {
                kind: *kind,
                name,
                at: *offset..offset + size,
            })
            .collect()
    })
}

/// Every field in a payload of so many bytes, also of each element of an array.
pub fn fields_in(kind: i16, len: usize) -> Vec<Field> {
    let Some((_, size, element)) = ARRAYS.iter().find(|array| array.0 == kind) else {
        return fields(kind);
    };
    let starts = (0..len / size).map(|nr| nr * size);
    starts
        .flat_map(|start| {
            element.iter().map(move |(name, offset, size)| Field {
                kind,
                name,
                at: start + offset..start + offset + size,
            })
        })
        .collect()
}

/// The field of this name.
pub fn field(kind: i16, name: &str) -> Option<Field> {
    fields(kind).into_iter().find(|f| f.name == name)
}

/// Fields that vary by their documentation.
pub fn varying() -> Vec<Field> {
    let mut all = Vec::new();
    for source in SOURCES {
        let (mut record, mut comment) = ("", String::new());
        for line in source.lines().map(str::trim) {
            if let Some(text) = line.strip_prefix("///") {
                comment.push_str(text);
                continue;
            }
            if let Some(rest) = line.strip_prefix("pub struct ") {
                record = rest.split([' ', '[']).next().unwrap_or("");
            } else if let Some((name, _)) = line.split_once(':') {
                let kind = LAYOUTS.iter().find(|l| l.1 == record).map(|l| l.0);
                if comment.contains("Varies") {
                    all.extend(kind.and_then(|kind| field(kind, name)));
                }
            }
            comment.clear();
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_with_a_layout_is_there() {
        let missing = format::TYPES
            .iter()
            .filter(|(kind, _, layout, _)| {
                // A failed checkpoint leaves it, and no image has it.
                *kind != format::ERROR && layout.starts_with("cr_hdr_") && fields(*kind).is_empty()
            })
            .map(|(_, name, ..)| *name);
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn every_array_is_there() {
        let missing = format::TYPES
            .iter()
            .filter(|(kind, _, layout, _)| {
                layout.ends_with(" array") && fields_in(*kind, 64).is_empty()
            })
            .map(|(_, name, ..)| *name);
        assert_eq!(missing.collect::<Vec<_>>(), Vec::<&str>::new());
        let ends = fields_in(format::GUARD, 35);
        assert_eq!(ends.len(), 4);
        assert_eq!((ends[3].name, ends[3].at.clone()), ("end", 24..32));
    }

    #[test]
    fn documented_fields_are_found() {
        let all = varying();
        for (kind, name) in [
            (format::HEAD, "crid"),
            (format::HEAD, "realtime_ns"),
            (format::TASK, "utime"),
            (format::TASK, "maj_flt"),
        ] {
            assert!(
                all.iter().any(|f| f.kind == kind && f.name == name),
                "{name}"
            );
        }
        assert!(!all
            .iter()
            .any(|f| f.name == "magic" || f.kind == format::CPU));
    }
}
