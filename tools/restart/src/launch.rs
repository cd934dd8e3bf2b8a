// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The child that becomes the task of the image.
//!
//! How it gets on is told by a pipe. A restart that succeeds puts the descriptors of
//! the image in the place of the child's, and with them goes the writing end: the
//! pipe ends without a word. A failure is a few bytes, a [`Trouble`].

use std::ffi::CStr;
use std::io;
use std::io::PipeReader;
use std::io::PipeWriter;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::OwnedFd;
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

use ckpttool::await_input;
use ckpttool::Progress;
use ckpttool::Signals;
use nix::errno::Errno;
use nix::libc;
use nix::sys::prctl;
use nix::sys::signal::kill;
use nix::sys::signal::SigSet;
use nix::sys::signal::Signal;
use nix::unistd::chdir;
use nix::unistd::chroot;
use nix::unistd::getpid;
use nix::unistd::getppid;
use nix::unistd::Pid;

use crate::gauge::Shown;
use crate::group::Lead;
use crate::login::Login;
use crate::sys;
use crate::sys::Change;
use crate::trouble::name_of;
use crate::trouble::Step;
use crate::trouble::Trouble;
use crate::trouble::ENDING;
use crate::wait::is_with_us;

/// Name of a process that is not the image's yet. A restart changes it.
pub const MARK: &CStr = c"restart-begins";

/// How long a child that was killed may take to be dead.
const DYING: Duration = Duration::from_secs(1);

/// The same when nobody can see whether it was: each process that goes on costs as much.
const DYING_UNSEEN: Duration = Duration::from_millis(200);

/// What is to be restarted, and how.
#[derive(Debug)]
pub struct Plan {
    /// What the kernel reads.
    pub image: OwnedFd,
    /// The id that the process is to have.
    pub pid: Option<i32>,
    /// All others take any ids as well.
    pub new_pids: bool,
    /// What it leads.
    pub lead: Lead,
    /// Its root directory, when it is not this one.
    pub root: Option<PathBuf>,
    /// Its user, when it is not this one.
    pub user: Option<Login>,
}

/// A child on its way.
#[derive(Debug)]
pub struct Started {
    /// The child.
    pub child: Pid,
    status: PipeReader,
    /// It is the first process of its namespace, which no signal ends but SIGKILL.
    is_init: bool,
}

impl Started {
    /// Makes a child that does `work`, which may tell of trouble. The child has
    /// nothing that this tool has opened, but what `work` holds and `keep` names.
    ///
    /// # Errors
    ///
    /// When there is none to be had: then `step` has failed.
    pub fn new(
        step: Step,
        namespaces: i32,
        pid: Option<i32>,
        keep: &[RawFd],
        work: impl FnOnce(PipeWriter) -> i32,
    ) -> Result<Self, Trouble> {
        let trouble = |errno| Trouble::new(step, errno);
        let (status, tell) =
            io::pipe().map_err(|e| trouble(Errno::try_from(e).unwrap_or(Errno::EIO)))?;
        let parent = getpid();
        let child = sys::spawn(namespaces, pid, || {
            end_with_parent();
            // It may have ended before; from inside of a namespace nobody sees it.
            if namespaces & libc::CLONE_NEWPID == 0 && getppid() != parent {
                return 1;
            }
            let _ = prctl::set_name(MARK);
            sys::close_ours(&[keep, &[tell.as_raw_fd()]].concat());
            work(tell)
        });
        let child = child.map_err(trouble)?;
        Ok(Self {
            child,
            status,
            is_init: false,
        })
    }

    /// Waits until the child is the task of the image, and hands signals on to it.
    /// Meanwhile it is `shown` how far the image is read.
    ///
    /// # Errors
    ///
    /// When it does not get so far. Then it has ended.
    pub fn watch(mut self, signals: &Signals, shown: Option<Shown>) -> Result<Pid, Trouble> {
        let unknown = |_| Trouble::new(Step::Unknown, Errno::EIO);
        let every = shown.as_ref().map(|_| Progress::every());
        let mut ended_by = None;
        loop {
            let inputs = [self.status.as_fd(), signals.as_fd()];
            let [told, signalled] = await_input(inputs, every).map_err(unknown)?;
            if told {
                break;
            }
            if signalled {
                ended_by = hand_on(self.child, signals, self.is_init).or(ended_by);
                if has_ended(self.child) {
                    break;
                }
            }
            if let Some(shown) = &shown {
                shown.look();
            }
        }
        // The terminal belongs to the process now.
        drop(shown);
        // Those that it has made may have the pipe, and wait for a file server: not for them.
        sys::do_not_wait(self.status.as_fd())
            .map_err(|errno| Trouble::new(Step::Unknown, errno))?;
        let mut bytes = [0; 16];
        let len = self.status.read(&mut bytes).unwrap_or(0);
        let told = bytes.get(..len).unwrap_or_default();
        let Some(mut trouble) = Trouble::from_bytes(told).or_else(|| killed(self.child)) else {
            return Ok(self.child);
        };
        if let Some(signal) = ended_by.filter(|_| trouble.step == Step::Killed) {
            trouble.number = signal as i32;
        }
        // Whoever tries again at once wants its id to be free.
        let _ = until_dead(self.child, true, DYING);
        Err(trouble)
    }
}

