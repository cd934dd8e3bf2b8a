// SPDX-License-Identifier: GPL-2.0

//! The fuzzers' corpus, and what they found, on every test run.

use std::fs;

use ckptfmt::build::reseal;
use ckptfmt::docs::top;
use ckptfmt::walk::walk;

#[test]
fn every_image_of_the_corpus_is_answered() {
    let mut whole = Vec::new();
    let mut seen = 0;
    for entry in fs::read_dir(top().join("tools/fuzz/corpus/walk")).unwrap() {
        let path = entry.unwrap().path();
        let mut image = fs::read(&path).unwrap();
        let _ = walk(&image[..], &mut |_| {});
        // The fuzzer computes no checksums: here they are made right.
        reseal(&mut image);
        if walk(&image[..], &mut |_| {}).is_ok() {
            whole.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
        seen += 1;
    }
    for seed in ["minimal", "no_page", "one_page"] {
        assert!(
            whole.iter().any(|w| w == seed),
            "{seed} is no valid image: run the seeds again"
        );
    }
    assert!(seen >= 4);
}
