// SPDX-License-Identifier: GPL-2.0

//! Images that are cut, flipped, reordered or lie: each is refused.

mod common;
#[path = "hostile/parts.rs"]
mod parts;

use std::io::ErrorKind;

use ckptfmt::build::join;
use ckptfmt::build::reseal;
use ckptfmt::build::split;
use ckptfmt::build::Image;
use ckptfmt::format;
use ckptfmt::format::head::ErrorRec;
use ckptfmt::stream::reader::Fault;
use ckptfmt::walk::walk;
use common::collect;
use proptest::prelude::*;

/// The rule that `image` breaks.
fn refusal(bytes: &[u8]) -> String {
    match collect(bytes).expect_err("an image was accepted").fault {
        Fault::Bad(why) | Fault::Checksum(why) => why.0.into(),
        Fault::Failed(_) => "failed checkpoint".into(),
        Fault::Source(e) => e.to_string(),
    }
}

#[test]
fn truncation_at_every_byte() {
    for image in [Image::minimal(), Image::sample()] {
        let bytes = image.bytes();
        let starts: Vec<u64> = split(&bytes).iter().map(|r| r.start as u64).collect();
        for len in 0..bytes.len() {
            let stop = walk(&bytes[..len], &mut |_| {}).unwrap_err();
            assert!(
                matches!(&stop.fault, Fault::Source(e) if e.kind() == ErrorKind::UnexpectedEof),
                "cut at {len}: {:?}",
                stop.fault
            );
            assert!(starts.contains(&stop.offset) && stop.offset <= len as u64);
        }
    }
}

#[test]
fn every_bit_and_every_byte_flipped() {
    let all: &[u8] = &[1, 2, 4, 8, 16, 32, 64, 128, 0xff];
    for (image, flips) in [(Image::minimal(), all), (Image::sample(), &[1, 0xff])] {
        let mut bytes = image.bytes();
        for at in 0..bytes.len() {
            for flip in flips {
                bytes[at] ^= flip;
                assert!(
                    walk(&bytes[..], &mut |_| {}).is_err(),
                    "byte {at} ^ {flip:#x} goes unseen"
                );
                bytes[at] ^= flip;
            }
        }
        assert!(walk(&bytes[..], &mut |_| {}).is_ok());
    }
}

#[test]
fn every_record_left_out_doubled_or_swapped() {
    let bytes = Image::sample().bytes();
    let all = split(&bytes);
    // Padding is made anew by join(), so that it is not a case of its own.
    let kinds: Vec<i16> = all
        .iter()
        .map(|r| i16::from_le_bytes([bytes[r.start], bytes[r.start + 1]]))
        .collect();
    let own = |i: usize| kinds[i] != format::PAD && kinds[i] != format::TAIL;
    assert_eq!(join(&bytes, &all), bytes);
    for i in (0..all.len()).filter(|i| own(*i)) {
        let mut without = all.clone();
        without.remove(i);
        let mut doubled = all.clone();
        doubled.insert(i, all[i].clone());
        // An image without one of its runs of pages, here or before, is well formed.
        let is_run = kinds[i] == format::PGARR && all[i].len() > 16 || kinds[i] == format::PGREF;
        for (what, records) in [("without", without), ("doubled", doubled)] {
            if is_run && what == "without" {
                continue;
            }
            let changed = join(&bytes, &records);
            assert!(
                walk(&changed[..], &mut |_| {}).is_err(),
                "{what} record {i}, kind {}",
                kinds[i]
            );
        }
    }
    for i in (0..all.len() - 2).filter(|i| own(*i) && own(*i + 1)) {
        let mut swapped = all.clone();
        swapped.swap(i, i + 1);
        let changed = join(&bytes, &swapped);
        let strings = kinds[i] == format::STR && kinds[i + 1] == format::STR;
        // Two strings of one owner, two runs, two pending signals, two locks, or two entries
        // of an epoll, may trade places and be well formed.
        // So may a descriptor and a file without a path that it does not use, or the socket of
        // one that has nothing else.
        let single = kinds[i + 1] == format::SOCKET && kinds[i + 2] == format::FILE;
        let early = kinds[i] == format::FD_ENT && (kinds[i + 1] == format::FILE || single);
        let signals =
            kinds[i] == kinds[i + 1] && matches!(kinds[i], format::SIGINFO | format::EPOLL_ITEM);
        let locks = kinds[i] == kinds[i + 1] && kinds[i] == format::FILE_LOCK;
        let runs = matches!(
            (kinds[i], kinds[i + 1]),
            (format::PGARR, format::PGREF) | (format::PGREF, format::PGARR)
        ) && all[i].len() > 16
            && all[i + 1].len() > 16;
        if !strings && !early && !signals && !locks && !runs && changed != bytes {
            assert!(walk(&changed[..], &mut |_| {}).is_err(), "swapped {i}");
        }
    }
}

