// SPDX-License-Identifier: GPL-2.0

//! The image through a pipe and through a socket, in whole and in small pieces.
//!
//! The descriptor that the image was written to is part of the task; when it is
//! no file, the restarting task's descriptor of the same number takes its place.
//! A restart takes the image from the stream and nothing behind it.

use std::io::Read;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::process::ExitCode;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::format;
use ckpt_guest::image;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::varies;

/// The image's descriptor in the program that is saved.
const FD: i32 = 9;
/// The image's descriptor in the program that restarts; [`FD`] is /dev/null there.
const FROM: i32 = 8;
/// What follows the image in the stream.
const BEHIND: &[u8] = b"behind the image";
const PAGES: usize = 600;
/// `CR_FILE_KIND_STREAM`.
const STREAM_KIND: u8 = 6;
/// The restart was refused, as it was to be.
const REFUSED: i32 = 5;

type Pair = fn() -> Result<(OwnedFd, OwnedFd), String>;

fn owned(ends: [i32; 2]) -> (OwnedFd, OwnedFd) {
    // SAFETY: both were just opened and belong to nobody else.
    unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) }
}

/// Reading end first.
fn pipe() -> Result<(OwnedFd, OwnedFd), String> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two ints.
    let ret = unsafe { libc::pipe(ends.as_mut_ptr()) };
    sys::libc_result(ret).map_err(|e| format!("pipe: {e}"))?;
    Ok(owned(ends))
}

fn socket() -> Result<(OwnedFd, OwnedFd), String> {
    let mut ends = [0; 2];
    // SAFETY: the kernel writes two ints.
    let ret = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_STREAM, 0, ends.as_mut_ptr()) };
    sys::libc_result(ret).map_err(|e| format!("socketpair: {e}"))?;
    Ok(owned(ends))
}

/// The program that is saved: memory, the call, and its descriptor afterwards.
fn saved() -> i32 {
    let Ok(memory) = Map::anon(PAGES * PAGE) else {
        return 1;
    };
    (0..PAGES).for_each(|page| memory.fill_page(page, page as u64));
    let ret = sys::checkpoint(0, FD, sys::LOG, 2);
    if !(0..PAGES).all(|page| memory.page_is(page, page as u64)) {
        println!("FAILED: memory differs");
        return 2;
    }
    match ret {
        Ok(0) => restarted(),
        Ok(_) => RESUMED,
        Err(errno) => {
            println!("FAILED: checkpoint: {errno}");
            3
        }
    }
}

fn restarted() -> i32 {
    let link = std::fs::read_link(format!("/proc/self/fd/{FD}")).unwrap_or_default();
    if link.as_os_str() != "/dev/null" {
        println!("FAILED: descriptor {FD} is {}", link.display());
        return 4;
    }
    RESTARTED
}

/// Runs `body` in a child in which `end` is the descriptor `fd` and `other` is closed.
fn child(
    end: OwnedFd,
    fd: i32,
    other: &OwnedFd,
    body: impl FnOnce() -> i32,
) -> Result<i32, String> {
    match sys::fork() {
        Ok(0) => {
            let _ = sys::close(other.as_raw_fd());
            let _ = sys::dup_to(end.as_raw_fd(), fd, 0);
            if end.as_raw_fd() != fd {
                let _ = sys::close(end.as_raw_fd());
            }
            sys::exit(body())
        }
        Ok(pid) => Ok(pid),
        Err(errno) => Err(format!("fork: {errno}")),
    }
}

/// Restarts, with such flags of the descriptor that takes the place of the stream.
fn restarts(flags: i32) -> i32 {
    match sys::open(c"/dev/null", libc::O_RDWR, 0) {
        Ok(null) if sys::dup_to(null, FD, flags).is_ok() => {}
        _ => return 1,
    }
    let errno = sys::restart(0, FROM, sys::LOG, 2);
    if flags == libc::O_CLOEXEC && errno.0 == libc::EBADF {
        return REFUSED;
    }
    println!("FAILED: restart: {errno}");
    1
}

