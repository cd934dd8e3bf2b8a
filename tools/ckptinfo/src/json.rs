// SPDX-License-Identifier: GPL-2.0

//! An image as JSON. Addresses, masks, sets of bits, positions and times are strings:
//! a reader of JSON may keep numbers in 53 bits only.

use std::io;
use std::io::Write;

use ckptfmt::build::Anon;
use ckptfmt::format;
use ckptfmt::format::files::file_kind;
use ckptfmt::format::files::FdEnt;
use ckptfmt::format::head::ErrorRec;
use ckptfmt::format::mm::vma_kind;
use ckptfmt::format::mm::Mm;
use ckptfmt::format::seccomp::seccomp_flags;
use ckptfmt::format::seccomp::SeccompFilter;
use ckptfmt::format::task::Creds;
use ckptfmt::stream::reader::Fault;
use ckptfmt::walk::Stop;
use serde_core::ser::Serialize;
use serde_core::ser::SerializeMap;
use serde_core::ser::Serializer;
use serde_json::json;
use serde_json::Map;
use serde_json::Value;

use crate::anon;
use crate::call;
use crate::forest;
use crate::model::Mapping;
use crate::model::Model;
use crate::model::View;
use crate::pending;
use crate::pipes;
use crate::posix;
use crate::shmem;
use crate::sockets;
use crate::tables::label;
use crate::text;
use crate::text::escape;
use crate::time;
use crate::timers;
use crate::verdict;

/// A number that JSON must not round.
pub fn hex(value: u64) -> String {
    format!("{value:#x}")
}

/// Writes all that was read, and how it ended.
///
/// Part by part, and what several have once: the text may be many times as long as the
/// image.
///
/// # Errors
///
/// Those of writing.
pub fn json(model: &Model, stop: Option<&Failure>, mut out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut out, &Whole(model, stop))?;
    out.write_all(b"\n")
}

/// Why reading an image ended before its end.
type Failure = Stop<io::Error>;

/// Entries that are not all in memory at once.
struct List<F>(F);

impl<F: Fn() -> I, I: Iterator<Item: Serialize>> Serialize for List<F> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq((self.0)())
    }
}

/// As [`List`], with names.
struct Named<F>(F);

impl<F: Fn() -> I, I: Iterator<Item = (u32, V)>, V: Serialize> Serialize for Named<F> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_map((self.0)())
    }
}

/// Writes the parts of a small object.
fn parts<M: SerializeMap>(map: &mut M, parts: &Value) -> Result<(), M::Error> {
    for (name, value) in parts.as_object().into_iter().flatten() {
        map.serialize_entry(name, value)?;
    }
    Ok(())
}

/// An image.
struct Whole<'a>(&'a Model, Option<&'a Failure>);

impl Serialize for Whole<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(model, stop) = *self;
        let mut map = to.serialize_map(None)?;
        let small = json!({
            "complete": stop.is_none(),
            "stop": stop.map(|stop| json!({
                "offset": stop.offset,
                "record": stop.kind.map(format::type_name),
                "reason": verdict::line(stop),
            })),
            "error": match stop.map(|s| &s.fault) {
                Some(Fault::Failed(error)) => self::error(error),
                _ => Value::Null,
            },
            "totals": model.totals.map(|t| json!({
                "bytes": t.bytes,
                "records": t.records,
                "pages": t.pages,
            })),
            "head": head(model),
            "not_shown": model.dropped,
        });
        parts(&mut map, &small)?;
        map.serialize_entry("tree", &List(|| model.tree.iter().map(forest::json)))?;
        let openers = || {
            let all = model.openers.iter();
            all.map(|(objref, (creds, groups))| (*objref, identity(creds, groups)))
        };
        map.serialize_entry("openers", &Named(openers))?;
        let files = || {
            model
                .files
                .keys()
                .map(|objref| (*objref, OneFile(model, *objref)))
        };
        map.serialize_entry("files", &Named(files))?;
        map.serialize_entry("tasks", &List(|| model.views().map(One)))?;
        map.serialize_entry(
            "shared_memory",
            &List(|| model.shmem.iter().map(shmem::json)),
        )?;
        map.end()
    }
}

