// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The first process of a PID namespace: a small init.
//!
//! It mounts a /proc that shows the namespace, starts the task of the image there,
//! takes note of orphans that end, and ends with the status of the task. The kernel
//! then kills whatever is left in the namespace. It goes on when this tool ends.

use std::fs::File;
use std::io::PipeWriter;
use std::io::Write;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::path::Path;

use ckpttool::Signals;
use nix::errno::Errno;
use nix::mount::mount;
use nix::mount::MsFlags;
use nix::sys::prctl;
use nix::unistd::dup2_stderr;
use nix::unistd::dup2_stdin;
use nix::unistd::dup2_stdout;

use crate::launch;
use crate::launch::Plan;
use crate::launch::Started;
use crate::sys;
use crate::trouble::Step;
use crate::trouble::Trouble;
use crate::wait::stand_by;
use crate::wait::Stop;

/// Starts an init with the task of `plan` below it.
///
/// # Errors
///
/// When there are no namespaces to be had.
pub fn start(plan: &Plan, log: &PipeWriter, signals: &Signals) -> Result<Started, Trouble> {
    let keep = [
        plan.image.as_raw_fd(),
        log.as_raw_fd(),
        signals.as_fd().as_raw_fd(),
    ];
    Started::new(
        Step::Namespace,
        sys::NEW_NAMESPACES,
        None,
        &keep,
        |mut tell| {
            let task = mounts(plan)
                .and_then(|()| launch::task(plan, 0, log))
                .and_then(|started| started.watch(signals, None));
            match task {
                Ok(task) => {
                    settle(&[signals.as_fd().as_raw_fd(), tell.as_raw_fd()]);
                    let _ = prctl::set_pdeathsig(None);
                    // No longer a process that begins.
                    let _ = prctl::set_name(c"restart-init");
                    drop(tell);
                    stand_by(task, signals, Stop::Never).into()
                }
                Err(trouble) => {
                    let _ = tell.write_all(&trouble.to_bytes());
                    1
                }
            }
        },
    )
}

/// Mounts a new /proc, where nobody else sees it. What is unmounted outside is gone here, too.
///
/// # Errors
///
/// Those of mount(2).
pub fn mounts(plan: &Plan) -> Result<(), Trouble> {
    const NO: Option<&str> = None;
    let trouble = |errno: Errno| Trouble::new(Step::Proc, errno);
    mount(NO, "/", NO, MsFlags::MS_REC | MsFlags::MS_SLAVE, NO).map_err(trouble)?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let proc = |at: &Path| mount(Some("proc"), at, Some("proc"), flags, NO).map_err(trouble);
    proc(Path::new("/proc"))?;
    match plan.root.as_ref().map(|root| root.join("proc")) {
        Some(at) if at.is_dir() => proc(&at),
        _ => Ok(()),
    }
}

/// Lets go of everything that whoever called the tool may wait for, but for `keep`.
fn settle(keep: &[RawFd]) {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = dup2_stdin(&null);
        let _ = dup2_stdout(&null);
        let _ = dup2_stderr(&null);
    }
    sys::close_rest(keep);
}
