// SPDX-License-Identifier: GPL-2.0

//! Pipes with a name in the file system, and what can have become of them.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ckpt_guest::cases::pass;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::life::c_path;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

/// A new FIFO, below /tmp since a shared directory has none.
fn fifo(name: &str) -> Result<PathBuf, String> {
    let path = Path::new("/tmp").join(format!("fifos-{name}"));
    let _ = std::fs::remove_file(&path);
    let text = c_path(&path);
    // SAFETY: a C string.
    let made = sys::libc_result(unsafe { libc::mkfifo(text.as_ptr(), 0o640) });
    made.map_err(|e| format!("mkfifo: {e}"))?;
    Ok(path)
}

fn open(path: &Path, flags: i32) -> i32 {
    sys::open(&c_path(path), flags, 0).unwrap_or(-1)
}

/// Makes the image of a child that has the FIFO open for both, with something in it.
fn filled(desk: &Desk, path: &Path) -> Result<(), String> {
    desk.make(|| {
        let end = open(path, libc::O_RDWR);
        let _ = sys::write(end, b"in the fifo");
    })
}

fn read(fd: i32, expected: &[u8]) -> bool {
    let mut buf = [0; 64];
    sys::read(fd, &mut buf) == Ok(expected.len()) && buf.starts_with(expected)
}

/// What the child checks after each return; 0 or the number of what is wrong.
fn whole(desk: &Desk, paths: &[PathBuf; 3]) -> i32 {
    let both = open(&paths[0], libc::O_RDWR | libc::O_NONBLOCK);
    let writer = open(&paths[0], libc::O_WRONLY);
    let wrote = sys::write(writer, b"one, ");
    let unseen = open(&paths[1], libc::O_RDONLY | libc::O_NONBLOCK);
    let seen = open(&paths[2], libc::O_RDONLY | libc::O_NONBLOCK);
    let come = open(&paths[2], libc::O_WRONLY);
    if wrote != Ok(5) || sys::close(come).is_err() {
        return 1;
    }
    let back = desk.checkpoint();
    let flags = |fd| sys::fcntl(fd, libc::F_GETFL, 0).unwrap_or(0) as i32;
    let nonblock = |fd| flags(fd) & libc::O_NONBLOCK != 0;
    let checks = [
        sys::write(writer, b"two") == Ok(3),
        read(both, b"one, two"),
        nonblock(both) && !nonblock(writer) && nonblock(unseen),
        // A reader that has not seen a writer waits for the first one.
        sys::poll(unseen, libc::POLLIN) == 0,
        sys::poll(seen, libc::POLLIN) == libc::POLLHUP,
        sys::read(both, &mut [0]) == Err(sys::Errno(libc::EAGAIN)),
        // Nobody else has it: it ends with these.
        sys::close(both).is_ok() && sys::write(writer, b"x") == Err(sys::Errno(libc::EPIPE)),
    ];
    match checks.iter().position(|good| !good) {
        Some(wrong) => 100 + wrong as i32,
        None if back == Ok(0) => RESTARTED,
        None if back.is_ok() => RESUMED,
        None => 2,
    }
}

fn ends_and_contents() -> Case {
    let desk = Desk::open("whole");
    let paths = [fifo("whole")?, fifo("unseen")?, fifo("seen")?];
    let ended = sys::in_child(30, || whole(&desk, &paths));
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("the checkpoint: {ended:?}; {}", desk.said()));
    }
    desk.restarts()?;
    desk.restarts()?;
    pass_with("restarted twice")
}

fn refused(desk: &Desk, errno: i32, word: &str) -> Case {
    let (got, said) = desk.refuses()?;
    if got.0 != errno || !said.contains(word) {
        return Err(format!("{got}: {said}"));
    }
    pass_with(said)
}

/// A failed restart leaves nothing in it.
fn in_use() -> Case {
    let (desk, path) = (Desk::open("in-use"), fifo("in-use")?);
    filled(&desk, &path)?;
    let end = open(&path, libc::O_RDWR | libc::O_NONBLOCK);
    let case = refused(&desk, libc::EBUSY, "a FIFO is in use: /tmp/fifos-in-use");
    if sys::read(end, &mut [0]) != Err(sys::Errno(libc::EAGAIN)) {
        return Err("something is in the FIFO".to_string());
    }
    let _ = sys::close(end);
    desk.restarts()?;
    case
}

fn gone() -> Case {
    let (desk, path) = (Desk::open("gone"), fifo("gone")?);
    filled(&desk, &path)?;
    std::fs::remove_file(&path).map_err(|e| e.to_string())?;
    refused(&desk, libc::ENOENT, "cannot be opened: /tmp/fifos-gone")
}

fn another_kind() -> Case {
    let (desk, path) = (Desk::open("kind"), fifo("kind")?);
    filled(&desk, &path)?;
    std::fs::remove_file(&path).map_err(|e| e.to_string())?;
    std::fs::write(&path, "a file").map_err(|e| e.to_string())?;
    refused(&desk, libc::ESTALE, "another type")?;
    let text = std::fs::read_to_string(&path).map_err(|e| e.to_string())?;
    if text == "a file" {
        pass()
    } else {
        Err(format!("the file was changed: {text}"))
    }
}

/// Whoever opens it meanwhile has a part of what the program has.
fn held_outside() -> Case {
    let (desk, path) = (Desk::open("outside"), fifo("outside")?);
    let end = open(&path, libc::O_RDWR | libc::O_NONBLOCK);
    let made = filled(&desk, &path);
    let _ = sys::close(end);
    match made {
        Err(said) if said.contains("not saved: /tmp/fifos-outside") => pass_with(said),
        other => Err(format!("{other:?}")),
    }
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run("ends-and-contents", ends_and_contents);
    cases.run("in-use", in_use);
    cases.run("gone", gone);
    cases.run("another-kind", another_kind);
    cases.run("held-outside", held_outside);
    cases.verdict()
}
