// SPDX-License-Identifier: GPL-2.0

//! The list of every kind of state has all of them, and its page is up to date.

use std::fs;

use ckptfmt::docs::state;
use ckptfmt::docs::top;

#[test]
fn nothing_is_missing_and_nothing_is_gone() {
    let list = fs::read_to_string(top().join(state::LIST)).unwrap();
    let wrong = state::check(&state::parse(&list).unwrap(), &state::look().unwrap());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[test]
fn the_page_is_up_to_date() {
    let list = fs::read_to_string(top().join(state::LIST)).unwrap();
    let page = fs::read_to_string(state::page_path()).unwrap_or_default();
    assert!(
        page == state::page(&state::parse(&list).unwrap()),
        "{} is out of date; run: cargo run -p ckptfmt --bin ckpt-doc",
        state::page_path().display()
    );
}
