// SPDX-License-Identifier: GPL-2.0

//! Rights: whose tasks may be saved, and what an image may tell.

use std::os::unix::fs::PermissionsExt;

use ckpt_guest::cases::pass;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::rng;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

use crate::kills::Body;
use crate::refused::Play;
use crate::sockets::pair;

/// The other user.
pub const OTHER: u32 = 1234;

/// Makes the calling process another user's.
pub fn become_other() {
    // SAFETY: changes the identity of this process, which has one thread.
    unsafe {
        libc::setgid(OTHER);
        libc::setuid(OTHER);
    }
}

/// Somebody else's task, or one with such a task below it: it is named.
fn not_ours(name: &'static str, play: Play) -> Case {
    let scene = Scene::new(name);
    for_everybody(&scene)?;
    let victim = scene.start(play)?;
    scene.until_there()?;
    let files = ["refused.img", "refused.cpl"].map(|name| scene.dir.join(name));
    let create = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    let open = |path: &std::path::Path| {
        let opened = sys::open(&life::c_path(path), create, 0o644);
        opened.map_err(|e| format!("{}: {e}", path.display()))
    };
    let (image, log) = (open(&files[0])?, open(&files[1])?);
    let ended = sys::in_child(20, || {
        become_other();
        match sys::checkpoint(victim.pid, image, sys::LOG, log) {
            Err(errno) => errno.0,
            Ok(_) => 0,
        }
    });
    let _ = (sys::close(image), sys::close(log));
    victim.unnoticed()?;
    victim.ends_well(0)?;
    let said = std::fs::read_to_string(files[1].as_path()).map_err(|e| e.to_string())?;
    let task = child(&scene).unwrap_or(victim.pid);
    let named = said.contains(&format!("pid {task}:")) && said.contains("no right to the task");
    match ended {
        sys::Ended::Exit(libc::EPERM) if named => pass_with(said.trim()),
        other => Err(format!("{other:?}, pid {task}: {said}")),
    }
}

/// The child of the victim that is in the way, if it has one.
fn child(scene: &Scene) -> Option<i32> {
    let text = std::fs::read_to_string(scene.dir.join("child")).ok()?;
    text.parse().ok()
}

/// A process of the caller's user, with a child that is root's.
fn child_not_ours() -> Case {
    not_ours("refused-child-not-ours", |scene| {
        let child = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if child == 0 {
            scene.wait();
            sys::exit(0);
        }
        std::fs::write(scene.dir.join("child"), child.to_string()).map_err(|e| e.to_string())?;
        become_other();
        sys::prctl(libc::PR_SET_DUMPABLE, &[1]).map_err(|e| format!("prctl: {e}"))?;
        scene.announce();
        scene.wait();
        match sys::wait_for(child, 10) {
            sys::Ended::Exit(0) => Ok(()),
            other => Err(format!("its child: {other:?}")),
        }
    })
}

/// Other users may have files there.
pub fn for_everybody(scene: &Scene) -> Result<(), String> {
    let everybody = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&scene.dir, everybody).map_err(|e| e.to_string())
}

/// What a process must not see: it can only write to where it is.
const SECRET: &str = "what only root may read";

/// Somebody who has been given a file by root, to write to.
fn writer(scene: &Scene, fd: i32) -> Result<(), String> {
    for_everybody(scene)?;
    become_other();
    sys::prctl(libc::PR_SET_DUMPABLE, &[1]).map_err(|e| format!("prctl: {e}"))?;
    let path = format!("/proc/self/fd/{fd}");
    if std::fs::File::open(&path).is_ok() {
        return Err("it can be read".to_string());
    }
    scene.announce();
    scene.wait();
    Ok(())
}

fn pipe_to_write(scene: &Scene) -> Result<(), String> {
    let ends = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    sys::write(ends[1], SECRET.as_bytes()).map_err(|e| format!("write: {e}"))?;
    sys::close(ends[0]).map_err(|e| format!("close: {e}"))?;
    writer(scene, ends[1])
}

fn memory_to_write(scene: &Scene) -> Result<(), String> {
    let args = [c"secret".as_ptr() as usize, 0];
    let fd = sys::plain(libc::SYS_memfd_create, &args).map_err(|e| format!("memfd: {e}"))? as i32;
    sys::write(fd, SECRET.as_bytes()).map_err(|e| format!("write: {e}"))?;
    // SAFETY: a plain call on an open descriptor.
    let done = sys::libc_result(unsafe { libc::fchmod(fd, 0o600) });
    done.map_err(|e| format!("fchmod: {e}"))?;
    let path = std::ffi::CString::new(format!("/proc/self/fd/{fd}")).map_err(|e| e.to_string())?;
    let own = sys::open(&path, libc::O_WRONLY, 0).map_err(|e| format!("open: {e}"))?;
    sys::close(fd).map_err(|e| format!("close: {e}"))?;
    writer(scene, own)
}

