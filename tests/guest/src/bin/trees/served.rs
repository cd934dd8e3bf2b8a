// SPDX-License-Identifier: GPL-2.0

//! Files of a server in user space. One loses what is written to it. Another one does not
//! answer: whoever restarts a tree has such a file, and so have those that are born for it,
//! which close it. The restart can be ended.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::census::newcomers;
use crate::census::processes;
use crate::family::child;
use crate::family::ends_well;
use crate::fuse::mount;
use crate::fuse::unmount;
use crate::fuse::Board;
use crate::killed::reap;
use crate::stress::Body;

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
    unmount(server, &dir)?;
    let gone = ends_within(server, limit) && (ended || ends_within(caller, limit));
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

/// Writes a page, and is told by fsync(2) in the end that it is lost.
fn writes(scene: &Scene) -> Result<(), String> {
    let path = life::c_path(&scene.dir.join("mount/file"));
    let fd = sys::open(&path, libc::O_RDWR, 0).map_err(|e| format!("open: {e}"))?;
    let written = sys::write(fd, &[7; 4096]);
    if written != Ok(4096) {
        return Err(format!("write: {written:?}"));
    }
    scene.announce();
    while !scene.dir.join("ask").exists() {
        scene.pause(1);
    }
    let told = sys::plain(libc::SYS_fsync, &[fd as usize]);
    if told != Err(LOST) {
        return Err(format!("fsync: {told:?}"));
    }
    scene.announce();
    scene.wait();
    Ok(())
}

/// What the server answers.
const LOST: sys::Errno = sys::Errno(libc::ENOSPC);

/// A file whose contents could not be written back, which its program would be told by its
/// next fsync(2): it is refused until then.
fn unwritten() -> Case {
    if !Path::new("/dev/fuse").exists() {
        return skip("this kernel has no FUSE");
    }
    let scene = Scene::new("tree-unwritten");
    let (board, dir) = (Board::new()?, scene.dir.join("mount"));
    board.no_write.store(LOST.0 as u64, Ordering::SeqCst);
    std::fs::create_dir_all(&dir).map_err(|e| format!("mkdir: {e}"))?;
    let server = mount(board, &dir)?;
    let done = is_refused(&scene, board);
    unmount(server, &dir)?;
    let gone = ends_within(server, Duration::from_secs(10 * pace::factor()));
    match done {
        Ok(said) if gone => pass_with(said),
        Ok(_) => Err("the server does not end".to_string()),
        Err(why) => Err(why),
    }
}

fn is_refused(scene: &Scene, board: &Board) -> Result<String, String> {
    let victim = scene.start(writes)?;
    let refused = scene.until_there().and_then(|()| {
        // SAFETY: no memory is involved.
        unsafe { libc::sync() };
        for _ in 0..10_000 * pace::factor() {
            if board.writes.load(Ordering::SeqCst) > 0 {
                break;
            }
            scene.pause(1);
        }
        if board.writes.load(Ordering::SeqCst) == 0 {
            return Err("nothing is written back".to_string());
        }
        victim.refuses(libc::EIO, "writing a file back has failed")
    });
    let saved = refused.and_then(|said| {
        std::fs::write(scene.dir.join("ask"), "").map_err(|e| format!("ask: {e}"))?;
        scene.until_all_there(2)?;
        victim.checkpoint("told", 0)?;
        Ok(said)
    });
    if saved.is_err() {
        victim.end();
        return saved;
    }
    victim.ends_well(0)?;
    saved
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("unserved", || unserved(false)),
    ("unserved-command", || unserved(true)),
    ("refused-unwritten", unwritten),
];
