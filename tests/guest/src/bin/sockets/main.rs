// SPDX-License-Identifier: GPL-2.0

//! Pairs of local sockets: what waits in them, how they are shut down, their options.

mod arrange;
mod calls;
mod verify;

use std::collections::BTreeMap;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Back;
use ckpt_guest::life::Life;
use ckpt_guest::procfs;
use ckpt_guest::procfs::Fd;
use ckpt_guest::sys::Errno;

use crate::arrange::arrange;
use crate::calls::get;
use crate::verify::verify;

const SO_PASSPIDFD: i32 = 76;
const SO_PASSRIGHTS: i32 = 83;
const SO_BUF_LOCK: i32 = 72;

struct Arranged {
    stream: [i32; 2],
    dgram: [i32; 2],
    packets: [i32; 2],
    done: [i32; 2],
    deaf: [i32; 2],
    left: i32,
    reset: [i32; 2],
    lost: i32,
    full: ([i32; 2], usize),
    crowded: ([i32; 2], usize),
    narrow: [i32; 2],
    odd: [i32; 2],
    watched: ([i32; 2], i32),
    twin: i32,
    /// Never connected: a stream, messages, and one that does not send.
    single: [i32; 3],
}

type Options = Vec<(i32, Result<[i32; 4], Errno>)>;

/// Every descriptor: sockets with their options, owner, permissions and bytes.
fn table() -> BTreeMap<i32, (Fd, Options, [u32; 3], i32)> {
    let options = [
        libc::SO_TYPE,
        libc::SO_DOMAIN,
        libc::SO_SNDBUF,
        libc::SO_RCVBUF,
        SO_BUF_LOCK,
        libc::SO_RCVTIMEO,
        libc::SO_SNDTIMEO,
        libc::SO_RCVLOWAT,
        libc::SO_PEEK_OFF,
        libc::SO_KEEPALIVE,
        libc::SO_OOBINLINE,
        libc::SO_BROADCAST,
        libc::SO_PASSCRED,
        SO_PASSPIDFD,
        SO_PASSRIGHTS,
        libc::SO_ACCEPTCONN,
    ];
    let mut all = BTreeMap::new();
    for (fd, mut entry) in procfs::descriptors() {
        let is_socket = entry.link.starts_with("socket:");
        let mut found = Vec::new();
        let mut unread = 0;
        if is_socket {
            entry.link = "a socket".to_string();
            found = options.map(|option| (option, get(fd, option))).to_vec();
            // SAFETY: the kernel writes a number.
            let _ = unsafe { libc::ioctl(fd, libc::FIONREAD, &mut unread) };
        }
        entry.pos = None;
        // SAFETY: zeros are a valid structure, which the call fills.
        let mut st: libc::stat = unsafe { std::mem::zeroed() };
        // SAFETY: as above.
        let _ = unsafe { libc::fstat(fd, &mut st) };
        let attributes = [st.st_mode, st.st_uid, st.st_gid];
        all.insert(fd, (entry, found, attributes, unread));
    }
    all
}

fn main() -> ExitCode {
    let life = Life::start();
    let arranged = arrange();
    let before = table();

    let back: Back = life.checkpoint();

    check::same_table(&before, &table());
    verify(&arranged);
    check::detail(format!("{back:?}, {} descriptors", before.len()));
    check::verdict()
}
