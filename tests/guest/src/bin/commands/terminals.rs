// SPDX-License-Identifier: GPL-2.0

//! Shells on terminals: a terminal belongs to the outside, and is handed over.

use std::fs::File;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::unix::fs::OpenOptionsExt;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::sys;

use crate::scene::ended;
use crate::scene::Scene;

/// Says whether it is on a terminal, and what is typed there.
const ON_TERMINAL: &str = "until [ -e finish ]; do :; done; \
                           [ -t 0 ] && [ -t 1 ] && [ -t 2 ] && read -r word && \
                           echo \"it reads $word\" >&2 && exit 7";

/// The two ends of a new terminal.
fn terminal() -> Result<(File, File), String> {
    let (mut master, mut slave) = (-1, -1);
    // SAFETY: two ints of ours; no names and no settings are asked for. Both descriptors
    // are new, and nobody else's.
    unsafe {
        let null = std::ptr::null_mut();
        let ret = libc::openpty(&mut master, &mut slave, null, null.cast(), null.cast());
        sys::libc_result(ret).map_err(|e| format!("openpty: {e}"))?;
        libc::fcntl(master, libc::F_SETFD, libc::FD_CLOEXEC);
        libc::fcntl(slave, libc::F_SETFD, libc::FD_CLOEXEC);
        Ok((File::from_raw_fd(master), File::from_raw_fd(slave)))
    }
}

/// On a terminal that is gone when it is restarted: another file takes its place.
pub fn terminal_gone() -> Case {
    let scene = Scene::new("terminal");
    let (master, slave) = terminal()?;
    let name = std::fs::read_link(format!("/proc/self/fd/{}", slave.as_raw_fd()))
        .map_err(|e| e.to_string())?;
    let name = name.display();
    let other = slave.try_clone().map_err(|e| e.to_string())?;
    let child = scene.start_on(other, slave)?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let _ = ended(child)?;
    drop(master);
    scene.finish();
    let gone = scene.succeeds("restart -i image --wait", 1)?;
    if !gone.contains(&name.to_string()) {
        return Err(format!("does not name {name}: {gone}"));
    }
    for (inherit, status, word) in [
        ("0=77", 2, "descriptor 77 is not open"),
        ("77=5", 1, "its first process has no descriptor 77"),
        ("/no/such=5", 1, "no open file is /no/such"),
    ] {
        let line = format!("restart -i image --wait --inherit {inherit} 5<>out");
        let said = scene.succeeds(&line, status)?;
        if !said.contains(word) {
            return Err(format!("{inherit}: does not say {word}: {said}"));
        }
    }
    for line in [
        "restart -i image --wait --inherit 1=5 5<>out".to_string(),
        format!("cat image | restart --wait --inherit {name}=5 5<>out"),
    ] {
        std::fs::write(scene.dir.join("out"), "").map_err(|e| e.to_string())?;
        scene.succeeds(&line, 7)?;
        match scene.pids()? {
            (a, b) if a == pid && b == pid => {}
            other => return Err(format!("pid {pid}, and it prints {other:?}")),
        }
    }
    pass_with(format!("{name} became a file"))
}

/// The name of a terminal.
fn name_of(slave: &File) -> Result<String, String> {
    let name = std::fs::read_link(format!("/proc/self/fd/{}", slave.as_raw_fd()));
    Ok(name.map_err(|e| e.to_string())?.display().to_string())
}

/// On a terminal that is gone when it is restarted: a new one takes its place, and is
/// one to the script.
pub fn terminal_handed_over() -> Case {
    let scene = Scene::new("handed-over");
    // The new one is made while the old one is there: so it has another name.
    let (old, slave) = terminal()?;
    let (mut new, new_slave) = terminal()?;
    let (name, new_name) = (name_of(&slave)?, name_of(&new_slave)?);
    // An open file of its own, beside the one that output and errors have in common.
    let input = File::options()
        .read(true)
        .custom_flags(libc::O_NOCTTY)
        .open(&name)
        .map_err(|e| format!("{name}: {e}"))?;
    let child = scene.start_script(ON_TERMINAL, input, slave)?;
    let pid = child.id() as i32;
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let _ = ended(child)?;
    drop(old);
    scene.finish();
    let gone = scene.succeeds("restart -i image --wait", 1)?;
    if !gone.contains(&name) {
        return Err(format!("does not name {name}: {gone}"));
    }
    new.write_all(b"what-is-typed\n")
        .map_err(|e| e.to_string())?;
    let line = format!(
        "restart -i image --wait --inherit 0=5 --inherit 1=6 --inherit 2=7 \
         5<{new_name} 6<>{new_name} 7<>{new_name}"
    );
    scene.succeeds(&line, 7)?;
    // What is typed would not have waited for somebody to open it.
    drop(new_slave);
    let mut seen = Vec::new();
    // Ends with an error, when nobody has the other end any more.
    let _ = new.read_to_end(&mut seen);
    let seen = String::from_utf8_lossy(&seen);
    if !seen.contains("it reads what-is-typed") {
        return Err(format!("{new_name} has: {seen}"));
    }
    pass_with(format!("{name} became {new_name}"))
}
