// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The command line.

use std::path::PathBuf;

use clap::Parser;
use clap_complete::Shell;

use crate::handover::Handover;

const ABOUT: &str = "Brings a process back from the image that checkpoint(1) made of it, with its \
threads and all processes that were below it. They go on where they were, with the same memory, \
registers and open files, the first one as a child of this program.\n\nThe \
files that they had open are opened again by their names and with your rights; their ids and \
capabilities are those that they had, which you must have or be able to take: see --user. Without --wait this program ends when the process goes on.\n\n\
To restart an image is to run it, with your rights. Restart only what you would execute.";

const AFTER: &str = "Process ids:\n  \
All tasks get the ids that they had. That needs CAP_CHECKPOINT_RESTORE, as root has it, and the ids\n  \
must be free. --new-pids does without; --pidns makes a PID namespace in which all ids are free.\n\n\
Clocks:\n  \
CLOCK_MONOTONIC and CLOCK_BOOTTIME are those of this machine, which begin anew at a reboot. Timers\n  \
that the kernel keeps go on with the time that was left; those that a program keeps by itself, as\n  \
Go, tokio and asyncio do, only with --timens.\n\n\
Exit status:\n  \
0  the process goes on; with --wait: it has ended with status 0\n  \
1  it could not be restarted; the reason is on standard error\n  \
2  wrong usage, or a file cannot be opened\n  \
3  interrupted by a signal before the restart was complete\n  \
With --wait and a process that goes on: its status; 128 + N when signal N has killed it\n\n\
Examples:\n  \
restart -i job.ckpt                    bring it back\n  \
restart -i job.ckpt --new-pids --wait  with any process ids; stay until it ends\n  \
restart -i job.ckpt --pidns            an id is taken: in a PID namespace\n  \
restart -i job.ckpt --timens           after a reboot: its clocks go on\n  \
sudo restart -i job.ckpt --user $USER  a process of yours, with its process id\n  \
zstd -dc job.ckpt.zst | restart        from a pipe\n  \
restart -i job.ckpt -w --inherit 0=0 --inherit 1=1 --inherit 2=2\n                                         \
on this terminal, not on the one that it was on\n";

/// Bring a process back from its image
#[derive(Debug, Parser)]
#[command(name = "restart", version, long_about = ABOUT, after_help = AFTER)]
pub struct Args {
    /// The image; standard input if absent or "-"
    #[arg(short, long, value_name = "FILE")]
    pub input: Option<PathBuf>,

    /// Let the kernel choose all process and thread ids
    #[arg(long, group = "ids")]
    pub new_pids: bool,

    /// Make a PID namespace for the processes, with an init of its own and a new /proc
    #[arg(long, group = "ids")]
    pub pidns: bool,

    /// Make a time namespace in which the clocks of the processes go on from where they were
    #[arg(long)]
    pub timens: bool,

    /// Make this the root directory first: for a process that ran in it
    #[arg(long, value_name = "DIR")]
    pub root: Option<PathBuf>,

    /// Put a descriptor of this command in the place of an open file of the image: WHAT is a
    /// descriptor of its first process, or a path. May be given several times
    #[arg(long, value_name = "WHAT=FD")]
    pub inherit: Vec<Handover>,

    /// Become this user first, with all groups of the user: a name, or an id of passwd(5)
    #[arg(long, value_name = "USER")]
    pub user: Option<String>,

    /// Stay until the process ends, hand signals on to it, and end with its status
    #[arg(short, long)]
    pub wait: bool,

    /// Also write all messages to the end of this file, with the time
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// No progress, and do not say which process goes on
    #[arg(short, long)]
    pub quiet: bool,

    /// Print a completion script for a shell
    #[arg(long, value_name = "SHELL", exclusive = true)]
    pub completion: Option<Shell>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::error::ErrorKind;
    use clap::CommandFactory;

    fn parse(args: &[&str]) -> Result<Args, ErrorKind> {
        Args::try_parse_from([&["restart"], args].concat()).map_err(|e| e.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_full_line() {
        let line = "-i a.ckpt --pidns --timens --root /srv --user me --wait --log l -q";
        let args = parse(&line.split(' ').collect::<Vec<_>>()).unwrap();
        assert_eq!(args.input.unwrap().to_str(), Some("a.ckpt"));
        assert_eq!(args.root.unwrap().to_str(), Some("/srv"));
        assert_eq!(args.user.as_deref(), Some("me"));
        let args2 = parse(&["--inherit", "0=0", "--inherit", "/dev/pts/3=2"]).unwrap();
        assert_eq!(args2.inherit.len(), 2);
        assert!(args.pidns && args.timens && args.wait && args.quiet && !args.new_pids);
        assert!(parse(&[]).unwrap().input.is_none());
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(
            parse(&["--new-pids", "--pidns"]).unwrap_err(),
            ErrorKind::ArgumentConflict
        );
        assert_eq!(
            parse(&["--inherit", "stdout=1"]).unwrap_err(),
            ErrorKind::ValueValidation
        );
        assert_eq!(parse(&["a.ckpt"]).unwrap_err(), ErrorKind::UnknownArgument);
        assert_eq!(
            parse(&["--completion", "sh"]).unwrap_err(),
            ErrorKind::InvalidValue
        );
    }

    /// The man page has each option, in an entry of its own, and no other one.
    #[test]
    fn the_man_page_has_these_options() {
        let page = include_str!("../../../Documentation/checkpoint/man/restart.1");
        let mut command = Args::command();
        command.build();
        let options = command.get_arguments().filter_map(|arg| arg.get_long());
        let mut options: Vec<String> = options.map(str::to_string).collect();
        options.sort();
        assert_eq!(options, ckpttool::manual::options(page));
    }
}
