// SPDX-License-Identifier: GPL-2.0

//! Files and directories whose names lead nowhere, or elsewhere.

use std::ffi::CString;
use std::path::PathBuf;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;

use crate::arrange::busy;
use crate::arrange::fd;
use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::Place;
use crate::arrange::Thing;

/// On the machine's disk: an unlinked file of tmpfs is supported.
fn unlinked(desk: &Desk) -> Result<Place, String> {
    let path = desk.dir.join("refusals-unlinked");
    let flags = libc::O_RDWR | libc::O_CREAT;
    let opened = sys::open(&c_path(&path), flags, 0o600);
    let _ = std::fs::remove_file(&path);
    fd("open", opened.map(|fd| fd as usize))
}

/// A file of tmpfs that linkat(2) can still give a name.
fn nameless(_: &Desk) -> Result<Place, String> {
    let flags = libc::O_RDWR | libc::O_TMPFILE;
    let opened = sys::open(c"/dev/shm", flags, 0o600);
    fd("open", opened.map(|fd| fd as usize))
}

fn go(dir: &str) -> Result<(), String> {
    std::env::set_current_dir(dir).map_err(|e| format!("chdir: {e}"))
}

/// Goes to a directory whose path is longer than any that can be told.
fn go_deep(letter: char) -> Result<(), String> {
    const DEEP: usize = 20;
    let name = letter.to_string().repeat(250);
    go("/dev/shm")?;
    for _ in 0..DEEP {
        std::fs::create_dir(&name).map_err(|e| format!("mkdir: {e}"))?;
        go(&name)?;
    }
    Ok(())
}

fn long_directory(_: &Desk) -> Result<Place, String> {
    go_deep('d')?;
    Ok(Place::Nowhere)
}

/// A file with such a path.
fn long_path(_: &Desk) -> Result<Place, String> {
    go_deep('f')?;
    let flags = libc::O_RDWR | libc::O_CREAT;
    let opened = sys::open(c"file", flags, 0o600);
    go("/")?;
    fd("open", opened.map(|fd| fd as usize))
}

fn unlinked_directory(_: &Desk) -> Result<Place, String> {
    let path = std::env::temp_dir().join("refusals-directory");
    let _ = std::fs::create_dir(&path);
    let opened = sys::open(&c_path(&path), libc::O_RDONLY, 0);
    let _ = std::fs::remove_dir(&path);
    fd("open", opened.map(|fd| fd as usize))
}

fn current_directory(_: &Desk) -> Result<Place, String> {
    let path = std::env::temp_dir().join("refusals-cwd");
    let _ = std::fs::create_dir(&path);
    std::env::set_current_dir(&path).map_err(|e| e.to_string())?;
    std::fs::remove_dir(&path).map_err(|e| e.to_string())?;
    Ok(Place::Path(path.display().to_string()))
}

fn root_directory(_: &Desk) -> Result<Place, String> {
    let path = std::env::temp_dir().join("refusals-root");
    let _ = std::fs::create_dir(&path);
    let above = sys::open(&c_path(&std::env::temp_dir()), libc::O_RDONLY, 0);
    let above = above.map_err(|e| format!("open: {e}"))?;
    std::os::unix::fs::chroot(&path).map_err(|e| e.to_string())?;
    let name = c"refusals-root".as_ptr() as usize;
    let args = [above as usize, name, libc::AT_REMOVEDIR as usize];
    had("unlinkat", plain(libc::SYS_unlinkat, &args))?;
    had("close", plain(libc::SYS_close, &[above as usize]))?;
    Ok(Place::Nowhere)
}

/// A directory of this name that something will be mounted over, until the guest ends.
fn to_cover(name: &str) -> Result<(PathBuf, impl Fn() -> Result<(), String>), String> {
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).map_err(|e| e.to_string())?;
    let place = c_path(&path);
    let cover = move || {
        // SAFETY: three strings that end with NUL, and no data.
        let done = unsafe {
            let (name, data) = (c"tmpfs".as_ptr(), std::ptr::null());
            sys::libc_result(libc::mount(name, place.as_ptr(), name, 0, data))
        };
        done.map(|_| ()).map_err(|e| format!("mount: {e}"))
    };
    Ok((path, cover))
}

fn covered(_: &Desk) -> Result<Place, String> {
    let (path, cover) = to_cover("refusals-covered")?;
    std::fs::create_dir_all(path.join("below")).map_err(|e| e.to_string())?;
    let flags = libc::O_RDWR | libc::O_CREAT;
    let opened = sys::open(&c_path(&path.join("below/file")), flags, 0o600);
    cover()?;
    fd("open", opened.map(|fd| fd as usize))
}

