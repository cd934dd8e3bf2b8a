// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unwrap_used
    )
)]

//! Shows, checks and explains checkpoint images.
//!
//! Reads once, from front to end, so that a pipe serves as well as a file, and
//! takes nothing behind the image from it. Whatever the image holds, the
//! answer is text and an exit status.

mod anon;
mod call;
mod diff;
mod forest;
mod json;
mod locks;
mod model;
mod pending;
mod pipes;
mod posix;
mod shmem;
mod sockets;
mod tables;
mod text;
mod time;
mod timers;
mod tree;
mod verdict;
mod watched;

use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::Read;
use std::io::Write;
use std::os::fd::AsFd;
use std::path::Path;
use std::path::PathBuf;
use std::process::ExitCode;

use ckptfmt::format::head::ErrorRec;
use ckptfmt::stream::reader::Fault;
use ckptfmt::walk::walk;
use ckptfmt::walk::Stop;
use clap::CommandFactory;
use clap::Parser;
use clap_complete::Shell;

use crate::model::Model;
use crate::model::View;
use crate::tables::Lines;
use crate::watched::Watched;

const ABOUT: &str = "Shows what is in a checkpoint image: the machine it was made on, the tasks, their \
memory, the system calls that they were in, open files, signals, timers and rights.\n\nAn image is what the system call checkpoint(2) writes. \
Without an option the image is printed as a tree. The image is read once, from front to end, so that \
it may come through a pipe.";

const AFTER: &str =
    "Exit status:\n  0  the image is complete and correct (with --error: it holds an error)\n  \
1  it is not (with --error: it holds none)\n  2  wrong usage, or something cannot be read or written\n\n\
With --diff:\n  0  the images say the same\n  1  they differ\n  \
2  wrong usage, one of them is not complete, or something cannot be read or written\n\nExamples:\n  \
ckptinfo out.1                show an image\n  ckptinfo --verify < out.1     is it whole?\n  \
ckptinfo --tree out.1         which processes are in it?\n  \
ckptinfo --maps out.1         its address spaces, as /proc/PID/maps\n  \
ckptinfo --error out.1        why did this checkpoint fail?\n  \
ckptinfo --diff out.1 out.2   what has the program done in between?\n";

/// Shows, checks and explains checkpoint images
#[derive(Parser)]
#[command(version, long_about = ABOUT, after_help = AFTER)]
struct Args {
    /// The image; standard input if absent or "-"
    file: Option<PathBuf>,

    /// Print everything as JSON
    #[arg(short, long, group = "mode")]
    json: bool,

    /// Print why the checkpoint failed, from the image's error record
    #[arg(short, long, group = "mode")]
    error: bool,

    /// Only check structure and checksums, and say so in one line
    #[arg(short, long, group = "mode")]
    verify: bool,

    /// Print the address space as a table, with the pages saved
    #[arg(short, long, group = "mode")]
    maps: bool,

    /// Print the file descriptors as a table
    #[arg(short, long, group = "mode")]
    fds: bool,

    /// Print the processes, children below their parents
    #[arg(short, long, group = "mode")]
    tree: bool,

    /// Print what differs between two images, one of which may be "-"
    #[arg(
        short,
        long,
        num_args = 2,
        value_names = ["A", "B"],
        conflicts_with_all = ["error", "verify", "maps", "fds", "tree", "file"]
    )]
    diff: Option<Vec<PathBuf>>,

    /// With --diff: times, counters and identifiers count as well
    #[arg(short, long, requires = "diff")]
    all: bool,

    /// Print a completion script for a shell
    #[arg(long, value_name = "SHELL", exclusive = true)]
    completion: Option<Shell>,
}

/// The image: its name for messages, and its bytes.
fn open(file: Option<&Path>) -> (String, io::Result<File>) {
    match file.filter(|f| *f != Path::new("-")) {
        Some(path) => (
            text::escape(path.as_os_str().as_encoded_bytes()),
            File::open(path),
        ),
        // Not through the buffer of io::stdin(), which would take more than the image.
        None => (
            "standard input".into(),
            io::stdin().as_fd().try_clone_to_owned().map(File::from),
        ),
    }
}

/// Why a checkpoint failed, if the image says so.
fn failure(stop: Option<&Stop<io::Error>>) -> Option<&ErrorRec> {
    match stop.map(|s| &s.fault) {
        Some(Fault::Failed(error)) => Some(error),
        _ => None,
    }
}

