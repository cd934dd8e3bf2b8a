// SPDX-License-Identifier: GPL-2.0

//! How the tool shows pipes and FIFOs.

use ckptfmt::build::Image;

use super::file;
use super::json;
use super::run;
use super::shows;

#[test]
fn pipes_and_their_ends() {
    let image = Image::sample();
    let texts = [
        "    8                pipe 30, read, holds 13 bytes in 2 of 16 buffers, 1 packet\n",
        "    9                /run/fifo  FIFO, read-write nonblock, holds 0 bytes in 0 of 1 buffer\n",
    ];
    shows(&image, &texts);
    let fds = run(&["--fds"], &image.bytes());
    assert!(fds.out.contains("pipe 30  (end of a pipe, read)"));
    assert!(fds
        .out
        .contains("/run/fifo  FIFO  (end of a pipe, read-write, nonblock)"));
    let value = json(&image.bytes());
    let of = |fd: u32| file(&value, fd);
    assert_eq!(of(8)["kind"], "end of a pipe");
    assert_eq!(of(8)["pipe"]["object"], 30);
    assert_eq!(of(8)["pipe"]["bytes"], 13);
    assert_eq!(of(8)["pipe"]["packets"], 1);
    assert_eq!(of(9)["pipe"]["path"], "/run/fifo");
    assert_eq!(of(9)["pipe"]["slots"], 1);
    assert!(of(7)["pipe"].is_null());
}
