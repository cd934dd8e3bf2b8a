// SPDX-License-Identifier: GPL-2.0

//! Current directory and umask.

use std::os::unix::fs::PermissionsExt;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::sys;

fn main() -> ExitCode {
    let life = Life::start();
    let dir = life.file("a directory/with more below");
    check::need("mkdir", std::fs::create_dir_all(&dir));
    check::need("chdir", std::env::set_current_dir(&dir));
    check::need("umask", sys::plain(libc::SYS_umask, &[0o127]));
    let before = check::need("getcwd", std::env::current_dir());

    let back = life.checkpoint();

    let after = check::need("getcwd", std::env::current_dir());
    check::same("the current directory", &before, &after);
    let _ = std::fs::remove_file("new");
    check::need("create a file", std::fs::write("new", "x"));
    let meta = check::need("stat", std::fs::metadata(dir.join("new")));
    check::same(
        "mode of a new file",
        &0o640,
        &(meta.permissions().mode() & 0o777),
    );
    check::same("umask", &Ok(0o127), &sys::plain(libc::SYS_umask, &[0]));
    check::detail(format!("{back:?}"));
    check::verdict()
}
