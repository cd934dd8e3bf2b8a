// SPDX-License-Identifier: GPL-2.0

//! Restarts that must fail, by name, and leave the caller as it was.

mod callers;
mod machines;
mod probed;
mod users;

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::program;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

fn text<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<T, String> {
    result.map_err(|e| e.to_string())
}

/// The restart must fail with one of these and name `what`.
fn refused(desk: &Desk, errnos: &[i32], what: &str) -> Case {
    let (errno, said) = desk.refuses()?;
    if !errnos.contains(&errno.0) {
        return Err(format!("{errno}: {said}"));
    }
    if !said.contains(what) {
        return Err(format!("the log does not name {what}: {said}"));
    }
    pass_with(said)
}

/// A file of the test's own, below /tmp where everybody may go.
fn new_file(name: &str) -> Result<PathBuf, String> {
    let path = Path::new("/tmp").join(format!("restart-errors-{name}"));
    let _ = std::fs::remove_file(&path);
    text(std::fs::write(&path, vec![b'x'; 4 * PAGE]))?;
    Ok(path)
}

fn open(path: &Path, flags: i32) {
    let _ = sys::open(&c_path(path), flags, 0);
}

fn map(path: &Path) {
    let fd = sys::open(&c_path(path), libc::O_RDONLY, 0).unwrap_or(-1);
    let spec = Spec {
        len: 4 * PAGE,
        flags: libc::MAP_PRIVATE,
        fd,
        ..Spec::default()
    };
    if let Ok(map) = Map::new(spec) {
        map.fill_page(1, 1);
    }
    let _ = sys::close(fd);
}

