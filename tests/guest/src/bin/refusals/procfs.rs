// SPDX-License-Identifier: GPL-2.0

//! Files of processes in procfs that cannot be opened again.

use ckpt_guest::desk::Desk;
use ckpt_guest::life::c_path;
use ckpt_guest::sys;

use crate::arrange::fd;
use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::Place;
use crate::arrange::Thing;

fn open(path: &str) -> Result<Place, String> {
    let opened = sys::open(&c_path(path.as_ref()), libc::O_RDONLY, 0);
    fd(path, opened.map(|fd| fd as usize))
}

fn of_a_thread(_: &Desk) -> Result<Place, String> {
    open("/proc/thread-self/stat")
}

fn of_a_descriptor(_: &Desk) -> Result<Place, String> {
    open("/proc/self/fdinfo/0")
}

fn outside(_: &Desk) -> Result<Place, String> {
    open("/proc/1/stat")
}

/// The memory of a child, which ends with us.
fn memory_of_a_child(_: &Desk) -> Result<Place, String> {
    let child = had("fork", sys::fork())?;
    if child == 0 {
        let _ = sys::prctl(libc::PR_SET_PDEATHSIG, &[libc::SIGKILL as usize]);
        loop {
            let _ = sys::plain(libc::SYS_pause, &[]);
        }
    }
    open(&format!("/proc/{child}/maps"))
}

fn directory(_: &Desk) -> Result<Place, String> {
    std::env::set_current_dir("/proc/self").map_err(|e| e.to_string())?;
    Ok(Place::Nowhere)
}

/// Files in procfs.
pub const THINGS: &[Thing] = &[
    thing("proc-thread", of_a_thread, &["this file of a process"]),
    thing(
        "proc-descriptor",
        of_a_descriptor,
        &["this file of a process"],
    ),
    thing("proc-outside", outside, &["that is not in the image"]),
    thing("proc-memory", memory_of_a_child, &["other memory than"]),
    thing(
        "proc-directory",
        directory,
        &["current directory in procfs"],
    ),
];
