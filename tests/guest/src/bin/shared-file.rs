// SPDX-License-Identifier: GPL-2.0

//! Shared mappings of files: the file is the truth, before and after a restart; what
//! was written through a mapping is on the disk when the image is complete.

use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;

use ckpt_guest::cases;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::check;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::life;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::page_of;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::mem::RW;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

const PAGES: usize = 8;

/// A file of [`PAGES`] pages; the page at `i` belongs to the seed `i`.
fn file(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let contents: Vec<u8> = (0..PAGES as u64).flat_map(page_of).collect();
    check::need("write a file", std::fs::write(&path, contents));
    path
}

fn page_in(path: &Path, page: usize, seed: u64) -> bool {
    let bytes = std::fs::read(path).unwrap_or_default();
    bytes.get(page * PAGE..(page + 1) * PAGE) == Some(&page_of(seed))
}

/// Maps all of a file and closes it.
fn map(path: &Path, open: i32, flags: i32, prot: i32) -> Map {
    let fd = check::need("open", sys::open(&c_path(path), open, 0));
    let spec = Spec {
        len: PAGES * PAGE,
        prot,
        flags,
        fd,
        ..Spec::default()
    };
    let map = check::need("mmap", Map::new(spec));
    check::need("close", sys::close(fd));
    map
}

/// An image of a child that has mapped something; `verify` is called in the restarted one.
fn image(
    desk: &Desk,
    arrange: impl FnOnce() -> Map,
    verify: impl FnOnce(&Map) -> bool,
) -> Result<(), String> {
    let ended = sys::in_child(30, || {
        let map = arrange();
        match desk.checkpoint() {
            Ok(0) if verify(&map) => RESTARTED,
            Ok(0) => 1,
            Ok(_) => RESUMED,
            Err(_) => 2,
        }
    });
    match ended {
        Ended::Exit(RESUMED) => Ok(()),
        other => Err(format!("no image: {other:?}; {}", desk.said())),
    }
}

fn writable(path: &Path) -> Map {
    map(path, libc::O_RDWR, libc::MAP_SHARED, RW)
}

/// Written through the mapping, then by others, then through the mapping again.
fn the_file_is_the_truth(dir: &Path) -> Case {
    let (path, desk) = (file(dir, "truth"), Desk::open_in(dir, "shared-file"));
    let arrange = || {
        let map = writable(&path);
        map.fill_page(1, 100);
        map
    };
    image(&desk, arrange, |map| {
        let good = map.page_is(0, 0) && map.page_is(1, 100) && map.page_is(2, 102);
        map.fill_page(3, 103);
        good
    })?;
    if !page_in(&path, 1, 100) {
        return Err("the file lacks what was written through the mapping".to_string());
    }
    let fd = check::need("open", sys::open(&c_path(&path), libc::O_WRONLY, 0));
    check::need("pwrite", sys::pwrite(fd, &page_of(102), 2 * PAGE));
    desk.restarts()?;
    if !page_in(&path, 3, 103) {
        return Err("the file lacks what the restarted task has written".to_string());
    }
    // Larger is fine, smaller is not.
    check::need(
        "grow",
        std::fs::File::options()
            .append(true)
            .open(&path)
            .and_then(|f| f.set_len(1 << 20)),
    );
    desk.restarts()?;
    check::need(
        "shrink",
        std::fs::File::options()
            .write(true)
            .open(&path)
            .and_then(|f| f.set_len(PAGE as u64)),
    );
    let (errno, said) = desk.refuses()?;
    if errno.0 != libc::ESTALE || !said.contains("shorter") {
        return Err(format!("{errno}: {said}"));
    }
    cases::pass()
}

/// Opened for reading only: others write to it.
fn read_only(dir: &Path) -> Case {
    let (path, desk) = (file(dir, "read-only"), Desk::open_in(dir, "shared-file"));
    let arrange = || map(&path, libc::O_RDONLY, libc::MAP_SHARED, libc::PROT_READ);
    image(&desk, arrange, |map| {
        // It is the same mapping: what was not allowed is not.
        map.page_is(0, 500) && map.page_is(7, 7) && map.protect(RW).is_err()
    })?;
    let fd = check::need("open", sys::open(&c_path(&path), libc::O_WRONLY, 0));
    check::need("pwrite", sys::pwrite(fd, &page_of(500), 0));
    desk.restarts()?;
    cases::pass()
}

/// A private mapping of the same open file wants it unchanged.
fn both_ways(dir: &Path) -> Case {
    let (path, desk) = (file(dir, "both"), Desk::open_in(dir, "shared-file"));
    let arrange = || {
        let fd = check::need("open", sys::open(&c_path(&path), libc::O_RDWR, 0));
        let spec = Spec {
            len: PAGES * PAGE,
            flags: libc::MAP_SHARED,
            fd,
            ..Spec::default()
        };
        let flags = libc::MAP_PRIVATE;
        let private = check::need("mmap", Map::new(Spec { flags, ..spec }));
        // Below the private one, so that it is met first.
        let at = private.addr - 64 * PAGE;
        check::need("mmap", Map::new(Spec { at, ..spec }))
    };
    image(&desk, arrange, |map| map.page_is(5, 5))?;
    desk.restarts()?;
    check::need("write", std::fs::write(&path, vec![1u8; PAGES * PAGE]));
    let (errno, said) = desk.refuses()?;
    if errno.0 != libc::ESTALE || !said.contains("has changed") {
        return Err(format!("{errno}: {said}"));
    }
    cases::pass()
}

