// SPDX-License-Identifier: GPL-2.0

//! Tasks that are not the first one; filters of system calls.

use zerocopy::IntoBytes;

use crate::format;
use crate::format::call;
use crate::format::cpu;
use crate::format::files;
use crate::format::pending;
use crate::format::seccomp;
use crate::format::signal;
use crate::format::task;
use crate::stream::writer::Writer;
use crate::stream::Sink;

/// A task that is not the first one.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
#[allow(clippy::large_enum_variant, reason = "there are few")]
pub enum Other {
    /// A thread of the first process. Its files are those that it has as well.
    Thread {
        task: task::Task,
        thread: cpu::Thread,
        cpu: cpu::Cpu,
        fpu: Vec<u8>,
        restart_block: Option<call::RestartBlock>,
        /// A file system view of its own: with root and current directory.
        fs: Option<(task::Fs, [Vec<u8>; 2])>,
        /// A descriptor table of its own.
        table: Option<(files::Files, Vec<files::FdEnt>)>,
        signal: signal::ThreadSignal,
        pending: Vec<pending::Siginfo>,
        creds: task::Creds,
        filters: Option<Filters>,
    },
    /// A child that has ended.
    Zombie(task::Task),
}

/// The filters of system calls of a task, and those that are new.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Filters {
    pub seccomp: seccomp::Seccomp,
    pub new: Vec<(seccomp::SeccompFilter, Vec<seccomp::SockFilter>)>,
}

impl Filters {
    pub(super) fn settle(&mut self) {
        let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        self.seccomp.nr_filters = len(self.new.len());
        for (filter, code) in &mut self.new {
            filter.len = len(code.len());
        }
    }

    pub(super) fn write<S: Sink>(&self, to: &mut Writer<S>, t: u32) -> Result<(), S::Error> {
        to.record(t, &self.seccomp)?;
        for (filter, code) in &self.new {
            to.record(t, filter)?;
            for insns in code.chunks(seccomp::INSNS_CHUNK) {
                to.bytes(format::SECCOMP_CODE, filter.objref, insns.as_bytes())?;
            }
        }
        Ok(())
    }
}

impl Other {
    pub(super) fn settle(&mut self) {
        let len = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        if let Other::Thread {
            cpu,
            fpu,
            restart_block,
            table,
            signal,
            pending,
            ..
        } = self
        {
            if let Some((table, fds)) = table {
                table.nr_fds = len(fds.len());
            }
            cpu.xstate_size = len(fpu.len());
            cpu.nr_restart = u32::from(restart_block.is_some());
            signal.nr_pending = len(pending.len());
        }
    }

    pub(super) fn write<S: Sink>(&self, to: &mut Writer<S>) -> Result<(), S::Error> {
        match self {
            Other::Zombie(task) => to.record(0, task),
            Other::Thread {
                task,
                thread,
                cpu,
                fpu,
                restart_block,
                fs,
                table,
                signal,
                pending,
                creds,
                filters,
            } => {
                let t = task.objref;
                to.record(0, task)?;
                to.record(t, thread)?;
                to.record(t, cpu)?;
                to.bytes(format::FPU, t, fpu)?;
                if let Some(block) = restart_block {
                    to.record(t, block)?;
                }
                if let Some((fs, paths)) = fs {
                    to.record(t, fs)?;
                    for path in paths {
                        to.bytes(format::STR, t, path)?;
                    }
                }
                if let Some((table, fds)) = table {
                    to.record(t, table)?;
                    for entry in fds {
                        to.record(table.objref, entry)?;
                    }
                }
                to.record(t, signal)?;
                for info in pending {
                    to.record(t, info)?;
                }
                to.record(t, creds)?;
                match filters {
                    Some(filters) => filters.write(to, t),
                    None => Ok(()),
                }
            }
        }
    }
}
