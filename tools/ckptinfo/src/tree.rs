// SPDX-License-Identifier: GPL-2.0

//! An image as a readable tree.

mod signals;

use std::borrow::Borrow;
use std::collections::HashMap;
use std::io;
use std::io::Write;

use ckptfmt::format::cpuid;
use ckptfmt::format::files::file_kind;
use ckptfmt::format::task;
use ckptfmt::format::task::Task;

use crate::anon;
use crate::call;
use crate::forest;
use crate::model::Model;
use crate::model::View;
use crate::pipes;
use crate::shmem;
use crate::sockets;
use crate::tables::label;
use crate::text;
use crate::text::count;
use crate::text::escape;
use crate::text::size;
use crate::time;

/// Most lines of a list in the tree; the tables show all.
const LIST: usize = 64;

/// Lines of `title   value`, indented.
struct Tree<'a> {
    out: &'a mut dyn Write,
    /// The first failure to write one.
    failed: io::Result<()>,
}

impl Tree<'_> {
    fn line(&mut self, level: usize, title: &str, value: impl AsRef<str>) {
        let indent = "  ".repeat(level);
        let width = 20usize.saturating_sub(indent.len());
        let line = format!("{indent}{title:<width$} {}", value.as_ref());
        if self.failed.is_ok() {
            self.failed = writeln!(self.out, "{}", line.trim_end());
        }
    }

    fn join(&mut self, level: usize, title: &str, values: &[impl Borrow<str>]) {
        if !values.is_empty() {
            self.line(level, title, values.join(" "));
        }
    }
}

/// Writes the tree of all that was read.
///
/// # Errors
///
/// Those of writing.
pub fn tree(model: &Model, out: &mut dyn Write) -> io::Result<()> {
    let failed = Ok(());
    let mut tree = Tree { out, failed };
    image(&mut tree, model);
    if model.tree.len() > 1 {
        tree.line(0, "tasks", model.tree.len().to_string());
        for line in forest::lines(model) {
            tree.line(1, "", line);
        }
    }
    for view in model.views() {
        if let Some(task) = &view.task {
            self::task(&mut tree, &view, task);
        }
        memory(&mut tree, &view);
        state(&mut tree, &view);
        descriptors(&mut tree, &view);
        signals::signals(&mut tree, &view);
        rights(&mut tree, &view);
    }
    for shared in model.shmem.values().take(LIST) {
        let title = format!("shared memory {}", shared.object.objref);
        tree.line(0, &title, shmem::line(shared));
    }
    if model.dropped != 0 {
        tree.line(
            0,
            "not shown",
            format!("{} entries of long lists", model.dropped),
        );
    }
    tree.failed
}

fn image(tree: &mut Tree<'_>, model: &Model) {
    let Some(head) = &model.head else {
        return;
    };
    tree.line(
        0,
        "image",
        format!("{}, format version {}", head.crid, head.version),
    );
    tree.line(1, "written", time::utc(head.realtime_ns));
    tree.line(1, "boottime", time::seconds(head.boottime_ns));
    tree.line(1, "last id", head.last_pid.to_string());
    let kernel = [&model.release, &model.version, &model.machine].map(|s| escape(s));
    tree.line(1, "kernel", kernel.join(" ").trim());
    tree.join(1, "made with", &text::checkpoint_flags(head.flags));
    tree.line(1, "pages of", size(head.page_size.into()));
    if let Some(arch) = &model.arch {
        let has = |word: usize, bit: u32| arch.cpuid.get(word).is_some_and(|w| w >> bit & 1 == 1);
        let features: Vec<String> = cpuid::FEATURES
            .iter()
            .filter(|(word, bit, _)| has(*word, *bit))
            .map(|f| f.2.to_string())
            .collect();
        tree.join(1, "processor", &features);
        let state = format!(
            "components {:#x}, {}",
            arch.xfeatures,
            size(arch.xsave_size.into())
        );
        tree.line(1, "FPU state", state);
        let vdso = format!(
            "{}, crc32c {:#010x}",
            size(arch.vdso_size.into()),
            arch.vdso_crc
        );
        tree.line(1, "vDSO", vdso);
    }
    if let Some(totals) = &model.totals {
        let sums = format!(
            "{}, {}, {}; checksums are right",
            size(totals.bytes),
            count(totals.records, "record"),
            count(totals.pages, "page")
        );
        tree.line(1, "complete", sums);
    }
}

