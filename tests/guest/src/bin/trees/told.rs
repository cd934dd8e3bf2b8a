// SPDX-License-Identifier: GPL-2.0

//! Victims that are told of their children by signals: by which, how often, and by none
//! when they know already.

use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::timer;
use ckpt_guest::timer::bit;
use ckpt_guest::victim::Scene;

use crate::family::act;

/// A child like that of fork(2), of whose end `signal` tells, or nothing.
fn child(signal: i32, body: impl FnOnce() -> i32) -> Result<i32, String> {
    let args = [signal as usize, 0, 0, 0, 0];
    let pid = sys::plain(libc::SYS_clone, &args).map_err(|e| format!("clone: {e}"))?;
    if pid == 0 {
        sys::exit(body());
    }
    Ok(pid as i32)
}

/// What waitpid(2) returns for a child, and the status.
fn waits(pid: i32, options: i32) -> Result<(i32, i32), String> {
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    let got = sys::libc_result(unsafe { libc::waitpid(pid, &mut status, options) });
    got.map(|got| (got, status))
        .map_err(|e| format!("waitpid({pid}, {options:#x}): {e}"))
}

/// Waits for a child in this way only; it has ended with `code`.
fn ends(pid: i32, options: i32, code: i32) -> Result<(), String> {
    match waits(pid, options)? {
        (got, status) if got == pid && status == code << 8 => Ok(()),
        other => Err(format!("child {pid}: {other:x?}, not {code}")),
    }
}

/// Waits until it has ended, and leaves it to be waited for.
fn until_zombie(pid: i32) -> Result<(), String> {
    let options = libc::WEXITED | libc::WNOWAIT | libc::__WALL;
    // SAFETY: zeros are a valid structure, which the kernel fills.
    let done = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, options)
    };
    sys::libc_result(done)
        .map(|_| ())
        .map_err(|e| format!("waitid: {e}"))
}

/// The signal that waits, or comes, tells of this child, which has ended with `code`.
fn is_told(signal: i32, pid: i32, code: i32) -> Result<(), String> {
    let info = timer::wait(bit(signal), 20).ok_or(format!("nobody tells of child {pid}"))?;
    let found = [info.signo, info.code, info.id, info.value as i32];
    let want = [signal, libc::CLD_EXITED, pid, code];
    if found != want {
        return Err(format!("the signal is {found:?}, not {want:?}"));
    }
    Ok(())
}

/// No signal waits.
fn nothing_is_told(mask: u64) -> Result<(), String> {
    match timer::wait(mask, 0) {
        None => Ok(()),
        Some(info) => Err(format!("once more: {info:?}")),
    }
}

fn block(mask: u64) -> Result<(), String> {
    timer::block(mask)
        .map(|_| ())
        .map_err(|e| format!("mask: {e}"))
}

/// Children of whose end other signals tell than SIGCHLD, or none. Who does not ask for
/// such children does not wait for them.
fn exit_signals(scene: &Scene) -> Result<(), String> {
    const ALL: u64 = bits(&[libc::SIGUSR1, libc::SIGUSR2, libc::SIGCHLD]);
    block(ALL)?;
    let lives = |code: i32| {
        move || {
            scene.wait();
            code
        }
    };
    let gone = child(libc::SIGUSR2, || 5)?;
    let silent = child(0, lives(4))?;
    let loud = child(libc::SIGUSR1, lives(3))?;
    until_zombie(gone)?;
    scene.announce();
    scene.wait();
    is_told(libc::SIGUSR1, loud, 3)?;
    is_told(libc::SIGUSR2, gone, 5)?;
    for pid in [loud, silent, gone] {
        if let Ok(got) = waits(pid, 0) {
            return Err(format!("child {pid} became an ordinary one: {got:x?}"));
        }
    }
    ends(loud, libc::__WCLONE, 3)?;
    ends(gone, libc::__WCLONE, 5)?;
    ends(silent, libc::__WALL, 4)?;
    nothing_is_told(ALL)
}

/// A child that leaves no zombie, though nobody ignores SIGCHLD.
fn no_zombie(scene: &Scene) -> Result<(), String> {
    const CLONE_AUTOREAP: u64 = 1 << 34;
    let mut args = [0u64; 11];
    args[0] = CLONE_AUTOREAP;
    let all = [args.as_mut_ptr() as usize, size_of_val(&args), 0, 0, 0, 0];
    // SAFETY: the array lives until the call returns; the child has all memory of its own.
    let made = unsafe { sys::raw(libc::SYS_clone3 as usize, all) };
    let pid = made.map_err(|e| format!("clone3: {e}"))?;
    if pid == 0 {
        scene.wait();
        loop {
            std::thread::park();
        }
    }
    scene.announce();
    scene.wait();
    let ask = |signal: i32| sys::plain(libc::SYS_kill, &[pid, signal as usize]);
    ask(libc::SIGKILL).map_err(|e| format!("kill: {e}"))?;
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while ask(0).is_ok() {
        if std::time::Instant::now() > until {
            return Err(format!("child {pid} has become a zombie"));
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    match waits(pid as i32, libc::__WALL) {
        Err(_) => Ok(()),
        Ok(got) => Err(format!("child {pid} was waited for: {got:x?}")),
    }
}

const fn bits(signals: &[i32]) -> u64 {
    let (mut mask, mut i) = (0, 0);
    while i < signals.len() {
        mask |= 1 << (signals[i] - 1);
        i += 1;
    }
    mask
}

/// A child has ended, and the signal that tells so waits.
fn owed(scene: &Scene) -> Result<(), String> {
    let mask = bit(libc::SIGCHLD);
    block(mask)?;
    let pid = child(libc::SIGCHLD, || 7)?;
    until_zombie(pid)?;
    scene.announce();
    scene.wait();
    is_told(libc::SIGCHLD, pid, 7)?;
    nothing_is_told(mask)?;
    ends(pid, 0, 7)?;
    nothing_is_told(mask)
}

/// A child has ended, and the signal has come, but nobody has waited for the child.
fn told(scene: &Scene) -> Result<(), String> {
    let mask = bit(libc::SIGCHLD);
    block(mask)?;
    let pid = child(libc::SIGCHLD, || 8)?;
    is_told(libc::SIGCHLD, pid, 8)?;
    scene.announce();
    scene.wait();
    nothing_is_told(mask)?;
    ends(pid, 0, 8)?;
    nothing_is_told(mask)
}

/// Victims that are told of their children.
pub const ACTS: &[Act] = &[
    act("exit-signals", exit_signals).there(),
    act("no-zombie", no_zombie).there(),
    act("zombie-owed", owed).there(),
    act("zombie-told", told).there(),
];