fn name_of(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// The image is good: what follows fails for its own reason only.
fn control() -> Case {
    let desk = Desk::open("control");
    let path = new_file("control")?;
    desk.make(|| {
        open(&path, libc::O_RDWR);
        map(&path);
    })?;
    desk.restarts()?;
    desk.restarts()?;
    pass_with("the image restarts, twice")
}

fn file_gone() -> Case {
    let desk = Desk::open("gone");
    let path = new_file("gone")?;
    desk.make(|| open(&path, libc::O_RDWR))?;
    text(std::fs::remove_file(&path))?;
    refused(&desk, &[libc::ENOENT], &name_of(&path))
}

/// Somebody else's link leads to a file that the caller may open.
fn file_is_a_link() -> Case {
    let desk = Desk::open("link");
    let path = new_file("link")?;
    desk.make(|| open(&path, libc::O_RDWR))?;
    let other = path.with_extension("other");
    text(std::fs::rename(&path, &other))?;
    text(std::os::unix::fs::symlink(&other, &path))?;
    let refused = refused(&desk, &[libc::ESTALE], "a symbolic link");
    text(std::fs::remove_file(&path))?;
    text(std::fs::rename(&other, &path))?;
    refused
}

fn directory_is_a_link() -> Case {
    let desk = Desk::open("cwd-link");
    let path = Path::new("/tmp/restart-errors-cwd-link");
    text(std::fs::create_dir_all(path))?;
    desk.make(|| {
        let _ = std::env::set_current_dir(path);
    })?;
    text(std::fs::remove_dir(path))?;
    text(std::os::unix::fs::symlink("/tmp", path))?;
    let refused = refused(&desk, &[libc::ESTALE], "a symbolic link");
    text(std::fs::remove_file(path))?;
    refused
}

fn mapped_file_gone() -> Case {
    let desk = Desk::open("mapped-gone");
    let path = new_file("mapped-gone")?;
    desk.make(|| map(&path))?;
    text(std::fs::remove_file(&path))?;
    refused(&desk, &[libc::ENOENT], &name_of(&path))
}

/// In the place of the program's file is a script, as old and as long: it could not be
/// written to while the restarted program lives.
fn program_is_none() -> Case {
    let desk = Desk::open("program");
    desk.make(|| ())?;
    let path = text(std::fs::read_link("/proc/self/exe"))?;
    let (kept, other) = (path.with_extension("kept"), path.with_extension("other"));
    let mut bytes = text(std::fs::read(&path))?;
    bytes.splice(..2, *b"#!");
    text(std::fs::write(&other, bytes))?;
    let was = text(std::fs::metadata(&path))?;
    text(std::fs::set_permissions(&other, was.permissions()))?;
    let file = text(std::fs::File::options().write(true).open(&other))?;
    text(file.set_modified(text(was.modified())?))?;
    drop(file);
    text(std::fs::rename(&path, &kept))?;
    text(std::fs::rename(&other, &path))?;
    let refused = refused(&desk, &[libc::EACCES], "may not be executed");
    text(std::fs::rename(&kept, &path))?;
    refused?;
    desk.restarts()?;
    pass_with("a script is no program")
}

fn directory_gone() -> Case {
    let desk = Desk::open("cwd");
    let path = Path::new("/tmp/restart-errors-cwd");
    text(std::fs::create_dir_all(path))?;
    desk.make(|| {
        let _ = std::env::set_current_dir(path);
    })?;
    text(std::fs::remove_dir(path))?;
    refused(&desk, &[libc::ENOENT], "restart-errors-cwd")
}

fn file_of_another_kind() -> Case {
    let desk = Desk::open("kind");
    let path = new_file("kind")?;
    desk.make(|| open(&path, libc::O_RDONLY))?;
    text(std::fs::remove_file(&path))?;
    text(std::fs::create_dir(&path))?;
    let (errno, said) = desk.refuses()?;
    let _ = std::fs::remove_dir(&path);
    if errno.0 == 0 || !said.contains(&name_of(&path)) {
        return Err(format!("{errno}: {said}"));
    }
    pass_with(said)
}

/// A device of which no driver knows is in the place of a file, or of a FIFO: it is looked at,
/// and not opened, which a watchdog would not forgive.
fn file_is_a_device() -> Case {
    const UNKNOWN: u64 = 240 << 8 | 77;
    let device = |path: &Path| {
        text(std::fs::remove_file(path))?;
        // SAFETY: a string that ends with NUL.
        let made = unsafe { libc::mknod(c_path(path).as_ptr(), libc::S_IFCHR | 0o666, UNKNOWN) };
        text(sys::libc_result(made))
    };
    let mut said = String::new();
    for name in ["device", "device-of-fifo"] {
        let desk = Desk::open(name);
        let path = new_file(name)?;
        if name != "device" {
            text(std::fs::remove_file(&path))?;
            // SAFETY: as above.
            let made = unsafe { libc::mkfifo(c_path(&path).as_ptr(), 0o600) };
            text(sys::libc_result(made))?;
        }
        desk.make(|| open(&path, libc::O_RDWR | libc::O_NONBLOCK))?;
        device(&path)?;
        let (errno, why) = desk.refuses()?;
        let _ = std::fs::remove_file(&path);
        if errno.0 != libc::ESTALE || !why.contains("of another type") {
            return Err(format!("{name}: {errno}: {why}"));
        }
        said = why;
    }
    pass_with(said)
}

fn mapped_file_changed(how: fn(&Path) -> std::io::Result<()>) -> Case {
    let desk = Desk::open("changed");
    let path = new_file("changed")?;
    desk.make(|| map(&path))?;
    // The clock of a file system may be coarse.
    std::thread::sleep(std::time::Duration::from_millis(50));
    text(how(&path))?;
    let (errno, said) = desk.refuses()?;
    if errno.0 == 0 || !said.contains(&name_of(&path)) {
        return Err(format!("{errno}: {said}"));
    }
    pass_with(said)
}

/// Two processes with one open file: the first one has it as a descriptor, and shared
/// memory of it or none, before the second one maps it for itself.
fn mapped_by_child(desk: &Desk, path: &Path, shared: bool) -> i32 {
    let fd = sys::open(&c_path(path), libc::O_RDWR, 0).unwrap_or(-1);
    let of = |flags| {
        Map::new(Spec {
            len: 4 * PAGE,
            flags,
            fd,
            ..Spec::default()
        })
    };
    let _shared = shared.then(|| of(libc::MAP_SHARED));
    let ends = sys::pipe(0).unwrap_or([-1; 2]);
    // To kill -1 would kill all.
    let Ok(child) = sys::fork() else {
        return 1;
    };
    if child == 0 {
        let _ = sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
        let _map = of(libc::MAP_PRIVATE);
        let _ = sys::write(ends[1], b"x");
        loop {
            std::thread::park();
        }
    }
    let _ = sys::read(ends[0], &mut [0]);
    let back = desk.checkpoint();
    let _ = sys::plain(libc::SYS_kill, &[child as usize, libc::SIGKILL as usize]);
    let _ = sys::wait_for(child, 10);
    match back {
        Ok(0) => RESTARTED,
        Ok(_) => RESUMED,
        Err(_) => 1,
    }
}

/// Whoever maps a file must find it as it was, whatever others do with the open file.
fn file_of_two(shared: bool) -> Case {
    let name = if shared { "of-two-shared" } else { "of-two" };
    let desk = Desk::open(name);
    // On a file system of which mappings have the open file itself.
    let path = Path::new("/dev/shm").join(format!("restart-errors-{name}"));
    text(std::fs::write(&path, vec![b'x'; 4 * PAGE]))?;
    let ended = sys::in_child(30, || mapped_by_child(&desk, &path, shared));
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("no image: {ended:?}; {}", desk.said()));
    }
    desk.restarts()?;
    std::thread::sleep(std::time::Duration::from_millis(50));
    text(std::fs::write(&path, [b'y'; 4 * PAGE]))?;
    refused(&desk, &[libc::ESTALE], &name_of(&path))
}

