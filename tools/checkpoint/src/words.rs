// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What to do about a failure.

use nix::errno::Errno;

/// What the kernel says of a process that is in other namespaces than the caller.
const ELSEWHERE: &str = "another namespace";

/// What the log says before the id of the task that is in the way.
const TASK: &str = "checkpoint: pid ";

/// The task that the kernel names, or `pid`, which was asked for.
fn in_the_way(pid: i32, log: &[u8]) -> i32 {
    let log = String::from_utf8_lossy(log);
    let named = log.lines().find_map(|line| {
        let (number, _) = line.strip_prefix(TASK)?.split_once(':')?;
        number.parse().ok()
    });
    named.unwrap_or(pid)
}

/// What helps when checkpoint(2) of process `pid` has failed with `errno`, and the
/// kernel has written this log.
pub fn remedy(errno: Errno, pid: i32, log: &[u8]) -> Option<String> {
    let says = |what: &str| log.windows(what.len()).any(|part| part == what.as_bytes());
    let elsewhere = says(ELSEWHERE);
    let task = in_the_way(pid, log);
    Some(match errno {
        Errno::ENOSYS => "this kernel has no checkpoint(2); boot one that was built with \
             CONFIG_CHECKPOINT=y"
            .into(),
        Errno::EPERM => format!(
            "saving needs the right to trace process {task}: run this as the same user or as root \
             (CAP_SYS_PTRACE); the sysctls kernel.checkpoint_restart and \
             kernel.yama.ptrace_scope can forbid it as well"
        ),
        Errno::ESRCH if task != pid => {
            format!("process {task} of those below {pid} has ended meanwhile; try again")
        }
        Errno::ESRCH => {
            format!("there is no process {pid} here; pgrep NAME finds the id of another")
        }
        Errno::EBUSY => format!(
            "process {pid} and those below it must come to a halt: detach a debugger or \
             strace (TracerPid in /proc/{task}/status), let a slow system call end, and try \
             again"
        ),
        Errno::EOPNOTSUPP if elsewhere => format!(
            "all processes of an image are in the namespaces of this program: run it in those of \
             the process, as by nsenter --target {pid} --all, with the process's id there; \
             processes of different namespaces cannot be saved together"
        ),
        Errno::EOPNOTSUPP if says("a terminal that was hung up") => {
            "the terminal that it was started from is gone: start it with </dev/null, or from one \
             that stays, as of tmux"
                .into()
        }
        Errno::EOPNOTSUPP if says("controlling terminal") => format!(
            "save process {task} by itself: it has a terminal that is not the one of process {pid}"
        ),
        Errno::EACCES => "save it together with the process that can read this: give the id of \
             a parent of both"
            .into(),
        Errno::EOPNOTSUPP | Errno::ETXTBSY => {
            "an image cannot hold this; the process has to give it up first. What images hold \
             is listed in Documentation/userspace-api/checkpoint.rst"
                .into()
        }
        Errno::ENOSPC | Errno::EDQUOT => format!(
            "make room: an image is about as large as the memory of process {pid} and of all below \
             it, each VmRSS and VmSwap in /proc/PID/status"
        ),
        Errno::EFBIG => {
            "the image is larger than a file may be here; see ulimit -f, or use another file system"
                .into()
        }
        Errno::EDEADLK => format!(
            "what reads the image must not be below process {pid}, which stands still with all \
             below it: write to a file, or start the reader from elsewhere"
        ),
        Errno::EPIPE => "what should read the image has ended; look at its own messages".into(),
        Errno::EAGAIN => {
            "the output is non-blocking and full; put cat(1) between, or write to a file".into()
        }
        Errno::EINVAL => {
            "the kernel does not know --stop and --kill, or cannot write images to this kind of \
             file"
                .into()
        }
        Errno::ENOMEM => "the machine is out of memory; try again when there is some".into(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remedies_name_the_process_and_the_means() {
        let text = |errno| remedy(errno, 42, b"").unwrap();
        assert!(text(Errno::EOPNOTSUPP).contains("give it up"));
        let log = b"checkpoint: pid 42: the task is in another namespace: pid (errno 95)\n";
        let there = remedy(Errno::EOPNOTSUPP, 42, log).unwrap();
        assert!(there.contains("nsenter --target 42") && !there.contains("give it up"));
        assert!(text(Errno::EPERM).contains("CAP_SYS_PTRACE"));
        assert!(text(Errno::ESRCH).contains("process 42"));
        assert!(text(Errno::EBUSY).contains("/proc/42/status"));
        let log = b"checkpoint: pid 47: the task is traced (errno 16)\n";
        let busy = remedy(Errno::EBUSY, 42, log).unwrap();
        assert!(busy.contains("process 42 and") && busy.contains("/proc/47/status"));
        let rights = remedy(
            Errno::EPERM,
            42,
            b"checkpoint: pid 47: no right to the task\n",
        );
        assert!(rights.unwrap().contains("trace process 47:"));
        assert!(text(Errno::EACCES).contains("parent of both"));
        let gone = b"checkpoint: pid 42: fd 0: a terminal that was hung up is not supported\n";
        let gone = remedy(Errno::EOPNOTSUPP, 42, gone).unwrap();
        assert!(gone.contains("</dev/null") && !gone.contains("give it up"));
        let other = b"checkpoint: pid 47: another controlling terminal than the first process\n";
        assert!(remedy(Errno::EOPNOTSUPP, 42, other)
            .unwrap()
            .contains("process 47 by itself"));
        let ended = remedy(
            Errno::ESRCH,
            42,
            b"checkpoint: pid 47: the task was killed\n",
        );
        assert!(ended.unwrap().contains("process 47 of those below 42"));
        assert!(text(Errno::EDEADLK).contains("must not be below process 42"));
        assert!(text(Errno::ENOSYS).contains("CONFIG_CHECKPOINT"));
        assert!(text(Errno::ENOSPC).contains("process 42 and of all below it"));
        assert_eq!(remedy(Errno::EIO, 42, b""), None);
    }
}
