// SPDX-License-Identifier: GPL-2.0

//! A stand-in for the kernel: answers checkpoint(2) and restart(2) of a program.
//!
//! The program runs under a seccomp filter that hands these two calls to the test
//! (seccomp_unotify(2)), which looks at the arguments, writes to the program's
//! descriptors, and answers. So the tools are tested whole, as they are built, on
//! any kernel. What a tool gets from the real kernel is for the guest tests.

use std::fs;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::Seek;
use std::io::SeekFrom;
use std::io::Write;
use std::mem::zeroed;
use std::os::fd::AsRawFd;
use std::os::fd::FromRawFd;
use std::os::fd::OwnedFd;
use std::process::Child;
use std::process::Command;
use std::sync::Arc;
use std::thread::sleep;
use std::time::Duration;

use nix::libc;
use nix::sys::signal::kill;
use nix::sys::signal::Signal;
use nix::unistd::Pid;

/// Number of checkpoint(2).
pub const NR_CHECKPOINT: i32 = 473;
/// Number of restart(2).
pub const NR_RESTART: i32 = 474;

/// What the stand-in answers.
#[allow(dead_code)] // Each test program uses its part.
pub enum Answer {
    /// The call returns this.
    Return(i32),
    /// The call fails.
    Fail(i32),
    /// The call goes on and on.
    Never,
}

/// A call that waits for its answer.
pub struct Call {
    pub nr: i32,
    pub args: [u64; 4],
    /// Who calls.
    pub pid: u32,
    id: u64,
    listener: Arc<OwnedFd>,
}

/// Has a process leave its system call and make it anew.
#[allow(dead_code)]
pub fn rouse(pid: Pid) {
    kill(pid, Signal::SIGSTOP).unwrap();
    let status = || fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    while !status().contains("State:\tT") {
        sleep(Duration::from_millis(1));
    }
    kill(pid, Signal::SIGCONT).unwrap();
}

/// The result of a system call that returns -1 on failure.
fn check(result: libc::c_long) -> i32 {
    assert!(result >= 0, "{}", io::Error::last_os_error());
    result as i32
}

impl Call {
    /// What the caller has open as the argument with this index, to be read from
    /// where the caller is.
    #[allow(dead_code)]
    pub fn input(&self, arg: usize) -> File {
        self.open(arg, File::options().read(true))
    }

    /// As [`Self::input`], to be written to.
    pub fn output(&self, arg: usize) -> File {
        self.open(arg, File::options().write(true))
    }

