// SPDX-License-Identifier: GPL-2.0

//! Files of a server in user space that does not answer: whoever restarts a tree has such a
//! file, and so have those that are born for it, which close it. The restart can be ended.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::census::newcomers;
use crate::census::processes;
use crate::family::child;
use crate::family::ends_well;
use crate::killed::reap;
use crate::stress::Body;

/// Requests of the FUSE protocol, as far as one file needs them.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const ACCESS: u32 = 34;
const INTERRUPT: u32 = 36;
const FORGETS: u32 = 42;
/// Bytes in front of a request, and of an answer.
const HEAD: usize = 40;
const ANSWER: usize = 16;

/// What the server and the test tell each other, in shared memory.
#[repr(C)]
struct Board {
    /// Whose files are closed at once: the caller, and the command that has made it.
    callers: [AtomicU64; 2],
    /// How many others wait for that.
    waiting: AtomicU64,
}

impl Board {
    fn new() -> Result<&'static Self, String> {
        let spec = Spec {
            flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            ..Spec::default()
        };
        let map = Map::new(spec).map_err(|e| format!("mmap: {e}"))?;
        // SAFETY: the mapping is zeros, stays for good, and is used for this alone.
        Ok(unsafe { &*(map.addr as *const Self) })
    }
}

impl Board {
    fn is_caller(&self, pid: u32) -> bool {
        let is_it = |caller: &AtomicU64| caller.load(Ordering::SeqCst) == u64::from(pid);
        self.callers.iter().any(is_it)
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
    let bytes = match opcode {
        FORGET | FORGETS | INTERRUPT => return None,
        FLUSH if !board.is_caller(pid) => {
            board.waiting.fetch_add(1, Ordering::SeqCst);
            return None;
        }
        FLUSH | RELEASE | ACCESS => Vec::new(),
        // Version 7.31, and room for writes of a page.
        INIT => [7, 31, 4096, 0, 0, 4096, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]
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
    }
}

/// Mounts the file system of a server, which is a child.
fn mount(board: &Board, dir: &Path) -> Result<i32, String> {
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

/// A process with a child.
fn two(scene: &Scene) -> Result<(), String> {
    let other = child(|| {
        scene.wait();
        Ok(())
    })?;
    scene.announce();
    scene.wait();
    ends_well(other)
}

/// Whether a child has ended by then.
fn ends_within(pid: i32, limit: Duration) -> bool {
    let start = Instant::now();
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    while unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } == 0 {
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    true
}

/// Makes the call, or has the command make it.
fn restart(board: &Board, dir: &Path, image: &Path, command: bool) -> i32 {
    board.callers[0].store(sys::getpid() as u64, Ordering::SeqCst);
    let file = sys::open(&life::c_path(&dir.join("file")), libc::O_RDWR, 0);
    let path = life::c_path(image);
    let image = sys::open(&path, libc::O_RDONLY, 0);
    let (Ok(_), Ok(image)) = (file, image) else {
        println!("open: {file:?}, {image:?}");
        return 1;
    };
    if !command {
        return sys::restart(0, image, 0, 0).0;
    }
    let _ = sys::close(image);
    let program = life::c_path(&Path::new(&life::variable("CKPT_BIN")).join("restart"));
    let args = [
        program.as_ptr(),
        c"--input".as_ptr(),
        path.as_ptr(),
        std::ptr::null(),
    ];
    // SAFETY: strings of C, and the last one is null.
    unsafe { libc::execv(program.as_ptr(), args.as_ptr()) };
    1
}

/// The caller is killed while those that it has made wait for the server.
fn unserved(command: bool) -> Case {
    if !Path::new("/dev/fuse").exists() {
        return skip("this kernel has no FUSE");
    }
    // Whoever loses a parent comes here, and its id is free when it has ended.
    let adopt = |on: usize| sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[on]);
    adopt(1).map_err(|e| format!("prctl: {e}"))?;
    let done = is_ended(command);
    let _ = adopt(0);
    done
}

fn is_ended(command: bool) -> Case {
    let scene = Scene::new("tree-unserved");
    let beginning = processes();
    let victim = scene.start(two)?;
    scene.until_there()?;
    let image = victim.checkpoint("image", sys::KILL)?;
    victim.end();
    let limit = Duration::from_secs(10 * pace::factor());
    let start = Instant::now();
    while !newcomers(&beginning).is_empty() && start.elapsed() < limit {
        reap();
        scene.pause(5);
    }
    let before = processes();
    let (board, dir) = (Board::new()?, scene.dir.join("mount"));
    std::fs::create_dir_all(&dir).map_err(|e| format!("mkdir: {e}"))?;
    let server = mount(board, &dir)?;
    if command {
        // The process that it makes has the id of the image.
        board.callers[1].store(victim.pid as u64, Ordering::SeqCst);
    }
    let caller = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if caller == 0 {
        sys::exit(restart(board, &dir, &image, command));
    }
    let start = Instant::now();
    while board.waiting.load(Ordering::SeqCst) == 0 && start.elapsed() < limit {
        scene.pause(1);
    }
    let reached = board.waiting.load(Ordering::SeqCst) > 0;
    let send = |pid: i32, signal: i32| sys::plain(libc::SYS_kill, &[pid as usize, signal as usize]);
    let _ = send(
        caller,
        if command {
            libc::SIGTERM
        } else {
            libc::SIGKILL
        },
    );
    // The kernel waits for those that it has killed as well, but not for long.
    let start = Instant::now();
    let ended = ends_within(caller, Duration::from_secs(60 * pace::factor()));
    let took = start.elapsed();
    // Without the server nobody waits any more.
    let _ = send(server, libc::SIGKILL);
    let gone = ends_within(server, limit) && (ended || ends_within(caller, limit));
    let at = life::c_path(&dir);
    let args = [at.as_ptr() as usize, libc::MNT_DETACH as usize];
    sys::plain(libc::SYS_umount2, &args).map_err(|e| format!("umount: {e}"))?;
    let start = Instant::now();
    while !newcomers(&before).is_empty() && start.elapsed() < limit {
        reap();
        scene.pause(5);
    }
    match (reached, ended, gone, newcomers(&before).len()) {
        (false, ..) => Err("nobody closes the file".to_string()),
        (_, false, ..) => Err(format!("the caller does not end: {took:?}")),
        (_, _, true, 0) => pass_with(format!("ended after {} ms", took.as_millis())),
        (.., left) => Err(format!("{left} processes are left")),
    }
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("unserved", || unserved(false)),
    ("unserved-command", || unserved(true)),
];
