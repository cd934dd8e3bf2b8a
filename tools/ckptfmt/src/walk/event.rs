// SPDX-License-Identifier: GPL-2.0

//! What a walk reports.

use crate::format::anon;
use crate::format::call;
use crate::format::cpu;
use crate::format::files;
use crate::format::head;
use crate::format::mm;
use crate::format::pending;
use crate::format::pipe;
use crate::format::seccomp;
use crate::format::shmem;
use crate::format::signal;
use crate::format::socket;
use crate::format::task;
use crate::format::timer;
use crate::format::tree;

/// Sums over a whole image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Bytes, with the trailer.
    pub bytes: u64,
    /// Records, with the trailer.
    pub records: u64,
    /// Pages with contents.
    pub pages: u64,
}

/// A part of an image, in the order of the stream.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Event<'a> {
    Head(&'a head::Head),
    /// Kernel release, as uname(2) has it.
    Release(&'a [u8]),
    /// Kernel version.
    Version(&'a [u8]),
    /// Machine.
    Machine(&'a [u8]),
    HeadArch(&'a head::HeadArch),
    /// A task of the forest.
    Tree(&'a tree::Tree),
    /// A task begins: all that follows is its own, up to the next one.
    Task(&'a task::Task),
    /// The CPUs that the task at hand may run on, a bit for each.
    Affinity(&'a [u8]),
    /// An open file and its path, before the first user.
    File(&'a files::File, &'a [u8]),
    /// The counter of the eventfd at hand.
    Eventfd(&'a anon::Eventfd),
    /// The signals of the signalfd at hand.
    Signalfd(&'a anon::Signalfd),
    /// The timer of the timerfd at hand.
    Timerfd(&'a anon::Timerfd),
    /// The process of the pidfd at hand.
    Pidfd(&'a anon::Pidfd),
    /// The epoll at hand; its entries follow.
    Epoll(&'a anon::Epoll),
    /// An entry of the epoll at hand.
    EpollItem(&'a anon::EpollItem),
    /// A pipe, or a FIFO and its path, before the first of its ends.
    Pipe(&'a pipe::Pipe, &'a [u8]),
    /// A buffer of the pipe at hand, and its bytes.
    PipeBuf(&'a pipe::PipeBuf, &'a [u8]),
    /// An end of a pair of sockets, before its file.
    Socket(&'a socket::Socket),
    /// A message that waits in the socket of this reference.
    SocketMsg(u32, &'a socket::SocketMsg),
    /// Bytes of that message, in parts.
    SocketData(u32, &'a [u8]),
    /// A shared memory object and its name, before the first user.
    Shmem(&'a shmem::Shmem, &'a [u8]),
    /// The object at hand ends; how many pages it had.
    ShmemEnd(u64),
    Mm(&'a mm::Mm),
    /// Part of the auxiliary vector: its only one.
    Auxv(&'a [u64]),
    /// A mapping and its name.
    Vma(&'a mm::Vma, &'a [u8]),
    /// Guard ranges of the mapping at hand.
    Guards(&'a [mm::GuardRange]),
    /// Addresses of a run of pages of the mapping at hand, or their places in the
    /// shared memory at hand.
    Pages(&'a [u64]),
    /// Contents of that run, in portions of whole pages.
    Data(&'a [u8]),
    /// Pages of the mapping at hand that were pages of an address space before.
    Again(&'a mm::Pgref),
    /// The mapping at hand ends; how many pages it had.
    VmaEnd(u64),
    MmContext(&'a cpu::MmContext),
    /// Entries of the local descriptor table.
    Ldt(&'a [cpu::UserDesc]),
    Thread(&'a cpu::Thread),
    Cpu(&'a cpu::Cpu),
    /// FPU state, non-compacted XSAVE layout.
    Fpu(&'a [u8]),
    /// What an interrupted system call needs to go on.
    RestartBlock(&'a call::RestartBlock),
    Fs(&'a task::Fs),
    /// Path of the root directory.
    Root(&'a [u8]),
    /// Path of the current directory.
    Cwd(&'a [u8]),
    Files(&'a files::Files),
    Fd(&'a files::FdEnt),
    /// A lock on the file of this descriptor, the one before it.
    FileLock(u32, &'a files::FileLock),
    Signal(&'a signal::Signal),
    /// Signals of a thread that is not the first of its process.
    ThreadSignal(&'a signal::ThreadSignal),
    /// A signal that waits to be delivered.
    Siginfo(&'a pending::Siginfo),
    /// Interval timers.
    Itimers(&'a pending::Itimers),
    /// POSIX timers follow.
    Timers(&'a timer::Timers),
    /// A POSIX timer.
    Timer(&'a timer::Timer),
    Creds(&'a task::Creds),
    /// Object reference, credentials and groups of one who has opened files.
    Opener(u32, &'a task::Creds, &'a [u32]),
    /// Supplementary groups.
    Groups(&'a [u32]),
    /// The filters of the task at hand; those that are new follow.
    Seccomp(&'a seccomp::Seccomp),
    /// A filter of system calls and its instructions.
    Filter(&'a seccomp::SeccompFilter, &'a [seccomp::SockFilter]),
    Rlimits(&'a task::Rlimits),
    /// The image was complete and its checksums are right.
    End(&'a Totals),
}
