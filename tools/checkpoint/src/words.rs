// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What to do about a failure.

use nix::errno::Errno;

/// What helps when checkpoint(2) of process `pid` has failed with `errno`.
pub fn remedy(errno: Errno, pid: i32) -> Option<String> {
    Some(match errno {
        Errno::ENOSYS => "this kernel has no checkpoint(2); boot one that was built with \
             CONFIG_CHECKPOINT=y"
            .into(),
        Errno::EPERM => format!(
            "saving needs the right to trace process {pid}: run this as the same user or as root \
             (CAP_SYS_PTRACE); the sysctls kernel.checkpoint_restart and \
             kernel.yama.ptrace_scope can forbid it as well"
        ),
        Errno::ESRCH => {
            format!("there is no process {pid} here; pgrep NAME finds the id of another")
        }
        Errno::EBUSY => format!(
            "process {pid} and those below it must come to a halt: detach a debugger or \
             strace (TracerPid in /proc/{pid}/status), let a slow system call end, and try \
             again"
        ),
        Errno::EOPNOTSUPP | Errno::ETXTBSY => {
            "an image cannot hold this; the process has to give it up first. What images hold \
             is listed in Documentation/userspace-api/checkpoint.rst"
                .into()
        }
        Errno::ENOSPC | Errno::EDQUOT => format!(
            "make room: an image is about as large as VmRSS and VmSwap in /proc/{pid}/status \
             together"
        ),
        Errno::EFBIG => {
            "the image is larger than a file may be here; see ulimit -f, or use another file system"
                .into()
        }
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
        let text = |errno| remedy(errno, 42).unwrap();
        assert!(text(Errno::EPERM).contains("CAP_SYS_PTRACE"));
        assert!(text(Errno::ESRCH).contains("process 42"));
        assert!(text(Errno::EBUSY).contains("/proc/42/status"));
        assert!(text(Errno::ENOSYS).contains("CONFIG_CHECKPOINT"));
        assert!(text(Errno::ENOSPC).contains("/proc/42/status"));
        assert_eq!(remedy(Errno::EIO, 42), None);
    }
}
