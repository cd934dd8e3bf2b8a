// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Why there is no process: as it goes through a pipe, and in words.

mod advice;

use std::fs;
use std::path::Path;

use ckpttool::status;
use nix::errno::Errno;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Signals that end the work, and with it a child that is not restarted yet.
pub const ENDING: [Signal; 4] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
];

/// The step that has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Step {
    /// The namespaces were to be made.
    Namespace,
    /// /proc was to be mounted in them.
    Proc,
    /// The time namespace was to be made, or its clocks to be moved.
    Clocks,
    /// The process was to get its id.
    Clone,
    /// The root directory was to be changed.
    Root,
    /// The user was to be changed.
    User,
    /// restart(2) itself.
    Restart,
    /// A signal, instead of an errno, came before the end.
    Killed,
    /// Something was said that nobody understands.
    Unknown,
}

const STEPS: [Step; 8] = [
    Step::Namespace,
    Step::Proc,
    Step::Clocks,
    Step::Clone,
    Step::Root,
    Step::User,
    Step::Restart,
    Step::Killed,
];

/// A step and its errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The step.
    pub step: Step,
    /// Its errno, or the signal.
    pub number: i32,
}

impl Trouble {
    /// `step` has failed.
    pub fn new(step: Step, errno: Errno) -> Self {
        let number = errno as i32;
        Self { step, number }
    }

    /// As it goes through the pipe.
    pub fn to_bytes(self) -> [u8; 5] {
        let [a, b, c, d] = self.number.to_ne_bytes();
        [self.step as u8, a, b, c, d]
    }

    /// As it comes out of the pipe; nothing is no trouble.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        match *bytes {
            [] => None,
            [step, a, b, c, d] => Some(Self {
                step: *STEPS.get(usize::from(step)).unwrap_or(&Step::Unknown),
                number: i32::from_ne_bytes([a, b, c, d]),
            }),
            _ => Some(Self::new(Step::Unknown, Errno::EIO)),
        }
    }

    /// Somebody who may do so has ended the work.
    pub fn is_interruption(self) -> bool {
        self.step == Step::Killed && ENDING.iter().any(|s| *s as i32 == self.number)
    }

    /// What has happened, in one line: to the process that was to have the id `pid`, with
    /// the directory `root` as its root.
    pub fn words(self, pid: Option<i32>, root: Option<&Path>) -> String {
        let errno = Errno::from_raw(self.number);
        let why = status::errno_words(errno);
        let pid = pid.unwrap_or_default();
        match self.step {
            Step::Namespace => format!("a PID namespace cannot be made: {why}"),
            Step::Proc => format!("/proc cannot be mounted in the namespace: {why}"),
            Step::Clocks if errno == Errno::ERANGE => {
                "no time namespace can show the clocks of the image".into()
            }
            Step::Clocks => format!("a time namespace cannot be made: {why}"),
            Step::Clone if errno == Errno::EEXIST => format!(
                "process id {pid}, which the process had, is taken{}",
                owner(pid)
            ),
            Step::Clone if pid == 0 => format!("a process cannot be made: {why}"),
            Step::Clone => format!("a process with id {pid} cannot be made: {why}"),
            Step::Root => format!(
                "the root directory cannot be changed to {}: {why}",
                root.unwrap_or(Path::new("/")).display()
            ),
            Step::User => format!("the user cannot be changed: {why}"),
            Step::Restart => format!("restart(2): {why}"),
            Step::Killed => format!(
                "{} came before the restart was complete",
                status::signal_name(self.number)
            ),
            Step::Unknown => "the child ended without a reason".into(),
        }
    }

    /// What helps; `reason` is what the kernel has told of it.
    pub fn remedy(self, reason: &str) -> Option<String> {
        let errno = Errno::from_raw(self.number);
        let helps = match (self.step, errno) {
            (Step::Clone, Errno::EEXIST) => {
                "end what has this id, take any other with --new-pids, or keep it in a PID \
                 namespace with --pidns"
            }
            (Step::Clone, Errno::EPERM) => {
                "to choose a process id needs CAP_CHECKPOINT_RESTORE: run this as root (and with \
                 --user), or take any id with --new-pids"
            }
            (Step::Clone, Errno::EINVAL) => {
                "the id is above kernel.pid_max, or set_tid of clone3(2) is missing (Linux 5.5); \
                 --new-pids does without"
            }
            (Step::Namespace | Step::Proc, Errno::EPERM) => {
                "--pidns needs CAP_SYS_ADMIN: run this as root, or use --new-pids"
            }
            (Step::Clocks, Errno::EPERM | Errno::EACCES) => {
                "--timens needs CAP_SYS_ADMIN and CAP_SYS_TIME: run this as root"
            }
            (Step::Clocks, Errno::EINVAL) => {
                "this kernel has no time namespaces: boot one that was built with CONFIG_TIME_NS=y"
            }
            (Step::Clocks, Errno::ENOENT) => {
                "--timens needs /proc, and a kernel that was built with CONFIG_TIME_NS=y"
            }
            (Step::Clocks, Errno::ERANGE) => {
                "the image may be damaged: ckptinfo --verify; without --timens the clocks are those \
                 of this machine"
            }
            (Step::Root, Errno::EPERM) => "--root needs CAP_SYS_CHROOT: run this as root",
            (Step::User, Errno::EPERM) => {
                "--user needs CAP_SETUID and CAP_SETGID: run this as root"
            }
            (Step::Restart, Errno::EBADF) if advice::of_reason(errno, reason).is_none() => {
                return Some(advice::of_stream(reason))
            }
            (Step::Restart, errno) => {
                advice::of_reason(errno, reason).or_else(|| advice::of_restart(errno))?
            }
            (Step::Killed, _) if self.number == Signal::SIGKILL as i32 => {
                "the machine may have been out of memory: see dmesg"
            }
            _ => return None,
        };
        Some(helps.into())
    }
}

