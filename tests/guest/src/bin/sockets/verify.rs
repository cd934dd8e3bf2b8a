// SPDX-License-Identifier: GPL-2.0

//! What the pairs must hold and do when the program is back.

use ckpt_guest::check;
use ckpt_guest::sys;
use ckpt_guest::sys::Errno;

use crate::calls::bytes;
use crate::calls::close;
use crate::calls::connect;
use crate::calls::get;
use crate::calls::nothing;
use crate::calls::put;
use crate::calls::receive;
use crate::calls::send;
use crate::calls::take;
use crate::calls::take_some;
use crate::calls::BIG;
use crate::Arranged;

const fn fails(errno: i32) -> sys::Ret {
    Err(Errno(errno))
}

pub fn verify(a: &Arranged) {
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
    verify_single_ones(a.single);
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

fn verify_single_ones(all: [i32; 3]) {
    let [stream, dgram, packets] = all;
    for fd in all {
        let maker = get::<3>(fd, libc::SO_PEERCRED);
        check::same("nobody has made it", &Ok([0, -1, -1]), &maker);
    }
    let hup = libc::POLLOUT | libc::POLLHUP;
    let events = libc::POLLIN | libc::POLLOUT;
    check::same("poll of a new stream", &hup, &sys::poll(stream, events));
    check::same("send", &fails(libc::ENOTCONN), &send(stream, b"x"));
    check::same("send, shut", &fails(libc::ENOTCONN), &send(packets, b"x"));
    nothing("in a new one", dgram, fails(libc::EAGAIN));
    // They can still become what they are for.
    let path = format!("/tmp/sockets-{}", sys::getpid());
    let _ = std::fs::remove_file(&path);
    let listener = std::os::unix::net::UnixListener::bind(&path);
    let listener = check::need("bind", listener.map_err(|e| e.to_string()));
    check::same("connect", &Ok(0), &connect(stream, &path));
    let (mut other, _) = check::need("accept", listener.accept().map_err(|e| e.to_string()));
    put(stream, b"hello");
    let mut text = [0; 5];
    let got = std::io::Read::read_exact(&mut other, &mut text);
    check::same("hello", &(true, *b"hello"), &(got.is_ok(), text));
    let _ = std::fs::remove_file(&path);
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
