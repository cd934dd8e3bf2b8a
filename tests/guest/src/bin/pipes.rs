// SPDX-License-Identifier: GPL-2.0

//! Pipes: what is in them, how much fits, who has which end.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::c_path;
use ckpt_guest::life::Back;
use ckpt_guest::life::Life;
use ckpt_guest::procfs;
use ckpt_guest::procfs::Fd;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;

const PAGE: usize = 4096;
const BIG: usize = 100_000;
const AGAIN: sys::Ret = Err(Errno(libc::EAGAIN));
const PIPE: sys::Ret = Err(Errno(libc::EPIPE));

struct Arranged {
    stream: [i32; 2],
    packets: [i32; 2],
    full: [i32; 2],
    tiny: [i32; 2],
    big: [i32; 2],
    no_writer: i32,
    no_reader: i32,
    /// One more end that reads, one that does both.
    more: [i32; 3],
    both: i32,
    spliced: [i32; 2],
}

fn pipe(flags: i32) -> [i32; 2] {
    check::need("pipe", sys::pipe(flags))
}

fn put(fd: i32, bytes: &[u8]) {
    check::same("bytes written", &Ok(bytes.len()), &sys::write(fd, bytes));
}

fn open(path: &std::path::Path, flags: i32) -> i32 {
    check::need("open", sys::open(&c_path(path), flags, 0))
}

fn resize(fd: i32, bytes: usize) {
    check::need("F_SETPIPE_SZ", sys::fcntl(fd, libc::F_SETPIPE_SZ, bytes));
}

fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(len as u64).fill(&mut bytes);
    bytes
}

fn splice(life: &Life, to: i32) {
    let path = life.file("spliced");
    check::need("write a file", std::fs::write(&path, bytes(6000)));
    let file = check::need("open", std::fs::File::open(&path));
    let from = file.as_raw_fd() as usize;
    let args = [from, 0, to as usize, 0, 6000, 0];
    check::same("splice", &Ok(6000), &sys::plain(libc::SYS_splice, &args));
}

fn arrange(life: &Life) -> Arranged {
    let stream = pipe(0);
    put(stream[1], b"some ");
    put(stream[1], b"bytes and more");
    let mut taken = [0; 5];
    check::need("read", sys::read(stream[0], &mut taken));
    check::need(
        "F_SETFL",
        sys::fcntl(stream[0], libc::F_SETFL, libc::O_NONBLOCK as usize),
    );

    let packets = pipe(libc::O_DIRECT | libc::O_NONBLOCK | libc::O_CLOEXEC);
    for packet in [&b"one"[..], &b"two"[..], &bytes(5000)] {
        put(packets[1], packet);
    }
    // Not a packet any more, and not added to one.
    check::need(
        "F_SETFL",
        sys::fcntl(packets[1], libc::F_SETFL, libc::O_NONBLOCK as usize),
    );
    put(packets[1], b"stream");

    let full = pipe(libc::O_NONBLOCK);
    resize(full[1], PAGE);
    put(full[1], &bytes(PAGE));
    let tiny = pipe(libc::O_DIRECT | libc::O_NONBLOCK);
    resize(tiny[1], 4 * PAGE);
    (0..4).for_each(|i| put(tiny[1], &[i]));
    let big = pipe(0);
    resize(big[1], 1 << 18);
    put(big[1], &bytes(BIG));

    let half = pipe(libc::O_CLOEXEC);
    put(half[1], b"last words");
    check::need("close", sys::close(half[1]));
    let closed = pipe(0);
    check::need("close", sys::close(closed[0]));

    let shared = pipe(0);
    put(shared[1], b"shared");
    let again = format!("/proc/self/fd/{}", shared[0]);
    let more = open(again.as_ref(), libc::O_RDONLY | libc::O_NONBLOCK);
    let both = open(again.as_ref(), libc::O_RDWR | libc::O_CLOEXEC);
    let dup = check::need("dup", sys::dup_to(shared[1], 77, libc::O_CLOEXEC)) as i32;
    // SAFETY: plain calls on an open descriptor.
    check::need(
        "fchown, as root",
        sys::libc_result(unsafe { libc::fchown(dup, 7, 8) }),
    );
    // SAFETY: as above.
    check::need(
        "fchmod",
        sys::libc_result(unsafe { libc::fchmod(dup, 0o640) }),
    );

    let spliced = pipe(0);
    splice(life, spliced[1]);
    Arranged {
        stream,
        packets,
        full,
        tiny,
        big,
        no_writer: half[0],
        no_reader: closed[1],
        more: [shared[0], more, dup],
        both,
        spliced,
    }
}