/// Saves the program into one end, and reads the image from the other one.
fn image_out_of(pair: Pair) -> Result<Vec<u8>, String> {
    let (reader, writer) = pair()?;
    let pid = child(writer, FD, &reader, saved)?;
    let mut bytes = Vec::new();
    let read = std::fs::File::from(reader).read_to_end(&mut bytes);
    let ended = sys::wait_for(pid, 30);
    read.map_err(|e| e.to_string())?;
    if ended != Ended::Exit(RESUMED) {
        return Err(format!("the checkpoint: {ended:?}"));
    }
    let images = image::split(&bytes)?.len();
    if images != 1 {
        return Err(format!("{images} images were written"));
    }
    Ok(bytes)
}

/// Nothing takes the place of the stream in this image.
fn refused(bytes: &[u8]) -> Result<(), String> {
    let (reader, writer) = pipe()?;
    let pid = child(reader, FROM, &writer, || restarts(libc::O_CLOEXEC))?;
    // It may be gone before it has read all.
    let _ = std::fs::File::from(writer).write_all(bytes);
    match sys::wait_for(pid, 30) {
        Ended::Exit(REFUSED) => Ok(()),
        other => Err(format!("the restart: {other:?}")),
    }
}

/// What execve(2) would close does not get into the program.
fn close_on_exec() -> Case {
    refused(&image_out_of(pipe)?)?;
    pass_with("EBADF".to_string())
}

/// Numbers that the caller's table has no room for.
fn far_numbers() -> Case {
    let bytes = image_out_of(pipe)?;
    let [kind, fd] = ["kind", "stream_fd"].map(|name| varies::field(format::FILE, name));
    let (kind, fd) = (kind.ok_or("no such field")?, fd.ok_or("no such field")?);
    let numbers = [64, 256, 4096, 1 << 20, 1 << 30, 0x7fff_ffbf];
    for number in numbers {
        let mut image = image::Image::parse(&bytes)?;
        let stream = image.records.iter_mut().find(|record| {
            record.kind == format::FILE && record.payload[kind.at.start] == STREAM_KIND
        });
        let stream = stream.ok_or("no stream in the image")?;
        stream.set(fd.at.clone(), number);
        refused(&image.to_bytes()).map_err(|why| format!("{number}: {why}"))?;
    }
    pass_with(format!("{} numbers", numbers.len()))
}

fn through(pair: Pair, piece: usize) -> Case {
    let mut bytes = image_out_of(pair)?;
    let (reader, writer) = pair()?;
    let rest = reader.try_clone().map_err(|e| e.to_string())?;
    let pid = child(reader, FROM, &writer, || restarts(0))?;
    let mut writer = std::fs::File::from(writer);
    let size = bytes.len();
    bytes.extend_from_slice(BEHIND);
    let written = bytes
        .chunks(piece)
        .try_for_each(|chunk| writer.write_all(chunk));
    drop(writer);
    let ended = sys::wait_for(pid, 30);
    if ended != Ended::Exit(RESTARTED) {
        return Err(format!("the restart: {ended:?}, {written:?}"));
    }
    let mut behind = Vec::new();
    std::fs::File::from(rest)
        .read_to_end(&mut behind)
        .map_err(|e| e.to_string())?;
    if behind != BEHIND {
        return Err(format!("{} bytes are left behind the image", behind.len()));
    }
    pass_with(format!("{size} bytes"))
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run("pipe", || through(pipe, 1 << 20));
    cases.run("pipe-in-pieces", || through(pipe, 1777));
    cases.run("socketpair", || through(socket, 1 << 20));
    cases.run("socketpair-in-pieces", || through(socket, 1777));
    cases.run("close-on-exec", close_on_exec);
    cases.run("far-numbers", far_numbers);
    cases.verdict()
}