/// Writes what was asked for.
fn answer(
    args: &Args,
    name: &str,
    model: &Model,
    stop: Option<&Stop<io::Error>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    if args.error {
        return match failure(stop) {
            Some(error) => writeln!(out, "{}", verdict::failure(error)),
            None => Ok(()),
        };
    }
    if args.verify {
        return match stop {
            Some(stop) => writeln!(out, "{name}: {}", verdict::line(stop)),
            None => {
                let totals = model.totals.unwrap_or_default();
                writeln!(
                    out,
                    "{name}: correct: {} bytes, {}, {}",
                    totals.bytes,
                    text::count(totals.records, "record"),
                    text::count(totals.pages, "page")
                )
            }
        };
    }
    if args.json {
        json::json(model, stop, out)
    } else if args.maps {
        of_each(model, tables::maps, out)
    } else if args.fds {
        of_each(model, tables::fds, out)
    } else if args.tree {
        forest::lines(model)
            .iter()
            .try_for_each(|line| writeln!(out, "{line}"))
    } else {
        tree::tree(model, out)
    }
}

/// A table of each process, with its name above if there are several.
fn of_each(
    model: &Model,
    table: for<'a> fn(&'a View<'a>) -> Option<Lines<'a>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    for view in model.views() {
        let Some(mut lines) = table(&view) else {
            continue;
        };
        if let Some(task) = view.task.as_ref().filter(|_| model.tree.len() > 1) {
            writeln!(out, "{} {}:", task.pid, text::name(&task.comm))?;
        }
        lines.try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(())
}

/// Says what is wrong with an image.
fn complain(name: &str, what: &dyn std::fmt::Display) {
    // A message that nobody can read is no further error.
    let _ = writeln!(io::stderr(), "ckptinfo: {name}: {what}");
}

/// Says why an image cannot be read.
fn trouble(name: &str, why: &dyn std::fmt::Display) -> ExitCode {
    complain(name, why);
    ExitCode::from(2)
}

/// Prints, and says so if that fails, which is no fault of the image.
fn print(write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), ExitCode> {
    ckpttool::print(write).map_err(|e| {
        // A message that nobody can read is no further error.
        let _ = writeln!(io::stderr(), "ckptinfo: {e}");
        ExitCode::from(2)
    })
}

/// Prints a completion script for a shell.
fn complete(shell: Shell) -> Result<(), ExitCode> {
    // It is not to be written while it is made: what makes it panics on a full disk.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "ckptinfo", &mut script);
    print(|out| out.write_all(&script))
}

/// Compares two images.
fn compare(args: &Args, a: &Path, b: &Path) -> ExitCode {
    if a == b && a == Path::new("-") {
        return trouble("-", &"only one of the images can be the standard input");
    }
    let ((a, first), (b, second)) = (open(Some(a)), open(Some(b)));
    let (first, second) = match (first, second) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(e), _) => return trouble(&a, &e),
        (_, Err(e)) => return trouble(&b, &e),
    };
    let ask = diff::Ask {
        all: args.all,
        json: args.json,
    };
    match diff::diff(ask, (&a, first), (&b, second)) {
        Err((name, why)) => trouble(&name, &why),
        Ok(answer) => match print(|out| out.write_all(answer.text.as_bytes())) {
            Err(status) => status,
            Ok(()) => ExitCode::from(u8::from(!answer.same)),
        },
    }
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(shell) = args.completion {
        return complete(shell).err().unwrap_or(ExitCode::SUCCESS);
    }
    if let Some([a, b]) = args.diff.as_deref() {
        return compare(&args, a, b);
    }
    let (name, input) = open(args.file.as_deref());
    let input = match input {
        Ok(input) => input,
        Err(e) => return trouble(&name, &e),
    };
    let mut model = Model::default();
    let input: Box<dyn Read> = if args.verify {
        Box::new(Watched::new(&name, input))
    } else {
        Box::new(input)
    };
    let stop = walk(input, &mut |event| model.take(event)).err();
    let stop = stop.as_deref();
    if let Err(status) = print(|out| answer(&args, &name, &model, stop, out)) {
        return status;
    }
    let good = if args.error {
        failure(stop).is_some()
    } else {
        stop.is_none()
    };
    match stop {
        Some(Stop {
            fault: Fault::Source(e),
            ..
        }) if e.kind() != ErrorKind::UnexpectedEof => return trouble(&name, e),
        Some(stop) if !(args.verify || args.error && good) => {
            complain(&name, &verdict::line(stop));
        }
        None if args.error => complain(&name, &"the checkpoint did not fail"),
        _ => {}
    }
    ExitCode::from(u8::from(!good))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The man page has each option, in an entry of its own, and no other one.
    #[test]
    fn the_man_page_has_these_options() {
        let page = include_str!("../../../Documentation/checkpoint/man/ckptinfo.1");
        let mut command = Args::command();
        command.build();
        let options = command.get_arguments().filter_map(|arg| arg.get_long());
        let mut options: Vec<String> = options.map(str::to_string).collect();
        options.sort();
        assert_eq!(options, ckpttool::manual::options(page));
    }
}