/// A task.
struct One<'a>(View<'a>);

impl Serialize for One<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(model) = self;
        let mut map = to.serialize_map(None)?;
        let small = json!({
            "task": task(model),
            "registers": registers(model),
            "call": call::json(model),
            "files": fs(model),
            "timers": timers::json(model),
            "credentials": creds(model),
            "limits": model.rlimits.map(|r| text::LIMITS.iter().zip(&r.limits).map(|(name, l)| {
                (name.to_string(), json!([text::limit(l.cur), text::limit(l.max)]))
            }).collect::<serde_json::Map<_, _>>()),
        });
        parts(&mut map, &small)?;
        map.serialize_entry("memory", &model.mm.as_ref().map(|mm| Memory(model, mm)))?;
        map.serialize_entry("descriptors", &List(|| model.fds.iter().map(descriptor)))?;
        map.serialize_entry("signals", &signals(model).map(|own| Signals(model, own)))?;
        map.serialize_entry(
            "posix_timers",
            &List(|| model.posix.iter().map(posix::json)),
        )?;
        map.end()
    }
}

/// An error record.
pub fn error(error: &ErrorRec) -> Value {
    json!({
        "errno": error.errno,
        "name": text::errno(error.errno),
        "pid": error.pid,
        "record": (error.kind != 0).then(|| format::type_name(error.kind)),
        "place": verdict::location(error),
        "text": verdict::text(error),
    })
}

fn head(model: &Model) -> Value {
    let Some(head) = &model.head else {
        return Value::Null;
    };
    json!({
        "version": head.version,
        "crid": head.crid,
        "flags": head.flags,
        "made_with": text::checkpoint_flags(head.flags),
        "release": escape(&model.release),
        "kernel_version": escape(&model.version),
        "machine": escape(&model.machine),
        "page_size": head.page_size,
        "nr_tasks": head.nr_tasks,
        "written": time::utc(head.realtime_ns),
        "realtime_ns": head.realtime_ns.to_string(),
        "monotonic_ns": head.monotonic_ns.to_string(),
        "boottime_ns": head.boottime_ns.to_string(),
        "arch": model.arch.map(|a| json!({
            "xfeatures": hex(a.xfeatures),
            "xsave_size": a.xsave_size,
            "vdso_size": a.vdso_size,
            "vdso_crc": hex(a.vdso_crc.into()),
            "cpuid": a.cpuid.map(|w| hex(w.into())),
        })),
    })
}

fn task(model: &View<'_>) -> Value {
    let Some(task) = &model.task else {
        return Value::Null;
    };
    json!({
        "comm": text::name(&task.comm),
        "pid": task.pid,
        "tgid": task.tgid,
        "ppid": task.ppid,
        "pgid": task.pgid,
        "sid": task.sid,
        "exit_code": (task.exit_state != 0).then_some(task.exit_code),
        "stop_signal": (task.state != 0).then(|| text::signal(task.stop_signal as usize)),
        "shares": model.shares.iter().map(|(what, with)| (what.to_string(), json!(with)))
            .collect::<serde_json::Map<_, _>>(),
        "flags": hex(task.flags.into()),
        "personality": hex(task.personality.into()),
        "policy": text::scheduling(task.policy),
        "nice": task.nice,
        "rt_priority": task.rt_priority,
        "slice_ns": (task.slice_ns != 0).then(|| task.slice_ns.to_string()),
        "io_priority": (task.ioprio != 0).then(|| text::io_priority(task.ioprio)),
        "cpus": (!model.affinity.is_empty()).then(|| text::cpus(&model.affinity)),
        "pdeath_signal": task.pdeath_signal,
        "oom_score_adj": task.oom_score_adj,
        "timer_slack_ns": task.timer_slack_ns.to_string(),
        "utime_ns": task.utime.to_string(),
        "stime_ns": task.stime.to_string(),
        "process_utime_ns": task.group_utime.to_string(),
        "process_stime_ns": task.group_stime.to_string(),
        "children_utime_ns": task.children_utime.to_string(),
        "children_stime_ns": task.children_stime.to_string(),
    })
}