fn covered_directory(_: &Desk) -> Result<Place, String> {
    let (path, cover) = to_cover("refusals-covered-cwd")?;
    std::env::set_current_dir(&path).map_err(|e| e.to_string())?;
    cover()?;
    Ok(Place::Path(path.display().to_string()))
}

/// It is in a directory that was moved out of the part of a file system that is mounted.
fn escaped_directory(_: &Desk) -> Result<Place, String> {
    let base = std::env::temp_dir().join("refusals-escaped");
    let _ = std::fs::remove_dir_all(base.join("out"));
    for name in ["part/inner", "mounted"] {
        std::fs::create_dir_all(base.join(name)).map_err(|e| e.to_string())?;
    }
    let (part, mounted) = (c_path(&base.join("part")), c_path(&base.join("mounted")));
    // SAFETY: two strings that end with NUL, and no data.
    let done = unsafe {
        let nothing = std::ptr::null();
        let flags = libc::MS_BIND;
        sys::libc_result(libc::mount(
            part.as_ptr(),
            mounted.as_ptr(),
            nothing,
            flags,
            nothing.cast(),
        ))
    };
    done.map_err(|e| format!("mount: {e}"))?;
    std::env::set_current_dir(base.join("mounted/inner")).map_err(|e| e.to_string())?;
    std::fs::rename(base.join("part/inner"), base.join("out")).map_err(|e| e.to_string())?;
    Ok(Place::Path("current directory".into()))
}

/// It is in a file system that was mounted, and is mounted nowhere any more.
fn detached_directory(_: &Desk) -> Result<Place, String> {
    let place = std::env::temp_dir().join("refusals-detached");
    std::fs::create_dir_all(&place).map_err(|e| e.to_string())?;
    let path = c_path(&place);
    let kind = c"tmpfs".as_ptr();
    // SAFETY: strings that end with NUL, and no data.
    unsafe {
        sys::libc_result(libc::mount(kind, path.as_ptr(), kind, 0, std::ptr::null()))
            .map_err(|e| format!("mount: {e}"))?;
        std::env::set_current_dir(&place).map_err(|e| e.to_string())?;
        sys::libc_result(libc::umount2(path.as_ptr(), libc::MNT_DETACH))
            .map_err(|e| format!("umount: {e}"))?;
    }
    Ok(Place::Path("current directory".into()))
}

/// A mount namespace of this process, in which nothing comes from elsewhere or goes there.
fn own_mounts() -> Result<(), String> {
    let nothing = std::ptr::null();
    // SAFETY: strings that end with NUL, and no data.
    unsafe {
        sys::libc_result(libc::unshare(libc::CLONE_NEWNS)).map_err(|e| format!("unshare: {e}"))?;
        let flags = libc::MS_REC | libc::MS_PRIVATE;
        let root = c"/".as_ptr();
        sys::libc_result(libc::mount(nothing, root, nothing, flags, nothing.cast()))
            .map_err(|e| format!("mount: {e}"))?;
    }
    Ok(())
}

/// A file below a directory that is another one in the namespace of the process, where
/// there is a file of this name, too.
fn elsewhere(_: &Desk) -> Result<Place, String> {
    let (path, cover) = to_cover("refusals-elsewhere")?;
    let name = c_path(&path.join("file"));
    let flags = libc::O_RDWR | libc::O_CREAT;
    let opened = sys::open(&name, flags, 0o600);
    own_mounts()?;
    cover()?;
    let again = sys::open(&name, flags, 0o600).map_err(|e| format!("open: {e}"))?;
    let _ = sys::close(again);
    fd("open", opened.map(|fd| fd as usize))
}

fn elsewhere_directory(_: &Desk) -> Result<Place, String> {
    let (path, cover) = to_cover("refusals-elsewhere-cwd")?;
    let outer = std::fs::File::open(&path).map_err(|e| e.to_string())?;
    own_mounts()?;
    cover()?;
    // SAFETY: a descriptor of ours.
    let done = unsafe { libc::fchdir(std::os::fd::AsRawFd::as_raw_fd(&outer)) };
    sys::libc_result(done).map_err(|e| format!("fchdir: {e}"))?;
    Ok(Place::Path(path.display().to_string()))
}

