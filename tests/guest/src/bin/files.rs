// SPDX-License-Identifier: GPL-2.0

//! Descriptors: files at random offsets, duplicates that share a position, flags.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::c_path;
use ckpt_guest::life::Back;
use ckpt_guest::life::Life;
use ckpt_guest::procfs;
use ckpt_guest::procfs::Fd;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;

const FILES: usize = 20;
const SIZE: u64 = 10_000;

/// Descriptors that are opened by path: what, flags.
const OTHERS: &[(&str, i32)] = &[
    ("/dev/null", libc::O_RDWR),
    ("/dev/zero", libc::O_RDONLY),
    ("/dev/full", libc::O_WRONLY),
    ("/dev/random", libc::O_RDONLY | libc::O_NONBLOCK),
    ("/dev/urandom", libc::O_RDONLY | libc::O_CLOEXEC),
    ("/", libc::O_RDONLY | libc::O_DIRECTORY),
    ("/proc", libc::O_PATH),
    ("/etc/passwd", libc::O_PATH | libc::O_CLOEXEC),
    ("/etc/passwd", libc::O_RDONLY | libc::O_NOFOLLOW),
];

/// Terminals that are there again after a reboot: the first of them that can be opened is
/// open in two ways.
const TERMINALS: [&str; 3] = ["/dev/tty1", "/dev/hvc0", "/dev/ttyS0"];
const WAYS: [i32; 2] = [
    libc::O_RDWR | libc::O_NOCTTY,
    libc::O_WRONLY | libc::O_NOCTTY | libc::O_NONBLOCK | libc::O_CLOEXEC,
];

/// Access and status flags of the test's own files.
const MODES: [i32; 6] = [
    libc::O_RDWR,
    libc::O_RDONLY,
    libc::O_WRONLY,
    libc::O_RDWR | libc::O_APPEND,
    libc::O_RDWR | libc::O_NONBLOCK | libc::O_CLOEXEC,
    libc::O_WRONLY | libc::O_SYNC,
];

struct Arranged {
    /// Descriptors that share a position.
    groups: Vec<Vec<i32>>,
    /// A second, independent open of the first file.
    other: i32,
    /// The file that is appended to.
    appending: i32,
    /// Descriptors of a terminal.
    terminals: Vec<i32>,
}

/// Opens a terminal by its path. Not every machine that this program is tried on has one.
fn terminals(life: &Life) -> Vec<i32> {
    for path in TERMINALS {
        let path = CString::new(path).unwrap_or_default();
        let opened = WAYS.map(|flags| sys::open(&path, flags, 0));
        if let [Ok(one), Ok(two)] = opened {
            return vec![one, two];
        }
    }
    check::that(life.dry(), "no terminal can be opened");
    Vec::new()
}

/// Device numbers of descriptors that are terminals, as far as they are.
fn devices(terminals: &[i32]) -> Vec<Option<u64>> {
    let device = |fd: &i32| {
        let path = format!("/proc/self/fd/{fd}");
        let found = std::fs::metadata(path).ok()?;
        let mut settings = std::mem::MaybeUninit::uninit();
        // SAFETY: the C library writes one structure of this type.
        let answers = unsafe { libc::tcgetattr(*fd, settings.as_mut_ptr()) } == 0;
        answers.then(|| found.rdev())
    };
    terminals.iter().map(device).collect()
}

