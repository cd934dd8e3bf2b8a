// SPDX-License-Identifier: GPL-2.0

//! The list of tests. A new one is one program and one line.

/// How a test is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program that checkpoints itself and verifies: it goes on, is restarted, is killed
    /// and restarted, and is restarted after a reboot of the guest.
    Cycle,
    /// A program of many cases, run once.
    Once,
    /// A program of many cases, run in both phases.
    Phases,
}

/// One test.
#[derive(Debug)]
pub struct Test {
    /// Its name.
    pub name: &'static str,
    /// The program, in the directory of binaries.
    pub program: &'static str,
    /// How it is run.
    pub kind: Kind,
    /// Most seconds that one run may take.
    pub seconds: u64,
}

const fn cycle(name: &'static str) -> Test {
    Test {
        name,
        program: name,
        kind: Kind::Cycle,
        seconds: 60,
    }
}

const fn once(name: &'static str, seconds: u64) -> Test {
    Test {
        name,
        program: name,
        kind: Kind::Once,
        seconds,
    }
}

const fn phases(name: &'static str, seconds: u64) -> Test {
    Test {
        name,
        program: name,
        kind: Kind::Phases,
        seconds,
    }
}

/// All tests, the small ones first.
pub const TESTS: &[Test] = &[
    cycle("smoke"),
    cycle("nolibc"),
    cycle("registers"),
    cycle("steps"),
    cycle("tls"),
    cycle("tls-array"),
    cycle("ldt"),
    cycle("pkeys"),
    cycle("stack"),
    cycle("heap"),
    cycle("jit"),
    cycle("mappings"),
    cycle("advice"),
    cycle("memory"),
    cycle("swapped"),
    once("merged", 120),
    cycle("shared"),
    once("shared-outside", 120),
    phases("shared-file", 120),
    cycle("memfd"),
    once("shm", 120),
    cycle("files"),
    cycle("pipes"),
    cycle("sockets"),
    cycle("eventfds"),
    cycle("epolls"),
    cycle("place"),
    cycle("chrooted"),
    cycle("signals"),
    cycle("pending"),
    cycle("timers"),
    cycle("attributes"),
    cycle("policies"),
    cycle("mdwe"),
    cycle("advised"),
    cycle("undumpable"),
    cycle("core-dumps"),
    cycle("seccomp"),
    cycle("rollback"),
    cycle("python"),
    once("affinity", 60),
    once("creds", 240),
    once("filters", 120),
    once("outside", 1200),
    once("trees", 1500),
    once("delivered", 60),
    once("commands", 240),
    phases("programs", 2400),
    phases("samples", 120),
    once("counters", 60),
    once("streams", 120),
    once("fifos", 120),
    once("locks", 120),
    once("meanwhile", 120),
    once("pipe-images", 300),
    once("same-bytes", 60),
    once("errors", 60),
    once("refusals", 300),
    once("restart-errors", 120),
    once("late-failures", 480),
    once("alloc-failures", 900),
    once("hostile", 3600),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_have_a_program() {
        for (i, test) in TESTS.iter().enumerate() {
            assert!(
                TESTS[..i].iter().all(|t| t.name != test.name),
                "{}",
                test.name
            );
            let source = format!("{}/src/bin/{}", env!("CARGO_MANIFEST_DIR"), test.program);
            let file = std::path::Path::new(&source);
            assert!(
                file.is_dir() || file.with_extension("rs").exists(),
                "{source}"
            );
        }
    }
}
