// SPDX-License-Identifier: GPL-2.0

//! How the tool shows an interrupted call, and what the checkpoint was told.

use ckptfmt::build::Image;
use ckptfmt::format::call;
use ckptfmt::format::call::RestartBlock;

use super::json;
use super::run;
use super::shows;

#[test]
fn a_call_with_a_restart_block() {
    let mut image = Image::sample();
    let texts = [
        "interrupted        call 35 goes on by restart_syscall(2)\n",
        "restart block      nanosleep, 1.500 s left, clock monotonic, the rest goes to 0x7ffd0001fff0\n",
    ];
    shows(&image, &texts);
    let value = json(&image.bytes());
    assert_eq!(value["tasks"][0]["registers"]["orig_ax"], "0x23");
    let value = &value["tasks"][0]["call"];
    assert_eq!(value["number"], 35);
    assert_eq!(value["then"], "continued");
    assert_eq!(value["restart_block"]["kind"], "nanosleep");
    assert_eq!(value["restart_block"]["clock"], "monotonic");
    assert_eq!(value["restart_block"]["remaining_ns"], "1500000000");

    let mut poll = RestartBlock::zeroed();
    (poll.kind, poll.nr_fds, poll.addr) = (call::kind::POLL, 3, 0x1000);
    image.restart_block = Some(poll);
    image.cpu.orig_ax = 7;
    shows(
        &image,
        &["restart block      poll of 3 descriptors at 0x1000, without a timeout\n"],
    );
    let value = &json(&image.bytes())["tasks"][0]["call"]["restart_block"];
    assert_eq!(value["nr_fds"], 3);
    assert!(value["remaining_ns"].is_null());
}

#[test]
fn an_image_without_an_interrupted_call_shows_none() {
    let bytes = Image::minimal().bytes();
    let ran = run(&[], &bytes);
    assert_eq!(ran.status, 0);
    for title in ["interrupted", "restart block", "made with"] {
        assert!(!ran.out.contains(title), "{title:?} is in:\n{}", ran.out);
    }
    assert!(json(&bytes)["tasks"][0]["call"].is_null());
}

#[test]
fn a_call_that_is_issued_again_and_the_flags_of_the_checkpoint() {
    let mut image = Image::minimal();
    image.head.flags = 5;
    image.cpu.orig_ax = 0;
    image.cpu.ax = call::AGAIN_UNLESS_HANDLED.cast_unsigned();
    let texts = [
        "made with          log stop\n",
        "interrupted        call 0 is issued again, behind",
    ];
    shows(&image, &texts);
    let value = json(&image.bytes());
    assert_eq!(value["tasks"][0]["call"]["then"], "again unless handled");
    assert!(value["tasks"][0]["call"]["restart_block"].is_null());
    assert_eq!(value["head"]["made_with"][1], "stop");
}
