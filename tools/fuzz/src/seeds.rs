// SPDX-License-Identifier: GPL-2.0

//! Writes the seeds of both targets: `cargo run --bin seeds`, in this directory.
//!
//! Whole images for `walk`, with checksums of zero as that target computes
//! them; for `records`, one valid record of each kind behind its number.

use std::fs;
use std::path::Path;

use ckptfmt::build::split;
use ckptfmt::build::Image;
use ckptfmt::format;
use ckptfmt::format::cpu::UserDesc;
use ckptfmt::format::head::ErrorRec;

/// Kinds in the order of the target's table.
const ORDER: &[i16] = &[
    format::HEAD,
    format::HEAD_ARCH,
    format::TAIL,
    format::ERROR,
    format::TASK,
    format::CREDS,
    format::RLIMITS,
    format::FS,
    format::THREAD,
    format::CPU,
    format::RESTART_BLOCK,
    format::MM_CONTEXT,
    format::SIGNAL,
    format::SIGINFO,
    format::ITIMERS,
    format::TIMERS,
    format::TIMER,
    format::TREE,
    format::THREAD_SIGNAL,
    format::MM,
    format::VMA,
    format::PGARR,
    format::PGREF,
    format::FILE,
    format::FILES,
    format::FD_ENT,
    format::FILE_LOCK,
    format::PIPE,
    format::PIPE_BUF,
    format::EVENTFD,
    format::SIGNALFD,
    format::TIMERFD,
    format::PIDFD,
    format::SOCKET,
    format::SOCKET_MSG,
    format::EPOLL,
    format::EPOLL_ITEM,
    format::LDT,
    format::SHMEM,
    format::SECCOMP,
    format::SECCOMP_FILTER,
];

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let (walk, records) = (corpus.join("walk"), corpus.join("records"));
    fs::create_dir_all(&walk)?;
    fs::create_dir_all(&records)?;

    let mut error = ErrorRec::zeroed();
    error.errno = 16;
    error.text_len = 4;
    error.text[..4].copy_from_slice(b"busy");
    let failed = Image::minimal().failed(&error);
    let images = [
        ("minimal", Image::minimal().bytes()),
        ("one_page", small(|_| {}).bytes()),
        (
            "no_page",
            small(|i| i.mappings.iter_mut().for_each(|m| m.runs.clear())).bytes(),
        ),
        ("failed", failed.clone()),
    ];
    for (name, mut bytes) in images {
        if name != "failed" {
            let checksums = bytes.len() - 8;
            bytes[checksums..].fill(0);
        }
        fs::write(walk.join(name), bytes)?;
    }

    for bytes in [Image::sample().bytes(), failed] {
        for record in split(&bytes) {
            let kind = i16::from_le_bytes([bytes[record.start], bytes[record.start + 1]]);
            let Some(at) = ORDER.iter().position(|k| *k == kind) else {
                continue;
            };
            let mut seed = vec![at as u8];
            seed.extend_from_slice(&bytes[record.start + 8..record.end.min(record.start + 3000)]);
            fs::write(records.join(format::type_name(kind).to_lowercase()), seed)?;
        }
    }
    Ok(())
}

/// The sample with one page only.
fn small(change: impl FnOnce(&mut Image)) -> Image {
    let mut image = Image::sample();
    for mapping in &mut image.mappings {
        mapping.runs.truncate(usize::from(mapping.vma.file != 0));
    }
    image.ldt.push(UserDesc {
        entry_number: 5,
        base_addr: 0x1000,
        limit: 0,
        flags: 0x41,
    });
    change(&mut image);
    image.settle();
    image
}