fn task(tree: &mut Tree<'_>, model: &View<'_>, task: &Task) {
    let title = if task.pid == task.tgid {
        "task"
    } else {
        "thread"
    };
    tree.line(
        0,
        title,
        format!("{} \"{}\"", task.pid, text::name(&task.comm)),
    );
    if task.exit_state != 0 {
        tree.line(1, "ended", text::exit_code(task.exit_code));
        return;
    }
    if task.state != 0 {
        let told = if task.stop_code == 0 {
            ""
        } else {
            ", its parent has not asked"
        };
        let signal = text::signal(task.stop_signal as usize);
        tree.line(1, "stopped", format!("by {signal}{told}"));
    }
    let exe = model.mm.and_then(|mm| model.path(mm.exe_file));
    if task.pid == task.tgid && model.shared_with("memory").is_none() {
        tree.line(1, "program", exe.map_or("none".into(), escape));
    }
    let ids = format!(
        "process {}, parent {}, group {}, session {}",
        task.tgid, task.ppid, task.pgid, task.sid
    );
    tree.line(1, "ids", ids);
    for (what, with) in &model.shares {
        tree.line(1, "shares", format!("{what} with {with}"));
    }
    let mut scheduling = format!("{}, nice {}", text::scheduling(task.policy), task.nice);
    if task.rt_priority != 0 {
        scheduling.push_str(&format!(", priority {}", task.rt_priority));
    }
    if task.slice_ns != 0 {
        scheduling.push_str(&format!(", slice {} ns", task.slice_ns));
    }
    if task.ioprio != 0 {
        let priority = text::io_priority(task.ioprio);
        scheduling.push_str(&format!(", I/O {priority}"));
    }
    if !model.affinity.is_empty() {
        scheduling.push_str(&format!(", CPUs {}", text::cpus(&model.affinity)));
    }
    tree.line(1, "scheduling", scheduling);
    let time = format!(
        "user {}, system {}",
        time::seconds(task.utime),
        time::seconds(task.stime)
    );
    tree.line(1, "time", time);
    if task.personality != 0 {
        tree.line(1, "personality", format!("{:#x}", task.personality));
    }
    tree.join(1, "flags", &text::task_flags(task.flags));
}

fn memory(tree: &mut Tree<'_>, model: &View<'_>) {
    let Some(mm) = &model.mm else {
        return;
    };
    let mapped = model.mappings.iter().fold(0u64, |sum, m| {
        sum.saturating_add(m.vma.end.saturating_sub(m.vma.start))
    });
    let saved = model.pages();
    let sums = format!(
        "{}, {} mapped, {} saved ({})",
        count(mm.map_count.into(), "mapping"),
        size(mapped),
        size(saved.saturating_mul(4096)),
        count(saved, "page")
    );
    tree.line(1, "memory", sums);
    let range = |a: u64, b: u64| format!("{a:#x}-{b:#x}");
    tree.line(2, "code", range(mm.start_code, mm.end_code));
    tree.line(2, "data", range(mm.start_data, mm.end_data));
    tree.line(2, "heap", range(mm.start_brk, mm.brk));
    tree.line(2, "stack", format!("{:#x}", mm.start_stack));
    tree.line(2, "flags", format!("{:#x}", mm.flags));
    if let Some(context) = &model.context {
        if context.nldt != 0 {
            tree.line(2, "LDT", format!("{} entries", context.nldt));
        }
        if context.pkey_map > 1 {
            tree.line(2, "protection keys", format!("{:#x}", context.pkey_map));
        }
    }
    // The mappings that hold most, by what they are.
    let mut by_label: HashMap<String, u64> = HashMap::new();
    for mapping in model.mappings.iter().filter(|m| m.pages != 0) {
        let mut what = label(model, mapping);
        if what.is_empty() {
            what = "(anonymous)".into();
        }
        let pages = by_label.entry(what).or_default();
        *pages = pages.saturating_add(mapping.pages);
    }
    let mut largest: Vec<(String, u64)> = by_label.into_iter().collect();
    largest.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (what, pages) in largest.iter().take(8) {
        tree.line(2, "saved", format!("{:>8} pages  {what}", pages));
    }
}

