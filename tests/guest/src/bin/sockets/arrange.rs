// SPDX-License-Identifier: GPL-2.0

//! What waits in the pairs, which ends are closed, shut or full, and their options.

use ckpt_guest::check;
use ckpt_guest::sys;

use crate::calls::bytes;
use crate::calls::close;
use crate::calls::connect;
use crate::calls::pair;
use crate::calls::put;
use crate::calls::send;
use crate::calls::set;
use crate::calls::shut_down;
use crate::calls::single;
use crate::calls::take_some;
use crate::calls::BIG;
use crate::Arranged;
use crate::SO_PASSPIDFD;
use crate::SO_PASSRIGHTS;

const STREAM: i32 = libc::SOCK_STREAM;
const DGRAM: i32 = libc::SOCK_DGRAM;
const SEQPACKET: i32 = libc::SOCK_SEQPACKET;
const NONBLOCK: i32 = libc::SOCK_NONBLOCK;

/// Fills a socket until nothing more goes in; returns the messages.
fn fill(fd: i32, len: usize) -> usize {
    let mut sent = 0;
    while send(fd, &bytes(len)).is_ok() {
        sent += 1;
    }
    sent
}

/// Streams, messages, closed and shut ends.
pub fn arrange() -> Arranged {
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
        single: single_ones(),
    }
}

/// Those that were never connected, one of them although it was tried.
fn single_ones() -> [i32; 3] {
    let all = [STREAM | NONBLOCK, DGRAM | libc::SOCK_CLOEXEC, SEQPACKET].map(single);
    let tried = connect(all[0], "/nowhere/socket");
    check::same("connect", &Err(sys::Errno(libc::ENOENT)), &tried);
    check::same("disconnect", &Ok(0), &connect(all[1], ""));
    set(all[0], libc::SO_SNDBUF, 40_000);
    set(all[1], libc::SO_RCVTIMEO, [3i64, 500_000]);
    set(all[1], libc::SO_PASSCRED, 1);
    shut_down(all[2], libc::SHUT_WR);
    // SAFETY: a plain call on an open descriptor.
    let owner = unsafe { libc::fchown(all[2], 7, 8) };
    check::need("fchown, as root", sys::libc_result(owner));
    all
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
