// SPDX-License-Identifier: GPL-2.0

//! The sections that differences are told in.

/// What belongs together, in the order of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Header,
    Machine,
    Forest,
    Task,
    Thread,
    Registers,
    Fpu,
    Call,
    Memory,
    Auxv,
    Mappings,
    Guards,
    Ldt,
    MappedFiles,
    Directories,
    Descriptors,
    Objects,
    Signals,
    Pending,
    Timers,
    Credentials,
    Limits,
    Pages,
}

impl Section {
    /// What a person calls it.
    pub fn title(self) -> &'static str {
        match self {
            Self::Header => "header",
            Self::Machine => "machine",
            Self::Forest => "forest",
            Self::Task => "task",
            Self::Thread => "thread",
            Self::Registers => "registers",
            Self::Fpu => "FPU registers",
            Self::Call => "interrupted call",
            Self::Memory => "memory",
            Self::Auxv => "auxiliary vector",
            Self::Mappings => "mappings",
            Self::Guards => "guard ranges",
            Self::Ldt => "LDT",
            Self::MappedFiles => "mapped files",
            Self::Directories => "directories",
            Self::Objects => "pipes, sockets, counters and shared memory",
            Self::Descriptors => "descriptors",
            Self::Signals => "signals",
            Self::Pending => "pending signals",
            Self::Timers => "timers",
            Self::Credentials => "credentials",
            Self::Limits => "limits",
            Self::Pages => "pages",
        }
    }
}
