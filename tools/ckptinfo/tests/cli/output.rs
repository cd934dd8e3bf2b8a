// SPDX-License-Identifier: GPL-2.0

//! Where the answer goes to, and what it takes: a full disk, and images whose text is
//! many times as long as they are.

use std::fs;
use std::process::Command;

use ckptfmt::build::Image;

use super::file;
use super::run;
use super::start;

/// Each descriptor has the same open file, with a long path and an opener with many groups.
fn repetitive(nr_fds: u32) -> Image {
    let mut image = Image::sample();
    let (objref, mut creds) = (900, image.creds);
    creds.seccomp = 0;
    image.openers.push((objref, creds, (0..65_536).collect()));
    let of = image.fds[0].file;
    let file = image.files.iter_mut().find(|f| f.file.objref == of);
    let file = file.unwrap();
    file.file.creds = objref;
    file.path = [b"/".as_slice(), &[b'x'; 4000]].concat();
    let template = image.fds[0];
    let last = image.fds.last().unwrap().fd;
    for fd in last + 1..=last + nr_fds {
        let mut entry = template;
        entry.fd = fd;
        image.fds.push(entry);
    }
    image.settle();
    image
}

#[test]
fn json_has_once_what_several_descriptors_have() {
    let bytes = repetitive(100).bytes();
    let ran = run(&["--json"], &bytes);
    assert_eq!((ran.status, ran.err.as_str()), (0, ""));
    assert!(ran.out.len() < 5 << 20, "{} bytes", ran.out.len());
    let value: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let opener = file(&value, 0)["opened_by"].to_string();
    assert_eq!(opener, "900");
    assert_eq!(value["openers"][opener]["groups"][65_535], 65_535);
    assert_eq!(file(&value, 0)["path"].as_str().unwrap().len(), 4001);
}

#[test]
fn memory_is_that_of_the_image_not_that_of_the_answer() {
    // 80 MB of paths, and more than that as JSON.
    let image = tempfile::NamedTempFile::new().unwrap();
    fs::write(image.path(), repetitive(20_000).bytes()).unwrap();
    for mode in ["--fds", "--json"] {
        let mut command = Command::new("sh");
        let line = "ulimit -v 65536; exec \"$0\" \"$@\" > /dev/null";
        command.args(["-c", line, env!("CARGO_BIN_EXE_ckptinfo"), mode]);
        let output = command.arg(image.path()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            (output.status.code(), err.as_str()),
            (Some(0), ""),
            "{mode}"
        );
    }
}

#[test]
fn a_full_disk_is_not_the_fault_of_the_image() {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), Image::sample().bytes()).unwrap();
    let path = file.path().to_str().unwrap();
    let full = |args: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckptinfo"));
        command
            .args(args)
            .stdout(fs::File::create("/dev/full").unwrap());
        let output = command.output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {err}");
        let line = "ckptinfo: standard output: No space left on device (os error 28)\n";
        assert_eq!(err, line, "{args:?}");
    };
    full(&[path]);
    full(&["--completion", "bash"]);
    full(&["--diff", path, path, "--json"]);
    let mut child = start(&["--completion", "bash"]);
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
