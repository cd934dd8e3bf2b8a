// SPDX-License-Identifier: GPL-2.0

//! Tasks that are made for a restart, and their place in the family.
//!
//! A new task runs a [`Visit`] on its way to user mode, where it never was. Until a
//! process is linked into the family it reaps itself: when a restart fails, nobody
//! has to wait for it.

use super::ids;
use super::ids::Orphan;
use super::park::Host;
use super::park::Visit;
use super::task;
use super::tree;
use core::ffi::c_void;
use kernel::bindings;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::sync::aref::ARef;
use kernel::sync::Arc;
use kernel::task::Task;

/// What a new process has of its maker: nothing but copies.
const PROCESS: u64 =
    bindings::CLONE_UNTRACED as u64 | bindings::ckpt_flag_CKPT_CLONE_AUTOREAP as u64;
/// What threads of a process have in common.
const THREAD: u64 = bindings::CLONE_UNTRACED as u64
    | bindings::CLONE_VM as u64
    | bindings::CLONE_FS as u64
    | bindings::CLONE_FILES as u64
    | bindings::CLONE_SIGHAND as u64
    | bindings::CLONE_THREAD as u64
    | bindings::CLONE_SYSVSEM as u64;

/// What is made.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A child process of the current one, with copies of all it has.
    Process,
    /// A thread of the current process.
    Thread,
}

/// # Safety
///
/// Runs first in a new task; `visit` is a reference of a [`Visit`] that was given
/// away for this.
unsafe extern "C" fn begin<T: Host>(visit: *mut c_void) -> i32 {
    // SAFETY: By the contract. The flag belongs to the maker, who was quiet.
    let visit = unsafe {
        bindings::ckpt_quiet_leave(0);
        Arc::from_raw(visit.cast_const().cast::<Visit<T>>())
    };
    // It can fail only for a task that is exiting, and this one has not begun.
    if Visit::send(&visit, current!()).is_err() {
        drop(visit);
        // SAFETY: Nothing of this frame is left to be dropped.
        unsafe { bindings::do_exit(0) }
    }
    0
}

/// Makes a task that goes on this visit first of all. All its signals are blocked.
///
/// # Errors
///
/// EEXIST when the id is taken, EPERM when the caller may not choose it; those of
/// clone(2).
pub(crate) fn make<T: Host>(
    visit: &Arc<Visit<T>>,
    kind: Kind,
    pid: Option<u32>,
) -> Result<ARef<Task>> {
    ids::take(pid, || make_now(visit, kind, pid))
}

fn make_now<T: Host>(visit: &Arc<Visit<T>>, kind: Kind, pid: Option<u32>) -> Result<ARef<Task>> {
    let mut wanted = pid.unwrap_or(0) as i32;
    let given = visit.clone().into_raw();
    let mut args = bindings::kernel_clone_args {
        flags: match kind {
            Kind::Process => PROCESS,
            Kind::Thread => THREAD,
        },
        fn_: Some(begin::<T>),
        fn_arg: given.cast::<c_void>().cast_mut(),
        ..Default::default()
    };
    if pid.is_some() {
        args.set_tid = &raw mut wanted;
        args.set_tid_size = 1;
    }
    // A signal would have the call fail, and a fork is no place for handlers: the
    // new task has nothing yet that they need.
    let _masked = super::signal::BlockAll::enter();
    // SAFETY: The arguments live for the time of the call. The reference is given
    // to the new task if there is one.
    let made = unsafe { bindings::kernel_clone(&mut args) };
    if made < 0 {
        // SAFETY: There is no new task: the reference is ours again.
        drop(unsafe { Arc::<Visit<T>>::from_raw(given) });
        to_result(made as i32)?;
    }
    // It may have been killed at once, and its id be somebody else's.
    let task = super::park::find(made as i32).ok_or(ESRCH)?;
    // SAFETY: The task is held; the words are only compared.
    let ours = unsafe {
        let t = task.as_ptr();
        match kind {
            Kind::Process => (*t).real_parent == task::current_ptr(),
            Kind::Thread => (*t).signal == task::signal_ptr(),
        }
    };
    ours.then_some(task).ok_or(ESRCH)
}

