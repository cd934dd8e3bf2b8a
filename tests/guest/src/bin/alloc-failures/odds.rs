// SPDX-License-Identifier: GPL-2.0

//! What the first of a tree has besides: descriptors of some kinds, and an entry of its
//! local descriptor table.

use std::ffi::CStr;

use ckpt_guest::sys;
use ckpt_guest::sys::Errno;
use ckpt_guest::timer;

/// Not in /tmp/alloc-*, which are images and what was printed.
const FIFO: &CStr = c"/tmp/fifo-of-a-family";
const TEXT: &[u8] = b"in the fifo";
const SIGNAL: i32 = libc::SIGUSR2;
/// Entry, base, limit, and 32-bit segment, limit in pages, usable.
const SEGMENT: [u32; 4] = [3, 0x1000, 7, 1 | 1 << 4 | 1 << 6];
/// Bytes of the table up to the end of that entry.
const TABLE: usize = 4 * 8;

/// All of them.
pub struct Odds {
    fifo: i32,
    signals: i32,
    /// Of a process that lives.
    pidfd: i32,
    /// The start of the table; a kernel may have none.
    table: Result<[u8; TABLE], Errno>,
}

/// The start of the table. Needs no memory: it is looked at where that may fail.
fn table() -> Result<[u8; TABLE], Errno> {
    let mut bytes = [0; TABLE];
    let args = [0, bytes.as_mut_ptr() as usize, TABLE, 0, 0, 0];
    // SAFETY: the kernel writes at most the length that it is told.
    unsafe { sys::raw(libc::SYS_modify_ldt as usize, args) }.map(|_| bytes)
}

fn set_entry() -> Result<(), Errno> {
    let args = [
        0x11,
        SEGMENT.as_ptr() as usize,
        size_of_val(&SEGMENT),
        0,
        0,
        0,
    ];
    // SAFETY: the kernel reads the numbers; nothing else here uses the table.
    match unsafe { sys::raw(libc::SYS_modify_ldt as usize, args) } {
        Err(Errno(libc::ENOSYS)) | Ok(_) => Ok(()),
        Err(errno) => Err(errno),
    }
}

impl Odds {
    /// Makes all of them; `pid` is the process of the pidfd.
    pub fn new(pid: i32) -> Result<Self, Errno> {
        // SAFETY: a C string.
        match sys::libc_result(unsafe { libc::mkfifo(FIFO.as_ptr(), 0o600) }) {
            Ok(_) | Err(Errno(libc::EEXIST)) => {}
            Err(errno) => return Err(errno),
        }
        let fifo = sys::open(FIFO, libc::O_RDWR | libc::O_NONBLOCK, 0)?;
        sys::write(fifo, TEXT)?;
        let mask = timer::bit(SIGNAL);
        timer::block(mask)?;
        let flags = libc::SFD_NONBLOCK as usize;
        let args = [usize::MAX, (&raw const mask) as usize, 8, flags];
        let signals = sys::plain(libc::SYS_signalfd4, &args)? as i32;
        sys::signal_self(SIGNAL)?;
        let pidfd = sys::plain(libc::SYS_pidfd_open, &[pid as usize, 0])? as i32;
        set_entry()?;
        Ok(Self {
            fifo,
            signals,
            pidfd,
            table: table(),
        })
    }

    /// Are they as they were made, and does the process of the pidfd live? Takes what
    /// waits.
    pub fn first_wrong(&self) -> Option<&'static str> {
        let mut bytes = [0; TEXT.len() + 1];
        let in_fifo = sys::read(self.fifo, &mut bytes);
        // signalfd_siginfo, which begins with the signal.
        let mut info = [0; 128];
        let signalled = sys::read(self.signals, &mut info);
        let checks = [
            (
                in_fifo == Ok(TEXT.len()) && bytes.starts_with(TEXT),
                "a FIFO",
            ),
            (
                signalled == Ok(128) && info.starts_with(&SIGNAL.to_ne_bytes()),
                "a signalfd",
            ),
            (!self.has_ended(), "a pidfd of a process that lives"),
            (table() == self.table, "the local descriptor table"),
        ];
        checks.iter().find(|check| !check.0).map(|check| check.1)
    }

    /// Whether the process of the pidfd has ended.
    pub fn has_ended(&self) -> bool {
        sys::poll(self.pidfd, libc::POLLIN) & libc::POLLIN != 0
    }
}
