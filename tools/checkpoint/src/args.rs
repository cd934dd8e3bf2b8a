// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! The command line.

use std::path::PathBuf;

use clap::Parser;
use clap_complete::Shell;

const ABOUT: &str = "Saves a running process, with its threads and all processes below it, as an \
image: memory, registers, open files and signal handling. restart(1) brings them back from there, \
later or after a reboot.\n\nThe processes are held still while their image is written, and do not \
notice. What an image cannot hold, like network sockets, is refused with the reason; then they go \
on and no image is left.\n\nAn image \
holds all that the memory holds, also passwords and keys. A file is made for its owner only.";

const AFTER: &str = "Exit status:\n  \
0  the image is complete, and in its place\n  \
1  the kernel refused or failed, or the file could not be completed; the reason is on\n     \
standard error\n  \
2  wrong usage, or a file cannot be opened\n  \
3  interrupted by a signal, or by --timeout\n\n\
Examples:\n  \
checkpoint 4711 -o job.ckpt                  save it, and let it go on\n  \
checkpoint 4711 -o job.ckpt --kill           save it, and end it\n  \
checkpoint 4711 -o job.ckpt --stop           save it, and stop it: kill -CONT lets it go on\n  \
umask 077; set -o pipefail                   for the owner only; a failure is one of the pipe\n  \
checkpoint 4711 -o - | zstd > new.zst && mv new.zst job.zst\n  \
                                             through a pipe\n  \
checkpoint 4711 --stop | ssh other restart --new-pids && kill -KILL 4711\n  \
                                             to another machine; --stop and --kill are for all\n  \
                                             that are saved, kill(1) is for one: name its\n  \
                                             children, too, if it has some\n  \
ckptinfo job.ckpt                            look into the image\n  \
restart -i job.ckpt                          bring the process back\n";

/// Save a running process as an image
#[derive(Debug, Parser)]
#[command(
    name = "checkpoint",
    version,
    long_about = ABOUT,
    after_help = AFTER,
    override_usage = "checkpoint PID [-o FILE] [OPTIONS]"
)]
pub struct Args {
    /// The process to save, by its id, with all below it
    #[arg(
        value_name = "PID",
        value_parser = clap::value_parser!(i32).range(1..),
        required_unless_present = "completion"
    )]
    pub pid: Option<i32>,

    /// Where the image goes; "-" is standard output, and may be left out when that
    /// is no terminal, and without --kill
    ///
    /// A file gets its name, and takes the place of an older one, when the image is
    /// complete.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,

    /// The processes go on when their image is complete (the default)
    #[arg(long, group = "then")]
    pub leave_running: bool,

    /// The processes are stopped when their image is complete, as by SIGSTOP
    #[arg(long, group = "then")]
    pub stop: bool,

    /// The processes are killed when their image is complete, by SIGKILL
    ///
    /// That is before the image is on the disk: --stop keeps them until then.
    #[arg(long, group = "then")]
    pub kill: bool,

    /// Also write all messages to the end of this file, with the time
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,

    /// Give up after this many seconds, and let the processes go on
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub timeout: Option<u32>,

    /// No progress and no summary, only failures
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
        Args::try_parse_from([&["checkpoint"], args].concat()).map_err(|e| e.kind())
    }

    #[test]
    fn the_definition_is_sound() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_full_line() {
        let args = parse(&[
            "42",
            "-o",
            "a.ckpt",
            "--kill",
            "--log",
            "l",
            "--timeout",
            "5",
            "-q",
        ])
        .unwrap();
        assert_eq!(args.pid, Some(42));
        assert_eq!(args.output.unwrap().to_str(), Some("a.ckpt"));
        assert!(args.kill && args.quiet && !args.stop && !args.leave_running);
        assert_eq!(args.timeout, Some(5));
        assert_eq!(
            parse(&["42", "-o", "-"]).unwrap().output.unwrap().to_str(),
            Some("-")
        );
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(parse(&[]).unwrap_err(), ErrorKind::MissingRequiredArgument);
        for pid in ["0", "4294967296", "abc", ""] {
            assert_eq!(
                parse(&[pid]).unwrap_err(),
                ErrorKind::ValueValidation,
                "{pid:?}"
            );
        }
        assert_eq!(
            parse(&["1", "--timeout", "0"]).unwrap_err(),
            ErrorKind::ValueValidation
        );
        for (a, b) in [
            ("--kill", "--stop"),
            ("--kill", "--leave-running"),
            ("--stop", "--leave-running"),
        ] {
            assert_eq!(
                parse(&["1", a, b]).unwrap_err(),
                ErrorKind::ArgumentConflict
            );
        }
        assert!(parse(&["--completion", "bash"]).unwrap().pid.is_none());
    }

    /// The man page has each option, in an entry of its own, and no other one.
    #[test]
    fn the_man_page_has_these_options() {
        let page = include_str!("../../../Documentation/checkpoint/man/checkpoint.1");
        let mut command = Args::command();
        command.build();
        let options = command.get_arguments().filter_map(|arg| arg.get_long());
        let mut options: Vec<String> = options.map(str::to_string).collect();
        options.sort();
        assert_eq!(options, ckpttool::manual::options(page));
    }
}
