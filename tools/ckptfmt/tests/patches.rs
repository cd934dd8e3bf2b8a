// SPDX-License-Identifier: GPL-2.0

//! The patches and what the documentation says of them.

use std::path::Path;

fn read(path: &str) -> String {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let path = top.join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Rows of the table of patches start with their numbers.
#[test]
fn each_patch_has_its_row() {
    let series = read("kernel-patches/series");
    let patches = series.lines().filter(|line| !line.starts_with('#'));
    let patches = patches.count();
    let text = read("Documentation/checkpoint/internals.rst");
    let rows = text
        .split_once("\nPatches\n=======\n")
        .and_then(|(_, rest)| rest.split_once("\nKernel stack\n"))
        .map(|(table, _)| table)
        .expect("there is a section of patches");
    let numbers: Vec<usize> = rows
        .lines()
        .filter_map(|line| line.split(' ').next()?.parse().ok())
        .collect();
    assert_eq!(numbers, (1..=patches).collect::<Vec<_>>());
}
