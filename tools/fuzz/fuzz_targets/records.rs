// SPDX-License-Identifier: GPL-2.0
#![no_main]

//! The checks of each record, on arbitrary bytes.

#[path = "../src/records.rs"]
mod records;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    records::try_one(bytes);
});
