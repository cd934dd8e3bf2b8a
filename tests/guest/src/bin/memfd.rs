// SPDX-License-Identifier: GPL-2.0

//! Files in memory without a name: memfd with contents, seals, permissions, positions and
//! mappings; unlinked files of tmpfs, as shm_unlink(3) and sem_open(3) leave them.

use std::ffi::CStr;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::c_path;
use ckpt_guest::life::Life;
use ckpt_guest::mem::page_of;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::mem::RW;
use ckpt_guest::procfs;
use ckpt_guest::procfs::Text;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;
use ckpt_guest::sys::Errno;

const PAGES: usize = 16;
const SEALING: u32 = libc::MFD_ALLOW_SEALING;

fn memfd(name: &CStr, flags: u32) -> i32 {
    let args = [name.as_ptr() as usize, flags as usize];
    check::need("memfd_create", plain(libc::SYS_memfd_create, &args)) as i32
}

fn resize(fd: i32, bytes: usize) -> sys::Ret {
    plain(libc::SYS_ftruncate, &[fd as usize, bytes])
}

fn chmod(fd: i32, mode: usize) -> sys::Ret {
    plain(libc::SYS_fchmod, &[fd as usize, mode])
}

fn seal(fd: i32, seals: i32) -> sys::Ret {
    sys::fcntl(fd, libc::F_ADD_SEALS, seals as usize)
}

/// A memfd of [`PAGES`] pages of which every other one has contents.
fn filled(name: &CStr, flags: u32) -> i32 {
    let fd = memfd(name, flags);
    check::need("ftruncate", resize(fd, PAGES * PAGE));
    for page in (0..PAGES).step_by(2) {
        let bytes = page_of(page as u64);
        check::need("pwrite", sys::pwrite(fd, &bytes, page * PAGE));
    }
    fd
}

/// Whether the pages of [`filled`] are there, and the others are holes.
fn is_filled(fd: i32) -> bool {
    (0..PAGES).all(|page| {
        let mut bytes = [1; PAGE];
        let got = sys::pread(fd, &mut bytes, page * PAGE);
        let good = match page % 2 {
            0 => bytes == page_of(page as u64),
            _ => bytes == [0; PAGE],
        };
        got == Ok(PAGE) && good
    })
}

fn mapped(fd: i32, flags: i32, prot: i32) -> Map {
    let spec = Spec {
        len: PAGES * PAGE,
        prot,
        flags,
        fd,
        ..Spec::default()
    };
    check::need("mmap", Map::new(spec))
}

/// Size, blocks, permissions, owner.
fn attributes(fd: i32) -> (i64, i64, u32, u32, u32) {
    // SAFETY: plain numbers.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel fills the structure.
    let got = sys::libc_result(unsafe { libc::fstat(fd, &mut st) });
    check::need("fstat", got);
    (st.st_size, st.st_blocks, st.st_mode, st.st_uid, st.st_gid)
}

/// Another open file of the same object.
fn again(fd: i32, flags: i32) -> i32 {
    let path = c_path(std::path::Path::new(&format!("/proc/self/fd/{fd}")));
    check::need("open", sys::open(&path, flags, 0))
}

/// What an unlinked file of tmpfs is called without its mount.
fn last_name(link: &str) -> String {
    link.rsplit('/').next().unwrap_or_default().to_string()
}

struct Sealed {
    fd: i32,
    seals: sys::Ret,
}

fn sealed(name: &CStr, seals: i32) -> Sealed {
    let fd = filled(name, SEALING);
    check::need("F_ADD_SEALS", seal(fd, seals));
    let seals = sys::fcntl(fd, libc::F_GET_SEALS, 0);
    Sealed { fd, seals }
}

