// SPDX-License-Identifier: GPL-2.0

//! Files that show more to some who have opened them than to others.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::format;
use ckpt_guest::image::Image;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::varies;
use ckpt_guest::victim::Scene;

use crate::acts::finish;
use crate::rights::become_user;
use crate::rights::drop_caps;
use crate::rights::prctl;
use crate::rights::SYSLOG;
use crate::tries::open_control_group;

/// Addresses of the kernel, and page frames of the process that opens it.
const FILES: [&str; 2] = ["/proc/kallsyms", "/proc/self/pagemap"];

/// Whether each of [`FILES`] shows what it has, in one that was opened before.
fn shown(files: &[File; 2]) -> Result<[bool; 2], String> {
    let mut symbols = [0; 4096];
    let nr = files[0].read_at(&mut symbols, 0);
    let nr = nr.map_err(|e| format!("{}: {e}", FILES[0]))?;
    let text = String::from_utf8_lossy(&symbols[..nr]).into_owned();
    let mut addresses = text.lines().filter_map(|line| line.split(' ').next());
    let address = addresses.any(|address| !address.trim_start_matches('0').is_empty());

    let here = std::hint::black_box([1u8; 1]);
    let page = here.as_ptr() as u64 / 4096;
    let mut entry = [0; 8];
    files[1]
        .read_exact_at(&mut entry, page * 8)
        .map_err(|e| format!("{}: {e}", FILES[1]))?;
    let entry = u64::from_le_bytes(entry);
    if entry >> 63 == 0 {
        return Err("a page in use is not there".to_string());
    }
    Ok([address, entry & ((1 << 55) - 1) != 0])
}

/// Opens them; they must show what they have, or nothing.
fn open(all: bool) -> Result<[File; 2], String> {
    let open = |name| File::open(name).map_err(|e| format!("{name}: {e}"));
    let files = [open(FILES[0])?, open(FILES[1])?];
    show(&files, all).map(|()| files)
}

fn show(files: &[File; 2], all: bool) -> Result<(), String> {
    let shown = shown(files)?;
    if shown == [all; 2] {
        Ok(())
    } else {
        Err(format!("shown: {shown:?}, not {all}"))
    }
}

fn child(
    scene: &Scene,
    arrange: impl FnOnce() -> Result<[File; 2], String>,
    all: bool,
) -> Result<i32, String> {
    let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if pid != 0 {
        return Ok(pid);
    }
    let done = arrange().and_then(|files| {
        // Two descriptors of one open file are that again.
        // SAFETY: duplicates a descriptor of ours.
        let twin = unsafe { libc::dup(files[0].as_raw_fd()) };
        scene.announce();
        scene.wait();
        show(&files, all)?;
        // SAFETY: moves the position of a descriptor of ours.
        let at = unsafe { libc::lseek(twin, 7, libc::SEEK_SET) };
        // SAFETY: as above.
        let same = unsafe { libc::lseek(files[0].as_raw_fd(), 0, libc::SEEK_CUR) };
        if (at, same) == (7, 7) {
            Ok(())
        } else {
            Err(format!("positions {at} and {same}"))
        }
    });
    if let Err(why) = &done {
        println!("{why}");
    }
    sys::exit(i32::from(done.is_err()))
}

fn become_dumpable_user() {
    become_user(1000);
    prctl(libc::PR_SET_DUMPABLE, &[1]);
}

/// Root shows all to whom it has given its files, and a user nothing, not even root.
pub fn openers(scene: &Scene) -> Result<(), String> {
    let files = open(true)?;
    let user = || {
        become_dumpable_user();
        open(false)
    };
    let heir = || {
        let files = open(true)?;
        become_dumpable_user();
        Ok(files)
    };
    let opened_by_user = || {
        // The effective id comes back, the files are the user's.
        // SAFETY: changes credentials of this process, which has one thread.
        unsafe { libc::seteuid(1000) };
        prctl(libc::PR_SET_DUMPABLE, &[1]);
        let files = open(false);
        // SAFETY: as above.
        unsafe { libc::seteuid(0) };
        files
    };
    let pids = [
        child(scene, user, false)?,
        child(scene, heir, true)?,
        child(scene, opened_by_user, false)?,
    ];
    scene.announce();
    scene.wait();
    finish(&pids)?;
    show(&files, true)
}

