// SPDX-License-Identifier: GPL-2.0

//! The address space and the descriptors as tables.

use std::iter::once;

use ckptfmt::format::files::file_kind;
use ckptfmt::format::files::FdEnt;
use ckptfmt::format::mm::vma_kind;
use ckptfmt::format::mm::Mm;

use crate::anon;
use crate::locks;
use crate::model::Mapping;
use crate::model::View;
use crate::pipes;
use crate::sockets;
use crate::text::escape;
use crate::text::kind;
use crate::text::mapping_flags;
use crate::text::open_flags;
use crate::text::protection;

/// What a mapping is: path, name or role.
pub fn label(model: &View<'_>, mapping: &Mapping) -> String {
    let vma = &mapping.vma;
    if matches!(vma.how, vma_kind::FILE | vma_kind::SHARED) {
        let path = model.path(vma.file).unwrap_or(b"(path not kept)");
        return escape(path);
    }
    if vma.how == vma_kind::SHMEM {
        let name = match &*mapping.name {
            [] => String::new(),
            name => format!(" {}", escape(name)),
        };
        return format!("[shared memory {}{name}]", vma.file);
    }
    if vma.how == vma_kind::VDSO {
        let is_code = model.mm.is_some_and(|mm| mm.vdso == vma.start);
        return if is_code { "[vdso]" } else { "[vvar]" }.into();
    }
    if !mapping.name.is_empty() {
        return format!("[anon:{}]", escape(&mapping.name));
    }
    let holds = |f: fn(&Mm) -> u64| {
        let address = model.mm.map(|mm| f(&mm));
        address.is_some_and(|a| (vma.start..vma.end).contains(&a))
    };
    if holds(|mm| mm.start_stack) {
        "[stack]".into()
    } else if model
        .mm
        .is_some_and(|mm| vma.start < mm.brk && mm.start_brk < vma.end)
    {
        "[heap]".into()
    } else {
        String::new()
    }
}

/// The lines of a table, of which one at a time is in memory: a long path may be in many.
pub type Lines<'a> = Box<dyn Iterator<Item = String> + 'a>;

/// The address space: a line for each mapping, as /proc/PID/maps. Threads have that of
/// their process.
pub fn maps<'a>(model: &'a View<'a>) -> Option<Lines<'a>> {
    if model.mm.is_none() {
        return same(model, "memory");
    }
    let title = "address range              perm  offset        pages     saved  what  (flags)";
    let lines = model.mappings.iter().map(|m| mapping_line(model, m));
    Some(Box::new(once(title.into()).chain(lines)))
}

fn mapping_line(model: &View<'_>, mapping: &Mapping) -> String {
    let vma = &mapping.vma;
    let pages = vma.end.saturating_sub(vma.start) / 4096;
    let range = format!("{:012x}-{:012x}", vma.start, vma.end);
    let offset = vma.pgoff.saturating_mul(4096);
    let mut line = format!(
        "{range:<25}  {}  {offset:08x}  {pages:>9} {:>9}  {}",
        protection(vma),
        mapping.pages,
        label(model, mapping),
    );
    let mut notes: Vec<String> = mapping_flags(vma.flags)
        .iter()
        .map(|f| f.to_string())
        .collect();
    if vma.pkey != 0 {
        notes.push(format!("pkey {}", vma.pkey));
    }
    if vma.nr_guards != 0 {
        notes.push(format!("guard ranges {}", vma.nr_guards));
    }
    if mapping.again != 0 {
        notes.push(format!("shared pages {}", mapping.again));
    }
    if !notes.is_empty() {
        line.push_str(&format!("  ({})", notes.join(" ")));
    }
    line.truncate(line.trim_end().len());
    line
}

/// A process that has the same as another one.
fn same<'a>(model: &View<'_>, what: &str) -> Option<Lines<'a>> {
    let task = model.task.filter(|task| task.pid == task.tgid)?;
    let with = model.shared_with(what)?;
    let line = (with != task.pid).then(|| format!("(the {what} of {with})"))?;
    Some(Box::new(once(line)))
}

/// The descriptors: a line for each. Most threads have those of their process.
pub fn fds<'a>(model: &'a View<'a>) -> Option<Lines<'a>> {
    if model.table.is_none() {
        return same(model, "descriptors");
    }
    let title = "   fd  open file  position    what";
    let lines = model.fds.iter().flat_map(|entry| {
        let locks =
            locks::of(model, entry.fd).map(|lock| format!("{:29}{}", "", locks::line(lock)));
        once(fd_line(model, entry)).chain(locks)
    });
    Some(Box::new(once(title.into()).chain(lines)))
}

fn fd_line(model: &View<'_>, entry: &FdEnt) -> String {
    let mut line = format!("{:>5}  {:>9}", entry.fd, entry.file);
    match model.file(entry.file) {
        Some((file, _)) => {
            let path = model.path(entry.file).unwrap_or_default();
            line.push_str(&format!("  {:<10}  ", file.pos));
            if let Some(contents) = model.anon(entry.file) {
                line.push_str(&anon::line(contents));
            } else if file.kind == file_kind::PIPE {
                line.push_str(&pipes::name(model, file));
            } else if file.kind == file_kind::SOCKET {
                line.push_str(&sockets::name(model, file));
            } else if path.is_empty() {
                line.push_str(&format!(
                    "descriptor {} of the restarting task",
                    file.stream_fd
                ));
            } else {
                line.push_str(&escape(path));
            }
            let mut notes = vec![kind(file.kind)];
            notes.extend(open_flags(file.flags));
            if entry.flags & 1 != 0 {
                notes.push("close on exec");
            }
            line.push_str(&format!("  ({})", notes.join(", ")));
        }
        None => line.push_str("  (not kept)"),
    }
    line
}