fn main() -> ExitCode {
    let life = Life::start();
    let plain_one = filled(c"plain", 0);
    let odd = memfd(c"a/b c", libc::MFD_CLOEXEC | SEALING);
    check::need("write", sys::write(odd, b"five\n"));
    check::need("fchmod", chmod(odd, 0o640));
    // SAFETY: numbers only.
    let chown = sys::libc_result(unsafe { libc::fchown(odd, 12, 34) });
    let reader = again(odd, libc::O_RDONLY);
    let appender = again(odd, libc::O_WRONLY | libc::O_APPEND);
    let shared_with = check::need("dup", sys::dup_to(plain_one, 300, 0)) as i32;
    check::need("lseek", sys::lseek(plain_one, 12345, libc::SEEK_SET));
    let empty = memfd(c"", 0);
    let all = [
        sealed(c"shrink", libc::F_SEAL_SHRINK | libc::F_SEAL_GROW),
        sealed(c"seal", libc::F_SEAL_SEAL),
        sealed(c"write", libc::F_SEAL_WRITE),
        sealed(c"future", libc::F_SEAL_FUTURE_WRITE),
    ];
    let frozen = mapped(all[2].fd, libc::MAP_SHARED, libc::PROT_READ);
    let noexec = memfd(c"noexec", 8);

    // Mapped writable before it was sealed; another one after that, which is private.
    let late = filled(c"late", SEALING);
    let early_map = mapped(late, libc::MAP_SHARED, RW);
    check::need(
        "F_ADD_SEALS",
        seal(late, libc::F_SEAL_FUTURE_WRITE | libc::F_SEAL_SEAL),
    );
    let late_seals = sys::fcntl(late, libc::F_GET_SEALS, 0);

    // Mapped in three ways, and closed.
    let closed = filled(c"closed", 0);
    let shared = mapped(closed, libc::MAP_SHARED, RW);
    let second = mapped(closed, libc::MAP_SHARED, libc::PROT_READ);
    let private = mapped(closed, libc::MAP_PRIVATE, RW);
    private.fill_page(3, 333);
    shared.fill_page(5, 555);
    check::need("close", sys::close(closed));

    // As shm_open(3) and shm_unlink(3): one descriptor, one mapping.
    let path = std::path::Path::new("/dev/shm/ckpt-memfd");
    let _ = std::fs::create_dir_all("/dev/shm");
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
    let posix = check::need("open", sys::open(&c_path(path), flags, 0o600));
    check::need("ftruncate", resize(posix, PAGES * PAGE));
    let region = mapped(posix, libc::MAP_SHARED, RW);
    region.fill_page(1, 111);
    check::need("unlink", std::fs::remove_file(path));
    let in_memory = attributes(posix).1 > 0;

    let odd_fds = [odd, reader, appender];
    let every = [
        plain_one, odd, empty, all[0].fd, all[1].fd, all[2].fd, all[3].fd, noexec, late, posix,
    ];
    let was: Vec<_> = every.iter().map(|fd| attributes(*fd)).collect();
    let descriptors = procfs::descriptors();
    let (mut before, mut after) = (Text::with_room(1 << 20), Text::with_room(1 << 20));
    before.read(c"/proc/self/smaps");
    before.read(c"/proc/self/smaps");

    let back = life.checkpoint();

    after.read(c"/proc/self/smaps");
    let no_mount = |text: &str| text.replace("/dev/shm/ckpt", "/ckpt");
    procfs::same_mappings(&no_mount(before.text()), &no_mount(after.text()));
    for (fd, was) in every.iter().zip(&was) {
        check::same(&format!("attributes of {fd}"), was, &attributes(*fd));
    }
    let now = procfs::descriptors();
    for fd in every.iter().chain(&odd_fds).chain([&shared_with]) {
        let (Some(old), Some(new)) = (descriptors.get(fd), now.get(fd)) else {
            check::fail(format!("descriptor {fd} is gone"));
            continue;
        };
        check::same(&format!("flags of {fd}"), &old.flags, &new.flags);
        check::same(&format!("position of {fd}"), &old.pos, &new.pos);
        let names = [&old.link, &new.link].map(|link| last_name(link));
        check::same(&format!("name of {fd}"), &names[0], &names[1]);
    }
    check::that(is_filled(plain_one), "contents");
    // A duplicate shares the position, another open file does not.
    check::need("lseek", sys::lseek(plain_one, 7, libc::SEEK_SET));
    let at = |fd| sys::lseek(fd, 0, libc::SEEK_CUR);
    check::same("position of the duplicate", &Ok(7), &at(shared_with));
    check::need("write", sys::write(appender, b"more"));
    let mut text = [0; 16];
    let got = sys::pread(reader, &mut text, 0);
    check::same("what was appended", &Ok(9), &got);
    check::that(&text[..9] == b"five\nmore", "appended text");
    check::same("position of the first", &Ok(5), &at(odd));
    check::same(
        "writing by the reader",
        &Err(Errno(libc::EBADF)),
        &sys::write(reader, b"x"),
    );
    seals_hold(&all, &frozen);
    check::same(
        "late seals",
        &late_seals,
        &sys::fcntl(late, libc::F_GET_SEALS, 0),
    );
    early_map.fill_page(1, 1000);
    check::that(early_map.page_is(1, 1000), "a mapping older than the seal");
    let fresh = Map::new(Spec {
        flags: libc::MAP_SHARED,
        fd: late,
        ..Spec::default()
    });
    check::that(fresh.is_err(), "a new writable mapping");
    check::same(
        "making it executable",
        &Err(Errno(libc::EPERM)),
        &chmod(noexec, 0o777),
    );
    check::that(shared.page_is(5, 555) && second.page_is(5, 555), "shared");
    check::that(private.page_is(3, 333) && shared.page_is_zero(3), "private");
    check::that(private.page_is(4, 4), "a clean page of the private mapping");
    second_sees(&shared, &second, 6);
    check::that(region.page_is(1, 111) && region.page_is_zero(0), "region");
    region.fill_page(2, 222);
    let mut bytes = [0; PAGE];
    check::need("pread", sys::pread(posix, &mut bytes, 2 * PAGE));
    check::that(bytes == page_of(222), "the descriptor sees the mapping");
    check::detail(format!(
        "{back:?}; chown {}; {}",
        chown.is_ok(),
        if in_memory { "tmpfs" } else { "no blocks" }
    ));
    check::verdict()
}

fn second_sees(shared: &Map, second: &Map, page: usize) {
    shared.fill_page(page, 666);
    check::that(second.page_is(page, 666), "one object behind two mappings");
}

fn seals_hold(all: &[Sealed], frozen: &Map) {
    for one in all {
        let now = sys::fcntl(one.fd, libc::F_GET_SEALS, 0);
        check::same(&format!("seals of {}", one.fd), &one.seals, &now);
        check::that(is_filled(one.fd), format!("contents of {}", one.fd));
    }
    let denied = Err(Errno(libc::EPERM));
    check::same("shrinking", &denied, &resize(all[0].fd, 1));
    check::same("growing", &denied, &resize(all[0].fd, 1 << 20));
    check::same("sealing", &denied, &seal(all[1].fd, libc::F_SEAL_GROW));
    check::same("writing", &denied, &sys::write(all[2].fd, b"x"));
    check::same("writing later", &denied, &sys::write(all[3].fd, b"x"));
    check::that(frozen.page_is(2, 2), "a mapping of what is not written to");
    check::that(frozen.protect(RW).is_err(), "it cannot be made writable");
}
