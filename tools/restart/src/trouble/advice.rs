// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What helps, by what the kernel has said and by the errno.

use nix::errno::Errno;

/// What helps when the caller has nothing in place of the pipe or socket that the image
/// went to. The kernel's reason has the number.
pub fn of_stream(reason: &str) -> String {
    let place = reason.split_once(": the caller has no usable descriptor");
    let number = place.and_then(|(place, _)| place.rsplit_once("fd ")?.1.parse::<u32>().ok());
    let (which, number) = match number {
        Some(number) => (format!("descriptor {number}"), number),
        None => ("a descriptor with the number of that".into(), 7),
    };
    format!(
        "the process had a pipe or socket that the image went to: give this program {which}, \
         open for at least the same and without the close-on-exec flag, as in \
         {number}>/dev/null or, for reading as well, {number}<>/dev/tty; ckptinfo --fds shows it. \
         What --inherit hands over must be open for as much as well"
    )
}

/// What helps when restart(2) has failed, by the kernel's reason, where the errno has
/// other meanings as well.
pub fn of_reason(errno: Errno, reason: &str) -> Option<&'static str> {
    const REASONS: [(&str, &str); 11] = [
        (
            ": a path is outside of the caller's root",
            "give --root a directory above all that the process had open, or leave it out",
        ),
        (
            ": a process id of the image is taken",
            "end what has this id, take any others with --new-pids, or keep all of them in a PID \
             namespace with --pidns",
        ),
        (
            ": to choose process ids needs CAP_CHECKPOINT_RESTORE",
            "run this as root; --user gives the capability up, which a tree of processes needs to \
             get its ids back: --new-pids does without",
        ),
        (
            ": a new task was killed",
            "somebody has killed it, or the machine was out of memory: see dmesg",
        ),
        (
            ": the caller may not have so many processes",
            "raise the limit of processes: ulimit -u, or pids.max of the control group",
        ),
        (
            ": somebody else has locked what is locked in the image",
            "end who has it, which may be the original: /proc/locks shows them; or hand a file \
             over in its place with --inherit: locks of the image are left out then",
        ),
        (
            ": a locked file has changed since the checkpoint",
            "what the program has read of it is out of date: put back a copy of then with the time of \
             its last change (cp -p), or hand it over with --inherit, without the locks of the image",
        ),
        (
            ": a mapped file has changed since the checkpoint",
            "the process has parts of it in memory: put back the file of then with the time of its \
             last change, to the nanosecond, which not every copy has: ckptinfo --json shows its \
             size and mtime, stat -c '%s %.9Y' those of now, touch -d @MTIME sets one",
        ),
        (
            ": a lock on a file that is not open for it",
            "the image is not as it was written: check it with ckptinfo --verify, and copy it again",
        ),
        (
            " (RLIMIT_SIGPENDING)",
            "raise the limit of pending signals and timers: ulimit -i",
        ),
        (
            ": the caller's user namespace lacks ids of the image",
            "map them, in /proc/PID/uid_map and gid_map of the namespace, or restart the image \
             outside of it; ckptinfo shows the ids",
        ),
    ];
    let mut known = REASONS.iter();
    let known = known.find(|(words, _)| reason.contains(words));
    match (known, errno) {
        (Some((_, helps)), _) => Some(helps),
        (None, Errno::EAGAIN | Errno::EINVAL) if reason.contains(": the image cannot be read") => {
            Some(
                "the image comes from what the kernel cannot read, or from a descriptor that does \
                 not block: let it come from a file, or from a pipe, as in cat FILE | restart",
            )
        }
        (None, Errno::EIO) if reason.contains(": the image cannot be read") => Some(
            "what the image is on fails, or a connection to it: see dmesg; nothing is known about \
             the image",
        ),
        (None, Errno::EAGAIN) if reason.contains(": a mapping cannot be made") => {
            Some("raise the limit of locked memory: ulimit -l")
        }
        (None, Errno::EIO | Errno::EINVAL) if reason.contains(" cannot be ") => Some(
            "this kernel does not do it, or the image is not as it was written: check that with \
             ckptinfo --verify",
        ),
        _ => None,
    }
}

