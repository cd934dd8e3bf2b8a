// SPDX-License-Identifier: GPL-2.0

//! Another address space aside, with a way back.
//!
//! Follows exec_mmap() of fs/exec.c, split in two. [`NewMm::begin`] makes a
//! fresh address space the current one and keeps the old; dropping the value
//! goes back; [`NewMm::commit`] lets go of the old one and cannot fail.
//! [`NewMm::join`] does the same with the address space of another process.
//!
//! A task that was made for the restart has no way back: it lets go at once of what it was
//! born with. To unmap files may wait for those who serve them, which nobody can end; only
//! before the commit the others can leave such a task behind.
//!
//! Locks: `exec_update_lock` is held for writing around each switch and never
//! while the new address space is filled, because that reads the image. Others hold it for
//! reading, and may do so for long: whoever is killed gives up, but on the way out of the
//! detour of the commit.

use super::common::Space;
use super::task;
use kernel::bindings;
use kernel::error::to_result;
use kernel::ffi::c_long;
use kernel::prelude::*;

/// The current task runs on a new address space; the old one is kept.
///
/// # Invariants
///
/// The task's `mm` is `new`. Unless `released`, `old` is the address space that the task had,
/// and the value owns the task's reference to it; `old_state` is what says who may look
/// at the old one, and the value owns the task's reference. The new one has its own, and
/// until then counts `kept` pages that are of the old one.
pub(crate) struct NewMm {
    old_state: *mut bindings::task_exec_state,
    old: *mut bindings::mm_struct,
    new: *mut bindings::mm_struct,
    kept: c_long,
    released: bool,
}

fn exec_lock() -> *mut bindings::rw_semaphore {
    // SAFETY: The signal structure lives as long as its tasks.
    unsafe { &raw mut (*task::signal_ptr()).exec_update_lock }
}

/// Ticks that a task which was killed still waits for the lock: most readers are brief, and
/// those who share a robust futex of it hear of its end only if it gets it.
const PATIENCE: u32 = 50;

/// Takes the lock; false when the task was killed and others keep it.
fn lock_or_give_up() -> bool {
    // SAFETY: The signal structure of the current task has the lock; who gets it releases it.
    if unsafe { bindings::down_write_killable(exec_lock()) } == 0 {
        return true;
    }
    (0..PATIENCE).any(|_| {
        super::sched::sleep_tick();
        // SAFETY: As above: the lock is that of the current task's signal structure.
        unsafe { bindings::down_write_trylock(exec_lock()) != 0 }
    })
}

/// An address space that a task has left, and what says who may look at it, if there are any.
/// To unmap files may wait for those who serve them, which nobody can end.
///
/// # Invariants
///
/// The value owns a reference to both, unless they are null.
#[must_use]
pub(crate) struct OldMm(*mut bindings::mm_struct, *mut bindings::task_exec_state);

impl Drop for OldMm {
    fn drop(&mut self) {
        if !self.0.is_null() {
            // SAFETY: The invariants give us the references.
            unsafe {
                bindings::mmput(self.0);
                bindings::put_task_exec_state(self.1);
            }
        }
    }
}

impl NewMm {
    /// Switches to a fresh, empty address space, with a way back or without.
    ///
    /// # Errors
    ///
    /// EBUSY when others share the address space; ENOMEM; EINTR.
    pub(crate) fn begin(goes_back: bool) -> Result<Self> {
        // SAFETY: Looks at the current task only.
        if !unsafe { bindings::current_is_single_threaded() } {
            return Err(EBUSY);
        }
        let old = super::mm::current_mm();
        // SAFETY: Allocates; the result is ours.
        let new = unsafe { bindings::mm_alloc() };
        if new.is_null() {
            return Err(ENOMEM);
        }
        // SAFETY: `new` is known to nobody else until it is entered; the limits are read as
        // exec reads them. The value keeps the old one, whose format only exec changes, in
        // the task itself; the call sets that of the new one, which is current by then.
        unsafe {
            (*new).__bindgen_anon_1.task_size = (*old).__bindgen_anon_1.task_size;
            let rlim = (*task::signal_ptr()).rlim;
            if let Some(stack) = rlim.get(bindings::RLIMIT_STACK as usize) {
                bindings::arch_pick_mmap_layout(new, stack);
            }
            let state = bindings::ckpt_exec_state_copy();
            if state.is_null() {
                bindings::mmput(new);
                return Err(ENOMEM);
            }
            let mut this = Self::enter(new, state, true)?;
            // Who dumps core.
            bindings::set_binfmt((*this.old).__bindgen_anon_1.binfmt);
            if !goes_back {
                drop(this.release());
            }
            Ok(this)
        }
    }

