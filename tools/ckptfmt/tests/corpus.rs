// SPDX-License-Identifier: GPL-2.0

//! The fuzzers' corpus, and what they found, on every test run.

#[path = "../../fuzz/src/records.rs"]
mod records;

use std::fs;

use ckptfmt::build::reseal;
use ckptfmt::docs::top;
use ckptfmt::walk::walk;

/// The inputs of a target, by their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let dir = fs::read_dir(top().join("tools/fuzz/corpus").join(target)).unwrap();
    dir.map(|entry| {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        (name, fs::read(&path).unwrap())
    })
    .collect()
}

#[test]
fn every_image_of_the_corpus_is_answered() {
    let mut whole = Vec::new();
    let mut seen = 0;
    for (name, mut image) in corpus("walk") {
        let _ = walk(&image[..], &mut |_| {});
        // The fuzzer computes no checksums: here they are made right.
        reseal(&mut image);
        if walk(&image[..], &mut |_| {}).is_ok() {
            whole.push(name);
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

#[test]
fn every_record_of_the_corpus_is_answered() {
    let mut valid = 0;
    for (name, input) in corpus("records") {
        let is_valid = records::try_one(&input);
        // Seeds have the names of their records; what was found has others.
        let is_seed = ckptfmt::format::TYPES
            .iter()
            .any(|(_, kind, ..)| kind.to_lowercase() == name);
        assert!(
            is_valid || !is_seed,
            "{name} is no valid record: run the seeds again"
        );
        valid += usize::from(is_valid);
    }
    assert!(valid >= 40, "only {valid} valid records");
}

/// Of a longer input libFuzzer takes the first bytes only.
#[test]
fn the_fuzzers_take_whole_inputs() {
    let text = fs::read_to_string(top().join("tools/fuzz/README.md")).unwrap();
    for target in ["walk", "records"] {
        let line = text.lines().find(|line| {
            let mut words = line.split_whitespace().skip_while(|word| *word != "run");
            words.nth(1) == Some(target)
        });
        let most = line.and_then(|line| line.split_once("-max_len="));
        let most: usize = most.expect("a line that runs it").1.parse().unwrap();
        for (name, input) in corpus(target) {
            let size = input.len();
            assert!(size <= most, "{target}/{name}: {size} bytes, not {most}");
        }
    }
}
