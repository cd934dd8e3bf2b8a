// SPDX-License-Identifier: GPL-2.0

//! What can be in the way of a checkpoint: what somebody else does with it, the kernel,
//! another process, the processor.

use ckpt_guest::desk::Desk;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;

use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::watch;
use crate::arrange::with_data;
use crate::arrange::Place;
use crate::arrange::Thing;
use crate::sockets::pair;

/// Runs `arrange` in a process that is no child, and `serve` again and again until this one
/// ends.
fn in_another(arrange: impl Fn() -> Result<(), String>, serve: impl Fn()) -> Result<(), String> {
    let me = sys::getpid() as usize;
    let ready = had("pipe", sys::pipe(0))?;
    let ended = sys::in_child(10, || match sys::fork() {
        Ok(0) => {
            let said: &[u8] = if arrange().is_ok() { b"y" } else { b"n" };
            let _ = sys::write(ready[1], said);
            let _ = (sys::close(ready[0]), sys::close(ready[1]));
            while plain(libc::SYS_kill, &[me, 0]).is_ok() {
                serve();
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            sys::exit(0)
        }
        Ok(_) => 0,
        Err(_) => 1,
    });
    let mut said = [0];
    let _ = sys::close(ready[1]);
    let got = sys::read(ready[0], &mut said);
    let _ = sys::close(ready[0]);
    match (ended, got, said) {
        (sys::Ended::Exit(0), Ok(1), [b'y']) => Ok(()),
        other => Err(format!("{other:?}")),
    }
}

/// Somebody's asynchronous read is to signal it.
fn eventfd(_: &Desk) -> Result<Place, String> {
    const IOCB_CMD_POLL: u64 = 5;
    const IOCB_FLAG_RESFD: u64 = 1;
    let events = had("eventfd", plain(libc::SYS_eventfd2, &[0, 0]))?;
    let request = || {
        let pipe = had("pipe", sys::pipe(0))?;
        let mut context = 0usize;
        let args = [8, 0, 0, 0, 0, 0];
        had(
            "io_setup",
            with_data(libc::SYS_io_setup, args, 1, &mut context),
        )?;
        // struct iocb: command, file, events to poll for, flags and eventfd.
        let request = [
            0u64,
            0,
            IOCB_CMD_POLL | (pipe[0] as u64) << 32,
            libc::POLLIN as u64,
            0,
            0,
            0,
            IOCB_FLAG_RESFD | (events as u64) << 32,
        ];
        let mut requests = [request.as_ptr() as usize];
        let args = [context, 1, 0, 0, 0, 0];
        had(
            "io_submit",
            with_data(libc::SYS_io_submit, args, 2, &mut requests),
        )?;
        // The request is all that has it there.
        had("close", sys::close(events as i32)).map(|_| ())
    };
    in_another(request, || ())?;
    Ok(Place::Fd(events as i32))
}

/// An epoll, at a lower descriptor than the stream that it watches. Somebody reads it.
fn epoll_of_the_stream(desk: &Desk) -> Result<Place, String> {
    let epoll = had("epoll", plain(libc::SYS_epoll_create1, &[0]))?;
    let stream = had("pipe", sys::pipe(libc::O_NONBLOCK))?;
    let drain = || {
        let mut buf = [0; 4096];
        while sys::read(stream[0], &mut buf).is_ok_and(|got| got != 0) {}
    };
    in_another(|| Ok(()), drain)?;
    had("close", sys::close(stream[0]))?;
    had("F_SETFL", sys::fcntl(stream[1], libc::F_SETFL, 0))?;
    had("dup2", sys::dup_to(stream[1], desk.image, 0))?;
    let _ = sys::close(stream[1]);
    watch(epoll, desk.image as usize)?;
    had("dup2", sys::dup_to(epoll as i32, 0, 0))?;
    let _ = sys::close(epoll as i32);
    Ok(Place::Nowhere)
}

/// A map of BPF that packets may be sent on to.
fn socket_in_a_map(_: &Desk) -> Result<Place, String> {
    const MAP_CREATE: usize = 0;
    const MAP_UPDATE: usize = 2;
    const SOCKMAP: u32 = 15;
    let ends = pair(libc::SOCK_STREAM)?;
    // Type, bytes of a key and of a value, entries.
    let mut create = [SOCKMAP, 4, 4, 1, 0, 0];
    let args = [MAP_CREATE, 0, size_of_val(&create), 0, 0, 0];
    let map = had("bpf", with_data(libc::SYS_bpf, args, 1, &mut create))?;
    let (key, value) = (0u32, ends[0]);
    let mut update = [
        map as u64,
        (&raw const key) as u64,
        (&raw const value) as u64,
        0,
    ];
    let args = [MAP_UPDATE, 0, size_of_val(&update), 0, 0, 0];
    had("bpf", with_data(libc::SYS_bpf, args, 1, &mut update))?;
    Ok(Place::Fd(ends[0]))
}

/// Nobody calls it.
#[inline(never)]
fn probed() -> usize {
    std::hint::black_box(17)
}

/// A breakpoint of the kernel in the program.
fn uprobe(_: &Desk) -> Result<Place, String> {
    let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
    let kind = read("/sys/bus/event_source/devices/uprobe/type")?;
    let kind: u64 = kind.trim().parse().map_err(|_| "no type of uprobes")?;
    let at = probed as fn() -> usize as usize;
    let hex = |text: &str| usize::from_str_radix(text, 16).ok();
    let offset = read("/proc/self/maps")?.lines().find_map(|line| {
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let (start, end) = (hex(start)?, hex(end)?);
        let offset = hex(rest.split(' ').nth(1)?)?;
        (start..end).contains(&at).then(|| at - start + offset)
    });
    let path = c"/proc/self/exe";
    let mut attr = [0u64; 16];
    attr[0] = kind | 128 << 32;
    attr[7] = path.as_ptr() as u64;
    attr[8] = offset.ok_or("the program is not mapped")? as u64;
    let args = [0, 0, usize::MAX, usize::MAX, 0, 0];
    had(
        "perf_event_open",
        with_data(libc::SYS_perf_event_open, args, 0, &mut attr),
    )?;
    Ok(Place::Nowhere)
}

fn arch_prctl(what: &str, code: usize, arg: usize) -> Result<Place, String> {
    had(what, plain(libc::SYS_arch_prctl, &[code, arg]))?;
    Ok(Place::Nowhere)
}

fn amx(_: &Desk) -> Result<Place, String> {
    const ARCH_REQ_XCOMP_PERM: usize = 0x1023;
    const TILE_DATA: usize = 18;
    arch_prctl("AMX", ARCH_REQ_XCOMP_PERM, TILE_DATA)
}

fn masked_addresses(_: &Desk) -> Result<Place, String> {
    const ARCH_ENABLE_TAGGED_ADDR: usize = 0x4002;
    arch_prctl("address masking", ARCH_ENABLE_TAGGED_ADDR, 6)
}

/// What others do.
pub const THINGS: &[Thing] = &[
    thing(
        "fd-eventfd-signalled",
        eventfd,
        &["an eventfd that the kernel signals"],
    ),
    thing(
        "fd-epoll-of-the-stream",
        epoll_of_the_stream,
        &["an epoll that watches the image's stream"],
    ),
    thing(
        "fd-socket-in-a-map",
        socket_in_a_map,
        &["a socket in a BPF map"],
    ),
    thing("task-uprobe", uprobe, &["uprobes"]),
    thing("task-amx", amx, &["AMX"]),
    thing(
        "task-masked-addresses",
        masked_addresses,
        &["address masking"],
    ),
];