#[test]
fn a_failed_checkpoint_gives_its_error() {
    let mut error = ErrorRec::zeroed();
    error.errno = 16;
    error.text_len = 4;
    error.text[..4].copy_from_slice(b"busy");
    let bytes = Image::sample().failed(&error);
    let stop = walk(&bytes[..], &mut |_| {}).unwrap_err();
    assert_eq!(stop.kind, Some(format::ERROR));
    assert!(matches!(stop.fault, Fault::Failed(e) if e == error));
    // Its own pre-header is checked as well.
    let mut other = bytes.clone();
    let at = other.len() - size_of::<ErrorRec>() - 4;
    other[at] ^= 1;
    assert_eq!(refusal(&other), "record belongs to another object");
}

/// Refused for `why` when `change` was made to the sample and sealed.
fn lie(why: &str, change: impl FnOnce(&mut Image)) {
    let mut image = Image::sample();
    change(&mut image);
    assert_eq!(refusal(&image.bytes()), why);
}

#[test]
fn counts_that_lie() {
    let expected = "record is not the one expected here";
    lie(expected, |i| i.mm.map_count += 1);
    lie(expected, |i| i.mm.map_count -= 1);
    lie(expected, |i| i.mm.map_count = 1 << 20);
    lie("too many mappings", |i| i.mm.map_count = u32::MAX);
    lie(expected, |i| i.table.nr_fds += 1);
    lie(expected, |i| i.table.nr_fds = 1 << 20);
    lie("too many descriptors", |i| i.table.nr_fds = u32::MAX);
    lie(expected, |i| i.fds[1].nr_locks += 1);
    lie(expected, |i| i.fds[1].nr_locks -= 1);
    lie("too many locks on a file", |i| i.fds[1].nr_locks = u32::MAX);
    lie("a lock on the image", |i| i.fds[1].file = 13);
    let length = "record has another length than announced";
    lie(length, |i| i.creds.ngroups += 1);
    lie(length, |i| i.creds.ngroups = 65536);
    lie("too many supplementary groups", |i| {
        i.creds.ngroups = u32::MAX
    });
    lie(length, |i| i.mm_context.nldt = 8192);
    lie("LDT has too many entries", |i| i.mm_context.nldt = 8193);
    lie(length, |i| i.mm.nr_auxv = 128);
    lie("auxiliary vector is too long", |i| i.mm.nr_auxv = u32::MAX);
    lie(length, |i| i.mappings[2].vma.nr_guards = 2);
    lie("mapping has too many guard ranges", |i| {
        i.mappings[2].vma.nr_guards = u32::MAX;
    });
    lie("mapping is a copy of what is not before it", |i| {
        i.mappings[2].vma.origin = 1;
    });
    let outside = "page addresses are not in order or leave their mapping";
    lie(outside, |i| i.mappings[2].again[0].addr = 0x51_0000);
    lie(outside, |i| i.mappings[2].again[0].addr = 0x4f_f000);
    lie(outside, |i| i.mappings[2].again[0].nr_pages = 13);
    lie(outside, |i| {
        let page = i.mappings[2].again[0];
        i.mappings[2].again.push(page);
    });
    lie(
        "shared pages of an address space that is not before them",
        |i| i.mappings[2].again[0].mm = 1,
    );
    lie("pages in a mapping that has none", |i| {
        i.mappings[4].again = std::mem::take(&mut i.mappings[2].again);
    });
    lie("string is too long", |i| i.mappings[2].vma.namelen = 4);
    lie("name has another length than announced", |i| {
        i.mappings[2].vma.namelen = 79;
    });
    let needless = "credentials of a file that needs none";
    lie(needless, |i| i.files[4].file.creds = 81);
    lie("reserved field is not zero", |i| {
        i.files[0].file.reserved = 1
    });
    lie("path is too long", |i| i.files[0].file.path_len = u32::MAX);
    lie("FPU state is not of the size that the header states", |i| {
        i.cpu.xstate_size = u32::MAX;
    });
    lie(expected, |i| i.cpu.nr_restart = 0);
    lie(expected, |i| i.restart_block = None);
    lie("an interrupted call has more than one restart block", |i| {
        i.cpu.nr_restart = u32::MAX;
    });
}