    /// Switches to the address space of another task, with a way back or without.
    ///
    /// # Errors
    ///
    /// EBUSY when others share the own one; ENOMEM; EINTR.
    pub(crate) fn join(space: &Space, goes_back: bool) -> Result<Self> {
        // SAFETY: Looks at the current task only.
        if !unsafe { bindings::current_is_single_threaded() } {
            return Err(EBUSY);
        }
        let (new, state) = space.take();
        // SAFETY: The references are handed over.
        let mut joined = unsafe { Self::enter(new, state, false) }?;
        // Who looks for all tasks with this address space looks at other processes, too.
        super::mm::set_flag(bindings::MMF_MULTIPROCESS, true);
        // SAFETY: Those who share the memory stand still: nobody waits at a futex.
        to_result(unsafe { bindings::ckpt_mm_share() })?;
        if !goes_back {
            drop(joined.release());
        }
        Ok(joined)
    }

    /// # Safety
    ///
    /// References to `new` and `state` are handed over. No task has ever run on a `fresh`
    /// address space.
    unsafe fn enter(
        new: *mut bindings::mm_struct,
        state: *mut bindings::task_exec_state,
        fresh: bool,
    ) -> Result<Self> {
        let old = super::mm::current_mm();
        let (old_state, kept);
        // SAFETY: By the contract. The locks are taken in the order of exec_mmap(). Every
        // error path gives `new` back and releases what was taken.
        unsafe {
            let mut errno = bindings::down_write_killable(exec_lock());
            if errno == 0 {
                errno = bindings::ckpt_mmap_read_lock(old);
                if errno != 0 {
                    bindings::up_write(exec_lock());
                }
            }
            if let Err(errno) = to_result(errno) {
                bindings::mmput(new);
                bindings::put_task_exec_state(state);
                return Err(errno);
            }
            bindings::ckpt_mm_cid_before();
            old_state = bindings::exec_switch_mm(new, state, fresh);
            // Threads may join the new one at any time from here on.
            bindings::ckpt_mm_cid_after();
            kept = bindings::ckpt_mm_keep(new, old);
            bindings::ckpt_mmap_read_unlock(old);
            bindings::up_write(exec_lock());
        }
        Ok(Self {
            old_state,
            old,
            new,
            kept,
            released: false,
        })
    }

    /// Gives up the way back.
    fn release(&mut self) -> OldMm {
        if self.released {
            return OldMm(core::ptr::null_mut(), core::ptr::null_mut());
        }
        self.released = true;
        // SAFETY: The invariants give us both references, which the result takes over. The
        // task runs on the new address space, and has no way back to the returns of probes
        // in the old one.
        unsafe {
            bindings::ckpt_rseq_reset();
            bindings::ckpt_uprobe_free();
            bindings::ckpt_set_hiwater(self.old);
            bindings::ckpt_mm_update_next_owner(self.old);
            bindings::ckpt_mm_kept(self.new, self.kept);
        }
        OldMm(self.old, self.old_state)
    }

    /// Runs what exec runs on the old one: robust futexes, clear_child_tid, and the parent
    /// that waits in vfork. A task that was killed does without when the lock does not come,
    /// as its end wakes the parent. Behind the detour it waits in any case.
    fn leave_old(&mut self) {
        let tsk = task::current_ptr();
        // SAFETY: The invariants say which address space is which. What runs
        // writes to user memory through the task's `mm`, so that the
        // old one is current for its time.
        unsafe {
            if !lock_or_give_up() {
                return;
            }
            bindings::ckpt_mm_cid_before();
            let state = bindings::exec_switch_mm(self.old, self.old_state, false);
            bindings::up_write(exec_lock());
            // May wait for whoever serves the task's memory: without the lock.
            bindings::mm_exit_exec_release(tsk, self.old);
            bindings::down_write(exec_lock());
            self.old_state = bindings::exec_switch_mm(self.new, state, false);
            bindings::futex_exec_done(tsk);
            bindings::ckpt_mm_cid_after();
            bindings::up_write(exec_lock());
        }
    }

    /// Leaves the old address space, which goes with the result. Cannot fail.
    pub(crate) fn commit(mut self) -> OldMm {
        if !self.released {
            self.leave_old();
        }
        let old = self.release();
        // SAFETY: Acts on the current task.
        unsafe { bindings::ckpt_mm_cid_settle() };
        old
    }
}

impl Drop for NewMm {
    fn drop(&mut self) {
        if self.released {
            return;
        }
        let tsk = task::current_ptr();
        // SAFETY: The invariants say which address space is which; `new` goes
        // away with the reference that mm_alloc() gave. Who was killed ends on the new one,
        // and forgets what it had registered in the old one. The fields are the task's own.
        unsafe {
            if !lock_or_give_up() {
                bindings::ckpt_robust_list_set(core::ptr::null_mut());
                (*tsk).clear_child_tid = core::ptr::null_mut();
                return drop(self.release());
            }
            bindings::ckpt_mm_cid_before();
            let state = bindings::exec_switch_mm(self.old, self.old_state, false);
            bindings::ckpt_mm_cid_after();
            bindings::ckpt_rseq_force_update();
            bindings::up_write(exec_lock());
            bindings::put_task_exec_state(state);
            bindings::ckpt_mm_update_next_owner(self.new);
            bindings::ckpt_mm_kept(self.new, self.kept);
            bindings::mmput(self.new);
        }
    }
}
