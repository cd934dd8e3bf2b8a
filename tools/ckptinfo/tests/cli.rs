// SPDX-License-Identifier: GPL-2.0

//! The tool as a person uses it: options, output, exit status, pipes.

#[path = "cli/anon.rs"]
mod anon;
#[path = "cli/call.rs"]
mod call;
#[path = "cli/diff.rs"]
mod diff;
#[path = "cli/output.rs"]
mod output;
#[path = "cli/pending.rs"]
mod pending;
#[path = "cli/pipe.rs"]
mod pipe;
#[path = "cli/socket.rs"]
mod socket;
#[path = "cli/terminal.rs"]
mod terminal;

use std::fs;
use std::io::Read;
use std::io::Write;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use ckptfmt::build::Image;
use ckptfmt::format::head::place;
use ckptfmt::format::head::ErrorRec;

struct Ran {
    status: i32,
    out: String,
    err: String,
}

fn start(args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_ckptinfo"))
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the tool with `image` on its standard input.
fn run(args: &[&str], image: &[u8]) -> Ran {
    let mut child = start(args);
    // The tool may stop reading a broken image before its end.
    let _ = child.stdin.take().unwrap().write_all(image);
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran {
        status: output.status.code().expect("killed by a signal"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Each of `texts` is in what is printed of `image`.
fn shows(image: &Image, texts: &[&str]) {
    let ran = run(&[], &image.bytes());
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    for text in texts {
        assert!(ran.out.contains(text), "{text:?} is not in:\n{}", ran.out);
    }
}

/// What the tool prints of `image` as JSON.
fn json(image: &[u8]) -> serde_json::Value {
    serde_json::from_str(&run(&["--json"], image).out).unwrap()
}

/// What is printed of the open file of the first task's descriptor `fd`.
fn file(value: &serde_json::Value, fd: u32) -> &serde_json::Value {
    let all = value["tasks"][0]["descriptors"].as_array().unwrap();
    let object = &all.iter().find(|e| e["fd"] == fd).unwrap()["object"];
    &value["files"][object.to_string()]
}

fn failed() -> Vec<u8> {
    let mut error = ErrorRec::zeroed();
    error.errno = 26;
    error.pid = 100;
    error.place = place::RANGE;
    error.kind = 202;
    error.a = 0x7f00_0000_0000;
    error.b = 0x7f00_0000_1000;
    let why = b"shared mapping";
    error.text_len = why.len() as u16;
    error.text[..why.len()].copy_from_slice(why);
    Image::sample().failed(&error)
}

#[test]
fn the_tree_shows_what_is_in_the_image() {
    let ran = run(&[], &Image::sample().bytes());
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    for text in [
        "task                 100 \"ckpt\"",
        "program            /bin/ckpt",
        "written            2026-09-21 14:13:20 UTC",
        "kernel             7.3.0 #1 SMP x86_64",
        "processor          avx2",
        "8 mappings",
        "16 KiB saved (4 pages)",
        "memfd memfd:frame, mode 644, 5000 bytes, 1 page saved, sealed: grow future-write exec",
        "shared memory 40     anonymous, 32 KiB, 1 page saved, noreserve",
        "/dev/ttyS0  terminal, read-write, at 0",
        "the same open file as 0",
        "signals blocked    SIGUSR1",
        "checksums are right",
    ] {
        assert!(ran.out.contains(text), "{text:?} is not in:\n{}", ran.out);
    }
}

#[test]
fn a_file_and_a_pipe_give_the_same() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), Image::sample().bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    for mode in [&[][..], &["--json"], &["--maps"], &["--fds"]] {
        let mut with_file = mode.to_vec();
        with_file.push(path);
        let from_file = run(&with_file, b"");
        assert_eq!(from_file.status, 0, "{}", from_file.err);
        assert_eq!(from_file.out, run(mode, &Image::sample().bytes()).out);
    }
}

#[test]
fn the_tables() {
    let bytes = Image::sample().bytes();
    let maps = run(&["--maps"], &bytes);
    assert_eq!(maps.status, 0);
    let heap = maps
        .out
        .lines()
        .find(|l| l.starts_with("000000500000-"))
        .unwrap();
    for text in [
        "rw-p",
        " 16 ",
        " 3 ",
        "[anon:arena]",
        "(guard account guard ranges 1 shared pages 1)",
    ] {
        assert!(heap.contains(text), "{text:?}: {heap}");
    }
    assert!(maps.out.contains("[vdso]") && maps.out.contains("growsdown"));
    let shared = maps
        .out
        .lines()
        .find(|l| l.starts_with("7fff00008000-"))
        .unwrap();
    assert!(shared.contains("r--s  00006000") && shared.contains("[shared memory 40]"));
    assert!(maps.out.contains("[shared memory 40 ring]"));
    let file = maps.out.lines().find(|l| l.ends_with("/var/lib/db"));
    assert!(file.is_some_and(|l| l.contains("rw-s")));
    let fds = run(&["--fds"], &bytes);
    assert!(fds.out.starts_with("100 ckpt:\n"));
    // The thread has a table of its own.
    assert_eq!(fds.out.lines().count(), 19 + 4 + 3);
    assert!(fds.out.contains(
        "\n                             record lock, exclusive, bytes 1073741824 to 1073741824\n"
    ));
    assert!(fds.out.contains("flock lock, exclusive, all of the file\n"));
    assert!(fds
        .out
        .contains("open file description lock, shared, bytes from 100 on\n"));
    let thread = fds.out.split("101 ckpt:\n").nth(1).unwrap();
    assert!(thread.contains("    1         12  "), "{thread}");
    assert!(fds
        .out
        .contains("100         memfd:frame  (file in memory, read-write"));
    assert!(fds.out.contains(
        "descriptor 7 of the restarting task  (stream of the image, write, close on exec)"
    ));
}

#[test]
fn the_forest() {
    let image = Image::sample();
    let tree = run(&["--tree"], &image.bytes());
    assert_eq!(tree.status, 0);
    assert_eq!(
        tree.out,
        "100 ckpt  (2 threads)\n  102 ckpt  (ended: exit status 7, leads a session)\n"
    );
    let all = run(&[], &image.bytes()).out;
    for text in [
        "tasks                3\n",
        "thread               101",
        "  ended              exit status 7",
    ] {
        assert!(all.contains(text), "{text:?} is not in:\n{all}");
    }
    let value = json(&image.bytes());
    assert_eq!(value["tree"][2]["parent"], 101);
    assert_eq!(value["tasks"][1]["signals"]["blocked"][0], "SIGUSR1");
    assert_eq!(value["tasks"][2]["task"]["exit_code"], 7 << 8);
    // One task has no heading.
    let alone = run(&["--fds"], &Image::minimal().bytes()).out;
    assert_eq!(alone.lines().count(), 1);
    assert!(!run(&[], &Image::minimal().bytes()).out.contains("tasks "));
}

#[test]
fn json_is_json() {
    let value = json(&Image::sample().bytes());
    assert_eq!(value["complete"], true);
    assert_eq!(value["tasks"][0]["task"]["comm"], "ckpt");
    assert_eq!(value["tasks"][0]["memory"]["mappings"][2]["pages_saved"], 3);
    assert_eq!(
        value["tasks"][0]["memory"]["mappings"][2]["start"],
        "0x500000"
    );
    assert_eq!(file(&value, 0)["path"], "/dev/ttyS0");
    assert_eq!(
        value["tasks"][0]["memory"]["mappings"][2]["shared_memory"],
        serde_json::Value::Null
    );
    assert_eq!(
        value["tasks"][0]["memory"]["mappings"][5]["shared_memory"],
        40
    );
    // Numbers that may not fit into 53 bits.
    assert!(value["tasks"][0]["task"]["utime_ns"].is_string());
    assert!(value["tasks"][0]["signals"]["stack"]["size"].is_string());
    let object = &value["shared_memory"][0];
    assert_eq!(object["object"], 40);
    assert_eq!(object["size"], "32768");
    assert_eq!(object["pages_saved"], 1);
    assert_eq!(value["shared_memory"][1]["seals"][0], "grow");
    assert_eq!(file(&value, 13)["path"], "memfd:frame");
    assert_eq!(file(&value, 13)["shared_memory"], 41);
    let mut image = Image::sample();
    for of in &mut image.files {
        (of.file.mtime_sec, of.file.mtime_nsec) = (7, 50);
    }
    assert_eq!(file(&json(&image.bytes()), 0)["mtime"], "7.000000050");
    let ran = run(&["--json"], &failed());
    assert_eq!(ran.status, 1);
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(value["complete"], false);
    assert_eq!(value["error"]["name"], "ETXTBSY");
}

#[test]
fn the_error_record() {
    let line = "ETXTBSY, task 100, VMA, 0x7f0000000000-0x7f0000001000: shared mapping";
    let ran = run(&["--error"], &failed());
    assert_eq!(
        (ran.status, ran.out.trim_end(), ran.err.as_str()),
        (0, line, "")
    );
    let ran = run(&["-e"], &Image::sample().bytes());
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert_eq!(
        ran.err,
        "ckptinfo: standard input: the checkpoint did not fail\n"
    );
    let ran = run(&[], &failed());
    assert_eq!(ran.status, 1);
    assert!(ran.err.contains(line), "{}", ran.err);
    assert!(ran.out.contains("7.3.0"));
}

#[test]
fn verify_names_offset_record_and_reason() {
    let bytes = Image::sample().bytes();
    let ran = run(&["--verify"], &bytes);
    assert_eq!(ran.status, 0);
    assert_eq!(ran.out.lines().count(), 1);
    assert!(ran.out.starts_with("standard input: correct: "));
    let verdict = |bytes: &[u8], expected: &str| {
        let ran = run(&["--verify"], bytes);
        assert_eq!((ran.status, ran.err.as_str()), (1, ""));
        assert!(ran.out.contains(expected), "{expected:?}: {}", ran.out);
    };
    verdict(b"", "offset 0, end of the stream: the image ends here");
    verdict(
        b"#!/bin/sh\necho this is no image\n",
        "offset 0, record of unknown kind 8483:",
    );
    verdict(&bytes[..106], "offset 96, record STR: the image ends here");
    let mut flipped = bytes.clone();
    flipped[9] ^= 1;
    verdict(
        &flipped,
        "offset 0, record HEAD: not a checkpoint image (magic)",
    );
    let mut flipped = bytes.clone();
    flipped[80] ^= 1;
    let tail = bytes.len() - 40;
    verdict(
        &flipped,
        &format!("offset {tail}, record TAIL: checksum of the metadata differs"),
    );
    verdict(&failed(), "record ERROR: the checkpoint failed: ETXTBSY");
}

#[test]
fn every_cut_and_flip_gets_an_answer() {
    let bytes = Image::minimal().bytes();
    for at in (0..bytes.len()).step_by(97) {
        assert_eq!(run(&[], &bytes[..at]).status, 1);
        let mut flipped = bytes.clone();
        flipped[at] ^= 0xff;
        assert_eq!(run(&["--json"], &flipped).status, 1);
    }
}

#[test]
fn nothing_behind_the_image_is_taken() {
    let (reader, mut writer) = std::io::pipe().unwrap();
    let mut rest = reader.try_clone().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ckptinfo"))
        .arg("--verify")
        .stdin(reader)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    writer.write_all(&Image::sample().bytes()).unwrap();
    writer.write_all(b"what follows").unwrap();
    drop(writer);
    assert!(child.wait().unwrap().success());
    let mut text = String::new();
    rest.read_to_string(&mut text).unwrap();
    assert_eq!(text, "what follows");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut image = Image::sample();
    image.groups = (0..65_536).collect();
    image.settle();
    let mut child = start(&["--json"]);
    drop(child.stdout.take());
    child
        .stdin
        .take()
        .unwrap()
        .write_all(&image.bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
}

#[test]
fn wrong_usage_and_missing_files() {
    assert_eq!(run(&["--maps", "--fds"], b"").status, 2);
    let ran = run(&["/no/such/image"], b"");
    assert_eq!(ran.status, 2);
    assert!(ran
        .err
        .starts_with("ckptinfo: /no/such/image: No such file"));
    assert_eq!(run(&["--verify", "/"], b"").status, 2);
}

#[test]
fn help_version_and_completion() {
    let help = run(&["--help"], b"");
    assert_eq!(help.status, 0);
    for part in ["Exit status", "Examples", "--completion"] {
        assert!(help.out.contains(part), "{}", help.out);
    }
    assert!(run(&["-V"], b"").out.starts_with("ckptinfo 0."));
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["--completion", shell], b"");
        assert_eq!(ran.status, 0);
        assert!(ran.out.contains("verify"));
    }
    assert_eq!(run(&["--completion", "sh"], b"").status, 2);
    assert_eq!(run(&["--completion", "bash", "--json"], b"").status, 2);
}

#[test]
fn names_in_an_image_cannot_drive_the_terminal() {
    let mut image = Image::sample();
    image.paths[1] = b"/tmp/\x1b]0;owned\x07".to_vec();
    image.task.comm[..4].copy_from_slice(b"\x1b[2J");
    let out = run(&[], &image.bytes()).out;
    assert!(!out.contains('\x1b') && !out.contains('\x07'));
    assert!(out.contains("\\u{1b}]0;owned\\u{7}"));
}
