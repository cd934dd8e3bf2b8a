// SPDX-License-Identifier: GPL-2.0

//! The caller of a failed restart(2), before and after: nothing may differ.
//!
//! Taking the state must not change it. It allocates nothing and makes its system
//! calls without the C library. Not compared: the stack, which is in use, and the
//! restartable-sequence area, which the kernel writes; registers, which only who makes
//! the call can compare.

use std::hint::black_box;

use crate::mem::Map;
use crate::procfs::Text;
use crate::regs;
use crate::sys;

mod settings;

use settings::Settings;

/// Descriptors that are compared: 0 to this.
const FDS: usize = 64;
const SIGNALS: usize = 64;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct State {
    memory: u64,
    fds: [[usize; 4]; FDS],
    mask: u64,
    actions: [[u64; 4]; SIGNALS],
    altstack: [u64; 3],
    comm: [u8; 16],
    cwd: [u8; 256],
    bases: [u64; 2],
    ids: [usize; 8],
    limits: [[u64; 2]; 16],
    umask: usize,
    settings: Settings,
}

/// Takes the caller's state twice and compares.
pub struct Unharmed {
    maps: [Text; 2],
    before: State,
    except: [i32; 4],
}

impl Unharmed {
    /// Takes the state now. The positions of `except` may change.
    ///
    /// Keep the result in a local variable: heap memory is part of the state.
    pub fn take([image, log]: [i32; 2]) -> Self {
        Self::take_but([image, log, -1, -1])
    }

    /// The same of a process beside which others write to the same output and error
    /// output: those move the positions of both at any time.
    pub fn take_beside_others([image, log]: [i32; 2]) -> Self {
        Self::take_but([image, log, libc::STDOUT_FILENO, libc::STDERR_FILENO])
    }

    fn take_but(except: [i32; 4]) -> Self {
        let mut this = Self {
            maps: [Text::with_room(1 << 18), Text::with_room(1 << 18)],
            before: State::empty(),
            except,
        };
        // Once for nothing, so that everything is mapped and touched.
        this.maps[1].read(c"/proc/self/maps");
        black_box(this.state(1));
        this.again();
        this
    }

    /// Takes the state anew.
    pub fn again(&mut self) {
        self.maps[0].read(c"/proc/self/maps");
        self.before = self.state(0);
    }

    /// Compares with now; the first difference is the error.
    pub fn check(&mut self) -> Result<(), String> {
        self.maps[1].read(c"/proc/self/maps");
        let after = self.state(1);
        let [one, two] = &self.maps;
        if stable(one).ne(stable(two)) {
            return Err("the caller's mappings differ".to_string());
        }
        let Some(what) = self.before.first_difference(&after) else {
            return Ok(());
        };
        Err(format!("the caller's {what} differ"))
    }

    fn state(&self, text: usize) -> State {
        let mut state = State::empty();
        let own = [self.maps[0].map(), self.maps[1].map()];
        state.memory = memory_sum(self.maps[text].bytes(), &own);
        for (fd, slot) in state.fds.iter_mut().enumerate() {
            let fd = fd as i32;
            let value = |ret: sys::Ret| ret.unwrap_or(usize::MAX);
            slot[0] = value(sys::fcntl(fd, libc::F_GETFD, 0));
            slot[1] = value(sys::fcntl(fd, libc::F_GETFL, 0));
            slot[3] = sys::inode(fd);
            if !self.except.contains(&fd) {
                slot[2] = value(sys::lseek(fd, 0, libc::SEEK_CUR));
            }
        }
        state.fill();
        state
    }
}

/// The lines of the mappings that do not grow by themselves.
fn stable(text: &Text) -> impl Iterator<Item = &[u8]> {
    let lines = text.bytes().split(|b| *b == b'\n');
    lines.filter(|line| !line.ends_with(b"[stack]"))
}

impl State {
    fn empty() -> Self {
        Self {
            memory: 0,
            fds: [[0; 4]; FDS],
            mask: 0,
            actions: [[0; 4]; SIGNALS],
            altstack: [0; 3],
            comm: [0; 16],
            cwd: [0; 256],
            bases: [0; 2],
            ids: [0; 8],
            limits: [[0; 2]; 16],
            umask: 0,
            settings: Settings::empty(),
        }
    }