/// What helps when restart(2) has failed, and the errno is all that is known.
pub fn of_restart(errno: Errno) -> Option<&'static str> {
    Some(match errno {
        Errno::ENOSYS => {
            "this kernel has no restart(2); boot one that was built with CONFIG_CHECKPOINT=y"
        }
        Errno::EPERM => {
            "the caller must have the ids, groups and capabilities of the process, or be able to \
             take them: run this as that user, or as root, with --user unless the image is to be \
             trusted; kernel.checkpoint_restart can forbid it as well. ckptinfo shows what the \
             image asks for"
        }
        Errno::EOPNOTSUPP => {
            "this machine or its kernel is not like the one that made the image; ckptinfo shows \
             both the processor and the kernel of the image"
        }
        Errno::ESTALE => {
            "a file that the process has in use is another one now: bring back the old one, with \
             its time, or make the image anew"
        }
        Errno::ENOENT | Errno::ENOTDIR => {
            "a file or directory of the process is missing: bring it back under its name"
        }
        Errno::EACCES => "this user may not open a file that the process had open; see --user",
        Errno::EIO | Errno::EBADMSG | Errno::EINVAL => {
            "the image is not as it was written: check it with ckptinfo --verify, and copy it again"
        }
        Errno::ECANCELED => "there was no complete checkpoint; ckptinfo --error shows why",
        Errno::EMFILE => "raise the limit of open files: ulimit -n",
        Errno::EAGAIN => "a limit of the caller is too low: see ulimit -a",
        Errno::ENOMEM => "there is not enough memory, or a limit of it is too low: see ulimit -a",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Step;
    use super::super::Trouble;
    use super::*;

    #[test]
    fn what_the_kernel_says_of_other_tasks_comes_before_the_errno() {
        let helps = |errno, why| {
            let line = format!("restart: pid 5: 4712: {why} (errno {})", errno as i32);
            let remedy = Trouble::new(Step::Restart, errno).remedy(&line);
            remedy.unwrap_or_default()
        };
        let taken = helps(Errno::EEXIST, "a process id of the image is taken");
        assert!(taken.contains("--new-pids") && taken.contains("--pidns"));
        let right = "to choose process ids needs CAP_CHECKPOINT_RESTORE";
        assert!(helps(Errno::EPERM, right).contains("--new-pids"));
        assert!(helps(Errno::ESRCH, "a new task was killed").contains("dmesg"));
        let many = "the caller may not have so many processes";
        assert!(helps(Errno::EAGAIN, many).contains("ulimit -u"));
        // The same errnos with other reasons.
        assert!(helps(Errno::EPERM, "the caller may not have the credentials").contains("--user"));
        assert_eq!(helps(Errno::EEXIST, "a mapping cannot be made"), "");
    }

    /// What helps when the kernel has said this.
    fn helps(errno: Errno, said: &str) -> String {
        let line = format!("restart: pid 5: {said} (errno {})", errno as i32);
        let remedy = Trouble::new(Step::Restart, errno).remedy(&line);
        remedy.unwrap_or_default()
    }

    #[test]
    fn a_path_outside_of_the_root_is_not_missing() {
        let said = "image offset 7: a path is outside of the caller's root: /dev/null [STR]";
        let outside = helps(Errno::ENOENT, said);
        assert!(outside.contains("--root") && !outside.contains("missing"));
    }

    #[test]
    fn a_limit_is_named_only_where_it_was_reached() {
        let again = |said| helps(Errno::EAGAIN, said);
        let locked = "0x1000-0x2000: a mapping cannot be made [VMA]";
        assert!(again(locked).contains("ulimit -l"));
        for signals in [
            "the caller may not have so many pending signals (RLIMIT_SIGPENDING)",
            "the caller may not have so many POSIX timers (RLIMIT_SIGPENDING) [TIMER]",
        ] {
            assert!(again(signals).contains("ulimit -i"));
        }
        let empty = again("image offset 0: the image cannot be read");
        assert!(empty.contains("does not block") && !empty.contains("ulimit"));
        let held = "fd 3: somebody else has locked what is locked in the image: /a [FILE_LOCK]";
        assert!(again(held).contains("/proc/locks") && !again(held).contains("ulimit"));
        let other = again("the credentials of the image cannot be made: user ids [CREDS]");
        assert!(other.contains("ulimit -a"));
    }

    #[test]
    fn a_file_that_was_copied_gets_its_time_back() {
        let changed = "0x1000-0x2000: a mapped file has changed since the checkpoint: /a/b [VMA]";
        assert!(helps(Errno::ESTALE, changed).contains("touch -d"));
        let other = "fd 3: a file is of another type than at the checkpoint: /a/b [FILE]";
        assert!(!helps(Errno::ESTALE, other).contains("touch"));
    }

    #[test]
    fn an_image_is_called_damaged_only_where_it_may_be() {
        let lacks = "the caller's user namespace lacks ids of the image: user ids [CREDS]";
        let lacks = helps(Errno::EINVAL, lacks);
        assert!(lacks.contains("uid_map") && !lacks.contains("copy"));
        assert!(!helps(Errno::EINVAL, "an epoll cannot be created").contains("copy"));
        assert!(!helps(Errno::EINVAL, "image offset 0: the image cannot be read").contains("copy"));
        let fails = helps(Errno::EIO, "image offset 0: the image cannot be read");
        assert!(fails.contains("dmesg") && !fails.contains("copy"));
        for (errno, damaged) in [
            (
                Errno::EIO,
                "image offset 77: the image ends too early [PAGES]",
            ),
            (Errno::EBADMSG, "image offset 77: wrong checksum"),
            (Errno::EINVAL, "an object reference is used twice [FILE]"),
            (Errno::EINVAL, ""),
        ] {
            assert!(helps(errno, damaged).contains("copy it again"), "{damaged}");
        }
    }

    #[test]
    fn the_descriptor_that_is_missing_is_named() {
        let why = "the caller has no usable descriptor in place of the image's stream [FILE]";
        for line in [
            format!("fd 12: {why}"),
            format!("process 4712 of the image: fd 12: {why}"),
        ] {
            let remedy = helps(Errno::EBADF, &line);
            for part in [
                "descriptor 12,",
                "12>/dev/null",
                "12<>/dev/tty",
                "close-on-exec",
            ] {
                assert!(remedy.contains(part), "{remedy}");
            }
        }
        assert!(helps(Errno::EBADF, "").contains("7>/dev/null"));
    }
}
