// SPDX-License-Identifier: GPL-2.0

//! What is written is read back, field by field and page by page.

mod common;
#[path = "roundtrip/parts.rs"]
mod parts;

use std::collections::BTreeSet;

use ckptfmt::build::split;
use ckptfmt::build::Image;
use ckptfmt::build::Mapping;
use ckptfmt::build::OpenFile;
use ckptfmt::build::Other;
use ckptfmt::format::call;
use ckptfmt::format::cpu::UserDesc;
use ckptfmt::format::files::file_kind;
use ckptfmt::format::files::FdEnt;
use ckptfmt::format::files::File;
use ckptfmt::format::mm::vma_flags;
use ckptfmt::format::mm::vma_kind;
use ckptfmt::format::mm::GuardRange;
use ckptfmt::format::mm::Vma;
use common::collect;
use parts::itimer;
use parts::restart_block;
use parts::siginfo;
use proptest::collection::btree_set;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn same(image: &Image) {
    let bytes = image.bytes();
    let (read, totals) = collect(&bytes).unwrap();
    assert_eq!(&read, image);
    assert_eq!(totals.bytes, bytes.len() as u64);
    assert_eq!(totals.records, split(&bytes).len() as u64);
    assert_eq!(read.bytes(), bytes);
}

#[test]
fn the_minimal_image() {
    same(&Image::minimal());
}

#[test]
fn the_sample_image() {
    same(&Image::sample());
}

#[test]
fn nothing_behind_the_image_is_taken() {
    let mut bytes = Image::sample().bytes();
    let len = bytes.len() as u64;
    bytes.extend_from_slice(b"the next message on this socket");
    assert_eq!(collect(&bytes).unwrap().1.bytes, len);
}

#[test]
fn arrays_of_more_than_one_record() {
    let mut image = Image::minimal();
    image.groups = (0..10_000).collect();
    image.ldt = (0..3000)
        .map(|entry_number| UserDesc {
            entry_number,
            base_addr: 0,
            limit: 1,
            flags: 0,
        })
        .collect();
    let guards = (0..2500u64)
        .map(|i| GuardRange {
            start: (i * 2) << 12,
            end: (i * 2 + 1) << 12,
        })
        .collect();
    let mut vma = Vma::zeroed();
    vma.how = vma_kind::ANON;
    vma.end = 5000 << 12;
    image.mappings.push(Mapping {
        vma,
        name: Vec::new(),
        guards,
        runs: Vec::new(),
        again: Vec::new(),
    });
    image.settle();
    same(&image);
}

#[test]
fn the_longest_run_and_the_longest_strings() {
    let mut image = Image::sample();
    let mapping = &mut image.mappings[3];
    mapping.vma.start = 0x6000_0000_0000;
    mapping.vma.end = 0x6000_0100_1000;
    mapping.name = vec![b'n'; 79];
    mapping.runs = vec![
        (0..4096).map(|i| 0x6000_0000_0000 + i * 4096).collect(),
        vec![0x6000_0100_0000],
    ];
    image.paths = [vec![b'/'; 4095], vec![b'/'; 4095]];
    image.files[0].path = vec![b'/'; 4095];
    image.uts = [vec![b'r'; 64], vec![b'v'; 64], vec![b'm'; 64]];
    image.fpu = vec![1; 16384];
    if let Some(Other::Thread { fpu, .. }) = image.others.first_mut() {
        *fpu = vec![2; 16384];
    }
    image.settle();
    same(&image);
}

#[test]
fn a_call_with_and_without_a_restart_block() {
    let mut image = Image::minimal();
    image.restart_block = Image::sample().restart_block;
    image.settle();
    assert_eq!(image.cpu.nr_restart, 1);
    same(&image);
    let mut image = Image::sample();
    image.restart_block = None;
    image.cpu.ax = call::AGAIN.cast_unsigned();
    image.settle();
    assert_eq!(image.cpu.nr_restart, 0);
    same(&image);
}

#[test]
fn pending_signals_and_timers() {
    let mut image = Image::minimal();
    image.pending = Image::sample().pending;
    image.posix = Image::sample().posix;
    // The last one is of a second thread.
    image.posix.truncate(3);
    image.settle();
    assert_eq!(image.signal.nr_pending, 3);
    assert_eq!(image.timers.nr_timers, 3);
    same(&image);
    // The order of signals is that of their queues, and kept.
    image.pending.reverse();
    same(&image);
    image.posix.clear();
    let sent = image.pending.iter().find(|i| i.timer().is_none());
    image.pending = vec![*sent.unwrap(); 3000];
    image.settle();
    same(&image);
    let mut image = Image::sample();
    image.pending.clear();
    // What is left belongs to the signal of the second thread.
    image.posix.drain(..3);
    image.itimers = Image::minimal().itimers;
    image.settle();
    assert_eq!(image.signal.nr_pending, 0);
    same(&image);
}

