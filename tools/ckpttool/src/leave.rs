// SPDX-License-Identifier: GPL-2.0

//! The end of a child process that shares what it has with its parent.

use nix::libc;

/// Runs `work` and ends the process with its status, or with `panicked`, at once:
/// without destructors and files that belong to the parent.
pub fn end_with(panicked: i32, work: impl FnOnce() -> i32) -> ! {
    let mut leave = Leave(panicked);
    leave.0 = work();
    leave.now()
}

struct Leave(i32);

impl Leave {
    fn now(&self) -> ! {
        // SAFETY: Ends the process at once; nothing of it is used any more.
        unsafe { libc::_exit(self.0) }
    }
}

/// When the work panics: the child must not go on as the parent.
impl Drop for Leave {
    fn drop(&mut self) {
        self.now()
    }
}
