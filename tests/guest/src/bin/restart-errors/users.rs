// SPDX-License-Identifier: GPL-2.0

//! Callers who are another user than whose image it is, or who may not open its files.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::life::c_path;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

use crate::name_of;
use crate::new_file;
use crate::open;
use crate::refused;
use crate::text;

const NOBODY: usize = 65534;

fn become_nobody() {
    let _ = sys::plain(libc::SYS_setresgid, &[NOBODY, NOBODY, NOBODY]);
    let _ = sys::plain(libc::SYS_setresuid, &[NOBODY, NOBODY, NOBODY]);
    let _ = sys::prctl(libc::PR_SET_DUMPABLE, &[1]);
}

/// A place for an image of which another user may open all that is in it.
fn open_to_all(name: &str) -> Result<Desk, String> {
    text(sys::plain(libc::SYS_umask, &[0]))?;
    Ok(Desk::open_in(
        Path::new("/tmp"),
        &format!("restart-errors-{name}"),
    ))
}

/// Has nothing of the runner's, which no other user may open.
fn leave_runner(desk: &Desk) {
    let flags = libc::O_RDWR | libc::O_CREAT;
    let fd = sys::open(c"/tmp/restart-errors-printed", flags, 0o666).unwrap_or(-1);
    for to in [1, 2] {
        let _ = sys::dup_to(fd, to, 0);
    }
    for fd in (3..64).filter(|fd| ![desk.image, desk.log].contains(fd)) {
        let _ = sys::close(fd);
    }
}

/// The same user, but the file is no longer that user's.
pub fn not_permitted() -> Case {
    let desk = open_to_all("permitted")?;
    let path = new_file("permitted")?;
    text(std::fs::set_permissions(
        &path,
        std::fs::Permissions::from_mode(0o666),
    ))?;
    desk.make(|| {
        leave_runner(&desk);
        open(&path, libc::O_RDWR);
        become_nobody();
    })?;
    // Whoever it belongs to may, also where a file system over others has the program.
    let ended = sys::in_child(30, || {
        become_nobody();
        let restarted = desk.restarts();
        if let Err(why) = &restarted {
            println!("{why}");
        }
        i32::from(restarted.is_err())
    });
    if ended != Ended::Exit(0) {
        return Err(format!("nobody may: {ended:?}; {}", desk.said()));
    }
    text(std::fs::set_permissions(
        &path,
        std::fs::Permissions::from_mode(0o600),
    ))?;
    become_nobody();
    refused(&desk, &[libc::EACCES], &name_of(&path))
}

/// root's image, restarted by another user.
pub fn other_credentials() -> Case {
    let desk = open_to_all("credentials")?;
    desk.make(|| leave_runner(&desk))?;
    become_nobody();
    refused(
        &desk,
        &[libc::EPERM],
        "the caller may not have the credentials of the image",
    )
}

/// Another user's image, restarted by root: it is that user's then.
pub fn less_credentials() -> Case {
    let desk = Desk::open("less");
    let secret = new_file("secret")?;
    text(std::fs::set_permissions(
        &secret,
        std::fs::Permissions::from_mode(0o600),
    ))?;
    desk.make_with(become_nobody, || {
        sys::open(&c_path(&secret), libc::O_RDONLY, 0).is_err()
    })?;
    desk.restarts()?;
    pass_with("it may no more than before")
}
