// SPDX-License-Identifier: GPL-2.0

//! Layout of every structure, as the compiler sees it: held against the C header.

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
use crate::format::Hdr;

/// A structure of the format.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Its name in Rust.
    pub rust: &'static str,
    /// Its name in C, without `struct`.
    pub c: &'static str,
    /// Its size in bytes.
    pub size: usize,
    /// Name, offset and size in bytes of its fields.
    pub fields: &'static [(&'static str, usize, usize)],
}

macro_rules! layouts {
    ($($c:literal = $module:ident::$rust:ident,)+) => {
        /// All structures but the pre-header.
        pub const LAYOUTS: &[Layout] = &[$(Layout {
            rust: stringify!($rust),
            c: $c,
            size: size_of::<$module::$rust>(),
            fields: $module::$rust::FIELDS,
        },)+];
    };
}

layouts! {
    "cr_hdr_head" = head::Head,
    "cr_hdr_head_arch" = head::HeadArch,
    "cr_hdr_tail" = head::Tail,
    "cr_hdr_error" = head::ErrorRec,
    "cr_hdr_tree" = tree::Tree,
    "cr_hdr_task" = task::Task,
    "cr_hdr_creds" = task::Creds,
    "cr_hdr_seccomp" = seccomp::Seccomp,
    "cr_hdr_seccomp_filter" = seccomp::SeccompFilter,
    "cr_sock_filter" = seccomp::SockFilter,
    "cr_rlimit" = task::Rlimit,
    "cr_hdr_rlimits" = task::Rlimits,
    "cr_hdr_fs" = task::Fs,
    "cr_user_desc" = cpu::UserDesc,
    "cr_hdr_thread" = cpu::Thread,
    "cr_hdr_cpu" = cpu::Cpu,
    "cr_hdr_restart_block" = call::RestartBlock,
    "cr_hdr_mm_context" = cpu::MmContext,
    "cr_sigaction" = signal::Sigaction,
    "cr_hdr_signal" = signal::Signal,
    "cr_hdr_thread_signal" = signal::ThreadSignal,
    "cr_hdr_siginfo" = pending::Siginfo,
    "cr_itimer" = pending::Itimer,
    "cr_hdr_itimers" = pending::Itimers,
    "cr_hdr_timers" = timer::Timers,
    "cr_hdr_timer" = timer::Timer,
    "cr_hdr_mm" = mm::Mm,
    "cr_hdr_vma" = mm::Vma,
    "cr_guard_range" = mm::GuardRange,
    "cr_hdr_pgarr" = mm::Pgarr,
    "cr_hdr_pgref" = mm::Pgref,
    "cr_hdr_shmem" = shmem::Shmem,
    "cr_hdr_file" = files::File,
    "cr_hdr_files" = files::Files,
    "cr_hdr_fd_ent" = files::FdEnt,
    "cr_hdr_file_lock" = files::FileLock,
    "cr_hdr_pipe" = pipe::Pipe,
    "cr_hdr_pipe_buf" = pipe::PipeBuf,
    "cr_hdr_socket" = socket::Socket,
    "cr_hdr_socket_msg" = socket::SocketMsg,
    "cr_hdr_eventfd" = anon::Eventfd,
    "cr_hdr_signalfd" = anon::Signalfd,
    "cr_hdr_timerfd" = anon::Timerfd,
    "cr_hdr_pidfd" = anon::Pidfd,
    "cr_hdr_epoll" = anon::Epoll,
    "cr_hdr_epoll_item" = anon::EpollItem,
}

/// The pre-header of every record.
pub const HDR: Layout = Layout {
    rust: "Hdr",
    c: "cr_hdr",
    size: size_of::<Hdr>(),
    fields: &[
        ("kind", std::mem::offset_of!(Hdr, kind), size_of::<i16>()),
        ("len", std::mem::offset_of!(Hdr, len), size_of::<i16>()),
        (
            "parent",
            std::mem::offset_of!(Hdr, parent),
            size_of::<u32>(),
        ),
    ],
};

/// The name in C of the field `field` of the structure `c`.
///
/// The same as in Rust, but where that is a macro of `<errno.h>`, and for the
/// record number, which the documents call `type`.
pub fn c_field<'a>(c: &str, field: &'a str) -> &'a str {
    match (c, field) {
        ("cr_hdr", "kind") => "type",
        ("cr_hdr_error" | "cr_hdr_siginfo", "errno") => "err",
        _ => field,
    }
}