/// Whoever kills this tool gets no process later. What is restarted has its own such signal
/// from then on, and no other.
fn end_with_parent() {
    let _ = prctl::set_pdeathsig(Signal::SIGKILL);
}

/// Hands the next signal on, unless the child has got it as well. In place of one that
/// would end it an init is killed: the signal is returned.
fn hand_on(child: Pid, signals: &Signals, is_init: bool) -> Option<Signal> {
    let caught = signals.next()?;
    if is_init && ENDING.contains(&caught.signal) {
        let _ = kill(child, Signal::SIGKILL);
        return Some(caught.signal);
    }
    if caught.signal != Signal::SIGCHLD && (!caught.from_kernel || !is_with_us(child)) {
        let _ = kill(child, caught.signal);
    }
    None
}

/// Has a child ended? It can still be waited for.
fn has_ended(child: Pid) -> bool {
    let news = sys::news(Some(child), false);
    matches!(news, Ok(Some((_, Change::Killed(_) | Change::Exited(_)))))
}

/// The signal that has killed a child which was not restarted yet: the pipe ends
/// without a word in that case, too.
///
/// Without a name to look at nobody can tell it from a process that has gone on and was
/// killed right after. Such a short life is told as the failure that it most likely is.
fn killed(child: Pid) -> Option<Trouble> {
    let patience = match name_of(child) {
        Some(name) if name == MARK.to_bytes() => DYING,
        Some(_) => return None,
        None => DYING_UNSEEN,
    };
    match until_dead(child, false, patience)? {
        Change::Killed(number) => Some(Trouble {
            step: Step::Killed,
            number,
        }),
        _ => None,
    }
}

/// Waits for the end of a child, for a while, and reaps it if wanted.
fn until_dead(child: Pid, reap: bool, patience: Duration) -> Option<Change> {
    let step = Duration::from_millis(2);
    let mut waited = Duration::ZERO;
    while waited < patience {
        match sys::news(Some(child), reap) {
            Ok(Some((_, end @ (Change::Killed(_) | Change::Exited(_))))) => return Some(end),
            Ok(_) => {
                sleep(step);
                waited = waited.saturating_add(step);
            }
            Err(_) => break,
        }
    }
    None
}

/// Starts the task of `plan`.
///
/// # Errors
///
/// As of [`Started::new`].
pub fn task(plan: &Plan, namespaces: i32, log: &PipeWriter) -> Result<Started, Trouble> {
    let inside = namespaces != 0;
    let step = if inside { Step::Namespace } else { Step::Clone };
    // The first process of a namespace has the id 1.
    let pid = plan.pid.filter(|_| !inside);
    let keep = [plan.image.as_raw_fd(), log.as_raw_fd()];
    let mut started = Started::new(step, namespaces, pid, &keep, |mut tell| {
        let trouble = if inside {
            crate::init::mounts(plan)
        } else {
            Ok(())
        }
        .and_then(|()| become_task(plan, log, &mut tell));
        if let Err(trouble) = trouble {
            let _ = tell.write_all(&trouble.to_bytes());
        }
        1
    })?;
    started.is_init = inside;
    Ok(started)
}

/// Becomes the task of the image, and does not return.
fn become_task(plan: &Plan, log: &PipeWriter, tell: &mut PipeWriter) -> Result<(), Trouble> {
    let at = |step| move |errno| Trouble::new(step, errno);
    // The image may name descriptors of the caller: ours are not meant.
    let image = sys::high(plan.image.as_fd());
    let log = sys::high(log.as_fd());
    let (image, log) = (
        image.map_err(at(Step::Restart))?,
        log.map_err(at(Step::Restart))?,
    );
    *tell = sys::high(tell.as_fd()).map_err(at(Step::Restart))?.into();
    sys::close_ours(&[image.as_raw_fd(), log.as_raw_fd(), tell.as_raw_fd()]);
    plan.lead.take().map_err(at(Step::Restart))?;
    // Other signals wait until the task is there that they are for.
    let mut blocked = SigSet::all();
    ENDING.iter().for_each(|signal| blocked.remove(*signal));
    blocked.thread_set_mask().map_err(at(Step::Restart))?;
    if let Some(root) = &plan.root {
        chroot(root).map_err(at(Step::Root))?;
        chdir("/").map_err(at(Step::Root))?;
    }
    if let Some(user) = &plan.user {
        user.enter().map_err(at(Step::User))?;
        // It is gone with the user's ids.
        end_with_parent();
    }
    Err(at(Step::Restart)(sys::restart(
        image.as_fd(),
        log.as_fd(),
        plan.new_pids,
    )))
}
