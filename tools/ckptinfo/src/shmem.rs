// SPDX-License-Identifier: GPL-2.0

//! Shared memory objects.

use ckptfmt::format::shmem::seals;
use ckptfmt::format::shmem::shmem_flags;
use ckptfmt::format::shmem::shmem_kind;
use ckptfmt::format::shmem::Shmem;
use serde_json::json;
use serde_json::Value;

use crate::model::Shared;
use crate::text::count;
use crate::text::escape;
use crate::text::size;

/// Bit and name of the seals.
const SEALS: &[(u32, &str)] = &[
    (seals::SEAL, "seal"),
    (seals::SHRINK, "shrink"),
    (seals::GROW, "grow"),
    (seals::WRITE, "write"),
    (seals::FUTURE_WRITE, "future-write"),
    (seals::EXEC, "exec"),
];

fn kind(object: &Shmem) -> &'static str {
    match object.how {
        shmem_kind::ANON => "anonymous",
        shmem_kind::MEMFD => "memfd",
        _ => "unlinked",
    }
}

fn sealed(object: &Shmem) -> Vec<&'static str> {
    let all = SEALS.iter().filter(|(bit, _)| object.seals & bit != 0);
    all.map(|(_, name)| *name).collect()
}

/// An object in the tree.
pub fn line(shared: &Shared) -> String {
    let object = &shared.object;
    let mut line = kind(object).to_string();
    if !shared.name.is_empty() {
        line.push_str(&format!(
            " {}, mode {:03o}",
            escape(&shared.name),
            object.mode
        ));
    }
    line.push_str(&format!(
        ", {}, {} saved",
        size(object.size),
        count(shared.pages, "page")
    ));
    if object.flags & shmem_flags::NORESERVE != 0 {
        line.push_str(", noreserve");
    }
    if object.seals != 0 {
        line.push_str(&format!(", sealed: {}", sealed(object).join(" ")));
    }
    line
}

/// An object in JSON.
pub fn json(shared: &Shared) -> Value {
    let object = &shared.object;
    json!({
        "object": object.objref,
        "kind": kind(object),
        "name": escape(&shared.name),
        "size": object.size.to_string(),
        "mode": format!("{:04o}", object.mode),
        "uid": object.uid,
        "gid": object.gid,
        "seals": sealed(object),
        "noreserve": object.flags & shmem_flags::NORESERVE != 0,
        "pages_saved": shared.pages,
    })
}
