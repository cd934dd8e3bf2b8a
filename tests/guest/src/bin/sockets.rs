// SPDX-License-Identifier: GPL-2.0

//! Pairs of local sockets: what waits in them, how they are shut down, their options.

use std::collections::BTreeMap;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Back;
use ckpt_guest::life::Life;
use ckpt_guest::procfs;
use ckpt_guest::procfs::Fd;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;

const STREAM: i32 = libc::SOCK_STREAM;
const DGRAM: i32 = libc::SOCK_DGRAM;
const SEQPACKET: i32 = libc::SOCK_SEQPACKET;
const NONBLOCK: i32 = libc::SOCK_NONBLOCK;
const BIG: usize = 100_000;
const SO_PASSPIDFD: i32 = 76;
const SO_PASSRIGHTS: i32 = 83;
const SO_BUF_LOCK: i32 = 72;

const fn fails(errno: i32) -> sys::Ret {
    Err(Errno(errno))
}

fn pair(kind: i32) -> [i32; 2] {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors.
    let done = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) };
    check::need("socketpair", sys::libc_result(done));
    ends
}

/// Sends without waiting and without a signal.
fn send(fd: i32, bytes: &[u8]) -> sys::Ret {
    let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
    let (at, len) = (bytes.as_ptr() as usize, bytes.len());
    let args = [fd as usize, at, len, flags as usize, 0, 0];
    // SAFETY: the kernel reads the slice only.
    unsafe { sys::raw(libc::SYS_sendto as usize, args) }
}

fn receive(fd: i32, buf: &mut [u8], flags: i32) -> sys::Ret {
    let (at, len) = (buf.as_mut_ptr() as usize, buf.len());
    let flags = (flags | libc::MSG_DONTWAIT) as usize;
    // SAFETY: the kernel writes into the slice only.
    unsafe {
        sys::raw(
            libc::SYS_recvfrom as usize,
            [fd as usize, at, len, flags, 0, 0],
        )
    }
}

fn put(fd: i32, bytes: &[u8]) {
    check::same("bytes sent", &Ok(bytes.len()), &send(fd, bytes));
}

/// Receives once, and compares.
fn take(what: &str, fd: i32, expected: &[u8]) {
    let mut buf = vec![0; BIG * 2];
    let got = receive(fd, &mut buf, 0);
    check::same(&format!("length: {what}"), &Ok(expected.len()), &got);
    check::that(buf.starts_with(expected), format!("bytes: {what}"));
}

fn nothing(what: &str, fd: i32, instead: sys::Ret) {
    check::same(what, &instead, &receive(fd, &mut [0; 8], 0));
}

fn bytes(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Rng::new(len as u64).fill(&mut bytes);
    bytes
}

fn set<T>(fd: i32, option: i32, value: T) {
    let at = (&raw const value).cast();
    let len = size_of::<T>() as u32;
    // SAFETY: the kernel reads the value only.
    let done = unsafe { libc::setsockopt(fd, libc::SOL_SOCKET, option, at, len) };
    check::need(&format!("option {option}"), sys::libc_result(done));
}

fn get<const N: usize>(fd: i32, option: i32) -> Result<[i32; N], Errno> {
    let mut value = [0; N];
    let mut len = size_of_val(&value) as u32;
    let at = (&raw mut value).cast();
    // SAFETY: the kernel writes as many bytes as there is room for.
    let done = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, option, at, &mut len) };
    sys::libc_result(done).map(|_| value)
}

fn shut_down(fd: i32, how: i32) {
    // SAFETY: a plain call.
    let done = unsafe { libc::shutdown(fd, how) };
    check::need("shutdown", sys::libc_result(done));
}

fn close(fd: i32) {
    check::need("close", sys::close(fd));
}

/// Fills a socket until nothing more goes in; returns the messages.
fn fill(fd: i32, len: usize) -> usize {
    let mut sent = 0;
    while send(fd, &bytes(len)).is_ok() {
        sent += 1;
    }
    sent
}

struct Arranged {
    stream: [i32; 2],
    dgram: [i32; 2],
    packets: [i32; 2],
    done: [i32; 2],
    deaf: [i32; 2],
    left: i32,
    reset: [i32; 2],
    lost: i32,
    full: ([i32; 2], usize),
    crowded: ([i32; 2], usize),
    narrow: [i32; 2],
    odd: [i32; 2],
    watched: ([i32; 2], i32),
    twin: i32,
}