fn registers(model: &View<'_>) -> Value {
    let Some(cpu) = &model.cpu else {
        return Value::Null;
    };
    json!({
        "ax": hex(cpu.ax), "bx": hex(cpu.bx), "cx": hex(cpu.cx), "dx": hex(cpu.dx),
        "si": hex(cpu.si), "di": hex(cpu.di), "bp": hex(cpu.bp), "sp": hex(cpu.sp),
        "r8": hex(cpu.r8), "r9": hex(cpu.r9), "r10": hex(cpu.r10), "r11": hex(cpu.r11),
        "r12": hex(cpu.r12), "r13": hex(cpu.r13), "r14": hex(cpu.r14), "r15": hex(cpu.r15),
        "ip": hex(cpu.ip), "orig_ax": hex(cpu.orig_ax), "flags": hex(cpu.flags),
        "fs_base": hex(cpu.fs_base), "gs_base": hex(cpu.gs_base),
        "robust_list": model.thread.map(|t| hex(t.robust_list)),
        "clear_child_tid": model.thread.map(|t| hex(t.clear_child_tid)),
        "rseq": model.thread.map(|t| hex(t.rseq_addr)),
    })
}

/// An address space.
struct Memory<'a>(&'a View<'a>, &'a Mm);

impl Serialize for Memory<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(model, mm) = self;
        let mut map = to.serialize_map(None)?;
        let small = json!({
            "start_code": hex(mm.start_code), "end_code": hex(mm.end_code),
            "start_data": hex(mm.start_data), "end_data": hex(mm.end_data),
            "start_brk": hex(mm.start_brk), "brk": hex(mm.brk),
            "start_stack": hex(mm.start_stack),
            "arg_start": hex(mm.arg_start), "arg_end": hex(mm.arg_end),
            "env_start": hex(mm.env_start), "env_end": hex(mm.env_end),
            "vdso": hex(mm.vdso),
            "flags": hex(mm.flags),
            "exe": model.path(mm.exe_file).map(escape),
            "auxv": model.auxv.iter().map(|v| hex(*v)).collect::<Vec<_>>(),
            "ldt_entries": model.context.map(|c| c.nldt),
            "pkey_map": model.context.map(|c| hex(c.pkey_map.into())),
        });
        parts(&mut map, &small)?;
        let mappings = || model.mappings.iter().map(|m| mapping(model, m));
        map.serialize_entry("mappings", &List(mappings))?;
        map.end()
    }
}

fn mapping(model: &View<'_>, m: &Mapping) -> Value {
    json!({
        "start": hex(m.vma.start),
        "end": hex(m.vma.end),
        "protection": text::protection(&m.vma),
        "flags": text::mapping_flags(m.vma.flags),
        "offset": hex(m.vma.pgoff.saturating_mul(4096)),
        "pkey": m.vma.pkey,
        "guard_ranges": m.vma.nr_guards,
        "pages_saved": m.pages,
        "pages_shared": m.again,
        "what": label(model, m),
        "shared_memory": (m.vma.how == vma_kind::SHMEM).then_some(m.vma.file),
    })
}

fn fs(model: &View<'_>) -> Value {
    json!({
        "root": escape(&model.root),
        "cwd": escape(&model.cwd),
        "umask": model.fs.map(|fs| format!("{:03o}", fs.umask)),
    })
}

/// A descriptor; its open file is told by its number.
fn descriptor(entry: &FdEnt) -> Value {
    json!({ "fd": entry.fd, "object": entry.file, "close_on_exec": entry.flags & 1 != 0 })
}

/// An open file.
struct OneFile<'a>(&'a Model, u32);