    fn open(&self, arg: usize, how: &OpenOptions) -> File {
        let (pid, fd) = (self.pid, self.args[arg]);
        let mut file = how.open(format!("/proc/{pid}/fd/{fd}")).unwrap();
        let info = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).unwrap();
        let position = info.lines().find_map(|l| l.strip_prefix("pos:")).unwrap();
        // A pipe has none.
        let _ = file.seek(SeekFrom::Start(position.trim().parse().unwrap()));
        file
    }

    /// Writes the reason of a failure to the caller's log.
    pub fn log(&self, line: &str) {
        assert_eq!(self.args[2] & 1, 1, "no log was asked for");
        self.output(3).write_all(line.as_bytes()).unwrap();
    }

    /// Closes all descriptors of the caller, as a restart does. The caller then makes
    /// the call anew; to this one there is no answer.
    #[allow(dead_code)]
    pub fn close_all(&self) -> Answer {
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap();
        for entry in fs::read_dir(format!("/proc/{}/fd", self.pid)).unwrap() {
            // SAFETY: All zeros is a valid request; the call reads only that.
            unsafe {
                let mut add: libc::seccomp_notif_addfd = zeroed();
                add.id = self.id;
                add.flags = libc::SECCOMP_ADDFD_FLAG_SETFD as u32;
                add.srcfd = null.as_raw_fd() as u32;
                add.newfd = entry
                    .unwrap()
                    .file_name()
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap();
                let request = libc::SECCOMP_IOCTL_NOTIF_ADDFD;
                check(libc::ioctl(self.listener.as_raw_fd(), request, &add).into());
            }
        }
        // What was replaced is closed on the way back to user mode: send it there.
        rouse(Pid::from_raw(self.pid as i32));
        Answer::Never
    }

    /// The parent of the caller.
    #[allow(dead_code)]
    pub fn parent(&self) -> Pid {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap();
        let parent = status.lines().find_map(|l| l.strip_prefix("PPid:"));
        Pid::from_raw(parent.unwrap().trim().parse().unwrap())
    }

    /// The parent of the caller gets no more descriptors from this number on.
    #[allow(dead_code)]
    pub fn limit_files_of_parent(&self, number: u64) {
        let limit = libc::rlimit {
            rlim_cur: number,
            rlim_max: number,
        };
        let (parent, nothing) = (self.parent().as_raw(), std::ptr::null_mut());
        // SAFETY: Reads the limit, and writes nothing.
        check(unsafe { libc::prlimit(parent, libc::RLIMIT_NOFILE, &limit, nothing) }.into());
    }

    fn answer(&self, answer: Answer) {
        // SAFETY: All zeros is a valid answer; the call reads only that. It fails
        // when the caller is gone.
        unsafe {
            let mut response: libc::seccomp_notif_resp = zeroed();
            response.id = self.id;
            match answer {
                Answer::Return(value) => response.val = value.into(),
                Answer::Fail(errno) => response.error = -errno,
                Answer::Never => return,
            }
            let request = libc::SECCOMP_IOCTL_NOTIF_SEND;
            libc::ioctl(self.listener.as_raw_fd(), request, &mut response);
        }
    }
}

/// Has the calling thread, and all that it starts, ask the returned descriptor.
fn listen() -> OwnedFd {
    let op = |code: u32, jt, jf, k| libc::sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    };
    let jump = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    // The first word that a filter sees is the number of the call.
    let mut program = [
        op(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        op(jump, 1, 0, NR_CHECKPOINT as u32),
        op(jump, 0, 1, NR_RESTART as u32),
        op(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        op(libc::BPF_RET, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let filter = libc::sock_fprog {
        len: program.len() as u16,
        filter: program.as_mut_ptr(),
    };
    // SAFETY: The filter lives as long as the call, which copies it; the descriptor
    // is new.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into());
        OwnedFd::from_raw_fd(check(libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &filter,
        )))
    }
}

/// The next call, if there can be one.
fn receive(listener: &Arc<OwnedFd>) -> Option<Call> {
    loop {
        // SAFETY: The structures are valid, and the calls write nothing else.
        unsafe {
            let mut poll = libc::pollfd {
                fd: listener.as_raw_fd(),
                events: libc::POLLIN,
                revents: 0,
            };
            libc::poll(&mut poll, 1, -1);
            if poll.revents & libc::POLLIN == 0 {
                return None;
            }
            let mut call: libc::seccomp_notif = zeroed();
            let request = libc::SECCOMP_IOCTL_NOTIF_RECV;
            // Fails when the caller was killed in the meantime.
            if libc::ioctl(listener.as_raw_fd(), request, &mut call) == 0 {
                let [a, b, c, d, ..] = call.data.args;
                return Some(Call {
                    nr: call.data.nr,
                    args: [a, b, c, d],
                    pid: call.pid,
                    id: call.id,
                    listener: listener.clone(),
                });
            }
        }
    }
}

/// Starts a program whose calls are answered by `answer`.
pub fn start(
    mut command: Command,
    mut answer: impl FnMut(&Call) -> Answer + Send + 'static,
) -> Child {
    // The filter is for the thread that starts the program, and for nobody else.
    let starter = std::thread::spawn(move || (listen(), command.spawn().unwrap()));
    let (listener, child) = starter.join().unwrap();
    let listener = Arc::new(listener);
    std::thread::spawn(move || {
        while let Some(call) = receive(&listener) {
            let answered = answer(&call);
            call.answer(answered);
        }
    });
    child
}
