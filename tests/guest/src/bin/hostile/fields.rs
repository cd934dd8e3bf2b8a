// SPDX-License-Identifier: GPL-2.0

//! Changes of single fields, in images that are right otherwise.

use std::collections::BTreeMap;
use std::ops::Range;

use ckpt_guest::format;
use ckpt_guest::format::cpu;
use ckpt_guest::image::Rec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::rng::Rng;
use ckpt_guest::varies;

use crate::engine::Attempt;
use crate::engine::List;
use crate::Base;

/// A field of one record gets a value.
struct Change {
    record: usize,
    at: Range<usize>,
    value: u64,
    label: String,
    never: bool,
}

fn list(base: &Base, changes: Vec<Change>) -> List<'_> {
    List::of(changes, |change| {
        let mut image = base.image.clone();
        image.records[change.record].set(change.at.clone(), change.value);
        let kind = format::type_name(image.records[change.record].kind);
        let what = if change.never { "" } else { "?" };
        Attempt {
            label: format!("{kind}.{}{what} = {:#x}", change.label, change.value),
            bytes: image.to_bytes(),
            never: change.never,
        }
    })
}

/// Changes a field, by its name, in all records of its kind.
fn all_records(
    base: &Base,
    kind: i16,
    name: &str,
    values: &[u64],
    never: bool,
    changes: &mut Vec<Change>,
) {
    let named = |len| {
        let mut fields = varies::fields_in(kind, len);
        fields.retain(|field| field.name == name);
        fields
    };
    if named(PAGE).is_empty() {
        // The next to read this is whoever renamed the field.
        panic!("{} has no field {name}", format::type_name(kind));
    }
    for (record, rec) in base.image.records.iter().enumerate() {
        if rec.kind != kind || !base.changes(kind) {
            continue;
        }
        // Files take others than those that the caller may not have.
        let never = never && (name != "caps" || is_of_task(base, rec));
        for field in named(rec.payload.len()) {
            for value in values.iter().filter(|v| rec.get(field.at.clone()) != **v) {
                changes.push(Change {
                    record,
                    at: field.at.clone(),
                    value: *value,
                    label: name.to_string(),
                    never,
                });
            }
        }
    }
}

/// Is it one of a task, not of a file?
fn is_of_task(base: &Base, rec: &Rec) -> bool {
    let mut records = base.image.records.iter();
    records.any(|r| r.kind == format::THREAD && r.parent == rec.parent)
}

const KERNEL: [u64; 5] = [
    0xffff_8880_0000_0000,
    0xffff_ffff_8100_0000,
    0xffff_ffff_ffff_f000,
    0x0000_8000_0000_0000,
    0x8000_0000_0000_1000,
];

/// Fields that hold an address of user memory, or none at all.
///
/// Not those of which the kernel makes nothing: general registers, the stack pointer among
/// them, may have any value in user mode, as may the auxiliary vector, which is data of
/// the program.
const ADDRESSES: &[(i16, &[&str])] = &[
    (
        format::MM,
        &[
            "start_code",
            "end_code",
            "start_data",
            "end_data",
            "start_brk",
            "brk",
            "start_stack",
            "arg_start",
            "arg_end",
            "env_start",
            "env_end",
            "mmap_base",
            "vdso",
        ],
    ),
    (format::VMA, &["start", "end"]),
    (format::GUARD, &["start", "end"]),
    (format::CPU, &["ip", "fs_base", "gs_base", "debugreg"]),
    (
        format::THREAD,
        &["robust_list", "clear_child_tid", "rseq_addr"],
    ),
    (format::SIGNAL, &["ss_sp"]),
    (format::THREAD_SIGNAL, &["ss_sp"]),
    (format::RESTART_BLOCK, &["addr"]),
    (format::PGREF, &["addr", "from"]),
];

/// Kernel addresses and non-canonical ones in every address field.
pub fn kernel_addresses(base: &Base) -> List<'_> {
    let mut changes = Vec::new();
    for (kind, names) in ADDRESSES {
        for name in *names {
            all_records(base, *kind, name, &KERNEL, true, &mut changes);
        }
    }
    // The handler and the trampoline of each signal.
    let actions = varies::field(format::SIGNAL, "actions").map_or(0, |f| f.at.start);
    let parts = (0..64).flat_map(|signal| [(signal, 0, "handler"), (signal, 16, "restorer")]);
    for (signal, part, name) in parts {
        let at = actions + signal * 32 + part;
        for (record, rec) in base.image.records.iter().enumerate() {
            if rec.kind == format::SIGNAL && base.changes(rec.kind) {
                changes.extend(KERNEL.map(|value| Change {
                    record,
                    at: at..at + 8,
                    value,
                    label: format!("actions[{signal}].{name}"),
                    never: true,
                }));
            }
        }
    }
    list(base, changes)
}