/// Who has a process id.
fn owner(pid: i32) -> String {
    name_of(Pid::from_raw(pid))
        .map(|name| format!(" by {}", String::from_utf8_lossy(&name).escape_debug()))
        .unwrap_or_default()
}

/// Does /proc show the processes of our PID namespace?
fn proc_is_ours() -> bool {
    let shown = fs::read_link("/proc/self").unwrap_or_default();
    shown.to_str().and_then(|id| id.parse().ok()) == Some(Pid::this().as_raw())
}

/// Does /proc show that a process is about to end, or that there is none, but for a group
/// or a session perhaps?
pub fn is_ending(pid: i32) -> bool {
    /// PF_EXITING of the kernel, in the seventh field behind the name.
    const EXITING: u64 = 4;
    /// In the masks of pending signals.
    const SIGKILL: u64 = 1 << 8;

    if !proc_is_ours() {
        return false;
    }
    let Ok(stat) = fs::read(format!("/proc/{pid}/stat")) else {
        return true;
    };
    let name = stat.iter().rposition(|byte| *byte == b')').unwrap_or(0);
    let rest = String::from_utf8_lossy(stat.get(name..).unwrap_or_default());
    let mut fields = rest.split(' ').skip(1);
    let has_ended = matches!(fields.next(), Some("Z" | "X"));
    let flags: Option<u64> = fields.nth(5).and_then(|flags| flags.parse().ok());
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let is_killed = status.lines().any(|line| {
        let pending = line
            .strip_prefix("SigPnd:")
            .or(line.strip_prefix("ShdPnd:"));
        let mask = pending.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
        mask.is_some_and(|mask| mask & SIGKILL != 0)
    });
    has_ended || is_killed || flags.is_some_and(|flags| flags & EXITING != 0)
}

/// The name of a process, where /proc shows it.
///
/// One of another PID namespace has other processes under the same numbers.
pub fn name_of(pid: Pid) -> Option<Vec<u8>> {
    if !proc_is_ours() {
        return None;
    }
    let mut name = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let end = name.pop();
    (end == Some(b'\n')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_killed_is_ending() {
        let me = Pid::this().as_raw();
        assert!(!is_ending(me));
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = child.id() as i32;
        assert!(!is_ending(pid));
        child.kill().unwrap();
        // From now on, until it was waited for, and behind that.
        for _ in 0..20 {
            assert!(is_ending(pid));
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        child.wait().unwrap();
        assert!(is_ending(pid));
    }

    #[test]
    fn trouble_goes_through_a_pipe() {
        for step in STEPS {
            let trouble = Trouble { step, number: 9 };
            assert_eq!(Trouble::from_bytes(&trouble.to_bytes()), Some(trouble));
            assert!(!trouble.words(Some(1), None).is_empty());
        }
        assert_eq!(Trouble::from_bytes(b""), None);
        for odd in [&b"x"[..], b"\xff1234", b"123456"] {
            assert_eq!(Trouble::from_bytes(odd).unwrap().step, Step::Unknown);
        }
    }

    #[test]
    fn a_taken_id_names_its_owner_and_the_ways_out() {
        let me = std::process::id() as i32;
        let trouble = Trouble::new(Step::Clone, Errno::EEXIST);
        let words = trouble.words(Some(me), None);
        assert!(words.contains(&format!("process id {me}")) && words.contains(" by "));
        let remedy = trouble.remedy("").unwrap();
        assert!(remedy.contains("--new-pids") && remedy.contains("--pidns"));
        assert_eq!(owner(i32::MAX), "");
    }

    #[test]
    fn interruptions_are_told_from_accidents() {
        let killed = |signal: Signal| Trouble {
            step: Step::Killed,
            number: signal as i32,
        };
        assert!(killed(Signal::SIGINT).is_interruption());
        assert!(!killed(Signal::SIGKILL).is_interruption());
        assert!(killed(Signal::SIGKILL)
            .remedy("")
            .unwrap()
            .contains("memory"));
        assert!(!Trouble::new(Step::Restart, Errno::EINTR).is_interruption());
        assert_eq!(
            killed(Signal::SIGTERM).words(None, None),
            "SIGTERM came before the restart was complete"
        );
    }
}
