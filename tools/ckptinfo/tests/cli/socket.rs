// SPDX-License-Identifier: GPL-2.0

//! How the tool shows local sockets.

use ckptfmt::build::Image;

use super::file;
use super::json;
use super::run;
use super::shows;

#[test]
fn sockets() {
    let image = Image::sample();
    let texts = [
        "stream socket 70 to 71, read-write, holds 3 bytes in 1 message, sends no more\n",
        "stream socket 71 to 70, read-write, holds 19 KiB in 2 messages, receives no more\n",
        "seqpacket socket 72, alone, read-write, holds 9 bytes in 2 messages, is shut down, \
         reset by the peer\n",
        "datagram socket 73, not connected, read-write, holds 0 bytes in 0 messages\n",
    ];
    shows(&image, &texts);
    let fds = run(&["--fds"], &image.bytes());
    assert!(fds
        .out
        .contains("stream socket 70 to 71  (local socket, read-write)"));
    let value = json(&image.bytes());
    let of = |fd: u32| file(&value, fd);
    assert_eq!(of(17)["kind"], "local socket");
    let socket = &of(17)["socket"];
    assert_eq!(socket["peer"], 71);
    assert_eq!(socket["sends"], false);
    assert_eq!(socket["receives"], true);
    assert_eq!(socket["sndtimeo"], "1500000000");
    assert!(socket["rcvtimeo"].is_null());
    assert_eq!(socket["peek_off"], 2);
    assert_eq!(socket["flags"][0], "passcred");
    assert_eq!(of(18)["socket"]["bytes"], 20_005);
    assert_eq!(of(19)["socket"]["peer"], 0);
    assert_eq!(of(20)["socket"]["flags"][1], "unconnected");
    assert!(of(7)["socket"].is_null());
}
