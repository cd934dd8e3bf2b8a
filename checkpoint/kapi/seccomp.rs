// SPDX-License-Identifier: GPL-2.0

//! Filters of system calls: those of the current task, and new ones.

use crate::format::seccomp::SockFilter;
use core::ptr::NonNull;
use kernel::bindings;
use kernel::error::from_err_ptr;
use kernel::prelude::*;

const _: () = assert!(size_of::<SockFilter>() == size_of::<bindings::sock_filter>());
const _: () = assert!(align_of::<SockFilter>() >= align_of::<bindings::sock_filter>());

/// The mode of the current task, as prctl(2) tells it.
pub(crate) fn mode() -> u32 {
    // SAFETY: Looks at the current task; the mode is one word.
    unsafe { bindings::ckpt_seccomp_mode() as u32 }
}

/// A filter, and all that are before it. Never changed, once it is there.
///
/// # Invariants
///
/// The pointer is a reference of the kind that a task has to its filter.
pub(crate) struct Filter(NonNull<bindings::seccomp_filter>);

// SAFETY: A filter is made for use by several tasks, and its references are counted.
unsafe impl Send for Filter {}

impl Clone for Filter {
    fn clone(&self) -> Self {
        // SAFETY: By the invariant there is a reference.
        unsafe { bindings::seccomp_filter_get(self.0.as_ptr()) };
        Self(self.0)
    }
}

impl Drop for Filter {
    fn drop(&mut self) {
        // SAFETY: By the invariant there is a reference, which is given away.
        unsafe { bindings::seccomp_filter_put(self.0.as_ptr()) };
    }
}

/// The filters of the current task, the last one first.
pub(crate) fn chain() -> Result<KVVec<Filter>> {
    let mut filters = KVVec::new();
    let mut filter = core::ptr::null_mut();
    loop {
        // SAFETY: The current task holds its filters. Another thread may give it one more on
        // top of them (SECCOMP_FILTER_FLAG_TSYNC), which then holds those that are met here.
        // The reference goes to the list.
        let next = unsafe {
            filter = bindings::seccomp_filter_next(filter);
            let Some(next) = NonNull::new(filter) else {
                return Ok(filters);
            };
            bindings::seccomp_filter_get(filter);
            Filter(next)
        };
        filters.push(next, GFP_KERNEL_ACCOUNT)?;
    }
}

/// What a filter is.
pub(crate) struct State<'a> {
    /// Its instructions, as they were given; none if the kernel has not kept them.
    pub(crate) code: &'a [SockFilter],
    /// What it does not allow is logged.
    pub(crate) log: bool,
    /// Somebody listens to what it asks.
    pub(crate) listener: bool,
}

impl Filter {
    /// What tells it from others, as long as it is there.
    pub(crate) fn identity(&self) -> usize {
        self.0.as_ptr() as usize
    }

    /// See [`State`].
    pub(crate) fn state(&self) -> State<'_> {
        let (mut log, mut listener) = (false, false);
        // SAFETY: The reference keeps the filter and its program, which do not change. An
        // instruction is four plain numbers in both views.
        let code = unsafe {
            let program =
                bindings::seccomp_filter_state(self.0.as_ptr(), &mut log, &mut listener).as_ref();
            program.map(|program| {
                core::slice::from_raw_parts(
                    program.filter.cast::<SockFilter>().cast_const(),
                    program.len.into(),
                )
            })
        };
        State {
            code: code.unwrap_or_default(),
            log,
            listener,
        }
    }

    /// A filter on top of another one; no task has it. Whether the task may have it is
    /// to be asked before.
    ///
    /// # Errors
    ///
    /// Those of seccomp(2): EINVAL for a program that is not valid, ENOMEM also when all
    /// of them together are too long.
    pub(crate) fn new(code: &[SockFilter], prev: Option<&Self>, log: bool) -> Result<Self> {
        let program = bindings::sock_fprog_kern {
            len: u16::try_from(code.len()).map_err(|_| EINVAL)?,
            // It is only read.
            filter: code.as_ptr().cast::<bindings::sock_filter>().cast_mut(),
        };
        let prev = prev.map_or(core::ptr::null_mut(), |prev| prev.0.as_ptr());
        // SAFETY: The program is as long as it says and lives until the call returns; the
        // filter takes a reference to the one before it.
        let new =
            from_err_ptr(unsafe { bindings::seccomp_filter_new(&raw const program, prev, log) })?;
        Ok(Self(NonNull::new(new).ok_or(ENOMEM)?))
    }

    /// Has it restrict the current task. Cannot fail. The filters that the task has must
    /// be among those before it.
    pub(crate) fn install(self) {
        let filter = self.0.as_ptr();
        core::mem::forget(self);
        // SAFETY: The reference is given to the current task; the call takes its signal
        // lock.
        unsafe { bindings::seccomp_filter_install(filter) };
    }
}

/// Sets strict mode for the current task, which has none.
pub(crate) fn set_strict() {
    // SAFETY: Changes the current task; it fails only if there is another mode.
    unsafe {
        bindings::prctl_set_seccomp(
            bindings::SECCOMP_MODE_STRICT as c_ulong,
            core::ptr::null_mut(),
        )
    };
}
