// SPDX-License-Identifier: GPL-2.0

//! Any structure of the format as a list of named numbers.
//!
//! Names, types and whether a value varies come from the record sources, so
//! that a new field or record is known here without a word about it.

use std::any::type_name;
use std::collections::HashMap;
use std::sync::LazyLock;

use zerocopy::Immutable;
use zerocopy::IntoBytes;

use crate::docs::source;
use crate::docs::source::Struct;
use crate::layout::LAYOUTS;

/// The contents of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Raw {
    /// A number.
    Unsigned(u64),
    /// A number that may be negative.
    Signed(i64),
    /// An array of bytes.
    Bytes(Vec<u8>),
}

/// A field that is no structure and no array of numbers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The structure that it stands in, by its name in Rust.
    pub owner: &'static str,
    /// Its name in the sources.
    pub field: &'static str,
    /// Where it is in the outermost structure, as `limits[7].cur`.
    pub path: String,
    /// What it holds.
    pub raw: Raw,
    /// It may differ between images of the same state.
    pub varies: bool,
}

/// Names an element of an array by structure, field and index; none leaves the index.
pub type Namer<'a> = &'a dyn Fn(&str, &str, usize) -> Option<String>;

static STRUCTS: LazyLock<HashMap<String, Struct>> = LazyLock::new(|| {
    source::compiled()
        .into_iter()
        .flat_map(|s| s.structs)
        .map(|s| (s.rust.clone(), s))
        .collect()
});

/// A structure of the format.
pub trait Structure: IntoBytes + Immutable {}

impl<T: IntoBytes + Immutable> Structure for T {}

/// The fields of `value`, in order.
pub fn parts<T: Structure>(value: &T, namer: Namer<'_>) -> Vec<Part> {
    let name = type_name::<T>().rsplit("::").next().unwrap_or_default();
    let mut out = Vec::new();
    structure(name, value.as_bytes(), "", false, namer, &mut out);
    out
}

fn structure(
    name: &str,
    bytes: &[u8],
    prefix: &str,
    varies: bool,
    namer: Namer<'_>,
    out: &mut Vec<Part>,
) {
    let (Some(layout), Some(source)) = (LAYOUTS.iter().find(|l| l.rust == name), STRUCTS.get(name))
    else {
        return;
    };
    for (field, (_, offset, size)) in source.fields.iter().zip(layout.fields) {
        let bytes = bytes.get(*offset..).and_then(|b| b.get(..*size));
        let part = Part {
            owner: layout.rust,
            field: &field.name,
            path: format!("{prefix}{}", field.name),
            raw: Raw::Unsigned(0),
            varies: varies || field.about.contains("Varies"),
        };
        typed(&field.ty, bytes.unwrap_or_default(), part, namer, out);
    }
}

/// Adds what `bytes`, of the type `ty`, hold; `part` has the rest of it.
fn typed(ty: &str, bytes: &[u8], mut part: Part, namer: Namer<'_>, out: &mut Vec<Part>) {
    let element = ty.strip_prefix('[').and_then(|t| t.split_once("; "));
    match element {
        Some(("u8", _)) => part.raw = Raw::Bytes(bytes.into()),
        Some((element, _)) => {
            let size = size(element).max(1);
            for (i, bytes) in bytes.chunks_exact(size).enumerate() {
                let index = namer(part.owner, part.field, i);
                let mut one = part.clone();
                one.path = match index {
                    Some(index) => format!("{} {index}", part.path),
                    None => format!("{}[{i}]", part.path),
                };
                typed(element, bytes, one, namer, out);
            }
            return;
        }
        None if STRUCTS.contains_key(ty) => {
            let prefix = format!("{}.", part.path);
            structure(ty, bytes, &prefix, part.varies, namer, out);
            return;
        }
        None => {
            let mut number = [0; 8];
            let len = bytes.len().min(8);
            if let (Some(to), Some(from)) = (number.get_mut(..len), bytes.get(..len)) {
                to.copy_from_slice(from);
            }
            let value = u64::from_le_bytes(number);
            part.raw = if ty.starts_with('i') {
                let unused = u32::try_from(len)
                    .unwrap_or(8)
                    .saturating_mul(8)
                    .abs_diff(64);
                let shifted = value.checked_shl(unused).unwrap_or(0).cast_signed();
                Raw::Signed(shifted.checked_shr(unused).unwrap_or(0))
            } else {
                Raw::Unsigned(value)
            };
        }
    }
    out.push(part);
}

/// Bytes of a type of the sources.
fn size(ty: &str) -> usize {
    let bits = ty.get(1..).and_then(|bits| bits.parse::<usize>().ok());
    match bits {
        Some(bits) if ty.starts_with(['u', 'i']) => bits / 8,
        _ => LAYOUTS.iter().find(|l| l.rust == ty).map_or(0, |l| l.size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::call::RestartBlock;
    use crate::format::files::File;
    use crate::format::pending::Itimers;
    use crate::format::task::Rlimits;
    use crate::format::task::Task;

    #[test]
    fn numbers_arrays_and_structures_inside_are_taken_apart() {
        let mut task = Task::zeroed();
        (task.nice, task.pid, task.utime) = (-5, 7, 9);
        task.comm[..2].copy_from_slice(b"sh");
        let all = parts(&task, &|_, _, _| None);
        let named = |path: &str| all.iter().find(|p| p.path == path).unwrap();
        assert_eq!(named("nice").raw, Raw::Signed(-5));
        assert_eq!(named("pid").raw, Raw::Unsigned(7));
        assert!(named("utime").varies && !named("pid").varies);
        assert!(matches!(&named("comm").raw, Raw::Bytes(b) if b.starts_with(b"sh\0")));
        let block = parts(&RestartBlock::zeroed(), &|_, _, _| None);
        let third = block.iter().find(|p| p.path == "reserved[2]").unwrap();
        assert_eq!(third.raw, Raw::Unsigned(0));

        let mut limits = Rlimits::zeroed();
        limits.limits[7].max = u64::MAX;
        let all = parts(&limits, &|_, _, i| (i == 7).then(|| "nofile".into()));
        assert_eq!(all.len(), 32);
        assert_eq!(all[15].path, "limits nofile.max");
        assert_eq!(all[15].raw, Raw::Unsigned(u64::MAX));
        assert_eq!((all[15].owner, all[15].field), ("Rlimit", "max"));

        let mut file = File::zeroed();
        file.mtime_sec = -1;
        let all = parts(&file, &|_, _, _| None);
        assert!(all.iter().any(|p| p.raw == Raw::Signed(-1)));
        assert!(parts(&Itimers::zeroed(), &|_, _, _| None)[0].varies);
    }

    #[test]
    fn every_byte_of_every_structure_is_in_a_part() {
        for layout in LAYOUTS {
            let bytes = vec![0xff; layout.size];
            let mut out = Vec::new();
            structure(layout.rust, &bytes, "", false, &|_, _, _| None, &mut out);
            let covered: usize = out
                .iter()
                .map(|p| match &p.raw {
                    Raw::Unsigned(n) => n.count_ones() as usize / 8,
                    // All bits set is -1 of any size.
                    Raw::Signed(n) => {
                        assert_eq!(*n, -1);
                        let field = LAYOUTS.iter().find(|l| l.rust == p.owner).unwrap();
                        field.fields.iter().find(|f| f.0 == p.field).unwrap().2
                    }
                    Raw::Bytes(b) => b.len(),
                })
                .sum();
            assert_eq!(covered, layout.size, "{}", layout.rust);
        }
    }
}