/// Streams, messages, closed and shut ends.
fn arrange() -> Arranged {
    let stream = pair(STREAM);
    put(stream[0], b"some ");
    put(stream[0], b"bytes and more");
    put(stream[1], b"the other way");
    take_some(stream[1], 7);

    let dgram = pair(DGRAM | libc::SOCK_CLOEXEC);
    for message in [&b"one"[..], b"", b"three", &bytes(BIG)] {
        put(dgram[1], message);
    }
    put(dgram[0], b"back");
    let packets = pair(SEQPACKET | NONBLOCK);
    for message in [&b"first"[..], &bytes(5000), b"", b"last"] {
        put(packets[0], message);
    }

    let done = pair(STREAM);
    put(done[0], b"last words");
    shut_down(done[0], libc::SHUT_WR);
    put(done[1], b"an answer");
    let deaf = pair(DGRAM);
    put(deaf[1], b"heard");
    shut_down(deaf[0], libc::SHUT_RD);

    let left = pair(STREAM);
    put(left[1], b"left");
    close(left[1]);
    let reset = [STREAM, SEQPACKET].map(|kind| {
        let ends = pair(kind);
        put(ends[1], b"all");
        put(ends[0], b"unread");
        close(ends[1]);
        ends[0]
    });
    let lost = pair(DGRAM);
    put(lost[1], b"late");
    close(lost[1]);

    let full = pair(STREAM | NONBLOCK);
    let sent = fill(full[0], 3000);
    let crowded = pair(DGRAM);
    let messages = fill(crowded[0], 10);
    // What waits is more than would go in now.
    let narrow = pair(SEQPACKET);
    put(narrow[0], &bytes(BIG));
    set(narrow[0], libc::SO_SNDBUF, 1000);
    let odd = options();

    let watched = pair(STREAM);
    put(watched[1], b"x");
    let epoll = check::need("epoll", sys::plain(libc::SYS_epoll_create1, &[0])) as i32;
    for (fd, events) in [
        (watched[0], libc::EPOLLIN),
        (watched[1], libc::EPOLLIN | libc::EPOLLET),
    ] {
        let mut event = libc::epoll_event {
            events: events as u32,
            u64: fd as u64,
        };
        // SAFETY: a structure of ours.
        let done = unsafe { libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, fd, &mut event) };
        check::need("epoll_ctl", sys::libc_result(done));
    }
    let twin = check::need("dup", sys::dup_to(stream[1], 90, libc::O_CLOEXEC)) as i32;
    Arranged {
        stream,
        dgram,
        packets,
        done,
        deaf,
        left: left[0],
        reset,
        lost: lost[0],
        full: (full, sent),
        crowded: (crowded, messages),
        narrow,
        odd,
        watched: (watched, epoll),
        twin,
    }
}

/// A pair with all options, owner and permissions that it can have.
fn options() -> [i32; 2] {
    let odd = pair(STREAM);
    set(odd[0], libc::SO_SNDBUF, 30_000);
    set(odd[0], libc::SO_RCVBUF, 20_000);
    set(odd[1], libc::SO_SNDBUFFORCE, 50_000_000);
    set(odd[0], libc::SO_RCVTIMEO, [7i64, 250_000]);
    // No time at all.
    set(odd[1], libc::SO_SNDTIMEO, [-1i64, 0]);
    set(odd[0], libc::SO_RCVLOWAT, 5);
    set(odd[1], libc::SO_KEEPALIVE, 1);
    set(odd[1], libc::SO_OOBINLINE, 1);
    set(odd[1], libc::SO_BROADCAST, 1);
    set(odd[1], SO_PASSRIGHTS, 0);
    put(odd[1], b"peeked and not");
    // These change what is sent with messages, and stand behind them.
    set(odd[0], libc::SO_PEEK_OFF, 2);
    set(odd[0], libc::SO_PASSCRED, 1);
    set(odd[0], SO_PASSPIDFD, 1);
    // SAFETY: plain calls on an open descriptor.
    let owner = unsafe { libc::fchown(odd[0], 7, 8) };
    check::need("fchown, as root", sys::libc_result(owner));
    // SAFETY: as above.
    let mode = unsafe { libc::fchmod(odd[1], 0o640) };
    check::need("fchmod", sys::libc_result(mode));
    odd
}

