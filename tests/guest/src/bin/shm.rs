// SPDX-License-Identifier: GPL-2.0

//! Shared memory as the C library has it, and what a restart refuses of it.

use std::process::ExitCode;

use ckpt_guest::cases;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::check;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;
use ckpt_guest::sys::Ended;

const NOEXEC: &str = "/proc/sys/vm/memfd_noexec";

/// An image of a child that has a memfd, with these flags.
fn with_memfd(desk: &Desk, flags: u32) -> Result<(), String> {
    desk.make(|| {
        let args = [c"shm".as_ptr() as usize, flags as usize];
        let fd = check::need("memfd_create", plain(libc::SYS_memfd_create, &args));
        let bytes = 16 * PAGE;
        check::need("ftruncate", plain(libc::SYS_ftruncate, &[fd, bytes]));
    })
}

/// A semaphore without a name: sem_open(3) maps a file of tmpfs and closes it.
fn semaphore() -> Case {
    let desk = Desk::open("shm-semaphore");
    let name = c"/ckpt-semaphore";
    let ended = sys::in_child(30, || {
        // SAFETY: a C string, and numbers.
        let sem = unsafe { libc::sem_open(name.as_ptr(), libc::O_CREAT, 0o600, 3) };
        // SAFETY: a C string.
        unsafe { libc::sem_unlink(name.as_ptr()) };
        if sem == libc::SEM_FAILED {
            return 3;
        }
        // SAFETY: the semaphore was opened.
        unsafe { libc::sem_wait(sem) };
        let back = desk.checkpoint();
        let mut value = 0;
        // SAFETY: as above.
        unsafe { libc::sem_getvalue(sem, &mut value) };
        match back {
            _ if value != 2 => 4,
            Ok(0) => RESTARTED,
            Ok(_) => RESUMED,
            Err(_) => 1,
        }
    });
    match ended {
        Ended::Exit(RESUMED) => {}
        Ended::Exit(3) => return cases::skip("the C library has no semaphores here"),
        other => return Err(format!("no image: {other:?}; {}", desk.said())),
    }
    desk.restarts()?;
    cases::pass()
}

/// An image of a child that has a file of tmpfs without a name, for good.
fn with_tmpfile(desk: &Desk) -> Result<(), String> {
    desk.make(|| {
        let flags = libc::O_RDWR | libc::O_TMPFILE | libc::O_EXCL;
        check::need("open", sys::open(c"/dev/shm", flags, 0o700));
    })
}

/// The rule of memfd_create(2) about files that may be executed is one of a restart, too.
fn noexec() -> Case {
    let desk = Desk::open("shm-noexec");
    with_memfd(&desk, 0)?;
    desk.restarts()?;
    std::fs::write(NOEXEC, "2").map_err(|e| format!("{NOEXEC}: {e}"))?;
    let refused = desk.refuses();
    let other = Desk::open("shm-noexec-sealed");
    // MFD_NOEXEC_SEAL.
    let sealed = with_memfd(&other, 8).and_then(|()| other.restarts());
    let other = Desk::open("shm-noexec-unlinked");
    let unlinked = with_tmpfile(&other).and_then(|()| other.refuses());
    std::fs::write(NOEXEC, "0").map_err(|e| format!("{NOEXEC}: {e}"))?;
    // A file that was unlinked comes back as one in memory, without such a seal.
    for (errno, said) in [refused?, unlinked?] {
        if errno.0 != libc::EACCES || !said.contains("vm.memfd_noexec") {
            return Err(format!("{errno}: {said}"));
        }
    }
    sealed?;
    cases::pass()
}

