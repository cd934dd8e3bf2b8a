// SPDX-License-Identifier: GPL-2.0

//! An image as JSON. Addresses, masks, sets of bits, positions and times are strings:
//! a reader of JSON may keep numbers in 53 bits only.

mod task;

use std::io;
use std::io::Write;

use ckptfmt::build::Anon;
use ckptfmt::format;
use ckptfmt::format::files::file_kind;
use ckptfmt::format::files::FdEnt;
use ckptfmt::format::head::ErrorRec;
use ckptfmt::format::mm::vma_kind;
use ckptfmt::format::mm::Mm;
use ckptfmt::stream::reader::Fault;
use ckptfmt::walk::Stop;
use serde_core::ser::Serialize;
use serde_core::ser::SerializeMap;
use serde_core::ser::Serializer;
use serde_json::json;
use serde_json::Value;

use crate::anon;
use crate::forest;
use crate::locks;
use crate::model::Mapping;
use crate::model::Model;
use crate::model::View;
use crate::pipes;
use crate::shmem;
use crate::sockets;
use crate::tables::label;
use crate::text;
use crate::text::escape;
use crate::time;
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
            all.map(|(objref, (creds, groups))| (*objref, task::identity(creds, groups)))
        };
        map.serialize_entry("openers", &Named(openers))?;
        let files = || {
            model
                .files
                .keys()
                .map(|objref| (*objref, OneFile(model, *objref)))
        };
        map.serialize_entry("files", &Named(files))?;
        map.serialize_entry("tasks", &List(|| model.views().map(task::One)))?;
        map.serialize_entry(
            "shared_memory",
            &List(|| model.shmem.values().map(shmem::json)),
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
        "last_pid": head.last_pid,
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
fn descriptor(model: &View<'_>, entry: &FdEnt) -> Value {
    let locks: Vec<Value> = locks::of(model, entry.fd).map(locks::json).collect();
    json!({
        "fd": entry.fd,
        "object": entry.file,
        "close_on_exec": entry.flags & 1 != 0,
        "locks": locks,
    })
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
                "mtime": time::of_file(file.mtime_sec, file.mtime_nsec),
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