/// Waits for a file; not for ever.
fn until(scene: &Scene, name: &str) {
    for _ in 0..10_000 {
        if scene.dir.join(name).exists() {
            break;
        }
        scene.pause(2);
    }
}

/// The number that the victim has the end as which only its epoll keeps.
const END: i32 = 70;

fn pipe_of_an_epoll(scene: &Scene) -> Result<(), String> {
    of_an_epoll(scene, sys::pipe(0).map_err(|e| format!("pipe: {e}"))?)
}

fn socket_of_an_epoll(scene: &Scene) -> Result<(), String> {
    of_an_epoll(scene, pair(libc::SOCK_STREAM)?.map(|fd| fd as i32))
}

/// The first end is watched by an epoll, and closed when somebody else has it.
fn of_an_epoll(scene: &Scene, ends: [i32; 2]) -> Result<(), String> {
    let text = |what: &'static str| move |e: sys::Errno| format!("{what}: {e}");
    sys::write(ends[1], SECRET.as_bytes()).map_err(text("write"))?;
    sys::dup_to(ends[0], END, 0).map_err(text("dup"))?;
    let epoll = sys::plain(libc::SYS_epoll_create1, &[0]).map_err(text("epoll"))?;
    let mut event = libc::epoll_event {
        events: libc::EPOLLIN as u32,
        u64: 0,
    };
    let add = libc::EPOLL_CTL_ADD as usize;
    let args = [epoll, add, END as usize, (&raw mut event) as usize];
    sys::plain(libc::SYS_epoll_ctl, &args).map_err(text("epoll_ctl"))?;
    // Behind the change of the user it cannot announce anything twice.
    std::fs::write(scene.dir.join("made"), "").map_err(|e| e.to_string())?;
    until(scene, "taken");
    for fd in [ends[0], ends[1], END] {
        sys::close(fd).map_err(text("close"))?;
    }
    writer(scene, epoll as i32)
}

/// Only an epoll of the process knows the pipe, or the socket; somebody else has its end.
fn known_to_an_epoll(name: &'static str, play: Play, refusal: (i32, &str)) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(play)?;
    until(&scene, "made");
    let end = victim.descriptor(END)?;
    std::fs::write(scene.dir.join("taken"), "").map_err(|e| e.to_string())?;
    scene.until_there()?;
    let done = is_not_told(&scene, &victim, refusal);
    let _ = sys::close(end);
    done
}

const UNREADABLE: (i32, &str) = (libc::EACCES, "can be read by no process of the image");

/// An image must not tell more than its processes could see.
fn unreadable(name: &'static str, play: Play) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(play)?;
    scene.until_there()?;
    is_not_told(&scene, &victim, UNREADABLE)
}

fn is_not_told(scene: &Scene, victim: &Victim<'_>, (errno, word): (i32, &str)) -> Case {
    let said = victim.refuses(errno, word)?;
    let image = std::fs::read(scene.dir.join("refused.img")).map_err(|e| e.to_string())?;
    if image
        .windows(SECRET.len())
        .any(|bytes| bytes == SECRET.as_bytes())
    {
        return Err("it is in the image".to_string());
    }
    victim.unnoticed()?;
    victim.ends_well(0)?;
    pass_with(said.trim())
}

fn fifo_to_write(scene: &Scene) -> Result<(), String> {
    let path = life::c_path(&scene.dir.join("fifo"));
    // SAFETY: a C string.
    let made = sys::libc_result(unsafe { libc::mkfifo(path.as_ptr(), 0o600) });
    made.map_err(|e| format!("mkfifo: {e}"))?;
    let open = |flags| sys::open(&path, flags, 0).map_err(|e| format!("open: {e}"));
    let (both, end) = (open(libc::O_RDWR)?, open(libc::O_WRONLY)?);
    sys::write(end, b"for later").map_err(|e| format!("write: {e}"))?;
    sys::close(both).map_err(|e| format!("close: {e}"))?;
    scene.announce();
    scene.wait();
    let both = open(libc::O_RDWR)?;
    let mut got = [0; 16];
    match sys::read(both, &mut got) {
        Ok(9) if got.starts_with(b"for later") => Ok(()),
        other => Err(format!("{other:?}: {got:?}")),
    }
}

fn empty_pipe(scene: &Scene) -> Result<(), String> {
    let ends = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
    sys::close(ends[0]).map_err(|e| format!("close: {e}"))?;
    writer(scene, ends[1])
}

