// SPDX-License-Identifier: GPL-2.0

//! Parts of an image that become items of their own: what tasks share, filters,
//! objects, mappings, descriptors, signals.

use ckptfmt::format::files;
use ckptfmt::format::mm::vma_kind;
use ckptfmt::format::mm::Vma;
use ckptfmt::format::pending::Siginfo;
use ckptfmt::format::seccomp::SeccompFilter;
use ckptfmt::format::seccomp::SockFilter;
use ckptfmt::format::task::Task;

use super::Facts;
use crate::diff::item::record;
use crate::diff::item::Item;
use crate::diff::section::Section;
use crate::json::hex;
use crate::pending;
use crate::text::count;
use crate::text::escape;

impl Facts {
    /// What a task has in common with one before it.
    pub(super) fn shares(&mut self, task: &Task) {
        for (what, objref) in [
            ("memory", task.mm),
            ("descriptors", task.files),
            ("directories", task.fs),
            ("handlers", task.handlers),
        ] {
            if objref != 0 {
                let first = *self.first.entry(objref).or_insert(task.pid);
                let text = if first == task.pid {
                    "its own".into()
                } else {
                    format!("those of {first}")
                };
                self.text(Section::Task, what, text);
            }
        }
    }

    pub(super) fn filter(&mut self, filter: &SeccompFilter, code: &[SockFilter]) {
        let items = self.section(Section::Credentials);
        // Behind all groups, and those before it.
        let last = items.last_key_value().map_or(0, |(key, _)| key.0);
        let nr = last.saturating_add(1).max(1 << 33);
        let mut item = Item {
            label: "filter of system calls".into(),
            ..Item::default()
        };
        item.add("instructions", filter.len.to_string());
        let mut digest = blake3::Hasher::new();
        for insn in code {
            digest.update(&insn.code.to_le_bytes());
            digest.update(&[insn.jt, insn.jf]);
            digest.update(&insn.k.to_le_bytes());
        }
        item.add("their digest", digest.finalize().to_string());
        item.add("flags", format!("{:#x}", filter.flags));
        self.put(Section::Credentials, (nr, "filter".into()), item);
    }

    /// Something behind descriptors, by its place in the image.
    pub(super) fn object(&mut self, what: &str, mut item: Item) {
        self.objects = self.objects.saturating_add(1);
        item.label = format!("{what}, object {} of the image", self.objects);
        self.put(Section::Objects, (self.objects, String::new()), item);
    }

    pub(super) fn auxv(&mut self, vector: &[u64]) {
        let mut item = Item::default();
        for (pair, i) in vector.chunks(2).zip(0..) {
            if let [kind, value] = *pair {
                item.add(&format!("entry {i}, type {kind}"), hex(value));
            }
        }
        self.more(Section::Auxv, item.values);
    }

    /// The file under a mapping or the program, once for each path.
    pub(super) fn mapped_file(&mut self, objref: u32) {
        if let Some((file, path)) = self.files.get(&objref) {
            let item = Item {
                label: path.clone(),
                ..record(file)
            };
            let key = (0, path.clone());
            self.put(Section::MappedFiles, key, item);
        }
    }

    pub(super) fn mapping(&mut self, vma: &Vma, name: &[u8]) {
        let what = self.what(vma, name);
        let pages = vma.end.saturating_sub(vma.start) / 4096;
        let mut item = record(vma);
        item.label = format!(
            "{:#x}-{:#x} {what}, {}",
            vma.start,
            vma.end,
            count(pages, "page")
        );
        item.range = vma.start..vma.end;
        item.add("what", what);
        self.mapping = (vma.start, String::new());
        self.put(Section::Mappings, self.mapping.clone(), item);
        self.mapped_file(vma.file);
    }

    /// What a mapping is: path, name or role.
    fn what(&self, vma: &Vma, name: &[u8]) -> String {
        let holds = |address: u64| (vma.start..vma.end).contains(&address);
        let mm = self.mm.as_ref();
        if let Some(title) = self.shmem.get(&vma.file) {
            title.clone()
        } else if vma.file != 0 {
            self.path(vma.file)
        } else if vma.how == vma_kind::VDSO {
            let code = mm.is_some_and(|mm| mm.vdso == vma.start);
            if code { "[vdso]" } else { "[vvar]" }.into()
        } else if !name.is_empty() {
            format!("[anon:{}]", escape(name))
        } else if mm.is_some_and(|mm| holds(mm.start_stack)) {
            "[stack]".into()
        } else if mm.is_some_and(|mm| vma.start < mm.brk && mm.start_brk < vma.end) {
            "[heap]".into()
        } else {
            "anonymous".into()
        }
    }

    pub(super) fn descriptor(&mut self, entry: &files::FdEnt) {
        let mut item = record(entry);
        item.label = entry.fd.to_string();
        let own = (self.task, entry.fd);
        let first = *self.first_fd.entry(entry.file).or_insert(own);
        let shared = match first {
            _ if first == own => "no".into(),
            (Some(task), fd) if self.task != Some(task) => {
                format!("as descriptor {fd} of task {task}")
            }
            (_, fd) => format!("as descriptor {fd}"),
        };
        if let Some((file, path)) = self.files.get(&entry.file) {
            item.label = format!("{} {path}", entry.fd);
            item.add("path", path.clone());
            // What is shared is told of its first descriptor.
            if first == own {
                item.values.extend(record(file).values);
            }
        }
        item.add("shared", shared);
        self.put(Section::Descriptors, (entry.fd.into(), String::new()), item);
    }

    pub(super) fn signal(&mut self, info: &Siginfo) {
        let item = Item {
            label: format!("{}, {}", pending::name(info), pending::signal(info)),
            ..record(info)
        };
        self.put(Section::Pending, (self.pending, String::new()), item);
        self.pending = self.pending.saturating_add(1);
    }
}
