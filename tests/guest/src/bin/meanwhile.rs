// SPDX-License-Identifier: GPL-2.0

//! What others do to the files of a restart while it still reads the image.

use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::desk::Desk;
use ckpt_guest::format;
use ckpt_guest::image;
use ckpt_guest::life::c_path;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;

/// The first byte behind a record of this kind, the first or the last one.
fn behind(desk: &Desk, kind: i16, last: bool) -> Result<usize, String> {
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let spans = image::spans(&bytes)?;
    let mut all = spans.iter().filter(|span| span.kind == kind);
    let found = if last { all.next_back() } else { all.next() };
    found
        .map(|span| span.all.end)
        .ok_or(format!("no {}", format::type_name(kind)))
}

fn new_path(name: &str) -> PathBuf {
    let path = Path::new("/tmp").join(format!("meanwhile-{name}"));
    let _ = std::fs::remove_file(&path);
    path
}

/// Takes what is in a FIFO, and leaves a page of a file that it may only read.
fn exchange(fifo: &Path, file: &Path) -> Result<i32, String> {
    let open = |path: &Path, flags| sys::open(&c_path(path), flags, 0);
    let end = open(fifo, libc::O_RDWR | libc::O_NONBLOCK).map_err(|e| format!("fifo: {e}"))?;
    let mut buf = [0; PAGE];
    match sys::read(end, &mut buf) {
        Err(Errno(libc::EAGAIN)) => {}
        other => return Err(format!("something is in the FIFO already: {other:?}")),
    }
    let file = open(file, libc::O_RDONLY).map_err(|e| format!("file: {e}"))?;
    let args = [file as usize, 0, end as usize, 0, PAGE, 0];
    plain(libc::SYS_splice, &args).map_err(|e| format!("splice: {e}"))?;
    Ok(end)
}

/// Nothing is in a FIFO before all is, and nobody can have put something else there: what
/// may be added to a buffer would be written to the page of a file.
fn fifo() -> Case {
    let (desk, fifo, file) = (Desk::open("fifo"), new_path("fifo"), new_path("file"));
    let text = c_path(&fifo);
    // SAFETY: a C string.
    let made = unsafe { libc::mkfifo(text.as_ptr(), 0o640) };
    sys::libc_result(made).map_err(|e| format!("mkfifo: {e}"))?;
    std::fs::write(&file, [7; PAGE]).map_err(|e| e.to_string())?;
    desk.make(|| {
        let end = sys::open(&text, libc::O_RDWR, 0).unwrap_or(-1);
        let _ = sys::write(end, &[1; PAGE + 100]);
    })?;
    let mut end = -1;
    let first = behind(&desk, format::PIPE_DATA, false)?;
    let ended = desk.restart_in_two(first, |_| {
        end = exchange(&fifo, &file)?;
        Ok(())
    })?;
    let said = desk.said();
    let _ = sys::write(end, &[9; 100]);
    if std::fs::read(&file).map_err(|e| e.to_string())? != [7; PAGE] {
        return Err("the file has changed".to_string());
    }
    if ended != Ended::Exit(1) || !said.contains("a FIFO is in use: /tmp/meanwhile-fifo") {
        return Err(format!("{ended:?}: {said}"));
    }
    let _ = sys::close(end);
    desk.restarts()?;
    pass_with(said)
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    cases.run_in_child("fifo", 60, fifo);
    cases.verdict()
}