/// Kills the process of a task.
pub(crate) fn kill(task: &Task) {
    super::park::signal(task, bindings::SIGKILL);
}

/// Has the task ended, so that nobody finds it any more? Its id is free soon: see
/// [`ids::Id::is_free`].
pub(crate) fn is_gone(task: &Task) -> bool {
    // SAFETY: The task is held; one word that becomes NULL for good.
    unsafe { core::ptr::read_volatile(&raw const (*task.as_ptr()).thread_pid).is_null() }
}

/// Is the process on its way out, or about to be?
pub(crate) fn is_dying(task: &Task) -> bool {
    // SAFETY: The task is held, and its signal structure with it; one word, in which
    // the bit is set for good.
    let flags = unsafe { core::ptr::read_volatile(&raw const (*(*task.as_ptr()).signal).flags) };
    flags & bindings::SIGNAL_GROUP_EXIT != 0
}

/// Is the process a zombie?
pub(crate) fn is_zombie(task: &Task) -> bool {
    // SAFETY: The task is held; one word.
    let state = unsafe { core::ptr::read_volatile(&raw const (*task.as_ptr()).exit_state) };
    state == bindings::EXIT_ZOMBIE as i32
}

/// A process group or a session.
#[derive(Clone, Copy)]
pub(crate) enum Group<'a> {
    /// The one that the process was born in.
    Born,
    /// That of this process.
    Of(&'a Task),
    /// That of a leader who is gone, by its place among the orphans.
    Orphan(usize),
}

/// Where a new process belongs.
pub(crate) struct Place<'a> {
    pub(crate) child: &'a Task,
    pub(crate) parent: &'a Task,
    /// Signal for the parent when it ends.
    pub(crate) exit_signal: u32,
    pub(crate) group: Group<'a>,
    pub(crate) session: Group<'a>,
    pub(crate) subreaper: bool,
    pub(crate) session_leader: bool,
    /// It leaves no zombie.
    pub(crate) autoreap: bool,
    /// It is to end at once: its parent hears nothing of that.
    pub(crate) ends: bool,
}

