// SPDX-License-Identifier: GPL-2.0

//! The tasks below a process, as the lists of the kernel have them.
//!
//! Locks: the lists are walked under the tasklist lock, held for reading. Nothing
//! is allocated under it; what does not fit is walked again with more room.

use core::ffi::c_void;
use core::mem::offset_of;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::bindings::task_struct;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::task::Task;

/// What a task of the tree is doing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It runs or sleeps.
    Live,
    /// It is on its way out.
    Ending,
    /// It has ended, as a whole process, and its parent has not asked for it.
    Zombie,
    /// The first thread has ended before others of its process.
    DeadLeader,
}

/// A task as it was seen.
pub(crate) struct Seen {
    pub(crate) task: ARef<Task>,
    pub(crate) state: State,
    /// Numbers in the namespace of the current task; 0 for what is outside of it.
    pub(crate) pid: u32,
    pub(crate) tgid: u32,
    /// Thread id of the parent.
    pub(crate) parent: u32,
    pub(crate) pgid: u32,
    pub(crate) sid: u32,
    pub(crate) exit_signal: u32,
    /// Of a zombie: as wait(2) tells it.
    pub(crate) exit_code: u32,
    pub(crate) subreaper: bool,
    pub(crate) session_leader: bool,
    /// It leaves no zombie.
    pub(crate) autoreap: bool,
    /// Its parent has called execve(2) since, and would get SIGCHLD in place of that.
    pub(crate) old_exit_signal: bool,
    /// Which controlling terminal it has, or 0.
    pub(crate) terminal: usize,
}

impl Seen {
    /// Is it the first thread of its process?
    pub(crate) fn is_process(&self) -> bool {
        self.pid == self.tgid
    }
}

/// A process, whichever of its threads is the first one: a thread that calls execve(2)
/// takes the place of the first one, and its number.
pub(crate) struct Process(NonNull<bindings::pid>);

impl Process {
    /// That of a first thread; `None` when the task is gone.
    pub(crate) fn of(leader: &Task) -> Option<Self> {
        // SAFETY: The task is held; the call takes a reference, which is ours.
        let pid =
            unsafe { bindings::get_task_pid(leader.as_ptr(), bindings::pid_type_PIDTYPE_TGID) };
        NonNull::new(pid).map(Self)
    }

    /// Its number in the namespace of the current task; 0 when the process is gone.
    pub(crate) fn number(&self) -> u32 {
        // SAFETY: We hold the number; the namespace lives with the current task.
        unsafe {
            if !bindings::ckpt_pid_has_process(self.0.as_ptr()) {
                return 0;
            }
            bindings::pid_nr_ns(self.0.as_ptr(), bindings::ckpt_pid_ns()) as u32
        }
    }

    /// The kernel's structure, which lives as long as this value.
    pub(super) fn as_ptr(&self) -> *mut bindings::pid {
        self.0.as_ptr()
    }

    /// Its first thread at this moment; `None` when the process is gone.
    pub(crate) fn first_thread(&self) -> Option<ARef<Task>> {
        // SAFETY: We hold the number; the call takes a reference, which the result
        // adopts. Task is a transparent wrapper of the C structure.
        unsafe {
            let task = bindings::get_pid_task(self.0.as_ptr(), bindings::pid_type_PIDTYPE_TGID);
            NonNull::new(task).map(|task| ARef::from_raw(task.cast()))
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SAFETY: The reference is ours.
        unsafe { bindings::put_pid(self.0.as_ptr()) };
    }
}

/// The first thread of a task's process; `None` when the task is gone.
pub(crate) fn leader(task: &Task) -> Option<ARef<Task>> {
    // SAFETY: The task is held. The leader of a task that was not released was not
    // released either, as long as the lock is held; a reference is taken before it
    // is let go. Task is a transparent wrapper.
    unsafe {
        bindings::ckpt_tasklist_read_lock();
        let leader = (!is_released(task.as_ptr()))
            .then(|| ARef::from(&*(*task.as_ptr()).group_leader.cast::<Task>()));
        bindings::ckpt_tasklist_read_unlock();
        leader
    }
}

/// Calls `f` with each task whose link `offset` bytes into it is in a list, until
/// one fails.
///
/// # Safety
///
/// The tasklist lock is held, and `head` is the head of a list of tasks that are
/// linked at this offset.
pub(super) unsafe fn each(
    head: *const bindings::list_head,
    offset: usize,
    mut f: impl FnMut(*mut task_struct) -> Result,
) -> Result {
    // SAFETY: By the contract; the list does not change under the lock.
    unsafe {
        let mut entry = (*head).next;
        while entry.cast_const() != head {
            f(entry.byte_sub(offset).cast::<task_struct>())?;
            entry = (*entry).next;
        }
    }
    Ok(())
}

/// Calls `f` with each thread of a process.
///
/// # Safety
///
/// The tasklist lock is held, and the process was not released.
pub(super) unsafe fn each_thread(
    leader: *mut task_struct,
    f: impl FnMut(*mut task_struct) -> Result,
) -> Result {
    // SAFETY: By the contract: the signal structure lives with its tasks.
    unsafe {
        let head = &raw const (*(*leader).signal).thread_head;
        each(head, offset_of!(task_struct, thread_node), f)
    }
}

/// Has the task left the lists?
///
/// # Safety
///
/// The task is held.
unsafe fn is_released(task: *const task_struct) -> bool {
    // SAFETY: By the contract; one word.
    unsafe { core::ptr::read_volatile(&raw const (*task).thread_pid).is_null() }
}

struct Walk {
    processes: KVVec<NonNull<task_struct>>,
    seen: KVVec<Seen>,
}

impl Walk {
    fn new(room: usize) -> Result<Self> {
        Ok(Self {
            processes: KVVec::with_capacity(room, GFP_KERNEL)?,
            seen: KVVec::with_capacity(room, GFP_KERNEL)?,
        })
    }