/// What is the same file in both namespaces is saved.
pub fn the_same_elsewhere(desk: &Desk) -> Case {
    let name = c"/dev/shm/refusals-same-elsewhere";
    let flags = libc::O_RDWR | libc::O_CREAT;
    let kept = had("open", sys::open(name, flags, 0o600))?;
    // Without the namespace of its own there is no image.
    desk.make(|| {
        if let Err(why) = own_mounts() {
            eprintln!("{why}");
            sys::exit(3);
        }
    })?;
    let _ = sys::close(kept);
    desk.restarts()?;
    pass_with("one file by one name")
}

/// Mapped is the lower file of an overlay, of which a copy is written to since.
fn copied_up(_: &Desk) -> Result<Place, String> {
    let base = PathBuf::from("/dev/shm/refusals-overlay");
    for name in ["lower", "upper", "work", "all"] {
        std::fs::create_dir_all(base.join(name)).map_err(|e| e.to_string())?;
    }
    std::fs::write(base.join("lower/file"), [1; PAGE]).map_err(|e| e.to_string())?;
    let all = base.join("all");
    let below = |name: &str| base.join(name).display().to_string();
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        below("lower"),
        below("upper"),
        below("work")
    );
    let options = CString::new(options).map_err(|e| e.to_string())?;
    let (kind, place) = (c"overlay".as_ptr(), c_path(&all));
    // SAFETY: strings that end with NUL.
    let done = unsafe { libc::mount(kind, place.as_ptr(), kind, 0, options.as_ptr().cast()) };
    sys::libc_result(done).map_err(|e| format!("mount: {e}"))?;
    let name = c_path(&all.join("file"));
    let fd = had("open", sys::open(&name, libc::O_RDONLY, 0))?;
    let spec = Spec {
        flags: libc::MAP_PRIVATE,
        prot: libc::PROT_READ,
        fd,
        ..Spec::default()
    };
    let map = had("mmap", Map::new(spec))?;
    had("close", sys::close(fd))?;
    std::fs::write(all.join("file"), [2; PAGE]).map_err(|e| e.to_string())?;
    Ok(Place::Address(map.addr))
}

/// A file of a control group that counts for who has it open.
fn peak(_: &Desk) -> Result<Place, String> {
    let base = std::env::temp_dir().join("refusals-groups");
    std::fs::create_dir_all(&base).map_err(|e| e.to_string())?;
    let (kind, place) = (c"cgroup2".as_ptr(), c_path(&base));
    // SAFETY: strings that end with NUL, and no data.
    let done = unsafe { libc::mount(kind, place.as_ptr(), kind, 0, std::ptr::null()) };
    sys::libc_result(done).map_err(|e| format!("mount: {e}"))?;
    std::fs::write(base.join("cgroup.subtree_control"), "+memory")
        .map_err(|e| format!("+memory: {e}"))?;
    let group = base.join("group-of-refusals");
    std::fs::create_dir_all(&group).map_err(|e| e.to_string())?;
    let opened = sys::open(&c_path(&group.join("memory.peak")), libc::O_RDWR, 0);
    fd("memory.peak", opened.map(|fd| fd as usize))
}

/// Names.
pub const THINGS: &[Thing] = &[
    thing("fd-unlinked", unlinked, &["unlinked", "deleted"]),
    thing("fd-tmpfile", nameless, &["can still get a name"]),
    thing(
        "fd-unlinked-directory",
        unlinked_directory,
        &["unlinked", "deleted"],
    ),
    thing(
        "unlinked-current-directory",
        current_directory,
        &["the current directory has been removed"],
    ),
    thing(
        "unlinked-root-directory",
        root_directory,
        &["the root directory has been removed"],
    ),
    thing("fd-covered", covered, &["something was mounted"]),
    thing(
        "task-covered-directory",
        covered_directory,
        &["something was mounted"],
    ),
    thing(
        "task-escaped-directory",
        escaped_directory,
        &["a directory has no path in a file system"],
    ),
    thing(
        "task-detached-directory",
        detached_directory,
        &["a directory has no path in a file system"],
    ),
    thing("fd-elsewhere", elsewhere, &["another mount namespace"]),
    thing(
        "task-elsewhere-directory",
        elsewhere_directory,
        &["another mount namespace"],
    ),
    Thing {
        name: "task-long-directory",
        arrange: long_directory,
        errnos: &[libc::ENAMETOOLONG],
        words: &["the path of a directory is too long"],
    },
    Thing {
        name: "fd-long-path",
        arrange: long_path,
        errnos: &[libc::ENAMETOOLONG],
        words: &["the path of a file is too long"],
    },
    busy("map-copied-up", copied_up, &["copied up"]),
    thing("fd-peak", peak, &["pressure or a peak"]),
];