/// An image of a user with [`FILES`]`[0]` of root, which ends with RESTARTED when that shows
/// nothing any more.
fn make(desk: &Desk) -> Result<(), String> {
    let ended = sys::in_child(30, || {
        let Ok(symbols) = File::open(FILES[0]) else {
            return 1;
        };
        become_dumpable_user();
        let mut first = [0; 16];
        let hidden = |first: &[u8; 16]| *first == [b'0'; 16];
        if symbols.read_exact_at(&mut first, 0).is_err() || hidden(&first) {
            return 3;
        }
        match desk.checkpoint() {
            Ok(0) => match symbols.read_exact_at(&mut first, 0) {
                Ok(()) if hidden(&first) => RESTARTED,
                _ => 2,
            },
            Ok(_) => RESUMED,
            Err(_) => 1,
        }
    });
    if ended == Ended::Exit(RESUMED) {
        return Ok(());
    }
    Err(format!("no image: {ended:?}; {}", desk.said()))
}

/// A file shows no more than the caller may see, whoever had opened it.
pub fn file_of_another() -> Case {
    let desk = Desk::open("creds-file-of-another");
    make(&desk)?;
    drop_caps(SYSLOG);
    desk.restarts()?;
    pass_with("restarted")
}

/// The file shows nothing when a field of these records has this value.
fn changed(name: &str, kind: i16, field: &str, value: u64) -> Case {
    let desk = Desk::open(name);
    make(&desk)?;
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let mut image = Image::parse(&bytes)?;
    let field = varies::field(kind, field).ok_or("no such field")?;
    for record in image.records.iter_mut().filter(|r| r.kind == kind) {
        record.set(field.at.clone(), value);
    }
    std::fs::write(&desk.path, image.to_bytes()).map_err(|e| e.to_string())?;
    desk.restarts()?;
    pass_with("restarted")
}

/// A file shows nothing when nobody knows who had opened it.
pub fn file_of_nobody() -> Case {
    changed("creds-file-of-nobody", format::FILE, "creds", 0)
}

/// Capabilities of another user namespace show nothing in the first one.
pub fn file_of_a_namespace() -> Case {
    changed("creds-file-of-a-namespace", format::CREDS, "level", 1)
}

/// Whoever had a control group before a task of another user may have given it to that one.
pub fn child_with_a_control_group() -> Case {
    let desk = Desk::open("creds-child-with-a-control-group");
    let ended = sys::in_child(30, || {
        open_control_group();
        let (mut there, mut tell) = std::io::pipe().expect("a pipe");
        let child = match sys::fork() {
            Ok(0) => {
                become_user(1000);
                let _ = tell.write_all(&[1]);
                loop {
                    // SAFETY: waits for a signal.
                    unsafe { libc::pause() };
                }
            }
            Ok(child) => child,
            Err(_) => return 3,
        };
        let ready = there.read_exact(&mut [0]);
        let done = desk.checkpoint();
        // SAFETY: sends a signal to a child that nobody has waited for.
        unsafe { libc::kill(child, libc::SIGKILL) };
        sys::wait_for(child, 10);
        match done {
            Ok(1..) if ready.is_ok() => RESUMED,
            _ => 1,
        }
    });
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("no image: {ended:?}; {}", desk.said()));
    }
    let (errno, said) = desk.refuses()?;
    if errno.0 != libc::EPERM || !said.contains("a control group that another user") {
        return Err(format!("{errno}: {said}"));
    }
    pass_with(said)
}
