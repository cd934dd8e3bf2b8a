// SPDX-License-Identifier: GPL-2.0

//! Reading a kernel's console for what must never be there.
//!
//! Only lines that the kernel printed count; they begin with a time in brackets.
//! What a test program prints is its own business.

/// What a kernel in trouble prints.
const TROUBLE: [&str; 24] = [
    "WARNING:",
    "BUG:",
    "Oops",
    "Call Trace",
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
    "Kernel panic",
    "kernel panic",
    "nable to handle",
    "kernel BUG at",
    "scheduling while atomic",
    "general protection fault",
    "new suspected memory leaks",
    // Nobody looks for leaks any more.
    "memory leak detector disabled",
    "Out of memory: Killed",
];

/// An allocation that failed, and is followed by a call trace: trouble, but where a test
/// makes allocations fail.
const NO_MEMORY: [&str; 2] = ["page allocation failure: order", "vmalloc error: size"];

/// What a test says that makes allocations fail, before and behind.
const FAILING: &str = "checkpoint test: allocations fail from here on";
const WORKING: &str = "checkpoint test: allocations do not fail any more";

/// Lines that look like trouble and are none.
const HARMLESS: [&str; 4] = [
    // KASAN and lockdep say hello.
    "KernelAddressSanitizer initialized",
    "Lock dependency validator",
    // A program's own fault, printed by the kernel for information.
    "traps: ",
    // KUnit's output, which repeats the names and texts of tests.
    "    # ",
];

/// The text after the time, if the kernel printed the line, or the end of it: a program
/// may have written half a line to the console before.
pub fn kernel_line(line: &str) -> Option<&str> {
    let (_, mut rest) = line.match_indices('[').find_map(|(at, _)| {
        let (time, rest) = line[at + 1..].split_once(']')?;
        let (seconds, fraction) = time.trim_start().split_once('.')?;
        let digits = |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_digit());
        (digits(seconds) && digits(fraction)).then_some((seconds, rest))
    })?;
    // CONFIG_PRINTK_CALLER adds the task or cpu.
    if let Some((caller, more)) = rest.strip_prefix('[').and_then(|r| r.split_once(']')) {
        if caller.trim_start().starts_with(['T', 'C']) {
            rest = more;
        }
    }
    Some(rest.strip_prefix(' ').unwrap_or(rest))
}

/// Finds trouble in a console, line by line.
#[derive(Default)]
pub struct Scanner {
    /// Lines that report trouble, as printed.
    pub found: Vec<String>,
    /// The next call trace belongs to an allocation that a test made fail.
    excused: bool,
    /// A test makes allocations fail.
    failing: bool,
    /// The kernel has started its other CPUs.
    grown: bool,
}

/// The kernel's line before it starts its other CPUs.
const SECOND_CPU: &str = "smp: Bringing up secondary CPUs";

impl Scanner {
    /// Takes the text of a line that the kernel printed; true if it reports trouble.
    pub fn text(&mut self, text: &str) -> bool {
        self.grown |= text.starts_with(SECOND_CPU);
        self.failing |= text.contains(FAILING);
        self.failing &= !text.contains(WORKING);
        let no_memory = NO_MEMORY.iter().any(|t| text.contains(t));
        if text.contains("FAULT_INJECTION: forcing a failure") || (no_memory && self.failing) {
            self.excused = true;
            return false;
        }
        let trouble = no_memory || TROUBLE.iter().any(|t| text.contains(t));
        if HARMLESS.iter().any(|h| text.contains(h)) || !trouble {
            return false;
        }
        if text.contains("Call Trace") && std::mem::take(&mut self.excused) {
            return false;
        }
        self.found.push(text.to_string());
        true
    }

    /// Was there trouble before the kernel had more than its first CPU?
    ///
    /// No code of this project has run by then, not even an initcall. An emulated
    /// machine may take an interrupt there that KASAN reports once in some boots; what
    /// follows is worth nothing, as KASAN says no more and lockdep turns itself off.
    pub fn stillborn(&self) -> bool {
        !self.grown && !self.found.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(scanner: &mut Scanner, line: &str) -> bool {
        kernel_line(line).is_some_and(|text| scanner.text(text))
    }

    fn is_trouble(line: &str) -> bool {
        feed(&mut Scanner::default(), line)
    }

    #[test]
    fn trouble_before_the_second_cpu() {
        let mut scanner = Scanner::default();
        assert!(!scanner.stillborn());
        assert!(feed(&mut scanner, "[    0.06] BUG: KASAN: x in y"));
        assert!(scanner.stillborn());
        let mut scanner = Scanner::default();
        assert!(!feed(
            &mut scanner,
            "[    0.2] smp: Bringing up secondary CPUs ..."
        ));
        assert!(feed(&mut scanner, "[    0.3] BUG: KASAN: x in y"));
        assert!(!scanner.stillborn());
    }

    #[test]
    fn an_injected_failure_excuses_one_trace() {
        let mut scanner = Scanner::default();
        assert!(!feed(
            &mut scanner,
            "[    1.0] FAULT_INJECTION: forcing a failure."
        ));
        assert!(!feed(&mut scanner, "[    1.0] Call Trace:"));
        assert!(feed(&mut scanner, "[    1.0] Call Trace:"));
        assert_eq!(scanner.found.len(), 1);
    }

    #[test]
    fn allocations_may_fail_where_a_test_says_so() {
        let failed = "[    2.0] a: vmalloc error: size 4096, vm_struct allocation failed";
        let mut scanner = Scanner::default();
        assert!(feed(&mut scanner, failed));
        assert!(!feed(&mut scanner, &format!("[    2.0] {FAILING}")));
        assert!(!feed(&mut scanner, failed));
        assert!(!feed(&mut scanner, "[    2.0] Call Trace:"));
        assert!(!feed(&mut scanner, &format!("[    2.0] {WORKING}")));
        assert!(feed(&mut scanner, failed));
    }

    #[test]
    fn trouble_is_found() {
        assert!(is_trouble(
            "[   12.345678] WARNING: CPU: 1 PID: 7 at mm/gup.c:1"
        ));
        assert!(is_trouble(
            "[   12.345678][  T123] BUG: KASAN: slab-out-of-bounds in x"
        ));
        assert!(is_trouble(
            "[    1.0] rcu: INFO: rcu_preempt self-detected stall on CPU"
        ));
        assert!(is_trouble("[    1.0] Kernel panic - not syncing: x"));
    }

    #[test]
    fn other_lines_are_not() {
        assert!(!is_trouble("WARNING: a program says so"));
        assert!(!is_trouble(
            "[    0.000000] kasan: KernelAddressSanitizer initialized"
        ));
        assert!(!is_trouble("[    0.1] Linux version 7.3.4"));
        assert!(!is_trouble("[note] BUG: not a time"));
    }

    #[test]
    fn caller_is_cut() {
        assert_eq!(kernel_line("[    1.2][    T1] text"), Some("text"));
        assert_eq!(kernel_line("[    1.2]     ok 1 x"), Some("    ok 1 x"));
        assert_eq!(kernel_line("half a [line] [    1.2] text"), Some("text"));
        assert_eq!(kernel_line("ok 1 x"), None);
    }
}
