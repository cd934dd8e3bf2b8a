// SPDX-License-Identifier: GPL-2.0

//! What processes below the first one can have that no restart gives to those it makes, and
//! terminals.

use std::ffi::CStr;

use ckpt_guest::desk::Desk;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;

use crate::arrange::fd;
use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::Place;
use crate::arrange::Thing;

/// A terminal that nobody else uses; it belongs to the session that opens it first.
const TERMINALS: [&CStr; 2] = [c"/dev/tty5", c"/dev/tty6"];

fn wait_for_ever() -> ! {
    loop {
        let _ = plain(libc::SYS_pause, &[]);
    }
}

fn dies_with_parent() {
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
}

/// A child that does `work`, says so, and waits; an error is an exit.
fn child(work: impl FnOnce() -> sys::Ret) -> Result<Place, String> {
    let [told, tell] = had("pipe", sys::pipe(libc::O_CLOEXEC))?;
    if had("fork", sys::fork())? == 0 {
        dies_with_parent();
        if let Err(errno) = work() {
            eprintln!("the child: {errno}");
            sys::exit(1);
        }
        let _ = sys::write(tell, b"x");
        for end in [told, tell] {
            let _ = sys::close(end);
        }
        wait_for_ever()
    }
    let _ = sys::close(tell);
    let said = had("read", sys::read(told, &mut [0]))?;
    had("close", sys::close(told))?;
    if said == 1 {
        Ok(Place::Nowhere)
    } else {
        Err("the child has ended".to_string())
    }
}

fn leads_a_session_on(terminal: &CStr) -> sys::Ret {
    plain(libc::SYS_setsid, &[])?;
    sys::open(terminal, libc::O_RDWR, 0).map(|fd| fd as usize)
}

fn other_session(_: &Desk) -> Result<Place, String> {
    child(|| leads_a_session_on(TERMINALS[0]))
}

/// The child has left the terminal that its parent has.
fn left_terminal(_: &Desk) -> Result<Place, String> {
    let fd = had("terminal", leads_a_session_on(TERMINALS[1]))?;
    child(|| plain(libc::SYS_ioctl, &[fd, libc::TIOCNOTTY as usize, 0]))
}

/// The parent has called execve(2) since it made the child, of which SIGUSR1 would tell.
fn old_exit_signal(_: &Desk) -> Result<Place, String> {
    let [told, tell] = had("pipe", sys::pipe(libc::O_CLOEXEC))?;
    if had("fork", sys::fork())? == 0 {
        dies_with_parent();
        let args = [libc::SIGUSR1 as usize, 0, 0, 0, 0];
        if plain(libc::SYS_clone, &args) == Ok(0) {
            dies_with_parent();
            for end in [told, tell] {
                let _ = sys::close(end);
            }
            wait_for_ever()
        }
        let args = [c"sleep".as_ptr(), c"1000".as_ptr(), std::ptr::null()];
        // SAFETY: strings that end with NUL, and a list that ends with a null pointer.
        unsafe { libc::execv(c"/bin/sleep".as_ptr(), args.as_ptr()) };
        sys::exit(1)
    }
    let _ = sys::close(tell);
    // Its end is closed by execve(2), or by its death.
    had("read", sys::read(told, &mut [0]))?;
    had("close", sys::close(told))?;
    Ok(Place::Nowhere)
}

/// Nobody has the other end any more.
fn hung_up(_: &Desk) -> Result<Place, String> {
    let [mut master, mut slave] = [-1i32; 2];
    let nothing = std::ptr::null_mut();
    // SAFETY: two descriptors of ours; nothing else is asked for.
    let made = unsafe {
        let (term, size) = (std::ptr::null_mut(), std::ptr::null_mut());
        libc::openpty(&mut master, &mut slave, nothing, term, size)
    };
    had("openpty", sys::libc_result(made))?;
    had("close", sys::close(master))?;
    fd("openpty", Ok(slave as usize))
}

/// What io_uring may do is limited before it is used.
fn io_uring_limited(_: &Desk) -> Result<Place, String> {
    const IORING_REGISTER_RESTRICTIONS: usize = 11;
    // One entry: of the operations (1) the twenty-second may be asked for.
    let mut limits = [0u8; 32];
    (limits[2], limits[16], limits[18]) = (1, 1, 22);
    let args = [
        usize::MAX,
        IORING_REGISTER_RESTRICTIONS,
        limits.as_ptr() as usize,
        1,
    ];
    had(
        "io_uring_register",
        plain(libc::SYS_io_uring_register, &args),
    )?;
    Ok(Place::Nowhere)
}

/// Processes below, and terminals.
pub const THINGS: &[Thing] = &[
    thing(
        "child-other-terminal",
        other_session,
        &["terminal of another session"],
    ),
    thing(
        "child-left-terminal",
        left_terminal,
        &["another controlling terminal"],
    ),
    thing(
        "child-old-exit-signal",
        old_exit_signal,
        &["exit signal from before"],
    ),
    thing("fd-hung-up", hung_up, &["hung up"]),
    thing("task-io-uring-limited", io_uring_limited, &["io_uring"]),
];