/// A limit refuses, and does not kill.
fn file_size() -> Case {
    let desk = Desk::open("shm-size");
    with_memfd(&desk, 0)?;
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is ours.
    unsafe { libc::getrlimit(libc::RLIMIT_FSIZE, &mut limit) };
    let less = libc::rlimit {
        rlim_cur: 15 * PAGE as u64,
        ..limit
    };
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &less) };
    let refused = desk.refuses();
    // SAFETY: as above.
    unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &limit) };
    let (errno, said) = refused?;
    if errno.0 != libc::EFBIG || !said.contains("RLIMIT_FSIZE") {
        return Err(format!("{errno}: {said}"));
    }
    desk.restarts()?;
    cases::pass()
}

/// An image cannot be a part of itself.
fn image_in_memory() -> Case {
    let desk = Desk::open("shm-image");
    let ended = sys::in_child(30, || {
        let args = [c"image".as_ptr() as usize, 0];
        let fd = check::need("memfd_create", plain(libc::SYS_memfd_create, &args));
        match sys::checkpoint(0, fd as i32, sys::LOG, desk.log) {
            Err(errno) if errno.0 == libc::EOPNOTSUPP => 7,
            _ => 1,
        }
    });
    let said = desk.said();
    if ended != Ended::Exit(7) || !said.contains("the image goes to memory") {
        return Err(format!("{ended:?}: {said}"));
    }
    cases::pass()
}

/// Nor when the image goes there by another open file, which the process does not have.
fn image_in_memory_of_another() -> Case {
    let desk = Desk::open("shm-image-of-another");
    let args = [c"image".as_ptr() as usize, 0];
    let fd = check::need("memfd_create", plain(libc::SYS_memfd_create, &args)) as i32;
    let child = check::need("fork", sys::fork());
    if child == 0 {
        loop {
            std::thread::park();
        }
    }
    let path = std::path::PathBuf::from(format!("/proc/self/fd/{fd}"));
    let again = check::need("open", sys::open(&c_path(&path), libc::O_WRONLY, 0));
    let done = sys::checkpoint(child, again, sys::LOG, desk.log);
    let _ = plain(libc::SYS_kill, &[child as usize, libc::SIGKILL as usize]);
    let _ = sys::wait_for(child, 10);
    for fd in [fd, again] {
        let _ = sys::close(fd);
    }
    let said = desk.said();
    if done != Err(sys::Errno(libc::EOPNOTSUPP)) || !said.contains("the image goes to memory") {
        return Err(format!("{done:?}: {said}"));
    }
    cases::pass()
}

/// Mappings that the seal treats differently would be alike after a restart.
fn mixed_mappings() -> Case {
    let desk = Desk::open("shm-mixed");
    let ended = sys::in_child(30, || {
        let args = [c"mixed".as_ptr() as usize, libc::MFD_ALLOW_SEALING as usize];
        let fd = check::need("memfd_create", plain(libc::SYS_memfd_create, &args));
        check::need("ftruncate", plain(libc::SYS_ftruncate, &[fd, PAGE]));
        let map = |prot| {
            ckpt_guest::mem::Map::new(ckpt_guest::mem::Spec {
                prot,
                flags: libc::MAP_SHARED,
                fd: fd as i32,
                ..Default::default()
            })
        };
        check::need("mmap", map(ckpt_guest::mem::RW));
        let seal = libc::F_SEAL_FUTURE_WRITE as usize;
        check::need("seal", sys::fcntl(fd as i32, libc::F_ADD_SEALS, seal));
        check::need("mmap", map(libc::PROT_READ));
        match desk.checkpoint() {
            Err(errno) if errno.0 == libc::ETXTBSY => 7,
            _ => 1,
        }
    });
    let said = desk.said();
    if ended != Ended::Exit(7) || !said.contains("F_SEAL_FUTURE_WRITE") {
        return Err(format!("{ended:?}: {said}"));
    }
    cases::pass()
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run("semaphore", semaphore);
    cases.run("noexec", noexec);
    cases.run("file-size", file_size);
    cases.run("image-in-memory", image_in_memory);
    cases.run("image-in-memory-of-another", image_in_memory_of_another);
    cases.run("mixed-mappings", mixed_mappings);
    cases.verdict()
}