/// Every descriptor; a pipe is named after its first one. With capacity and attributes.
fn table() -> BTreeMap<i32, (Fd, sys::Ret, [u32; 3])> {
    let mut first = BTreeMap::new();
    let mut all = BTreeMap::new();
    for (fd, mut entry) in procfs::descriptors() {
        if entry.link.starts_with("pipe:") {
            let name = *first.entry(entry.link.clone()).or_insert(fd);
            entry.link = format!("pipe of {name}");
        }
        entry.pos = None;
        // SAFETY: zeros are a valid structure, which the call fills.
        let mut st: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let _ = unsafe { libc::fstat(fd, &mut st) };
        let size = sys::fcntl(fd, libc::F_GETPIPE_SZ, 0);
        all.insert(fd, (entry, size, [st.st_mode, st.st_uid, st.st_gid]));
    }
    all
}

/// Reads once, and compares.
fn take(what: &str, fd: i32, expected: &[u8]) {
    let mut buf = vec![0; BIG * 2];
    let got = sys::read(fd, &mut buf);
    check::same(&format!("length: {what}"), &Ok(expected.len()), &got);
    check::that(buf.starts_with(expected), format!("bytes: {what}"));
}

fn empty(what: &str, fd: i32) {
    check::need(
        "F_SETFL",
        sys::fcntl(fd, libc::F_SETFL, libc::O_NONBLOCK as usize),
    );
    check::same(what, &AGAIN, &sys::read(fd, &mut [0; 8]));
}

fn verify(a: &Arranged) {
    let (input, output) = (libc::POLLIN, libc::POLLOUT);
    // What is written now is added behind what is there, in the same page.
    put(a.stream[1], b" behind");
    take("stream", a.stream[0], b"bytes and more behind");
    empty("the stream holds more", a.stream[0]);

    take("first packet", a.packets[0], b"one");
    // The rest of a packet is dropped.
    let mut little = [0; 1];
    check::same(
        "part of a packet",
        &Ok(1),
        &sys::read(a.packets[0], &mut little),
    );
    let long = bytes(5000);
    take("long packet", a.packets[0], &long[..PAGE]);
    take("its end", a.packets[0], &long[PAGE..]);
    take("behind the packets", a.packets[0], b"stream");
    put(a.packets[1], b"more");
    take("behind all of it", a.packets[0], b"more");

    check::same("poll of a full pipe", &0, &sys::poll(a.full[1], output));
    check::same("write to a full pipe", &AGAIN, &sys::write(a.full[1], b"x"));
    take("full pipe", a.full[0], &bytes(PAGE));
    check::same("poll of a pipe", &output, &sys::poll(a.full[1], output));
    check::same(
        "write to small packets",
        &AGAIN,
        &sys::write(a.tiny[1], b"x"),
    );
    (0..4).for_each(|i| take("small packet", a.tiny[0], &[i]));
    take("large pipe", a.big[0], &bytes(BIG));
    put(a.big[1], b"more");
    take("behind the large pipe", a.big[0], b"more");

    let hup = input | libc::POLLHUP;
    check::same("poll without writer", &hup, &sys::poll(a.no_writer, input));
    take("last words", a.no_writer, b"last words");
    take("end of file", a.no_writer, b"");
    let err = output | libc::POLLERR;
    check::same("poll without reader", &err, &sys::poll(a.no_reader, output));
    check::same(
        "write without reader",
        &PIPE,
        &sys::write(a.no_reader, b"x"),
    );

    let [reader, more, writer] = a.more;
    take("another end", more, b"shared");
    put(writer, b"again");
    take("the end for both", a.both, b"again");
    // Once the others are closed only the last one is left.
    empty("shared", reader);
    check::need("close", sys::close(a.both));
    put(writer, b"x");
    take("the first end", reader, b"x");

    take("spliced pages", a.spliced[0], &bytes(6000));
    check::need("close", sys::close(a.spliced[1]));
    take("behind the last writer", a.spliced[0], b"");
}

fn main() -> ExitCode {
    let life = Life::start();
    let arranged = arrange(&life);
    let before = table();

    let back: Back = life.checkpoint();

    check::same_table(&before, &table());
    verify(&arranged);
    check::detail(format!("{back:?}, {} descriptors", before.len()));
    check::verdict()
}
