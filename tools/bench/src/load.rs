// SPDX-License-Identifier: GPL-2.0

//! What a worker holds: memory, mappings or descriptors, in any number.
//!
//! Each kind comes with a baseline, the calls that a program would make for the
//! same number of objects, and with a check that all of it is still there.

use std::ffi::CString;
use std::path::Path;

use anyhow::bail;
use anyhow::Context;
use anyhow::Result;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;

use crate::clock;

/// What is held.
pub enum Load {
    /// Dense private memory, no page all zeros.
    Memory(Map),
    /// Mappings of one page, none of them touched, no two of them mergeable.
    Mappings(Vec<Map>),
    /// Descriptors of a file each, positions that differ.
    Files(Vec<(i32, CString)>),
}

/// Bytes that one page table maps.
const TABLE: usize = 2 << 20;

/// Spreads page numbers over all bits of a seed.
fn seed(index: usize) -> u64 {
    (index as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Protection of a mapping: neighbours differ, or they would become one.
fn protection(index: usize) -> i32 {
    if index.is_multiple_of(2) {
        libc::PROT_READ
    } else {
        libc::PROT_READ | libc::PROT_WRITE
    }
}

/// Position of a file.
fn position(index: usize) -> i64 {
    (index % 7) as i64
}

impl Load {
    /// Arranges `count` bytes, mappings or descriptors.
    pub fn arrange(kind: &str, count: usize, dir: &Path) -> Result<Self> {
        match kind {
            "memory" => {
                let map = Map::anon(count).ok().context("mmap")?;
                (0..map.pages()).for_each(|page| map.fill_page(page, seed(page)));
                Ok(Self::Memory(map))
            }
            "mappings" => {
                // One reservation, cut into pieces. Nothing else is near: page tables
                // of a neighbour would be searched.
                let len = (count * PAGE).next_multiple_of(TABLE) + 2 * TABLE;
                let whole = Map::new(Spec {
                    len,
                    prot: libc::PROT_NONE,
                    ..Spec::default()
                })
                .ok()
                .context("mmap")?;
                let first = (whole.addr.next_multiple_of(TABLE) - whole.addr) / PAGE;
                (0..count)
                    .map(|index| {
                        let part = whole.part(first + index, 1);
                        part.protect(protection(index)).ok().context("mprotect")?;
                        Ok(part)
                    })
                    .collect::<Result<_>>()
                    .map(Self::Mappings)
            }
            "files" => (0..count)
                .map(|index| {
                    let path = dir.join(format!("f{index:04}"));
                    std::fs::write(&path, "0123456789")?;
                    let path = c_path(&path);
                    let fd = sys::open(&path, libc::O_RDONLY, 0).ok().context("open")?;
                    sys::lseek(fd, position(index), libc::SEEK_SET)
                        .ok()
                        .context("lseek")?;
                    Ok((fd, path))
                })
                .collect::<Result<_>>()
                .map(Self::Files),
            _ => bail!("{kind}: no such load"),
        }
    }

    /// Whether everything is there as arranged.
    pub fn intact(&self) -> bool {
        match self {
            Self::Memory(map) => (0..map.pages()).all(|page| map.page_is(page, seed(page))),
            Self::Mappings(maps) => maps.iter().enumerate().all(|(index, map)| {
                // A page that may not be written does not take the bytes of a file.
                let mapped = map.advise(libc::MADV_NORMAL).is_ok();
                mapped && (index % 2 == 0 || map.page_is_zero(0))
            }),
            Self::Files(files) => files.iter().enumerate().all(|(index, (fd, _))| {
                let mut byte = [0];
                sys::lseek(*fd, 0, libc::SEEK_CUR) == Ok(position(index) as usize)
                    && sys::read(*fd, &mut byte) == Ok(1)
                    && byte[0] == b'0' + position(index) as u8
            }),
        }
    }

    /// What the plain calls for the same objects take.
    pub fn baseline(&self, dir: &Path) -> Result<u64> {
        match self {
            Self::Memory(map) => clock::write_map(map, &c_path(&dir.join("plain")), |_| {}),
            Self::Mappings(maps) => {
                let (took, good) = clock::timed(|| {
                    maps.iter()
                        .all(|_| Map::anon(PAGE).is_ok_and(|map| map.unmap().is_ok()))
                });
                good.then_some(took).context("mmap and munmap")
            }
            Self::Files(files) => {
                let mut opened = Vec::with_capacity(files.len());
                let (took, good) = clock::timed(|| {
                    files.iter().all(|(fd, path)| {
                        let known = status(*fd);
                        let again = sys::open(path, libc::O_RDONLY, 0);
                        again.map(|fd| opened.push(fd)).is_ok() && known
                    })
                });
                opened.into_iter().for_each(|fd| {
                    let _ = sys::close(fd);
                });
                good.then_some(took).context("fstat and open")
            }
        }
    }
}

/// fstat(2).
fn status(fd: i32) -> bool {
    // SAFETY: an all-zero structure is a valid one, and the kernel fills it.
    unsafe {
        let mut st: libc::stat = std::mem::zeroed();
        libc::fstat(fd, &mut st) == 0
    }
}
