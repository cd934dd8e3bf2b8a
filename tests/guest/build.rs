// SPDX-License-Identifier: GPL-2.0

//! Linker flags of the program that has no C library.

fn main() {
    for flag in ["-nostartfiles", "-nostdlib", "-static", "-no-pie"] {
        println!("cargo:rustc-link-arg-bin=nolibc={flag}");
    }
    println!("cargo:rerun-if-changed=build.rs");
}
