// SPDX-License-Identifier: GPL-2.0

//! A small server of the FUSE protocol: a directory with one file.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use ckpt_guest::life;
use ckpt_guest::mem;
use ckpt_guest::sys;

use crate::family::child;

/// Requests of the FUSE protocol, as far as one file needs them.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const ACCESS: u32 = 34;
const INTERRUPT: u32 = 36;
const FORGETS: u32 = 42;
/// In the answer to INIT: the kernel keeps what is written, and writes it back later.
const WRITEBACK_CACHE: u32 = 1 << 16;
/// Bytes in front of a request, and of an answer.
const HEAD: usize = 40;
const ANSWER: usize = 16;

/// What the server and the test tell each other, in shared memory.
#[repr(C)]
pub struct Board {
    /// Whose files are closed at once: the caller, and the command that has made it.
    pub callers: [AtomicU64; 2],
    /// How many others wait for that.
    pub waiting: AtomicU64,
    /// The errno of each write, of pages that were kept; all files are closed at once then.
    pub no_write: AtomicU64,
    /// How many of them were answered.
    pub writes: AtomicU64,
}

impl Board {
    /// All zeros.
    pub fn new() -> Result<&'static Self, String> {
        // SAFETY: it has nothing but atomics.
        unsafe { mem::shared() }
    }

    fn closes(&self, pid: u32) -> bool {
        let is_it = |caller: &AtomicU64| caller.load(Ordering::SeqCst) == u64::from(pid);
        self.no_write.load(Ordering::SeqCst) != 0 || self.callers.iter().any(is_it)
    }
}

/// The attributes of the root, or of the one file.
fn attributes(node: u64) -> Vec<u8> {
    let mode = if node == 1 {
        libc::S_IFDIR | 0o755
    } else {
        libc::S_IFREG | 0o666
    };
    let words = [node, 0, 0, 0, 0, 0].map(u64::to_ne_bytes).concat();
    // Nanoseconds, mode, links, owners, device, block size, flags.
    let halves = [0, 0, 0, mode, 1, 0, 0, 0, 4096, 0];
    [words, halves.map(u32::to_ne_bytes).concat()].concat()
}

/// What the server says to a request: an errno, or bytes. None: nothing.
fn answer(board: &Board, opcode: u32, node: u64, pid: u32) -> Option<Result<Vec<u8>, i32>> {
    let no_write = board.no_write.load(Ordering::SeqCst) as i32;
    let keeps = if no_write == 0 { 0 } else { WRITEBACK_CACHE };
    let bytes = match opcode {
        WRITE if no_write != 0 => {
            return Some(Err(no_write));
        }
        FORGET | FORGETS | INTERRUPT => return None,
        FLUSH if !board.closes(pid) => {
            board.waiting.fetch_add(1, Ordering::SeqCst);
            return None;
        }
        FLUSH | RELEASE | ACCESS => Vec::new(),
        // Version 7.31, and room for writes of a page.
        INIT => [7, 31, 4096, keeps, 0, 4096, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
            .map(u32::to_ne_bytes)
            .concat(),
        // Node, generation, and times for which all this holds.
        LOOKUP => {
            let entry = [2, 0, 60, 60, 0].map(u64::to_ne_bytes).concat();
            [entry, attributes(2)].concat()
        }
        GETATTR => [[60, 0].map(u64::to_ne_bytes).concat(), attributes(node)].concat(),
        OPEN => [1, 0].map(u64::to_ne_bytes).concat(),
        _ => return Some(Err(libc::ENOSYS)),
    };
    Some(Ok(bytes))
}

/// Serves the file until the descriptor says that it is over.
fn serve(board: &Board, fuse: i32) -> Result<(), String> {
    let mut request = vec![0u8; 1 << 16];
    loop {
        let len = match sys::read(fuse, &mut request) {
            Ok(len) if len >= HEAD => len,
            Err(errno) if errno.0 == libc::EINTR || errno.0 == libc::ENOENT => continue,
            Err(errno) if errno.0 == libc::ENODEV => return Ok(()),
            other => return Err(format!("request: {other:?}")),
        };
        let half = |at: usize| {
            let bytes = request[..len][at..at + 4].try_into().unwrap_or_default();
            u32::from_ne_bytes(bytes)
        };
        let node = u64::from(half(16));
        let Some(said) = answer(board, half(4), node, half(32)) else {
            continue;
        };
        let (errno, bytes) = match said {
            Ok(bytes) => (0, bytes),
            Err(errno) => (-errno, Vec::new()),
        };
        let size = (ANSWER + bytes.len()) as u32;
        let head = [&size.to_ne_bytes(), &errno.to_ne_bytes(), &request[8..16]].concat();
        // Who was killed does not wait for it any more.
        let _ = sys::write(fuse, &[head, bytes].concat());
        if half(4) == WRITE {
            board.writes.fetch_add(1, Ordering::SeqCst);
        }
    }
}

/// Mounts the file system of a server, which is a child.
pub fn mount(board: &Board, dir: &Path) -> Result<i32, String> {
    let fuse = sys::open(c"/dev/fuse", libc::O_RDWR, 0).map_err(|e| format!("/dev/fuse: {e}"))?;
    let options = format!("fd={fuse},rootmode=40000,user_id=0,group_id=0\0");
    let (at, kind) = (life::c_path(dir), c"fuse".as_ptr() as usize);
    let args = [
        kind,
        at.as_ptr() as usize,
        kind,
        0,
        options.as_ptr() as usize,
    ];
    sys::plain(libc::SYS_mount, &args).map_err(|e| format!("mount: {e}"))?;
    let server = child(|| serve(board, fuse))?;
    sys::close(fuse).map_err(|e| format!("close: {e}"))?;
    Ok(server)
}

/// Ends the server, and its file system.
pub fn unmount(server: i32, dir: &Path) -> Result<(), String> {
    let _ = sys::plain(libc::SYS_kill, &[server as usize, libc::SIGKILL as usize]);
    let at = life::c_path(dir);
    let args = [at.as_ptr() as usize, libc::MNT_DETACH as usize];
    sys::plain(libc::SYS_umount2, &args)
        .map(|_| ())
        .map_err(|e| format!("umount: {e}"))
}