fn take_some(fd: i32, len: usize) {
    let mut buf = vec![0; len];
    check::same("some", &Ok(len), &receive(fd, &mut buf, 0));
}

type Options = Vec<(i32, Result<[i32; 4], Errno>)>;

/// Every descriptor: sockets with their options, owner, permissions and bytes.
fn table() -> BTreeMap<i32, (Fd, Options, [u32; 3], i32)> {
    let options = [
        libc::SO_TYPE,
        libc::SO_DOMAIN,
        libc::SO_SNDBUF,
        libc::SO_RCVBUF,
        SO_BUF_LOCK,
        libc::SO_RCVTIMEO,
        libc::SO_SNDTIMEO,
        libc::SO_RCVLOWAT,
        libc::SO_PEEK_OFF,
        libc::SO_KEEPALIVE,
        libc::SO_OOBINLINE,
        libc::SO_BROADCAST,
        libc::SO_PASSCRED,
        SO_PASSPIDFD,
        SO_PASSRIGHTS,
        libc::SO_ACCEPTCONN,
    ];
    let mut all = BTreeMap::new();
    for (fd, mut entry) in procfs::descriptors() {
        let is_socket = entry.link.starts_with("socket:");
        let mut found = Vec::new();
        let mut unread = 0;
        if is_socket {
            entry.link = "a socket".to_string();
            found = options.map(|option| (option, get(fd, option))).to_vec();
            // SAFETY: the kernel writes a number.
            let _ = unsafe { libc::ioctl(fd, libc::FIONREAD, &mut unread) };
        }
        entry.pos = None;
        // SAFETY: zeros are a valid structure, which the call fills.
        let mut st: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let _ = unsafe { libc::fstat(fd, &mut st) };
        let attributes = [st.st_mode, st.st_uid, st.st_gid];
        all.insert(fd, (entry, found, attributes, unread));
    }
    all
}