#[test]
fn shared_memory_without_and_with_many_pages() {
    let mut image = Image::sample();
    image.shmem[0].runs.clear();
    same(&image);
    image.shmem[0].object.size = 5000 << 12;
    image.shmem[0].runs = vec![(0..4096).map(|i| i << 12).collect(), vec![4999 << 12]];
    let mut other = image.shmem[0].clone();
    other.object.objref = 42;
    image.shmem.insert(1, other);
    image.mappings[6].vma.file = 42;
    same(&image);
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    vec(1..=255u8, 1..200)
}

/// A mapping at slot `slot` of 64 pages, with its pages and guards.
fn mapping(slot: u64, of_file: Option<u32>) -> impl Strategy<Value = Mapping> {
    (
        1..=64u64,
        0..=7u64,
        vec(1..=255u8, 0..79),
        btree_set(0..64u64, 0..12),
        1..5usize,
    )
        .prop_map(move |(nr, prot, name, pages, per_run)| {
            let start = (slot + 1) << 24;
            let mut vma = Vma::zeroed();
            vma.how = of_file.map_or(vma_kind::ANON, |_| vma_kind::FILE);
            vma.file = of_file.unwrap_or(0);
            vma.start = start;
            vma.end = start + nr * 4096;
            vma.flags = prot | vma_flags::GUARD;
            let inside: Vec<u64> = pages.into_iter().filter(|p| *p < nr).collect();
            let (guards, pages): (Vec<u64>, Vec<u64>) = inside.iter().partition(|p| **p % 5 == 0);
            Mapping {
                vma,
                name,
                guards: guards
                    .iter()
                    .map(|p| GuardRange {
                        start: start + p * 4096,
                        end: start + (p + 1) * 4096,
                    })
                    .collect(),
                runs: pages
                    .chunks(per_run)
                    .map(|run| run.iter().map(|p| start + p * 4096).collect())
                    .collect(),
                again: Vec::new(),
            }
        })
}

fn image() -> impl Strategy<Value = Image> {
    (
        vec(path(), 1..6),
        vec((any::<bool>(), any::<prop::sample::Index>()), 0..8),
        btree_set(0..100u32, 0..12),
        vec(any::<u32>(), 0..40),
        vec(any::<u8>(), 576..2000),
        [path(), path()],
        (option::of(restart_block()), any::<u16>(), any::<u64>()),
        (vec(siginfo(), 0..8), [itimer(), itimer(), itimer()]),
    )
        .prop_flat_map(|(paths, slots, fds, groups, fpu, dirs, call, wait)| {
            let nr = paths.len();
            let mappings: Vec<_> = slots
                .iter()
                .zip(0u64..)
                .map(|((anon, file), slot)| {
                    mapping(slot, (!anon).then(|| 100 + file.index(nr) as u32))
                })
                .collect();
            (mappings, Just((paths, fds, groups, fpu, dirs, call, wait)))
        })
        .prop_map(|(mappings, (paths, fds, groups, fpu, dirs, call, wait))| {
            let nr = paths.len() as u32;
            let mut image = Image::minimal();
            image.fds = fds
                .iter()
                .map(|fd| FdEnt {
                    fd: *fd,
                    file: 100 + fd % nr,
                    flags: fd & 1,
                    nr_locks: 0,
                })
                .collect();
            // In the order of their first users, as the events report them.
            let users = mappings
                .iter()
                .map(|m| m.vma.file)
                .chain(image.fds.iter().map(|e| e.file));
            let mut seen = BTreeSet::new();
            image.files = users
                .filter(|objref| *objref != 0 && seen.insert(*objref))
                .map(|objref| {
                    let mut file = File::zeroed();
                    file.objref = objref;
                    file.kind = file_kind::REGULAR;
                    file.mode = 0o100_644;
                    OpenFile {
                        file,
                        path: paths[objref as usize - 100].clone(),
                    }
                })
                .collect();
            image.mappings = mappings;
            image.groups = groups;
            image.fpu = fpu;
            (image.restart_block, image.cpu.ax) = (call.0, call.2);
            image.cpu.orig_ax = call.1.into();
            (image.pending, image.itimers.timers) = wait;
            image.paths = dirs;
            image.settle();
            image
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_image(image in image()) {
        same(&image);
    }
}