    /// # Safety
    ///
    /// The tasklist lock is held.
    unsafe fn process(&mut self, leader: *mut task_struct) -> Result {
        let leader = NonNull::new(leader).ok_or(ESRCH)?;
        self.processes
            .push_within_capacity(leader)
            .map_err(|_| EAGAIN)
    }

    /// # Safety
    ///
    /// The tasklist lock is held, and the task was not released.
    unsafe fn task(&mut self, task: *mut task_struct) -> Result {
        // SAFETY: By the contract; numbers are looked up under RCU, which the
        // calls take themselves.
        let seen = unsafe { look(task) };
        self.seen.push_within_capacity(seen).map_err(|_| EAGAIN)
    }

    /// # Safety
    ///
    /// The tasklist lock is held, and `top` leads a process.
    unsafe fn run(&mut self, top: *mut task_struct) -> Result {
        // SAFETY: By the contract. All that is reached through the lists of tasks
        // that were not released was not released either.
        unsafe {
            if is_released(top) {
                return Err(ESRCH);
            }
            self.process(top)?;
            let mut next = 0;
            while let Some(leader) = self.processes.get(next).copied() {
                let leader = leader.as_ptr();
                each_thread(leader, |thread| self.task(thread))?;
                each_thread(leader, |thread| {
                    let children = &raw const (*thread).children;
                    each(children, offset_of!(task_struct, sibling), |child| {
                        self.process(child)
                    })
                })?;
                next = next.wrapping_add(1);
            }
        }
        Ok(())
    }
}

/// # Safety
///
/// The tasklist lock is held, and the task was not released.
unsafe fn look(task: *mut task_struct) -> Seen {
    // SAFETY: By the contract: parent, leader and signal structure of such a task
    // are there. Task is a transparent wrapper.
    unsafe {
        let t = &*task;
        let signal = t.signal;
        let id = |task, kind| bindings::ckpt_pid_nr(task, kind) as u32;
        let leads = t.group_leader == task;
        // First: a thread that is killed in execve(2) sets the flag, then takes this back,
        // and a reader of the tasklist lock does not keep it from that.
        let replaced = !core::ptr::read_volatile(&raw const (*signal).group_exec_task).is_null();
        let alone = (*signal).nr_threads == 1;
        let state = if t.exit_state == bindings::EXIT_ZOMBIE as i32 && leads {
            if alone {
                State::Zombie
            } else if (*signal).flags & bindings::SIGNAL_GROUP_EXIT != 0 || replaced {
                // The others are about to follow it, or one of them, which is in
                // execve(2), to take its place.
                State::Ending
            } else {
                State::DeadLeader
            }
        } else if t.exit_state != 0 || t.flags & bindings::PF_EXITING != 0 {
            State::Ending
        } else {
            State::Live
        };
        Seen {
            task: ARef::from(&*task.cast::<Task>()),
            state,
            pid: id(task, bindings::pid_type_PIDTYPE_PID),
            tgid: id(task, bindings::pid_type_PIDTYPE_TGID),
            parent: id(t.real_parent, bindings::pid_type_PIDTYPE_PID),
            pgid: id(task, bindings::pid_type_PIDTYPE_PGID),
            sid: id(task, bindings::pid_type_PIDTYPE_SID),
            exit_signal: u32::try_from(t.exit_signal).unwrap_or(0),
            exit_code: bindings::ckpt_exit_code(task) as u32,
            subreaper: bindings::ckpt_task_is_subreaper(task),
            session_leader: leads && bindings::ckpt_leads_session(task),
            autoreap: bindings::ckpt_is_autoreap(task),
            old_exit_signal: leads && bindings::ckpt_exit_signal_is_old(task),
            terminal: bindings::ckpt_terminal(task) as usize,
        }
    }
}

/// All tasks of a process and of those below it: parents before their children,
/// the threads of a process together, the first one first.
///
/// # Errors
///
/// ESRCH when the task is gone.
pub(crate) fn list(top: &Task) -> Result<KVVec<Seen>> {
    let mut room: usize = 16;
    loop {
        let mut walk = Walk::new(room)?;
        // SAFETY: The lock is held while the lists are walked; the top is held by
        // its reference.
        let done = unsafe {
            bindings::ckpt_tasklist_read_lock();
            let done = walk.run(top.as_ptr());
            bindings::ckpt_tasklist_read_unlock();
            done
        };
        match done {
            Err(errno) if errno == EAGAIN => room = room.checked_mul(2).ok_or(ENOMEM)?,
            done => return done.map(|()| walk.seen),
        }
    }
}

/// Where a task is in memory: its identity while it is held.
pub(crate) fn identity(task: &Task) -> usize {
    task.as_ptr().cast::<c_void>() as usize
}