fn verify(a: &Arranged) {
    let again = fails(libc::EAGAIN);
    let (input, output) = (libc::POLLIN, libc::POLLOUT);
    put(a.stream[1], b" and on");
    take("a stream", a.stream[0], b"the other way and on");
    take("the rest", a.twin, b"tes and more");
    nothing("the stream holds more", a.stream[1], again);

    for message in [&b"one"[..], b"", b"three", &bytes(BIG)] {
        take("a datagram", a.dgram[0], message);
    }
    nothing("more datagrams", a.dgram[0], again);
    take("a datagram back", a.dgram[1], b"back");
    // The rest of a message is dropped.
    take_some(a.packets[1], 2);
    take("a long packet", a.packets[1], &bytes(5000));
    take("an empty packet", a.packets[1], b"");
    take("the last packet", a.packets[1], b"last");
    nothing("more packets", a.packets[1], again);

    take("last words", a.done[1], b"last words");
    nothing("behind them", a.done[1], Ok(0));
    check::same(
        "send when shut down",
        &fails(libc::EPIPE),
        &send(a.done[0], b"x"),
    );
    take("an answer", a.done[0], b"an answer");
    put(a.done[1], b"one more");
    take("one more answer", a.done[0], b"one more");
    take("heard before", a.deaf[0], b"heard");
    check::same(
        "send to the deaf",
        &fails(libc::EPIPE),
        &send(a.deaf[1], b"x"),
    );
    put(a.deaf[0], b"still speaks");
    take("from the deaf", a.deaf[1], b"still speaks");

    let hup = input | libc::POLLHUP;
    check::same("poll without peer", &hup, &sys::poll(a.left, input));
    take("left behind", a.left, b"left");
    nothing("end of file", a.left, Ok(0));
    check::same("send to nobody", &fails(libc::EPIPE), &send(a.left, b"x"));
    let err = hup | libc::POLLERR;
    check::same("poll when reset", &err, &sys::poll(a.reset[0], input));
    take("before the reset", a.reset[0], b"all");
    nothing("reset", a.reset[0], fails(libc::ECONNRESET));
    nothing("behind the reset", a.reset[0], Ok(0));
    nothing("packets reset", a.reset[1], fails(libc::ECONNRESET));
    take("the packet before", a.reset[1], b"all");
    nothing("behind the packet", a.reset[1], Ok(0));
    take("a late datagram", a.lost, b"late");
    check::same(
        "a datagram to nobody",
        &fails(libc::ECONNREFUSED),
        &send(a.lost, b"x"),
    );

    let ([from, to], sent) = a.full;
    check::same("poll of a full socket", &0, &sys::poll(from, output));
    check::same("send to a full socket", &again, &send(from, b"x"));
    let mut got = Vec::new();
    let mut buf = vec![0; BIG];
    while let Ok(len @ 1..) = receive(to, &mut buf, 0) {
        got.extend_from_slice(&buf[..len]);
    }
    check::that(got == bytes(3000).repeat(sent), "what was in a full socket");
    check::same("poll of a socket", &output, &sys::poll(from, output));
    let ([from, to], sent) = a.crowded;
    check::same("send to a crowd", &again, &send(from, b"x"));
    (0..sent).for_each(|_| take("of a crowd", to, &bytes(10)));
    nothing("behind the crowd", to, again);
    take("a wide message", a.narrow[1], &bytes(BIG));
    check::same(
        "another wide message",
        &fails(libc::EMSGSIZE),
        &send(a.narrow[0], &bytes(BIG)),
    );

    verify_options(a);
    let (watched, epoll) = a.watched;
    let events = || {
        let mut told = [libc::epoll_event { events: 0, u64: 0 }; 4];
        // SAFETY: room for four.
        let nr = unsafe { libc::epoll_wait(epoll, told.as_mut_ptr(), 4, 0) };
        told[..nr.max(0) as usize]
            .iter()
            .map(|event| ({ event.u64 }, { event.events }))
            .collect::<Vec<_>>()
    };
    let ready = |fd: i32| (fd as u64, libc::EPOLLIN as u32);
    check::same("epoll", &vec![ready(watched[0])], &events());
    put(watched[0], b"y");
    let mut both = events();
    both.sort_unstable();
    let mut expected = watched.map(ready).to_vec();
    expected.sort_unstable();
    check::same("epoll of both", &expected, &both);
    take("watched", watched[0], b"x");
    check::same("epoll of none", &Vec::new(), &events());
    close(watched[1]);
    check::that(!events().is_empty(), "epoll of an end without peer");
}

fn verify_options(a: &Arranged) {
    let [odd, other] = a.odd;
    let mut buf = [0; 4];
    let peeked = receive(odd, &mut buf, libc::MSG_PEEK);
    check::same("peeked", &(Ok(4), *b"eked"), &(peeked, buf));
    take("all of it", odd, b"peeked and not");
    // Each has credentials now.
    put(other, b"who");
    let mut control = [0u64; 8];
    let mut text = [0u8; 8];
    let mut vec = libc::iovec {
        iov_base: text.as_mut_ptr().cast(),
        iov_len: text.len(),
    };
    // SAFETY: zeros are a valid structure.
    let mut msg: libc::msghdr = unsafe { std::mem::zeroed() };
    (msg.msg_iov, msg.msg_iovlen) = (&mut vec, 1);
    (msg.msg_control, msg.msg_controllen) = (control.as_mut_ptr().cast(), 64);
    // SAFETY: the structure points to room of ours.
    let got = unsafe { libc::recvmsg(odd, &mut msg, libc::MSG_DONTWAIT) };
    check::same("bytes with credentials", &3, &got);
    let [head, pid] = [control[1], control[2] & 0xffff_ffff];
    let rights = libc::SOL_SOCKET as u64 | (libc::SCM_CREDENTIALS as u64) << 32;
    check::same("credentials", &(rights, sys::getpid() as u64), &(head, pid));
    let maker = get::<3>(a.stream[0], libc::SO_PEERCRED);
    check::same("who has made it", &Ok([sys::getpid(), 0, 0]), &maker);
}

fn main() -> ExitCode {
    let life = Life::start();
    let arranged = arrange();
    let before = table();

    let back: Back = life.checkpoint();

    for (fd, is) in table() {
        check::same(&format!("descriptor {fd}"), &before.get(&fd), &Some(&is));
    }
    verify(&arranged);
    check::detail(format!("{back:?}, {} descriptors", before.len()));
    check::verdict()
}
