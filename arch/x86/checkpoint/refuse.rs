// SPDX-License-Identifier: GPL-2.0

//! State of the architecture that is refused.

use kernel::bindings;
use kernel::prelude::*;

/// Architecture state that cannot be saved, if there is any.
pub(crate) fn unsupported() -> Option<&'static str> {
    // SAFETY: All look at the current task.
    let facts = unsafe {
        Facts {
            is_32bit: bindings::ckpt_is_32bit(),
            has_breakpoints: bindings::ckpt_has_hw_breakpoints(),
            has_ports: bindings::ckpt_has_io_bitmap(),
            has_shadow_stack: bindings::ckpt_has_shadow_stack(),
            dynamic: bindings::ckpt_xstate_dynamic(),
            has_odd_flags: bindings::ckpt_has_odd_flags(),
        }
    };
    facts.unsupported()
}

/// What a task may have besides registers. Not each machine can show all of it.
#[derive(Clone, Copy, Default)]
struct Facts {
    is_32bit: bool,
    has_breakpoints: bool,
    has_ports: bool,
    has_shadow_stack: bool,
    /// Components of the vector state that a process has to ask for.
    dynamic: u64,
    has_odd_flags: bool,
}

impl Facts {
    /// What of it cannot be saved, the first thing.
    fn unsupported(self) -> Option<&'static str> {
        if self.is_32bit {
            Some("32-bit tasks and system calls are not supported")
        } else if self.has_breakpoints {
            Some("debug registers are in use by a debugger")
        } else if self.has_ports {
            Some("I/O port permissions are not supported")
        } else if self.has_shadow_stack {
            Some("shadow stacks are not supported")
        } else if self.dynamic != 0 {
            Some("AMX state is not supported")
        } else if self.has_odd_flags {
            Some("a disabled TSC or CPUID is not supported")
        } else {
            None
        }
    }
}

#[cfg(CONFIG_CHECKPOINT_KUNIT_TEST)]
#[kunit_tests(checkpoint_arch_refuse)]
mod tests {
    use super::*;

    #[test]
    fn each_state_is_refused_by_its_name() {
        let none = Facts::default();
        assert_eq!(none.unsupported(), None);
        for (change, word) in [
            (
                (|facts| facts.is_32bit = true) as fn(&mut Facts),
                "32-bit tasks",
            ),
            (|facts| facts.has_breakpoints = true, "debug registers"),
            (|facts| facts.has_ports = true, "I/O port permissions"),
            (|facts| facts.has_shadow_stack = true, "shadow stacks"),
            // The data of tiles.
            (|facts| facts.dynamic = 1 << 18, "AMX state"),
            (|facts| facts.has_odd_flags = true, "TSC or CPUID"),
        ] {
            let mut facts = none;
            change(&mut facts);
            let said = facts.unsupported().unwrap_or("nothing");
            assert!(said.contains(word));
        }
    }
}