fn arrange(life: &Life) -> Arranged {
    let mut rng = Rng::new(77);
    let mut groups = Vec::new();
    for i in 0..FILES {
        let path = life.file(&format!("f{i}"));
        let mut bytes = vec![0; SIZE as usize];
        Rng::new(i as u64).fill(&mut bytes);
        check::need("write a file", std::fs::write(&path, bytes));
        let fd = check::need("open", sys::open(&c_path(&path), MODES[i % MODES.len()], 0));
        check::need(
            "lseek",
            sys::lseek(fd, rng.below(2 * SIZE) as i64, libc::SEEK_SET),
        );
        let mut group = vec![fd];
        for _ in 0..rng.below(3) {
            let to = 40 + rng.below(150) as i32;
            let cloexec = if rng.one_in(2) { libc::O_CLOEXEC } else { 0 };
            if sys::fcntl(to, libc::F_GETFD, 0).is_err() {
                check::need("dup", sys::dup_to(fd, to, cloexec));
                group.push(to);
            }
        }
        groups.push(group);
    }
    let first = c_path(&life.file("f0"));
    let other = check::need("open", sys::open(&first, libc::O_RDWR, 0));
    for (path, flags) in OTHERS {
        let path = CString::new(*path).unwrap_or_default();
        check::need("open", sys::open(&path, *flags, 0));
    }
    let subdir = life.file("subdir");
    check::need("mkdir", std::fs::create_dir_all(&subdir));
    check::need("open", sys::open(&c_path(&subdir), libc::O_DIRECTORY, 0));
    check::need("a high descriptor", sys::dup_to(other, 1000, 0));
    Arranged {
        appending: groups[3][0],
        groups,
        other,
        terminals: terminals(life),
    }
}

fn position(fd: i32) -> sys::Ret {
    sys::lseek(fd, 0, libc::SEEK_CUR)
}

/// Moving one descriptor of a group moves all of it, and nothing else.
fn positions_are_shared(arranged: &Arranged) {
    for (i, group) in arranged.groups.iter().enumerate() {
        let to = 100 + i;
        check::need("lseek", sys::lseek(group[0], to as i64, libc::SEEK_SET));
        for fd in group {
            check::same(
                &format!("position of {fd} in {group:?}"),
                &Ok(to),
                &position(*fd),
            );
        }
    }
    for (i, group) in arranged.groups.iter().enumerate() {
        check::same(
            &format!("position of {group:?}"),
            &Ok(100 + i),
            &position(group[0]),
        );
    }
    check::need("lseek", sys::lseek(arranged.other, 5, libc::SEEK_SET));
    check::same("position of the duplicate 1000", &Ok(5), &position(1000));
    let first = arranged.groups[0][0];
    check::same("an independent open moved", &Ok(100), &position(first));
}

fn contents(life: &Life, arranged: &Arranged) {
    // Appending goes to the end, wherever the position is.
    check::need("lseek", sys::lseek(arranged.appending, 0, libc::SEEK_SET));
    let size = |name: &str| std::fs::metadata(life.file(name)).map_or(0, |m| m.len());
    let before = size("f3");
    check::need("write", sys::write(arranged.appending, b"appended"));
    check::same("size after appending", &(before + 8), &size("f3"));
    // Reading goes on where it was.
    let mut expected = vec![0; SIZE as usize];
    Rng::new(0).fill(&mut expected);
    let mut got = [0; 32];
    check::need(
        "lseek",
        sys::lseek(arranged.groups[0][0], 777, libc::SEEK_SET),
    );
    check::need("read", sys::read(arranged.groups[0][0], &mut got));
    check::that(
        got == expected[777..809],
        "what is read from the first file",
    );
}

fn table(life: &Life) -> BTreeMap<i32, Fd> {
    let mut all = procfs::descriptors();
    // The test's own output and image move on.
    for fd in [1, 2, life.image()] {
        all.entry(fd).and_modify(|fd| fd.pos = None);
    }
    all
}

fn main() -> ExitCode {
    let life = Life::start();
    let arranged = arrange(&life);
    let before = table(&life);
    let terminals = devices(&arranged.terminals);
    check::that(!terminals.contains(&None), "a terminal that is none");

    let back = life.checkpoint();

    check::same_table(&before, &table(&life));
    check::same("terminals", &terminals, &devices(&arranged.terminals));
    positions_are_shared(&arranged);
    contents(&life, &arranged);
    if back == Back::Restarted {
        let end = std::fs::metadata(life.dir().with_extension("img")).map_or(0, |m| m.len());
        check::same(
            "position behind the image",
            &Ok(end as usize),
            &position(life.image()),
        );
    }
    let terminal = arranged.terminals.first().and_then(|fd| before.get(fd));
    check::detail(format!(
        "{back:?}, {} descriptors, {}",
        before.len(),
        terminal.map_or("no terminal", |fd| &fd.link)
    ));
    check::verdict()
}