fn state(tree: &mut Tree<'_>, model: &View<'_>) {
    if let Some(cpu) = &model.cpu {
        let registers = format!(
            "ip {:#x}, sp {:#x}, ax {:#x}, flags {:#x}, fs {:#x}, gs {:#x}",
            cpu.ip, cpu.sp, cpu.ax, cpu.flags, cpu.fs_base, cpu.gs_base
        );
        tree.line(1, "registers", registers);
    }
    if let Some(call) = model.cpu.as_ref().and_then(call::interrupted) {
        tree.line(1, "interrupted", call.to_string());
    }
    if let Some(block) = &model.restart_block {
        tree.line(1, "restart block", call::block(block));
    }
    if let Some(thread) = model.thread.as_ref().filter(|t| t.rseq_addr != 0) {
        tree.line(
            1,
            "rseq",
            format!("{:#x}, {} bytes", thread.rseq_addr, thread.rseq_len),
        );
    }
    if let Some(fs) = &model.fs {
        tree.line(1, "root", escape(&model.root));
        tree.line(1, "current directory", escape(&model.cwd));
        tree.line(1, "umask", format!("{:03o}", fs.umask));
    }
}

fn descriptors(tree: &mut Tree<'_>, model: &View<'_>) {
    let Some(table) = &model.table else {
        return;
    };
    tree.line(1, "descriptors", table.nr_fds.to_string());
    let mut first: HashMap<u32, u32> = HashMap::new();
    for entry in model.fds.iter().take(LIST) {
        let title = entry.fd.to_string();
        let earlier = *first.entry(entry.file).or_insert(entry.fd);
        if earlier != entry.fd {
            tree.line(2, &title, format!("the same open file as {earlier}"));
            continue;
        }
        if let (Some((file, _)), Some(contents)) = (model.file(entry.file), model.anon(entry.file))
        {
            let flags = text::open_flags(file.flags).join(" ");
            tree.line(2, &title, format!("{}, {flags}", anon::line(contents)));
            continue;
        }
        let value = match model.file(entry.file) {
            Some((file, _)) if file.kind == file_kind::PIPE => format!(
                "{}, {}, {}",
                pipes::name(model, file),
                text::open_flags(file.flags).join(" "),
                pipes::contents(model, file)
            ),
            Some((file, _)) if file.kind == file_kind::SOCKET => format!(
                "{}, {}, {}",
                sockets::name(model, file),
                text::open_flags(file.flags).join(" "),
                sockets::contents(model, file)
            ),
            Some((file, _)) => format!(
                "{}{}{}, {}, at {}",
                escape(model.path(entry.file).unwrap_or_default()),
                if file.path_len == 0 && file.object == 0 {
                    ""
                } else {
                    "  "
                },
                text::kind(file.kind),
                text::open_flags(file.flags).join(" "),
                file.pos
            ),
            None => "(not kept)".into(),
        };
        tree.line(2, &title, value);
    }
    if model.fds.len() > LIST {
        tree.line(2, "...", "see --fds");
    }
}

/// How many filters of system calls a task has, and how long they are.
fn filters(model: &View<'_>) -> String {
    let len: u64 = model.filters().map(|filter| u64::from(filter.len)).sum();
    format!("{} filters of {len} instructions", model.filters().count())
}

fn rights(tree: &mut Tree<'_>, model: &View<'_>) {
    if let Some(creds) = &model.creds {
        let ids = format!(
            "user {} (effective {}, saved {}), group {} (effective {}, saved {})",
            creds.uid, creds.euid, creds.suid, creds.gid, creds.egid, creds.sgid
        );
        tree.line(1, "credentials", ids);
        let groups: Vec<String> = model.groups.iter().take(LIST).map(u32::to_string).collect();
        tree.join(1, "groups", &groups);
        let [_, permitted, effective, _, _] = creds.caps;
        let caps = format!("permitted {permitted:#x}, effective {effective:#x}");
        tree.line(1, "capabilities", caps);
        match creds.seccomp {
            task::SECCOMP_STRICT => tree.line(1, "seccomp", "strict"),
            task::SECCOMP_FILTER => tree.line(1, "seccomp", filters(model)),
            _ => {}
        }
    }
    if let Some(rlimits) = &model.rlimits {
        let limits: Vec<String> = text::LIMITS
            .iter()
            .zip(&rlimits.limits)
            .filter(|(_, limit)| limit.cur != u64::MAX)
            .map(|(name, limit)| format!("{name}={}/{}", limit.cur, text::limit(limit.max)))
            .collect();
        tree.join(1, "limits", &limits);
    }
}