const DEVICE: &str = "/dev/zram0";
const CONTROL: &str = "/sys/block/zram0";

fn run(program: &str, args: &[&str]) -> Result<(), String> {
    let out = Command::new(program).args(args).output();
    match out {
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(String::from_utf8_lossy(&out.stderr).trim().to_string()),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

fn written_through(path: &Path) -> Map {
    let map = writable(path);
    map.fill_page(4, 0xd15c);
    map
}

/// Written by a descriptor, of a file of which the pages are mapped privately and unchanged:
/// the image has none of them.
fn written_below(path: &Path) -> Map {
    let map = map(path, libc::O_RDONLY, libc::MAP_PRIVATE, libc::PROT_READ);
    let fd = check::need("open", sys::open(&c_path(path), libc::O_WRONLY, 0));
    let page = page_of(0xd15d);
    check::need("pwrite", sys::pwrite(fd, &page, 4 * PAGE));
    check::need("close", sys::close(fd));
    map
}

/// The disk has the bytes that were written through a mapping, or below one.
fn on_the_disk(dir: &Path, name: &str, seed: u64, write: fn(&Path) -> Map) -> Result<(), String> {
    let path = file(dir, name);
    // SAFETY: no arguments.
    unsafe { libc::sync() };
    let desk = Desk::open(name);
    let arrange = || write(&path);
    let found = || {
        // What was read before is not what is there now; nothing is written back.
        let _ = std::fs::write("/proc/sys/vm/drop_caches", "1");
        let disk = std::fs::read(DEVICE).unwrap_or_default();
        disk.chunks(1024).any(|part| part == &page_of(seed)[..1024])
    };
    // Written, and not yet written back.
    let map = arrange();
    if found() {
        return Err("the disk had it before".to_string());
    }
    check::need("munmap", map.unmap());
    image(&desk, arrange, |map| map.page_is(4, seed))?;
    if !found() {
        return Err(format!("{name}: the disk lacks what was written"));
    }
    desk.restarts()
}

fn written_back() -> Case {
    let Ok(size) = std::fs::read_to_string(format!("{CONTROL}/disksize")) else {
        return cases::skip("there is no zram device");
    };
    if size.trim() != "0" {
        return Err("another test has left the zram device in use".to_string());
    }
    check::need("zram", std::fs::write(format!("{CONTROL}/disksize"), "16M"));
    let dir = Path::new("/tmp/ckpt-disk");
    check::need("mkdir", std::fs::create_dir_all(dir));
    let mounted = run("/sbin/mkfs.ext2", &["-q", "-b", "4096", DEVICE])
        .and_then(|()| run("/bin/mount", &["-t", "ext2", DEVICE, "/tmp/ckpt-disk"]));
    let case = match mounted {
        Ok(()) => on_the_disk(dir, "written-back", 0xd15c, written_through)
            .and_then(|()| on_the_disk(dir, "written-below", 0xd15d, written_below))
            .and_then(|()| cases::pass()),
        Err(reason) => cases::skip(reason),
    };
    let _ = run("/bin/umount", &["/tmp/ckpt-disk"]);
    let _ = std::fs::write(format!("{CONTROL}/reset"), "1");
    case
}

/// A reboot leaves the files on the machine's disk: read through a mapping.
fn after_a_reboot(dir: &Path) -> Case {
    let path = dir.join("rebooted");
    let desk_dir = dir.join("reboot");
    check::need("mkdir", std::fs::create_dir_all(&desk_dir));
    if life::variable(life::PHASE) == "reboot" {
        let image = desk_dir.join("kept.img");
        let desk = Desk::open_in(&desk_dir, "kept-again");
        let bytes = check::need("read the image", std::fs::read(image));
        check::need("copy it", sys::pwrite(desk.image, &bytes, 0));
        desk.restarts()?;
        return cases::pass();
    }
    file(dir, "rebooted");
    let desk = Desk::open_in(&desk_dir, "kept");
    let arrange = || map(&path, libc::O_RDONLY, libc::MAP_SHARED, libc::PROT_READ);
    image(&desk, arrange, |map| map.page_is(6, 6))?;
    desk.restarts()?;
    cases::pass()
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    let dir = PathBuf::from(life::variable(life::DIR));
    check::need("mkdir", std::fs::create_dir_all(&dir));
    cases.run("after-a-reboot", || after_a_reboot(&dir));
    if life::variable(life::PHASE) == "reboot" {
        return cases.verdict();
    }
    let here = Path::new("/tmp/ckpt-shared-file");
    check::need("mkdir", std::fs::create_dir_all(here));
    cases.run("the-file-is-the-truth", || the_file_is_the_truth(here));
    cases.run("read-only", || read_only(here));
    cases.run("both-ways", || both_ways(here));
    cases.run("written-back", written_back);
    cases.verdict()
}
