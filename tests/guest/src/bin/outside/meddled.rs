// SPDX-License-Identifier: GPL-2.0

//! What others do to a victim while it stands still, and ends that do not come.

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

use crate::kills::Body;

/// Where the victim has its socket.
const SOCKET: i32 = 100;
/// Pages that are behind the descriptors in its image.
const PAGES: usize = 512;
/// How far from the end of the image there are changes.
const CHANGES: std::ops::Range<usize> = PAGES * PAGE / 4..PAGES * PAGE / 2;

/// A FIFO, both of whose ends it has, and a pair of sockets; a child has a lot of memory,
/// which is in the image behind both.
fn with_contents(scene: &Scene) -> Result<(), String> {
    let fifo = scene.dir.join("fifo");
    let mode = libc::O_RDWR | libc::O_NONBLOCK;
    let path = life::c_path(&fifo);
    // SAFETY: the path is a C string.
    sys::libc_result(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }).map_err(|e| e.to_string())?;
    sys::open(&path, mode, 0).map_err(|e| format!("fifo: {e}"))?;
    let [end, _] = crate::sockets::pair(libc::SOCK_STREAM)?;
    sys::dup_to(end as i32, SOCKET, 0).map_err(|e| format!("dup3: {e}"))?;
    let child = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if child == 0 {
        if let Ok(map) = Map::anon(PAGES * PAGE) {
            (0..PAGES).for_each(|page| map.fill_page(page, page as u64));
            scene.announce();
        }
        scene.wait();
        sys::exit(0);
    }
    match sys::wait_for(child, 60) {
        Ended::Exit(0) => Ok(()),
        other => Err(format!("the child: {other:?}")),
    }
}

/// Checkpoints a victim into a pipe, and changes something in the middle; the failure.
fn checkpoint_meddled(
    scene: &Scene,
    victim: &Victim<'_>,
    meddle: impl Fn() -> Result<(), String>,
) -> Result<(Errno, String), String> {
    let image = victim.checkpoint("before", 0)?;
    let len = std::fs::metadata(&image).map_err(|e| e.to_string())?.len() as usize;
    let log = scene.dir.join("meddled.log");
    let [reader, writer] = sys::pipe(libc::O_CLOEXEC).map_err(|e| format!("pipe: {e}"))?;
    sys::fcntl(writer, libc::F_SETPIPE_SZ, PAGE).map_err(|e| format!("F_SETPIPE_SZ: {e}"))?;
    let caller = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if caller == 0 {
        let _ = sys::close(reader);
        let create = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let Ok(logfd) = sys::open(&life::c_path(&log), create, 0o600) else {
            sys::exit(0);
        };
        let ret = sys::checkpoint(victim.pid, writer, sys::LOG, logfd);
        sys::exit(ret.err().map_or(0, |errno| errno.0));
    }
    let _ = sys::close(writer);
    let (mut buf, mut got, mut done) = ([0; PAGE], 0, Ok(()));
    loop {
        match sys::read(reader, &mut buf) {
            Ok(0) => break,
            Ok(bytes) => got += bytes,
            Err(e) => return Err(format!("read: {e}")),
        }
        // The caller has room for one page, and has not come to its end.
        if CHANGES.contains(&len.saturating_sub(got)) && done.is_ok() {
            done = meddle();
        }
    }
    let _ = sys::close(reader);
    let ended = sys::wait_for(caller, 20);
    done?;
    let said = std::fs::read_to_string(&log).unwrap_or_default();
    match ended {
        Ended::Exit(errno) if errno != 0 => Ok((Errno(errno), said)),
        other => Err(format!("it was not refused: {other:?}: {said}")),
    }
}

fn meddled(
    name: &'static str,
    meddle: fn(&Scene, &Victim<'_>) -> Result<(), String>,
    why: &str,
) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(with_contents)?;
    scene.until_there()?;
    let (errno, said) = checkpoint_meddled(&scene, &victim, || meddle(&scene, &victim))?;
    victim.ends_well(0)?;
    if errno.0 != libc::EBUSY || !said.contains(why) {
        return Err(format!("{errno}: {said}"));
    }
    pass_with(said.trim())
}

