// SPDX-License-Identifier: GPL-2.0

//! Victims that share descriptors, directories, memory and handlers by clone(2).

mod futex;
mod memory;
mod outsiders;
mod views;

use ckpt_guest::act::Act;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use self::futex::at_a_futex;
use self::memory::on_memory;
use self::memory::stopped;
use self::outsiders::ended_outsider;
use self::outsiders::io_context;
use self::outsiders::outsiders;
use self::views::descriptors;
use self::views::directories;
use self::views::of_a_thread;
use crate::family::act;

const FILES: i32 = libc::CLONE_FILES;
const FS: i32 = libc::CLONE_FS;
const VM: i32 = libc::CLONE_VM;
const HANDLERS: i32 = libc::CLONE_SIGHAND;

/// How often one waits for another one, 2 ms each time.
const PATIENCE: u32 = 10_000;

/// As fork(2), but for what is shared.
fn clone(flags: i32, body: impl FnOnce() -> Result<(), String>) -> Result<i32, String> {
    let args = [(flags | libc::SIGCHLD) as usize, 0, 0, 0, 0];
    let pid = sys::plain(libc::SYS_clone, &args).map_err(|e| format!("clone: {e}"))?;
    if pid == 0 {
        let done = body();
        if let Err(why) = &done {
            println!("{why}");
        }
        sys::exit(i32::from(done.is_err()));
    }
    Ok(pid as i32)
}

fn until(scene: &Scene, what: &str, mut there: impl FnMut() -> bool) -> Result<(), String> {
    for _ in 0..PATIENCE {
        if there() {
            return Ok(());
        }
        scene.pause(2);
    }
    Err(format!("{what} never came"))
}

fn nap() {
    let time = [0u64, 2_000_000];
    let _ = sys::plain(libc::SYS_nanosleep, &[time.as_ptr() as usize, 0]);
}

/// Victims that share.
pub const ACTS: &[Act] = &[
    act("shared-descriptors", descriptors).all_there(3),
    act("shared-directories", directories).all_there(3),
    act("shared-by-a-thread", of_a_thread).all_there(4),
    act("shared-memory", |scene| on_memory(scene, VM)).there(),
    act("shared-handlers", |scene| on_memory(scene, VM | HANDLERS)).there(),
    act("shared-handlers-stopped", stopped).there(),
    act("shared-memory-futex", at_a_futex).there(),
    act("shared-memory-descriptors", |scene| {
        on_memory(scene, VM | FILES)
    })
    .there(),
    act("shared-memory-umask", |scene| on_memory(scene, VM | FS)).there(),
    act("shared-memory-descriptors-umask", |scene| {
        on_memory(scene, VM | FILES | FS)
    })
    .there(),
    act("shared-handlers-descriptors", |scene| {
        on_memory(scene, VM | HANDLERS | FILES)
    })
    .there(),
    act("shared-handlers-umask", |scene| {
        on_memory(scene, VM | HANDLERS | FS)
    })
    .there(),
    act("shared-all", |scene| {
        on_memory(scene, VM | HANDLERS | FILES | FS)
    })
    .there(),
];

/// Sharing with those who are not in the image.
pub const CASES: &[(&str, crate::stress::Body)] = &[
    ("refused-shared", outsiders),
    ("shared-with-the-ended", ended_outsider),
    ("refused-io-context", io_context),
];