/// Links new processes into the family. Parents before children; does the current
/// process, which is the first one, adopt orphans?
///
/// Whoever is killed from here on leaves a zombie to its parent, which is told. Follows
/// reparent_leader(), setpgid(2) and setsid(2).
///
/// # Errors
///
/// ESRCH when one of them has ended: nothing has changed.
pub(crate) fn link(
    subreaper: bool,
    places: &[Place<'_>],
    orphans: &mut [Orphan],
    mut unused: Unused,
) -> Result {
    // SAFETY: The tasklist lock is held for writing, under which parents, groups,
    // sessions and lists of threads change; all tasks are held, and those that are
    // touched were not released. The groups that are left stay in use by the current
    // task, unless it was moved meanwhile.
    unsafe {
        bindings::ckpt_tasklist_write_lock();
        // It would have left nothing: nobody was its parent yet.
        if places
            .iter()
            .any(|place| is_gone(place.child) || (*place.child.as_ptr()).exit_state != 0)
        {
            bindings::ckpt_tasklist_write_unlock();
            return Err(ESRCH);
        }
        // Those below inherit it.
        bindings::ckpt_set_subreaper(task::current_ptr(), subreaper);
        for place in places {
            let (child, parent) = (place.child.as_ptr(), place.parent.as_ptr());
            let alive = (*parent).exit_state == 0 && (*parent).flags & bindings::PF_EXITING == 0;
            bindings::ckpt_set_subreaper(child, place.subreaper);
            if alive {
                // The closure does not fail.
                let _ = tree::each_thread(child, |thread| {
                    (*thread).real_parent = parent;
                    if (*thread).ptrace == 0 {
                        (*thread).parent = parent;
                    }
                    (*thread).parent_exec_id = (*parent).self_exec_id;
                    Ok(())
                });
                bindings::ckpt_list_move_tail(
                    &raw mut (*child).sibling,
                    &raw mut (*parent).children,
                );
                bindings::ckpt_inherit_subreaper(child, parent);
            }
            for (kind, group) in [
                (bindings::pid_type_PIDTYPE_SID, place.session),
                (bindings::pid_type_PIDTYPE_PGID, place.group),
            ] {
                let born = kind == bindings::pid_type_PIDTYPE_SID;
                let mut used = None;
                let pid = match group {
                    Group::Born if born => continue,
                    // Somebody may have moved the current task since the birth.
                    Group::Born => bindings::ckpt_group(),
                    Group::Of(leader) => (*leader.as_ptr()).thread_pid,
                    Group::Orphan(at) => match orphans.get_mut(at) {
                        Some(orphan) => {
                            let pid = orphan.pid;
                            used = Some(orphan);
                            pid
                        }
                        None => continue,
                    },
                };
                // Somebody may have moved the current task, so that nobody has the id
                // any more that the child was born with.
                if let Some(slots) = unused.next() {
                    bindings::change_pid(slots, child, kind, pid);
                    if let Some(orphan) = used {
                        orphan.used = true;
                    }
                }
            }
            // A zombie would take the terminal of its session along, and so would a
            // second leader of the session that it was born in.
            let own = !matches!(place.session, Group::Born);
            bindings::ckpt_set_leads_session(child, place.session_leader && own && !place.ends);
            bindings::ckpt_set_autoreap(child, place.autoreap && !place.ends);
            (*child).exit_signal = if place.ends {
                0
            } else {
                place.exit_signal as i32
            };
        }
        bindings::ckpt_tasklist_write_unlock();
    }
    Ok(())
}

const KINDS: usize = bindings::pid_type_PIDTYPE_MAX as usize;

/// Room for ids that nobody has any more: they cannot be freed under the lock.
pub(crate) struct Unused {
    slots: KVVec<[*mut bindings::pid; KINDS]>,
    next: usize,
}

impl Unused {
    /// For so many processes, each of which changes its session and its group.
    pub(crate) fn new(processes: usize) -> Result<Self> {
        let none = [core::ptr::null_mut(); KINDS];
        let mut slots = KVVec::new();
        slots.resize(processes.saturating_mul(2), none, GFP_KERNEL_ACCOUNT)?;
        Ok(Self { slots, next: 0 })
    }

    /// Room for one change.
    fn next(&mut self) -> Option<*mut *mut bindings::pid> {
        let slot = self.slots.get_mut(self.next)?;
        self.next = self.next.saturating_add(1);
        Some(slot.as_mut_ptr())
    }
}

impl Drop for Unused {
    fn drop(&mut self) {
        for slot in &mut self.slots {
            // SAFETY: What is in it was put there by change_pid(): nobody has it any
            // more. No lock is held.
            unsafe { bindings::free_pids(slot.as_mut_ptr()) };
        }
    }
}

/// Gives a process that has ended its last values. Cannot fail.
pub(crate) fn lay_out(task: &Task, exit_signal: u32, session_leader: bool) {
    // SAFETY: The tasklist lock is held for writing; the task is held.
    unsafe {
        bindings::ckpt_tasklist_write_lock();
        if !is_gone(task) {
            // One that was reparented meanwhile has the signal of that.
            if (*task.as_ptr()).exit_signal == 0 {
                (*task.as_ptr()).exit_signal = exit_signal as i32;
            }
            // Not before it has left the terminal.
            let leads = session_leader && is_zombie(task);
            bindings::ckpt_set_leads_session(task.as_ptr(), leads);
        }
        bindings::ckpt_tasklist_write_unlock();
    }
}

/// Leaves the terminal of the maker's session.
pub(crate) fn leave_terminal() {
    // SAFETY: Acts on the current process, under its signal lock.
    unsafe { bindings::proc_clear_tty(task::current_ptr()) };
}

/// Has a scheduling group of its own, as the leader of a new session.
pub(crate) fn own_autogroup() {
    // SAFETY: Acts on the current process, and takes the locks it needs.
    unsafe { bindings::ckpt_own_autogroup() };
}

/// A reference to the current task.
pub(crate) fn myself() -> ARef<Task> {
    ARef::from(&**current!())
}