/// One more byte.
fn into_pipe(scene: &Scene, _: &Victim<'_>) -> Result<(), String> {
    let fifo = life::c_path(&scene.dir.join("fifo"));
    let opened = sys::open(&fifo, libc::O_RDWR | libc::O_NONBLOCK, 0);
    let fd = opened.map_err(|e| format!("fifo: {e}"))?;
    let written = sys::write(fd, b"x");
    let _ = sys::close(fd);
    written.map(drop).map_err(|e| format!("write: {e}"))
}

/// One more byte, by a descriptor that was not there before.
fn into_socket(_: &Scene, victim: &Victim<'_>) -> Result<(), String> {
    let fd = victim.descriptor(SOCKET)?;
    let written = sys::write(fd, b"x");
    let _ = sys::close(fd);
    written.map(drop).map_err(|e| format!("write: {e}"))
}

/// The process id that the victim has left.
fn told(scene: &Scene) -> Result<i32, String> {
    let text = std::fs::read_to_string(scene.dir.join("pid")).map_err(|e| format!("pid: {e}"))?;
    text.parse().map_err(|_| format!("pid {text:?}"))
}

/// The only child of a process, whose name has no spaces.
fn child_of(parent: i32) -> Result<i32, String> {
    let entries = std::fs::read_dir("/proc").map_err(|e| format!("/proc: {e}"))?;
    let mut pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let is_child = |pid: &i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.split(' ').nth(3) == Some(&parent.to_string())
    };
    pids.find(is_child).ok_or("it has no child".into())
}

/// The first process of a PID namespace ends: it waits for the other one there, which a
/// debugger has and does not let go.
fn ending() -> Case {
    let scene = Scene::new("refused-ending");
    let victim = scene.start(|scene| {
        // SAFETY: a number; children of this process are elsewhere from here on.
        let made = sys::libc_result(unsafe { libc::unshare(libc::CLONE_NEWPID) });
        made.map_err(|e| format!("unshare: {e}"))?;
        let first = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if first == 0 {
            let other = sys::fork();
            if other != Ok(0) {
                scene.announce();
            }
            loop {
                let _ = sys::plain(libc::SYS_pause, &[]);
            }
        }
        let _ = std::fs::write(scene.dir.join("pid"), first.to_string());
        scene.announce();
        match sys::wait_for(first, 60) {
            Ended::Signal(libc::SIGKILL) => {}
            other => return Err(format!("the first of the namespace: {other:?}")),
        }
        scene.wait();
        Ok(())
    })?;
    // The other one is there, and it is told who the first one is.
    scene.until_all_there(2)?;
    let first = told(&scene)?;
    let other = child_of(first)?;
    let args = [libc::PTRACE_SEIZE as usize, other as usize, 0, 0];
    sys::plain(libc::SYS_ptrace, &args).map_err(|e| format!("ptrace: {e}"))?;
    Victim::other(first, &scene).signal(libc::SIGKILL);
    let stat = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/stat"));
    let dead = (0..400).any(|_| {
        scene.pause(10);
        stat(other).is_ok_and(|line| line.contains(") Z "))
    });
    let refused = victim.refuses(libc::EBUSY, "for 10 seconds the task is ending");
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    unsafe { libc::waitpid(other, &mut status, libc::__WALL) };
    victim.ends_well(0)?;
    if !dead {
        return Err("the second of the namespace does not end".into());
    }
    let said = refused?;
    if !said.contains(&format!("pid {first}")) {
        return Err(format!("does not name process {first}: {said}"));
    }
    pass_with(said.trim())
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("refused-pipe-changed", || {
        meddled(
            "refused-pipe-changed",
            into_pipe,
            "a pipe has changed during the checkpoint",
        )
    }),
    ("refused-socket-changed", || {
        meddled(
            "refused-socket-changed",
            into_socket,
            "a socket has changed during the checkpoint",
        )
    }),
    ("refused-ending", ending),
];