/// Selectors, flags and processor state that user code cannot have.
pub fn privileges(base: &Base) -> List<'_> {
    let mut changes = Vec::new();
    let mut set = |kind, name: &str, values: &[u64]| {
        all_records(base, kind, name, values, true, &mut changes);
    };
    set(
        format::CPU,
        "cs",
        &[0, 2, 3, 8, 0x10, 0x23, 0x33, 0x4000, 0x8000, 0xffff],
    );
    set(
        format::CPU,
        "ss",
        &[0, 1, 3, 0x18, 0x2b, 0x4000, 0x8000, 0xffff],
    );
    for name in ["ds", "es", "fs", "gs"] {
        // The image has no LDT, so that no selector into it is good.
        set(
            format::CPU,
            name,
            &[1, 3, 0x10, 0x2b, 0x33, 0x4003, 0xa000, 0xffff],
        );
    }
    let flags = varies::field(format::CPU, "flags").map_or(0..8, |f| f.at);
    let now = base
        .image
        .find(format::CPU)
        .map_or(0, |i| base.image.records[i].get(flags));
    let bad: Vec<u64> = (0..64)
        .map(|bit| 1u64 << bit)
        .filter(|bit| bit & (cpu::USER_FLAGS | cpu::FIXED_FLAGS) == 0)
        .map(|bit| now | bit)
        .collect();
    set(format::CPU, "flags", &bad);
    set(format::CPU, "orig_ax", &[0x1_0000, 0xffff_ffff, 1 << 63]);
    set(format::CPU, "nr_restart", &[1, 2, 0xffff_ffff]);
    set(format::HEAD, "flags", &[6, 7, 8, 0xffff_ffff]);
    set(format::CPU, "uses_debug", &[1, 255]);
    for name in [
        "uid", "euid", "suid", "fsuid", "gid", "egid", "sgid", "fsgid",
    ] {
        set(format::CREDS, name, &[0xffff_ffff]);
    }
    set(format::CREDS, "securebits", &[1 << 12, 1 << 31]);
    set(format::CREDS, "caps", &[0xffff_ffff_ffff_ffff]);
    for (record, rec) in base.image.records.iter().enumerate() {
        if rec.kind == format::FPU && base.changes(rec.kind) {
            fpu_privileges(record, &mut changes);
        }
    }
    list(base, changes)
}

fn fpu_privileges(record: usize, changes: &mut Vec<Change>) {
    let mut set = |at: Range<usize>, label: &str, value| {
        changes.push(Change {
            record,
            at,
            value,
            label: label.to_string(),
            never: true,
        });
    };
    set(24..28, "mxcsr", 0xffff_ffff);
    set(24..28, "mxcsr", 0x0001_1f80);
    for bit in [8, 10, 11, 12, 15, 16, 20, 62, 63] {
        set(512..520, "xstate_bv", 3 | 1 << bit);
    }
    set(520..528, "xcomp_bv", 1 << 63);
    set(520..528, "xcomp_bv", 3);
    for at in [528, 536, 568] {
        set(at..at + 8, "reserved", 1);
    }
}

const EXTREMES: [u64; 9] = [
    0,
    1,
    0x7f,
    0x7fff,
    0x8000_0000,
    0xffff_ffff,
    0x7fff_ffff_ffff_f000,
    0x8000_0000_0000_0000,
    u64::MAX,
];

/// Every number of every record, at its limits. Some are allowed: registers, times.
pub fn extremes(base: &Base, seed: u64) -> List<'_> {
    let mut changes = Vec::new();
    for record in some_of_each(base, seed) {
        let rec = &base.image.records[record];
        for field in varies::fields_in(rec.kind, rec.payload.len()) {
            let array = field.at.len() > 8;
            let values = if array { &EXTREMES[7..] } else { &EXTREMES[..] };
            for start in field.at.clone().step_by(8) {
                let at = start..field.at.end.min(start + 8);
                let mask = u64::MAX >> (64 - 8 * at.len());
                let mut values: Vec<u64> = values.iter().map(|value| value & mask).collect();
                values.sort_unstable();
                values.dedup();
                values.retain(|value| rec.get(at.clone()) != *value);
                changes.extend(values.into_iter().map(|value| Change {
                    record,
                    at: at.clone(),
                    value,
                    label: format!("{}[{record}]", field.name),
                    never: false,
                }));
            }
        }
    }
    list(base, changes)
}

/// The records that are to be changed; of those that come often, three that chance tells.
/// What a task has is one thing, what a file has is another.
fn some_of_each(base: &Base, seed: u64) -> Vec<usize> {
    let mut sorts: BTreeMap<(i16, bool), Vec<usize>> = BTreeMap::new();
    for (record, rec) in base.image.records.iter().enumerate() {
        if base.changes(rec.kind) {
            let sort = (rec.kind, is_of_task(base, rec));
            sorts.entry(sort).or_default().push(record);
        }
    }
    let mut rng = Rng::new(seed);
    for all in sorts.values_mut() {
        while all.len() > 3 {
            all.remove(rng.below(all.len() as u64) as usize);
        }
    }
    sorts.into_values().flatten().collect()
}
