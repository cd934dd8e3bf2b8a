// SPDX-License-Identifier: GPL-2.0

//! The kernel's log: whatever reports trouble fails the test that ran.

use ckpt_guest::cases::FAILING;
use ckpt_guest::cases::WORKING;
use ckpt_guest::sys;

/// What a kernel in trouble prints.
const TROUBLE: [&str; 22] = [
    "WARNING:",
    "BUG:",
    "Oops",
    "KASAN:",
    "UBSAN:",
    "KFENCE:",
    "possible circular",
    "possible recursive",
    "possible irq lock inversion",
    "inconsistent lock state",
    "suspicious RCU",
    "INFO: task",
    "rcu: INFO:",
    "detected stall",
    "nable to handle",
    "kernel BUG at",
    "scheduling while atomic",
    "general protection fault",
    "refcount_t:",
    "new suspected memory leaks",
    "memory leak detector disabled",
    "Out of memory: Killed",
];

/// An allocation that failed: trouble, but where a test makes allocations fail.
const NO_MEMORY: [&str; 2] = ["page allocation failure: order", "vmalloc error: size"];

/// Lines that look like trouble and are none: a program's own fault.
const HARMLESS: [&str; 1] = ["traps: "];

/// A reader of /dev/kmsg.
pub struct Kmsg {
    fd: i32,
    /// A test makes allocations fail.
    failing: bool,
}

impl Kmsg {
    /// Starts behind what is there already.
    pub fn open() -> Self {
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_CLOEXEC;
        let fd = sys::open(c"/dev/kmsg", flags, 0).unwrap_or(-1);
        let _ = sys::lseek(fd, 0, libc::SEEK_END);
        Self { fd, failing: false }
    }

    /// Trouble since the last time.
    pub fn trouble(&mut self) -> Vec<String> {
        let mut found = Vec::new();
        let mut record = [0; 8192];
        loop {
            match sys::read(self.fd, &mut record) {
                Ok(0) => break,
                Ok(n) => found.extend(self.trouble_in(&String::from_utf8_lossy(&record[..n]))),
                // Records were overwritten before they were read: go on.
                Err(errno) if errno.0 == libc::EPIPE => {}
                Err(_) => break,
            }
        }
        found
    }

    /// The text of one record, if it reports trouble.
    fn trouble_in(&mut self, record: &str) -> Option<String> {
        let (_, text) = record.split_once(';')?;
        let line = text.lines().next()?;
        self.failing |= line.contains(FAILING);
        self.failing &= !line.contains(WORKING);
        let no_memory = NO_MEMORY.iter().any(|t| line.contains(t)) && !self.failing;
        let bad = (no_memory || TROUBLE.iter().any(|t| line.contains(t)))
            && !HARMLESS.iter().any(|h| line.contains(h));
        bad.then(|| line.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble_in(record: &str) -> Option<String> {
        let mut kmsg = Kmsg {
            fd: -1,
            failing: false,
        };
        kmsg.trouble_in(record)
    }

    #[test]
    fn allocations_may_fail_where_a_test_says_so() {
        let mut kmsg = Kmsg {
            fd: -1,
            failing: false,
        };
        let failed = "4,1,2,-;a: page allocation failure: order:0, mode:0xcc0";
        assert!(kmsg.trouble_in(failed).is_some());
        assert_eq!(kmsg.trouble_in(&format!("6,1,2,-;{FAILING}")), None);
        assert_eq!(kmsg.trouble_in(failed), None);
        assert_eq!(kmsg.trouble_in(&format!("6,1,2,-;{WORKING}")), None);
        assert!(kmsg.trouble_in(failed).is_some());
    }

    #[test]
    fn records() {
        assert_eq!(
            trouble_in("4,1,2,-;WARNING: CPU: 0 PID: 1 at mm/x.c:1\n SUBSYSTEM=x\n").as_deref(),
            Some("WARNING: CPU: 0 PID: 1 at mm/x.c:1")
        );
        assert_eq!(
            trouble_in("6,1,2,-;traps: x general protection fault"),
            None
        );
        assert_eq!(trouble_in("6,1,2,-;fine"), None);
        assert_eq!(trouble_in(""), None);
    }
}
