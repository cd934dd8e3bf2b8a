// SPDX-License-Identifier: GPL-2.0

//! Clean errors for wrong arguments, identifiers that grow by one, and calls that are
//! seen by those who trace them.

mod visible;

use std::process::ExitCode;

use ckpt_guest::cases::pass;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::life::c_path;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;

const SYSCTL: &str = "/proc/sys/kernel/checkpoint_restart";
const NOBODY: usize = 65534;
const NO_PID: i32 = 0x3fff_fffe;

fn expect(what: &str, got: Result<usize, Errno>, errno: i32) -> Result<(), String> {
    match got {
        Err(Errno(e)) if e == errno => Ok(()),
        other => Err(format!("{what}: expected {}, got {other:?}", Errno(errno))),
    }
}

/// Both calls with the same descriptor.
fn both(what: &str, fd: i32, flags: usize, log: i32, errno: i32) -> Result<(), String> {
    expect(
        &format!("checkpoint, {what}"),
        sys::checkpoint(0, fd, flags, log),
        errno,
    )?;
    let got = Err(sys::restart(0, fd, flags, log));
    expect(&format!("restart, {what}"), got, errno)
}

fn identifiers(desk: &Desk) -> Case {
    let mut ids = Vec::new();
    for _ in 0..4 {
        let _ = sys::lseek(desk.image, 0, libc::SEEK_SET);
        let id = desk
            .checkpoint()
            .map_err(|e| format!("{e}: {}", desk.said()))?;
        ids.push(id);
    }
    let grow = ids.windows(2).all(|w| w[1] == w[0] + 1);
    if grow && ids[0] > 0 {
        return pass_with(format!("{ids:?}"));
    }
    Err(format!("identifiers do not grow by one: {ids:?}"))
}

/// Whoever reads it may stand still for the image.
fn terminal() -> Case {
    let master = sys::open(c"/dev/ptmx", libc::O_RDWR | libc::O_NOCTTY, 0);
    let master = master.map_err(|e| format!("/dev/ptmx: {e}"))? as i32;
    let got = sys::checkpoint(0, master, 0, -1);
    let _ = sys::close(master);
    expect("checkpoint to a terminal", got, libc::EINVAL)?;
    pass()
}

fn flags(desk: &Desk) -> Case {
    // 2 and 4 together: killed or stopped. 4 is for restart(2) unknown.
    for flags in [6, 7, 8, 9, 1 << 31, 1 << 32, 1 << 63, usize::MAX] {
        both(
            &format!("flags {flags:#x}"),
            desk.image,
            flags,
            desk.log,
            libc::EINVAL,
        )?;
    }
    for flags in [4, 5] {
        let got = Err(sys::restart(0, desk.image, flags, desk.log));
        expect(&format!("restart, flags {flags}"), got, libc::EINVAL)?;
    }
    // Without the flag the fourth argument is not looked at.
    sys::checkpoint(0, desk.image, 0, -77).map_err(|e| format!("three arguments: {e}"))?;
    pass()
}

fn descriptors(desk: &Desk) -> Case {
    let open = |flags| {
        let fd = sys::open(&c_path(&desk.path), flags, 0);
        fd.map_err(|e| format!("open: {e}"))
    };
    let (read_only, write_only) = (open(libc::O_RDONLY)?, open(libc::O_WRONLY)?);
    let (location, directory) = (
        open(libc::O_PATH)?,
        sys::open(c"/", libc::O_RDONLY, 0).unwrap_or(-1),
    );
    for fd in [-1, 900, i32::MAX, i32::MIN, location] {
        both(&format!("fd {fd}"), fd, 0, -1, libc::EBADF)?;
        both(
            &format!("log fd {fd}"),
            desk.image,
            sys::LOG,
            fd,
            libc::EBADF,
        )?;
    }
    expect(
        "a read-only fd",
        sys::checkpoint(0, read_only, 0, -1),
        libc::EBADF,
    )?;
    expect(
        "a directory",
        sys::checkpoint(0, directory, 0, -1),
        libc::EBADF,
    )?;
    expect(
        "a write-only fd",
        Err(sys::restart(0, write_only, 0, -1)),
        libc::EBADF,
    )?;
    both(
        "a read-only log",
        desk.image,
        sys::LOG,
        read_only,
        libc::EBADF,
    )?;
    for fd in [read_only, write_only, location, directory] {
        let _ = sys::close(fd);
    }
    pass()
}

fn pids(desk: &Desk) -> Case {
    let call = |pid| sys::checkpoint(pid, desk.image, 0, -1);
    expect("no such pid", call(NO_PID), libc::ESRCH)?;
    expect("a negative pid", call(-1), libc::ESRCH)?;
    expect("pid of init", call(1), libc::EOPNOTSUPP)?;
    let parent = sys::plain(libc::SYS_getppid, &[]).unwrap_or(1) as i32;
    expect("pid of the parent", call(parent), libc::EOPNOTSUPP)?;
    call(sys::getpid()).map_err(|e| format!("the own pid: {e}"))?;
    pass()
}

