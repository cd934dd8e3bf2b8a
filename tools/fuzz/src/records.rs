// SPDX-License-Identifier: GPL-2.0

//! What the target `records` does to an input. The tests of ckptfmt do it to the corpus.
//!
//! The first byte chooses the record. What is valid goes through the writer
//! and comes back from the reader as it was.

use ckptfmt::build::Memory;
use ckptfmt::format::anon;
use ckptfmt::format::call;
use ckptfmt::format::cpu;
use ckptfmt::format::cpuid;
use ckptfmt::format::files;
use ckptfmt::format::head;
use ckptfmt::format::mm;
use ckptfmt::format::pending;
use ckptfmt::format::pipe;
use ckptfmt::format::seccomp;
use ckptfmt::format::shmem;
use ckptfmt::format::signal;
use ckptfmt::format::socket;
use ckptfmt::format::task;
use ckptfmt::format::timer;
use ckptfmt::format::tree;
use ckptfmt::format::Hdr;
use ckptfmt::format::Record;
use ckptfmt::io::IoSource;
use ckptfmt::stream::reader::Fault;
use ckptfmt::stream::reader::Reader;
use ckptfmt::stream::writer::Writer;
use ckptfmt::stream::Sink;
use zerocopy::FromBytes;
use zerocopy::IntoBytes;

/// Whether the bytes are a valid record.
fn check<R: Record>(bytes: &[u8]) -> bool {
    let Ok((record, _)) = R::read_from_prefix(bytes) else {
        return false;
    };
    let valid = record.validate();
    let mut out = Memory::default();
    let mut to = Writer::new(Lend(&mut out));
    assert!(to.record(0, &record).is_ok());
    let written = out.0;
    let mut from = Reader::new(IoSource(&written[..]));
    match from.record::<R>(0) {
        Ok(read) => {
            assert!(valid.is_ok());
            assert_eq!(read.as_bytes(), record.as_bytes());
            assert_eq!(from.offset() as usize, written.len());
        }
        Err(Fault::Bad(why)) => assert_eq!(valid, Err(why)),
        Err(Fault::Failed(error)) => assert_eq!(error.as_bytes(), record.as_bytes()),
        Err(other) => panic!("{other:?}"),
    }
    valid.is_ok()
}

/// Lends a sink.
struct Lend<'a>(&'a mut Memory);

impl Sink for Lend<'_> {
    type Error = std::convert::Infallible;

    fn put(&mut self, bytes: &[u8]) -> Result<(), Self::Error> {
        self.0.put(bytes)
    }

    fn crc32c(crc: u32, bytes: &[u8]) -> u32 {
        Memory::crc32c(crc, bytes)
    }
}

const CHECKS: &[fn(&[u8]) -> bool] = &[
    check::<head::Head>,
    check::<head::HeadArch>,
    check::<head::Tail>,
    check::<head::ErrorRec>,
    check::<task::Task>,
    check::<task::Creds>,
    check::<task::Rlimits>,
    check::<task::Fs>,
    check::<cpu::Thread>,
    check::<cpu::Cpu>,
    check::<call::RestartBlock>,
    check::<cpu::MmContext>,
    check::<signal::Signal>,
    check::<pending::Siginfo>,
    check::<pending::Itimers>,
    check::<timer::Timers>,
    check::<timer::Timer>,
    check::<tree::Tree>,
    check::<signal::ThreadSignal>,
    check::<mm::Mm>,
    check::<mm::Vma>,
    check::<mm::Pgarr>,
    check::<mm::Pgref>,
    check::<files::File>,
    check::<files::Files>,
    check::<files::FdEnt>,
    check::<files::FileLock>,
    check::<pipe::Pipe>,
    check::<pipe::PipeBuf>,
    check::<anon::Eventfd>,
    check::<anon::Signalfd>,
    check::<anon::Timerfd>,
    check::<anon::Pidfd>,
    check::<socket::Socket>,
    check::<socket::SocketMsg>,
    check::<anon::Epoll>,
    check::<anon::EpollItem>,
    |bytes| {
        let desc = cpu::UserDesc::read_from_prefix(bytes);
        desc.is_ok_and(|(desc, _)| desc.check().is_ok())
    },
    check::<shmem::Shmem>,
    check::<seccomp::Seccomp>,
    check::<seccomp::SeccompFilter>,
    |bytes| {
        if let Ok((hdr, _)) = Hdr::read_from_prefix(bytes) {
            let _ = hdr.payload();
            let _ = ckptfmt::format::type_name(hdr.kind);
        }
        false
    },
    |bytes| {
        if let Ok(([image, host], _)) = <[[u32; 16]; 2]>::read_from_prefix(bytes) {
            let missing = cpuid::first_missing(&image, &host);
            assert!(missing.is_none() || image != host);
        }
        false
    },
];

/// One input. Whether it is a valid record.
pub fn try_one(bytes: &[u8]) -> bool {
    bytes
        .split_first()
        .is_some_and(|(which, rest)| CHECKS[usize::from(*which) % CHECKS.len()](rest))
}
