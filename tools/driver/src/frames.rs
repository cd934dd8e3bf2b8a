// SPDX-License-Identifier: GPL-2.0

//! Stack frames of the kernel code: a kernel stack has 16 KiB, which the caller's file
//! systems and interrupts use, too.
//!
//! CONFIG_FRAME_WARN does this for C only: no rustc of today can warn so.

use std::process::Command;

use anyhow::{bail, Result};

use crate::cmd;
use crate::kbuild::Kbuild;

/// Bytes that no function's frame may exceed. CONFIG_FRAME_WARN has 2048 for C; here
/// frames of more than one of the larger functions stand above each other.
const LIMIT: u64 = 1280;

/// Checks the code of a kernel that was built; says what the largest frame is.
pub fn check(kbuild: &Kbuild) -> Result<String> {
    let mut frames = Vec::new();
    for object in ["checkpoint/checkpoint.o", "checkpoint/sys.o"] {
        let text = cmd::output(
            Command::new("llvm-objdump-19")
                .args(["--disassemble", "--demangle", "--no-show-raw-insn"])
                .arg(kbuild.out.join(object)),
        )?;
        frames.extend(frames_of(&text));
    }
    frames.sort_by_key(|frame| std::cmp::Reverse(frame.0));
    let Some((largest, name)) = frames.first() else {
        bail!("no function has a frame: the disassembly is not understood");
    };
    let over = frames.iter().filter(|(bytes, _)| *bytes > LIMIT).count();
    if over > 0 {
        bail!(
            "{name} needs {largest} bytes of stack, {LIMIT} is the limit ({over} above it): put \
             large values on the heap, or split it"
        );
    }
    Ok(format!("{largest} bytes, of {LIMIT}: {name}"))
}

/// The frames in a disassembly, with their functions.
fn frames_of(text: &str) -> Vec<(u64, String)> {
    let mut frames: Vec<(u64, String)> = Vec::new();
    let mut function = "";
    for line in text.lines() {
        if let Some((_, name)) = line
            .strip_suffix(">:")
            .and_then(|line| line.split_once(" <"))
        {
            function = name;
        } else if let Some(bytes) = grown(line) {
            frames.push((bytes, function.to_string()));
        }
    }
    frames
}

/// Bytes by which an instruction makes the stack grow.
fn grown(line: &str) -> Option<u64> {
    let mut words = line.split_whitespace().skip_while(|w| *w != "subq");
    let (_, bytes, to) = (words.next()?, words.next()?, words.next()?);
    let digits = bytes.strip_prefix("$0x")?.strip_suffix(',')?;
    (to == "%rsp").then(|| u64::from_str_radix(digits, 16).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found() {
        let text = "\
0000000000000010 <checkpoint::entry::report>:
      10:      \tpushq\t%rbp
      11:      \tsubq\t$0x2f0, %rsp            # imm = 0x2F0
      18:      \tsubq\t$0x8, %rax
      20:      \tsubq\t$-0x80, %rsp

0000000000000100 <leaf>:
     100:      \tretq
0000000000000110 <checkpoint::<impl A for B>::f>:
     111:      \tsubq\t$0x10, %rsp
";
        let want = [
            (0x2f0, "checkpoint::entry::report".to_string()),
            (0x10, "checkpoint::<impl A for B>::f".to_string()),
        ];
        assert_eq!(frames_of(text), want);
    }
}