#[test]
fn objects_and_addresses_that_lie() {
    let twice = "object reference is used twice";
    lie(twice, |i| i.mm.objref = 1);
    lie(twice, |i| i.table.objref = 10);
    lie(twice, |i| {
        i.files[0].file.objref = 1;
        i.mm.exe_file = 1;
    });
    let unknown = "reference to a file that does not exist";
    lie(unknown, |i| i.mm.exe_file = 99);
    lie(unknown, |i| i.mappings[0].vma.file = 99);
    lie(unknown, |i| i.fds[0].file = 2);
    // Shared memory is no file, and a file no shared memory.
    lie(unknown, |i| i.fds[0].file = 40);
    lie(unknown, |i| i.mappings[0].vma.file = 40);
    lie(unknown, |i| i.mappings[7].vma.file = 40);
    let unknown = "reference to credentials that do not exist";
    lie(unknown, |i| i.files[0].file.creds = 99);
    lie(unknown, |i| i.files[0].file.creds = 10);
    lie("object reference is used twice", |i| {
        (i.openers[0].0, i.files[0].file.creds) = (81, 81);
        i.openers[1].0 = 2;
        i.files[1].file.creds = 2;
    });
    lie("credentials of files have a mode of seccomp", |i| {
        i.openers[1].1.seccomp = 1;
    });
    let unknown = "reference to shared memory that does not exist";
    lie(unknown, |i| i.mappings[5].vma.file = 10);
    lie(unknown, |i| i.mappings[6].vma.file = 42);
    lie(unknown, |i| i.files[10].file.object = 10);
    lie(unknown, |i| i.files[10].file.object = 42);
    lie(unknown, |i| i.files[10].file.object = 30);
    // The end of a pipe is no pipe.
    let unknown = "reference to a pipe that does not exist";
    lie(unknown, |i| i.files[5].file.object = 99);
    lie(unknown, |i| i.files[5].file.object = 10);
    lie(unknown, |i| i.files[5].file.object = 40);
    let unknown = "reference to a socket that does not exist or is open already";
    let at = Image::sample().files.len() - 1;
    lie(unknown, |i| i.files[at].file.object = 99);
    lie(unknown, |i| i.files[at].file.object = 70);
    lie(unknown, |i| i.files[at].file.object = 30);
    lie("a socket is open nowhere", |i| {
        // Up to the second one of the pair.
        i.fds.truncate(i.fds.len() - 2);
        i.table.nr_fds -= 2;
        i.fds.last_mut().unwrap().file = 10;
    });
    lie(
        "socket was made by a process that is not in the forest",
        |i| {
            i.sockets[0].ends[1].0.creator = 1 << 20;
        },
    );
    lie("two sockets are no pair", |i| {
        i.sockets[0].ends[1].0.peer = 72
    });
    lie("two sockets are no pair", move |i| {
        i.sockets[0].ends[0].0.objref = 79;
        i.files[at - 3].file.object = 79;
    });
    lie("ends of a pair are of two kinds", |i| {
        i.sockets[0].ends[1].0.kind = 5;
    });
    lie("ends of a pair are shut down in two ways", |i| {
        i.sockets[0].ends[1].0.shutdown = 2;
    });
    lie("nothing waits in a stream", |i| {
        i.sockets[0].ends[1].1[0].0.nr_bytes = 0;
    });
    lie(twice, |i| {
        i.shmem[0].object.objref = 1;
        i.mappings[5].vma.file = 1;
        i.mappings[6].vma.file = 1;
    });
    lie("mappings overlap or are not in order", |i| {
        i.mappings.swap(0, 1)
    });
    lie("mappings overlap or are not in order", |i| {
        i.mappings[0].vma.end += 4096;
    });
    lie("descriptors are not in order", |i| i.fds[2].fd = 1);
    let pages = "page addresses are not in order or leave their mapping";
    lie(pages, |i| i.mappings[2].runs[0].swap(0, 1));
    lie(pages, |i| i.mappings[2].runs.swap(0, 1));
    lie(pages, |i| i.mappings[2].runs[1][0] = 0x51_0000);
    lie(pages, |i| i.mappings[2].runs[1][0] = u64::MAX);
    lie("page address is not on a page boundary", |i| {
        i.mappings[2].runs[1][0] += 1;
    });
    let none = "pages in a mapping that has none";
    lie(none, |i| i.mappings[4].runs = vec![vec![0x7ffe_0000_0000]]);
    lie(none, |i| i.mappings[2].vma.flags |= 1 << 17);
    lie(none, |i| i.mappings[5].runs = vec![vec![0x7fff_0000_0000]]);
    lie(none, |i| i.mappings[7].runs = vec![vec![0x7fff_0001_0000]]);
    lie(pages, |i| i.shmem[0].runs = vec![vec![0x8000]]);
    lie(pages, |i| i.shmem[1].runs = vec![vec![0x2000]]);
    lie("name has another length than announced", |i| {
        i.shmem[1].object.namelen += 1;
    });
    lie("string is too long", |i| i.shmem[1].object.namelen -= 1);
    lie(pages, |i| i.shmem[0].runs = vec![vec![0x4000, 0x3000]]);
    lie("page address is not on a page boundary", |i| {
        i.shmem[0].runs[0][0] += 8;
    });
    lie("LDT entries are not in order", |i| i.ldt.swap(0, 1));
    lie("LDT index is out of range", |i| {
        i.ldt[1].entry_number = 8192
    });
    let guards = "guard ranges overlap, are not in order or leave their mapping";
    lie(guards, |i| i.mappings[2].guards[0].end = 0x51_1000);
    lie(guards, |i| i.mappings[2].guards[0].end = 0x50_8000);
}

#[test]
fn lengths_at_their_limits() {
    let bytes = Image::sample().bytes();
    for record in split(&bytes) {
        let right = [bytes[record.start + 2], bytes[record.start + 3]];
        for len in [0, 1, 7, 8, 4095, 4096, i16::MAX, -1, i16::MIN] {
            let mut changed = bytes.clone();
            changed[record.start + 2..record.start + 4].copy_from_slice(&len.to_le_bytes());
            if len.to_le_bytes() == right {
                continue;
            }
            reseal(&mut changed);
            assert!(walk(&changed[..], &mut |_| {}).is_err());
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
        let _ = walk(&bytes[..], &mut |_| {});
    }

    #[test]
    fn damaged_images_never_panic(
        at in any::<prop::sample::Index>(),
        junk in prop::collection::vec(any::<u8>(), 1..64),
    ) {
        let mut bytes = Image::sample().bytes();
        let at = at.index(bytes.len());
        let end = (at + junk.len()).min(bytes.len());
        let part = &junk[..end - at];
        let changed = bytes[at..end] != *part;
        bytes[at..end].copy_from_slice(part);
        prop_assert_eq!(walk(&bytes[..], &mut |_| {}).is_err(), changed);
    }
}
