// SPDX-License-Identifier: GPL-2.0

//! Changes of whole records: their order, their headers, their runs of pages.

use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::image::Rec;
use ckpt_guest::mem::PAGE;

use crate::engine::Attempt;
use crate::engine::List;
use crate::Base;

type Edit = (String, bool, Box<dyn Fn(&mut Image)>);

fn list(base: &Base, edits: Vec<Edit>) -> List<'_> {
    List::of(edits, |(label, never, edit)| {
        let mut image = base.image.clone();
        edit(&mut image);
        Attempt {
            label: label.clone(),
            bytes: image.to_bytes(),
            never: *never,
        }
    })
}

fn edit(label: String, never: bool, edit: impl Fn(&mut Image) + 'static) -> Edit {
    (label, never, Box::new(edit))
}

/// Pages may be left out: they are zeros then.
fn has_pages(rec: &Rec) -> bool {
    !rec.addrs.is_empty()
}

/// Each record dropped, doubled, exchanged with the next, and put at the start and end.
pub fn order(base: &Base) -> List<'_> {
    let mut edits = Vec::new();
    let records = &base.image.records;
    for (i, rec) in records.iter().enumerate() {
        if !base.changes(rec.kind) {
            continue;
        }
        let name = format!("{} (record {i})", format::type_name(rec.kind));
        let never = !has_pages(rec) && rec.kind != format::PGREF;
        edits.push(edit(format!("{name} dropped"), never, move |image| {
            image.records.remove(i);
        }));
        edits.push(edit(format!("{name} doubled"), never, move |image| {
            image.records.insert(i, image.records[i].clone());
        }));
        if i > 0 {
            edits.push(edit(format!("{name} at the start"), true, move |image| {
                let rec = image.records.remove(i);
                image.records.insert(0, rec);
            }));
        }
        if let Some(next) = records.get(i + 1) {
            if next == rec {
                continue;
            }
            edits.push(edit(format!("{name} at the end"), never, move |image| {
                let rec = image.records.remove(i);
                image.records.push(rec);
            }));
            // A descriptor may stand behind an open file, pipe or socket that it does not use.
            let later = matches!(next.kind, format::FILE | format::PIPE | format::SOCKET);
            let early = rec.kind == format::FD_ENT && later;
            let never = next.kind != rec.kind && !early;
            edits.push(edit(
                format!("{name} behind the next"),
                never,
                move |image| {
                    image.records.swap(i, i + 1);
                },
            ));
        }
    }
    edits.push(edit("all records twice".to_string(), true, |image| {
        let again = image.records.clone();
        image.records.extend(again);
    }));
    edits.push(edit("no records".to_string(), true, |image| {
        image.records.clear()
    }));
    list(base, edits)
}

/// Kind, length and owner of each record's header.
pub fn headers(base: &Base) -> List<'_> {
    let mut edits = Vec::new();
    for (i, rec) in base.image.records.iter().enumerate() {
        if !base.changes(rec.kind) {
            continue;
        }
        let name = format!("{} (record {i})", format::type_name(rec.kind));
        let kinds = [
            0,
            -1,
            i16::MIN,
            i16::MAX,
            format::ERROR,
            format::TAIL,
            format::PAD,
            format::STR,
        ];
        for kind in kinds.into_iter().filter(|k| *k != rec.kind) {
            edits.push(edit(format!("{name}: kind {kind}"), true, move |image| {
                let rec = &mut image.records[i];
                // A run of pages is no longer one.
                (rec.addrs, rec.pages) = (Vec::new(), Vec::new());
                rec.kind = kind;
            }));
        }
        let len = rec.len;
        for lie in [
            0,
            -1,
            i16::MIN,
            i16::MAX,
            len - 1,
            len + 1,
            len + 8,
            len - 8,
        ] {
            if lie == len {
                continue;
            }
            edits.push(edit(format!("{name}: length {lie}"), true, move |image| {
                image.records[i].len = lie;
            }));
        }
        for parent in [rec.parent + 1, rec.parent ^ 0x8000_0000, u32::MAX] {
            edits.push(edit(
                format!("{name}: owner {parent}"),
                true,
                move |image| {
                    image.records[i].parent = parent;
                },
            ));
        }
        // Honest about being too long or too short.
        if has_pages(rec) {
            continue;
        }
        // The names of the kernel behind the header are for people only.
        let never = rec.kind != format::STR || i > 3;
        for change in [1usize, 8, 4000] {
            edits.push(edit(
                format!("{name}: {change} bytes longer"),
                never,
                move |image| {
                    let rec = &mut image.records[i];
                    rec.payload.resize(rec.payload.len() + change, b'x');
                    rec.len = rec.payload.len() as i16;
                },
            ));
        }
        edits.push(edit(format!("{name}: empty"), never, move |image| {
            let rec = &mut image.records[i];
            rec.payload.clear();
            rec.len = 0;
        }));
    }
    list(base, edits)
}

/// Whether `objref` is shared memory.
fn is_shmem(base: &Base, objref: u32) -> bool {
    let mut records = base.image.records.iter();
    records.any(|r| r.kind == format::SHMEM && r.get(0..4) == u64::from(objref))
}

/// Addresses of pages that are not the mapping's, in no order, or too many.
pub fn page_runs(base: &Base) -> List<'_> {
    let mut edits = Vec::new();
    for (i, rec) in base.image.records.iter().enumerate() {
        if rec.kind == format::PGARR {
            for count in [1u64, 4096, 4097, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
                if count == rec.addrs.len() as u64 {
                    continue;
                }
                let label = format!("record {i} announces {count} pages");
                edits.push(edit(label, true, move |image| {
                    image.records[i].set(0..4, count)
                }));
            }
        }
        if !has_pages(rec) {
            continue;
        }
        let bad = [
            0,
            0x1000,
            rec.addrs[0] + 1,
            rec.addrs[0] + 0x800,
            0x7fff_ffff_f000,
            0x7fff_ffff_e000,
            0x8000_0000_0000,
            0xffff_8880_0000_0000,
            0xffff_ffff_8100_0000,
            0xffff_ffff_ff60_0000,
            u64::MAX,
        ];
        // In shared memory the start is a place like others: its pages are offsets.
        let inside = is_shmem(base, rec.parent).then_some(rec.addrs[0]);
        for addr in bad
            .into_iter()
            .filter(|a| inside.is_none_or(|end| *a > end))
        {
            for (at, which) in [(0, "first"), (rec.addrs.len() - 1, "last")] {
                let label = format!("record {i}: {which} page at {addr:#x}");
                edits.push(edit(label, true, move |image| {
                    image.records[i].addrs[at] = addr
                }));
            }
        }
        edits.push(edit(
            format!("record {i}: the same page twice"),
            true,
            move |image| {
                let rec = &mut image.records[i];
                rec.addrs.insert(0, rec.addrs[0]);
                let page = rec.pages[..PAGE].to_vec();
                rec.pages.splice(0..0, page);
                rec.set(0..4, rec.addrs.len() as u64);
            },
        ));
        if rec.addrs.len() > 1 {
            edits.push(edit(
                format!("record {i}: addresses in reverse"),
                true,
                move |image| {
                    image.records[i].addrs.reverse();
                },
            ));
        }
        edits.push(edit(
            format!("record {i}: a page less than announced"),
            true,
            move |image| {
                let rec = &mut image.records[i];
                rec.pages.truncate(rec.pages.len() - PAGE);
            },
        ));
    }
    list(base, edits)
}