const OF_CHANGED: &str = "/proc/sys/fs/suid_dumpable";

/// Its dumps are root's, as those of all whose ids have changed.
fn changed(scene: &Scene) -> Result<(), String> {
    for_everybody(scene)?;
    become_other();
    let dumpable = || sys::prctl(libc::PR_GET_DUMPABLE, &[]);
    if dumpable() != Ok(2) {
        return Err(format!("after a change of ids: {:?}", dumpable()));
    }
    scene.announce();
    scene.wait();
    let wanted = std::fs::read_to_string(OF_CHANGED).map_err(|e| e.to_string())?;
    match dumpable() {
        Ok(now) if now.to_string() == wanted.trim() => Ok(()),
        other => Err(format!("{other:?}, not {wanted}")),
    }
}

/// Dumps for root are a right: only while the machine gives it for such programs.
fn dumps_of_root() -> Case {
    let set =
        |value: &str| std::fs::write(OF_CHANGED, value).map_err(|e| format!("{OF_CHANGED}: {e}"));
    let pattern = "/proc/sys/kernel/core_pattern";
    let before = std::fs::read(pattern).map_err(|e| e.to_string())?;
    // A relative one is warned about.
    std::fs::write(pattern, "/tmp/core").map_err(|e| e.to_string())?;
    set("2")?;
    let done = (|| {
        let scene = Scene::new("dumpable-by-root");
        let victim = scene.start(changed)?;
        scene.until_there()?;
        let image = victim.checkpoint("dumpable-by-root", 0)?;
        victim.ends_well(0)?;
        scene.restart(&image, 0)?;
        set("0")?;
        scene.restart(&image, 0)?;
        pass()
    })();
    set("0")?;
    std::fs::write(pattern, before).map_err(|e| e.to_string())?;
    done
}

/// There is nothing to be told, or it may be read.
fn saved(name: &'static str, play: Play) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(play)?;
    scene.until_there()?;
    let image = victim.checkpoint(name, 0)?;
    victim.unnoticed()?;
    scene.finish();
    // One after the other: each reads what is in it.
    victim.ends_well(0)?;
    scene.restart(&image, 0)?;
    pass()
}

/// What others have sent by the victim's end of a pair of sockets waits for somebody outside.
/// The victim could not read it, and no byte of it may be in an image.
fn unread_outside() -> Case {
    let scene = Scene::new("refused-unread-outside");
    let [end, outside] = pair(libc::SOCK_STREAM)?.map(|fd| fd as i32);
    sys::dup_to(end, END, 0).map_err(|e| format!("dup: {e}"))?;
    let victim = scene.start(|scene| {
        scene.wait();
        Ok(())
    });
    // Made when the victim has its own memory already.
    let mut secret = [0u8; 64];
    rng::Rng::new(u64::from(std::process::id())).fill(&mut secret);
    let sent = sys::write(END, &secret);
    let _ = (sys::close(END), sys::close(end));
    let victim = victim?;
    let said = victim.refuses(libc::EOPNOTSUPP, "the other end of a socket is held");
    let _ = sys::close(outside);
    victim.ends_well(0)?;
    let image = std::fs::read(scene.dir.join("refused.img")).map_err(|e| e.to_string())?;
    if sent != Ok(secret.len()) || image.windows(secret.len()).any(|part| part == secret) {
        return Err(format!("sent {sent:?}, and it is in the image"));
    }
    pass_with(said?.trim())
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("refused-unread-outside", unread_outside),
    ("refused-not-ours", || {
        not_ours("refused-not-ours", |scene| {
            scene.announce();
            scene.wait();
            Ok(())
        })
    }),
    ("refused-child-not-ours", child_not_ours),
    ("refused-pipe-to-write", || {
        unreadable("refused-pipe-to-write", pipe_to_write)
    }),
    ("fifo-to-write", || saved("fifo-to-write", fifo_to_write)),
    ("empty-pipe-to-write", || {
        saved("empty-pipe-to-write", empty_pipe)
    }),
    ("dumpable-by-root", dumps_of_root),
    ("refused-pipe-of-an-epoll", || {
        known_to_an_epoll("refused-pipe-of-an-epoll", pipe_of_an_epoll, UNREADABLE)
    }),
    ("refused-socket-of-an-epoll", || {
        let word = "an epoll watches a file that no process of the image has";
        let refusal = (libc::EOPNOTSUPP, word);
        known_to_an_epoll("refused-socket-of-an-epoll", socket_of_an_epoll, refusal)
    }),
    ("refused-memory-to-write", || {
        unreadable("refused-memory-to-write", memory_to_write)
    }),
];
