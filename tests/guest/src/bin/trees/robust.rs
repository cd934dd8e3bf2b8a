// SPDX-License-Identifier: GPL-2.0

//! Victims that wait for a robust mutex whose owner dies without giving it back.

use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use ckpt_guest::act::Act;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;

use crate::family::act;
use crate::family::child;

/// A mutex in shared memory, and whether somebody has it.
#[derive(Clone, Copy)]
struct Shared {
    at: usize,
}

fn done(what: &str, errno: i32) -> Result<(), String> {
    match errno {
        0 => Ok(()),
        errno => Err(format!("{what}: {}", sys::Errno(errno))),
    }
}

impl Shared {
    fn new(sharing: i32) -> Result<Self, String> {
        let spec = Spec {
            flags: libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            ..Spec::default()
        };
        let map = Map::new(spec).map_err(|e| format!("mmap: {e}"))?;
        let shared = Self { at: map.addr };
        // SAFETY: the attributes are ours; the mutex is in a mapping that stays.
        unsafe {
            let mut how: libc::pthread_mutexattr_t = std::mem::zeroed();
            done("mutexattr", libc::pthread_mutexattr_init(&mut how))?;
            let robust = libc::PTHREAD_MUTEX_ROBUST;
            done(
                "robust",
                libc::pthread_mutexattr_setrobust(&mut how, robust),
            )?;
            let set = libc::pthread_mutexattr_setpshared(&mut how, sharing);
            done("pshared", set)?;
            done("init", libc::pthread_mutex_init(shared.mutex(), &how))?;
        }
        Ok(shared)
    }

    fn mutex(self) -> *mut libc::pthread_mutex_t {
        self.at as *mut _
    }

    fn is_held(&self) -> &AtomicU32 {
        // SAFETY: far behind the mutex in a mapping that stays, and zero at first.
        unsafe { &*((self.at + PAGE / 2) as *const AtomicU32) }
    }

    /// Takes the mutex, and says so.
    fn take(self) -> Result<(), String> {
        // SAFETY: the mutex was made, and stays.
        done("lock", unsafe { libc::pthread_mutex_lock(self.mutex()) })?;
        self.is_held().store(1, SeqCst);
        Ok(())
    }

    /// Waits for a mutex that another one has, until that one has died.
    fn inherit(self, scene: &Scene) -> Result<(), String> {
        while self.is_held().load(SeqCst) == 0 {
            scene.pause(1);
        }
        scene.announce();
        // SAFETY: the mutex was made, and stays.
        unsafe {
            match libc::pthread_mutex_lock(self.mutex()) {
                libc::EOWNERDEAD => {}
                other => return Err(format!("lock: {}", sys::Errno(other))),
            }
            done("consistent", libc::pthread_mutex_consistent(self.mutex()))?;
            done("unlock", libc::pthread_mutex_unlock(self.mutex()))?;
            done("lock again", libc::pthread_mutex_lock(self.mutex()))?;
            done("unlock again", libc::pthread_mutex_unlock(self.mutex()))
        }
    }
}

/// A thread has it, and ends.
fn of_a_thread(scene: &Scene) -> Result<(), String> {
    let shared = Shared::new(libc::PTHREAD_PROCESS_PRIVATE)?;
    thread::scope(|scope| {
        let owner = scope.spawn(|| {
            shared.take()?;
            scene.wait();
            Ok::<(), String>(())
        });
        shared.inherit(scene)?;
        owner.join().map_err(|_| "it panicked")?
    })
}

/// A child has it, and is killed.
fn of_a_child(scene: &Scene) -> Result<(), String> {
    let shared = Shared::new(libc::PTHREAD_PROCESS_SHARED)?;
    let owner = child(|| {
        shared.take()?;
        scene.wait();
        let _ = sys::signal_self(libc::SIGKILL);
        Ok(())
    })?;
    shared.inherit(scene)?;
    match sys::wait_for(owner, 20) {
        Ended::Signal(libc::SIGKILL) => Ok(()),
        other => Err(format!("the owner ended with {other:?}")),
    }
}

/// Victims that wait for a mutex of the dead.
pub const ACTS: &[Act] = &[
    act("robust-mutex-of-a-thread", of_a_thread).there(),
    act("robust-mutex-of-a-child", of_a_child).there(),
];