    /// Asks the kernel. Each call writes into the field that is named.
    fn fill(&mut self) {
        let ask = |nr: libc::c_long, args: [usize; 6]| {
            // SAFETY: every pointer below is to a field of this value, which has
            // the size that the call writes.
            let _ = unsafe { sys::raw(nr as usize, args) };
        };
        let mask = (&raw mut self.mask) as usize;
        ask(libc::SYS_rt_sigprocmask, [0, 0, mask, 8, 0, 0]);
        for (i, action) in self.actions.iter_mut().enumerate() {
            let to = action.as_mut_ptr() as usize;
            ask(libc::SYS_rt_sigaction, [i + 1, 0, to, 8, 0, 0]);
        }
        let stack = self.altstack.as_mut_ptr() as usize;
        ask(libc::SYS_sigaltstack, [0, stack, 0, 0, 0, 0]);
        let comm = self.comm.as_mut_ptr() as usize;
        let get_name = libc::PR_GET_NAME as usize;
        ask(libc::SYS_prctl, [get_name, comm, 0, 0, 0, 0]);
        let (cwd, len) = (self.cwd.as_mut_ptr() as usize, self.cwd.len());
        ask(libc::SYS_getcwd, [cwd, len, 0, 0, 0, 0]);
        for (i, limit) in self.limits.iter_mut().enumerate() {
            let to = limit.as_mut_ptr() as usize;
            ask(libc::SYS_prlimit64, [0, i, 0, to, 0, 0]);
        }
        self.bases = [regs::fs_base(), regs::gs_base()];
        let calls = [
            libc::SYS_getpid,
            libc::SYS_gettid,
            libc::SYS_getppid,
            libc::SYS_getuid,
            libc::SYS_geteuid,
            libc::SYS_getgid,
            libc::SYS_getegid,
            libc::SYS_getpgrp,
        ];
        for (id, call) in self.ids.iter_mut().zip(calls) {
            *id = sys::plain(call, &[]).unwrap_or(0);
        }
        self.umask = sys::plain(libc::SYS_umask, &[0]).unwrap_or(0);
        let _ = sys::plain(libc::SYS_umask, &[self.umask]);
        self.settings.fill();
    }

    fn first_difference(&self, other: &Self) -> Option<&'static str> {
        let parts = [
            (self.memory == other.memory, "memory contents"),
            (self.fds == other.fds, "descriptors"),
            (self.mask == other.mask, "blocked signals"),
            (self.actions == other.actions, "signal actions"),
            (self.altstack == other.altstack, "alternate stack"),
            (self.comm == other.comm, "name"),
            (self.cwd == other.cwd, "directory"),
            (self.bases == other.bases, "segment bases"),
            (self.ids == other.ids, "ids"),
            (self.limits == other.limits, "limits"),
            (self.umask == other.umask, "umask"),
        ];
        let first = parts.into_iter().find(|p| !p.0).map(|p| p.1);
        first.or_else(|| self.settings.first_difference(&other.settings))
    }
}

/// Sums all writable private memory that `maps` lists, but for `except`.
fn memory_sum(maps: &[u8], except: &[Map]) -> u64 {
    let rseq = regs::rseq_area();
    let mut sum = 0u64;
    for line in maps.split(|b| *b == b'\n') {
        let Some((start, end)) = writable(line) else {
            continue;
        };
        if except.iter().any(|m| m.addr < end && start < m.end()) {
            continue;
        }
        let mut addr = start;
        while addr < end {
            if rseq.contains(&addr) {
                addr += 8;
                continue;
            }
            // SAFETY: the kernel says that the range is mapped and readable, and
            // this program has one thread.
            let word = unsafe { (addr as *const u64).read_volatile() };
            sum = (sum.rotate_left(5) ^ word).wrapping_mul(0x517c_c1b7_2722_0a95);
            addr += 8;
        }
    }
    sum
}

/// The range of a line of /proc/self/maps, if it is to be summed.
fn writable(line: &[u8]) -> Option<(usize, usize)> {
    let dash = line.iter().position(|b| *b == b'-')?;
    let space = line.iter().position(|b| *b == b' ')?;
    let perms = line.get(space + 1..space + 5)?;
    if &perms[..2] != b"rw" || perms[3] != b'p' || line.ends_with(b"[stack]") {
        return None;
    }
    Some((hex(&line[..dash])?, hex(line.get(dash + 1..space)?)?))
}

fn hex(digits: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(digits).ok()?;
    usize::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_maps() {
        assert_eq!(
            writable(b"7f00-8f00 rw-p 0 00:00 0"),
            Some((0x7f00, 0x8f00))
        );
        assert_eq!(writable(b"7f00-8f00 r--p 0 00:00 0"), None);
        assert_eq!(writable(b"7f00-8f00 rw-p 0 00:00 0 [stack]"), None);
        assert_eq!(writable(b""), None);
    }
}