impl Serialize for OneFile<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(model, objref) = *self;
        let mut map = to.serialize_map(None)?;
        if let Some((file, _)) = model.file(objref) {
            let small = json!({
                "kind": text::kind(file.kind),
                "path": escape(model.path(objref).unwrap_or_default()),
                "shared_memory": (file.kind == file_kind::SHMEM).then_some(file.object),
                "flags": text::open_flags(file.flags),
                "pos": file.pos.to_string(),
                "size": file.size.to_string(),
                "mode": format!("{:06o}", file.mode),
                "pipe": pipes::json(model, file),
                "socket": sockets::json(model, file),
                "opened_by": (file.creds != 0).then_some(file.creds),
            });
            parts(&mut map, &small)?;
            map.serialize_entry("contents", &model.anon(objref).map(Contents))?;
        }
        map.end()
    }
}

/// What is in a file without a name.
struct Contents<'a>(&'a Anon);

impl Serialize for Contents<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        match self.0 {
            Anon::Epoll(items) => {
                map.serialize_entry("entries", &List(|| items.iter().map(anon::entry)))?;
            }
            other => parts(&mut map, &anon::json(other))?,
        }
        map.end()
    }
}

/// Signals: what is fixed, and those that wait.
struct Signals<'a>(&'a View<'a>, Value);

impl Serialize for Signals<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        parts(&mut map, &self.1)?;
        let pending = || self.0.pending.iter().map(pending::signal_json);
        map.serialize_entry("pending", &List(pending))?;
        map.end()
    }
}

fn signals(model: &View<'_>) -> Option<Value> {
    let stack = |address, size: u64, flags| json!({ "address": hex(address), "size": size.to_string(), "flags": hex(flags) });
    if let Some(signal) = &model.thread_signal {
        return Some(json!({
            "blocked": text::signals(signal.blocked),
            "stack": stack(signal.ss_sp, signal.ss_size, signal.ss_flags),
        }));
    }
    let signal = model.signal.as_ref()?;
    let handlers: Vec<Value> = signal
        .actions
        .iter()
        .zip(1..)
        .filter(|(action, _)| action.handler != 0)
        .map(|(action, number)| {
            json!({
                "signal": text::signal(number),
                "handler": if action.handler == 1 { "ignore".into() } else { hex(action.handler) },
                "flags": hex(action.flags),
                "mask": hex(action.mask),
            })
        })
        .collect();
    Some(json!({
        "blocked": text::signals(signal.blocked),
        "stack": stack(signal.ss_sp, signal.ss_size, signal.ss_flags),
        "handlers": handlers,
    }))
}

/// The mode, and the filters, the last one first.
fn seccomp(model: &View<'_>, mode: u32) -> Value {
    let filter = |rec: &SeccompFilter| {
        json!({
            "id": rec.objref,
            "instructions": rec.len,
            "log": rec.flags & seccomp_flags::LOG != 0,
        })
    };
    let filters: Vec<_> = model.filters().map(filter).collect();
    json!({ "mode": mode, "filters": filters })
}

fn creds(model: &View<'_>) -> Value {
    let Some(creds) = &model.creds else {
        return Value::Null;
    };
    let mut all = identity(creds, &model.groups);
    all.insert("seccomp".into(), seccomp(model, creds.seccomp));
    all.into()
}

/// Ids, groups and capabilities.
fn identity(creds: &Creds, groups: &[u32]) -> Map<String, Value> {
    let [inheritable, permitted, effective, bounding, ambient] = creds.caps.map(hex);
    let all = [
        (
            "uid",
            json!([creds.uid, creds.euid, creds.suid, creds.fsuid]),
        ),
        (
            "gid",
            json!([creds.gid, creds.egid, creds.sgid, creds.fsgid]),
        ),
        ("groups", json!(groups)),
        ("securebits", hex(creds.securebits.into()).into()),
        (
            "capabilities",
            json!({
                "inheritable": inheritable,
                "permitted": permitted,
                "effective": effective,
                "bounding": bounding,
                "ambient": ambient,
            }),
        ),
    ];
    all.map(|(name, value)| (name.to_string(), value))
        .into_iter()
        .collect()
}