fn nested_failures() -> Case {
    let desk = Desk::open("repeated");
    let path = new_file("repeated")?;
    desk.make(|| {
        open(&path, libc::O_RDWR);
        if let Ok(map) = Map::anon(300 * PAGE) {
            (0..map.pages()).for_each(|page| map.fill_page(page, 1));
        }
    })?;
    text(std::fs::remove_file(&path))?;
    for _ in 0..20 {
        refused(&desk, &[libc::ENOENT], &name_of(&path))?;
    }
    text(std::fs::write(&path, "back"))?;
    desk.restarts()?;
    pass_with("20 failures, then a restart")
}

/// A file that cannot be read is none that ends too early: that of a terminal
/// which nobody has open.
fn image_cannot_be_read() -> Case {
    let desk = Desk::open("unreadable");
    let [mut master, mut slave] = [-1i32; 2];
    let nothing = std::ptr::null_mut();
    // SAFETY: two descriptors of ours; nothing else is asked for.
    let made = unsafe {
        let (term, size) = (std::ptr::null_mut(), std::ptr::null_mut());
        libc::openpty(&mut master, &mut slave, nothing, term, size)
    };
    text(sys::libc_result(made))?;
    text(sys::close(slave))?;
    let desk = Desk {
        image: master,
        ..desk
    };
    refused(&desk, &[libc::EIO], "the image cannot be read")
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    if let Err(why) = program::move_to_memory() {
        cases.report("program", Err(why));
        return cases.verdict();
    }
    let mut run = |name: &str, case: fn() -> Case| cases.run_in_child(name, 90, case);
    run("control", control);
    run("file-gone", file_gone);
    run("file-is-a-link", file_is_a_link);
    run("directory-is-a-link", directory_is_a_link);
    run("mapped-file-gone", mapped_file_gone);
    run("program-is-none", program_is_none);
    run("directory-gone", directory_gone);
    run("file-of-another-kind", file_of_another_kind);
    run("file-is-a-device", file_is_a_device);
    run("mapped-file-written", || {
        mapped_file_changed(|p| std::fs::write(p, [b'y'; 4 * PAGE]))
    });
    run("mapped-file-cut", || {
        mapped_file_changed(|p| {
            std::fs::File::options()
                .write(true)
                .open(p)?
                .set_len(PAGE as u64)
        })
    });
    run("mapped-file-replaced", || {
        mapped_file_changed(|p| {
            std::fs::remove_file(p)?;
            std::fs::write(p, [b'z'; 8 * PAGE])
        })
    });
    run("inherited-file-written", || file_of_two(false));
    run("shared-file-written", || file_of_two(true));
    run("image-cannot-be-read", image_cannot_be_read);
    run("not-permitted", users::not_permitted);
    run("other-credentials", users::other_credentials);
    run("less-credentials", users::less_credentials);
    run("caller-with-a-thread", callers::a_thread);
    run("caller-with-io-uring", callers::io_uring);
    run("caller-with-dispatch", callers::syscall_dispatch);
    run("caller-after-threads", callers::after_threads);
    run("caller-with-a-tracee", callers::tracer);
    run("caller-with-namespace", callers::child_namespace);
    run("caller-with-keyrings", callers::keyrings);
    run("caller-with-user-event", callers::user_event);
    run("caller-with-io-ports", callers::io_ports);
    run("machine-lacks-a-feature", machines::features);
    run("machine-lacks-state", machines::state);
    run("machine-with-another-layout", machines::layout);
    run("kernel-with-another-vdso", machines::vdso);
    run("again-and-again", nested_failures);
    // The last one: no image is made of whoever has met a probe.
    run("caller-with-a-probe", probed::caller);
    cases.verdict()
}