fn sinks() -> Case {
    let full = sys::open(c"/dev/full", libc::O_RDWR, 0).map_err(|e| format!("/dev/full: {e}"))?;
    // This device takes bytes from user memory only, so that it takes no image.
    expect("/dev/full", sys::checkpoint(0, full, 0, -1), libc::EINVAL)?;
    let _ = sys::close(full);
    let mut ends = [0i32; 2];
    // SAFETY: the kernel writes two ints.
    let _ = unsafe { libc::pipe(ends.as_mut_ptr()) };
    let _ = sys::close(ends[0]);
    let ret = sys::checkpoint(0, ends[1], 0, -1);
    let _ = sys::close(ends[1]);
    expect("a closed pipe", ret, libc::EPIPE)?;
    let null = sys::open(c"/dev/null", libc::O_RDWR, 0).map_err(|e| format!("/dev/null: {e}"))?;
    let ret = sys::checkpoint(0, null, 0, -1).map_err(|e| format!("/dev/null: {e}"));
    let _ = sys::close(null);
    ret.and_then(|_| pass())
}

/// Files that are no images.
fn no_images(desk: &Desk) -> Case {
    let mut said = Vec::new();
    for (name, bytes) in [
        ("empty", Vec::new()),
        ("text", b"hello, world!\n".repeat(20)),
        ("zeros", vec![0; 8192]),
        ("one byte", vec![1]),
    ] {
        std::fs::write(&desk.path, bytes).map_err(|e| e.to_string())?;
        let (errno, text) = desk.refuses()?;
        said.push(format!("{name}: {errno}"));
        if errno.0 == 0 || text.is_empty() {
            return Err(format!("{name}: {errno} {text}"));
        }
    }
    let program = std::fs::read("/proc/self/exe").map_err(|e| e.to_string())?;
    std::fs::write(&desk.path, program).map_err(|e| e.to_string())?;
    let (errno, _) = desk.refuses()?;
    said.push(format!("a program: {errno}"));
    pass_with(said.join(", "))
}

/// kernel.checkpoint_restart: 0 off, 1 privileged, 2 everybody.
fn sysctl(desk: &Desk) -> Case {
    let Ok(before) = std::fs::read_to_string(SYSCTL) else {
        return skip("there is no kernel.checkpoint_restart");
    };
    let set = |value: &str| std::fs::write(SYSCTL, value).map_err(|e| format!("sysctl: {e}"));
    let try_all = || {
        set("0")?;
        both("sysctl 0", desk.image, 0, -1, libc::EPERM)?;
        set("1")?;
        desk.checkpoint()
            .map_err(|e| format!("sysctl 1, root: {e}"))?;
        let ended = sys::in_child(10, || {
            let _ = sys::plain(libc::SYS_setresuid, &[NOBODY, NOBODY, NOBODY]);
            let ret = both("sysctl 1, nobody", desk.image, 0, -1, libc::EPERM);
            i32::from(ret.is_err())
        });
        if ended != sys::Ended::Exit(0) {
            return Err("sysctl 1 lets everybody checkpoint".to_string());
        }
        Ok(())
    };
    let result = try_all();
    set(before.trim())?;
    if set("3").is_ok() {
        set(before.trim())?;
        return Err("the sysctl takes 3".to_string());
    }
    result.and_then(|()| pass())
}

/// Without privilege: the own task, not that of another.
fn nobody(desk: &Desk) -> Case {
    let _ = sys::plain(libc::SYS_setresgid, &[NOBODY, NOBODY, NOBODY]);
    let set = sys::plain(libc::SYS_setresuid, &[NOBODY, NOBODY, NOBODY]);
    set.map_err(|e| format!("setresuid: {e}"))?;
    // Changing ids makes a task undumpable; exec would make it dumpable again.
    let dumpable = sys::prctl(libc::PR_SET_DUMPABLE, &[1]);
    dumpable.map_err(|e| format!("prctl: {e}"))?;
    desk.checkpoint()
        .map_err(|e| format!("itself: {e}; {}", desk.said()))?;
    expect("init", sys::checkpoint(1, desk.image, 0, -1), libc::EPERM)?;
    pass()
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(visible::CALLS) {
        return visible::calls();
    }
    let desk = Desk::open("errors");
    let mut cases = Cases::new();
    cases.run("identifiers", || identifiers(&desk));
    cases.run("flags", || flags(&desk));
    cases.run("descriptors", || descriptors(&desk));
    cases.run("pids", || pids(&desk));
    cases.run("sinks", sinks);
    cases.run("terminal", terminal);
    cases.run("no-images", || no_images(&desk));
    cases.run("sysctl", || sysctl(&desk));
    cases.run("tracepoints", visible::tracepoints);
    cases.run("strace", visible::strace);
    cases.run_in_child("nobody", 20, || nobody(&desk));
    cases.verdict()
}
