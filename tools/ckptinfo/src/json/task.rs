// SPDX-License-Identifier: GPL-2.0

//! A task as JSON: what it is and may, its registers and its signals.

use ckptfmt::format::seccomp::seccomp_flags;
use ckptfmt::format::seccomp::SeccompFilter;
use ckptfmt::format::task::Creds;
use serde_core::ser::Serialize;
use serde_core::ser::SerializeMap;
use serde_core::ser::Serializer;
use serde_json::json;
use serde_json::Map;
use serde_json::Value;

use super::descriptor;
use super::fs;
use super::hex;
use super::parts;
use super::List;
use super::Memory;
use crate::call;
use crate::model::View;
use crate::pending;
use crate::posix;
use crate::text;
use crate::timers;

/// A task.
pub struct One<'a>(pub View<'a>);

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
        map.serialize_entry(
            "descriptors",
            &List(|| model.fds.iter().map(|e| descriptor(model, e))),
        )?;
        map.serialize_entry("signals", &signals(model).map(|own| Signals(model, own)))?;
        map.serialize_entry(
            "posix_timers",
            &List(|| model.posix.iter().map(posix::json)),
        )?;
        map.end()
    }
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
        "oom_score_adj_min": task.oom_score_adj_min,
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
pub fn identity(creds: &Creds, groups: &[u32]) -> Map<String, Value> {
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
