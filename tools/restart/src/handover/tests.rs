// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Files of the sample image, replaced.

use super::*;
use ckptfmt::build::Image;
use ckptfmt::edit::copy;
use ckptfmt::walk::walk;
use ckptfmt::walk::Event;

fn wanted(texts: &[&str]) -> Replace {
    Replace::new(texts.iter().map(|text| text.parse().unwrap()).collect())
}

/// The files of the sample with their paths, when these were replaced.
fn files(texts: &[&str]) -> Result<Vec<(File, Vec<u8>)>, String> {
    let mut output = Vec::new();
    let image = Image::sample().bytes();
    copy(image.as_slice(), &mut output, &mut wanted(texts)).map_err(|e| e.to_string())?;
    let mut files = Vec::new();
    walk(output.as_slice(), &mut |event| {
        if let Event::File(file, path) = event {
            files.push((**file, path.to_vec()));
        }
    })
    .unwrap();
    Ok(files)
}

#[test]
fn arguments() {
    let parse = |text: &str| text.parse::<Handover>();
    let what = What::Fd(2);
    assert_eq!(parse("2=7"), Ok(Handover { what, fd: 7 }));
    let what = What::Path(b"/dev/a=b".to_vec());
    assert_eq!(parse("/dev/a=b=0"), Ok(Handover { what, fd: 0 }));
    for (text, why) in [
        ("7", "no \"=\""),
        ("a=1", "neither"),
        ("-1=1", "neither"),
        ("1=", "no descriptor"),
        ("1=-1", "no descriptor"),
        ("1=9999999999", "no descriptor"),
    ] {
        assert!(parse(text).unwrap_err().contains(why), "{text}");
    }
}

#[test]
fn the_same_file_is_named_once() {
    let conflict = |texts: &[&str]| {
        let all: Vec<_> = texts.iter().map(|text| text.parse().unwrap()).collect();
        conflict(&all)
    };
    assert_eq!(conflict(&["0=1", "1=1", "/a=1", "/b=2"]), None);
    assert!(conflict(&["0=1", "/a=1", "0=2"])
        .unwrap()
        .contains("descriptor 0 "));
    assert!(conflict(&["/a=1", "/a=1"]).unwrap().contains("/a"));
}

#[test]
fn locks_go_with_the_file_that_was_replaced() {
    let locks = |texts: &[&str]| {
        let mut output = Vec::new();
        let image = Image::sample().bytes();
        copy(image.as_slice(), &mut output, &mut wanted(texts)).unwrap();
        let mut fds = Vec::new();
        walk(output.as_slice(), &mut |event| {
            if let Event::FileLock(fd, _) = event {
                fds.push(*fd);
            }
        })
        .unwrap();
        fds
    };
    assert_eq!(locks(&[]), [0, 1, 1, 1]);
    assert_eq!(locks(&["1=5"]), [0]);
    assert_eq!(locks(&["2=5"]), [1, 1, 1]);
}

#[test]
fn files_are_replaced_by_descriptor_and_by_path() {
    let before = files(&[]).unwrap();
    // Its path comes first.
    let twice = ["0=8", "/dev/ttyS0=7"];
    for wanted in [&["/dev/ttyS0=7"][..], &["0=7"], &["2=7"], &twice] {
        let after = files(wanted).unwrap();
        assert_eq!(before.len(), after.len());
        for ((old, path), (new, new_path)) in before.iter().zip(&after) {
            if path == b"/dev/ttyS0" {
                assert_eq!((new.kind, new.stream_fd), (file_kind::STREAM, 7));
                assert_eq!((new.objref, new.flags), (old.objref, 2));
                assert!(new_path.is_empty());
            } else {
                assert_eq!((old, path), (new, new_path));
            }
        }
    }
}

#[test]
fn what_cannot_be_replaced() {
    for (wanted, why) in [
        ("/no/such=7", "no open file is /no/such"),
        ("77=7", "its first process has no descriptor 77"),
        ("/bin/ckpt=7", "mapped into memory"),
        ("8=7", "is no file with a path"),
    ] {
        let said = files(&[wanted]).unwrap_err();
        assert!(said.contains(why), "{wanted}: {said}");
    }
}
