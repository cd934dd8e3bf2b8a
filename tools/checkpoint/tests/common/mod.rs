// SPDX-License-Identifier: GPL-2.0
#![allow(dead_code)] // Each test program uses its part.

//! The tool, and a kernel that writes an image.

#[path = "../kernel/mod.rs"]
pub mod kernel;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use ckptfmt::build::Image;
use kernel::Answer;
use kernel::Call;

pub const TOOL: &str = env!("CARGO_BIN_EXE_checkpoint");

pub struct Ran {
    pub status: i32,
    pub out: Vec<u8>,
    pub err: String,
}

pub fn tool(args: &[&str]) -> Command {
    let mut command = Command::new(TOOL);
    command.args(args);
    command.stdin(Stdio::null());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

pub fn end(child: Child) -> Ran {
    let output = child.wait_with_output().unwrap();
    Ran {
        status: output.status.code().expect("killed by a signal"),
        out: output.stdout,
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs the tool on the kernel that is there.
pub fn run(args: &[&str]) -> Ran {
    end(tool(args).spawn().unwrap())
}

/// Runs the tool on a kernel that answers so.
pub fn run_with(args: &[&str], answer: impl FnMut(&Call) -> Answer + Send + 'static) -> Ran {
    end(kernel::start(tool(args), answer))
}

pub fn sample() -> Vec<u8> {
    Image::sample().bytes()
}

pub fn write_image(call: &Call) -> Answer {
    assert_eq!(call.nr, kernel::NR_CHECKPOINT);
    call.output(1).write_all(&sample()).unwrap();
    Answer::Return(7)
}

pub fn names(dir: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let all = fs::read_dir(dir).unwrap().map(name);
    all.map(|name| name.into_string().unwrap()).collect()
}

/// What a log has, without the times.
pub fn logged(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().map(|line| line.split_once(' ').unwrap().1);
    lines.map(|line| format!("{line}\n")).collect()
}
