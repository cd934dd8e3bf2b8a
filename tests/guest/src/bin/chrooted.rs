// SPDX-License-Identifier: GPL-2.0

//! A root directory of its own: paths still start there afterwards.

use std::path::Path;
use std::process::ExitCode;

use ckpt_guest::check;
use ckpt_guest::life::Life;

fn main() -> ExitCode {
    let life = Life::start();
    let root = life.file("root");
    check::need("mkdir", std::fs::create_dir_all(root.join("inner")));
    check::need(
        "write",
        std::fs::write(root.join("inner/file"), "in the new root"),
    );
    if let Err(error) = std::os::unix::fs::chroot(&root) {
        check::skip(&format!("chroot: {error}"));
    }
    check::need("chdir", std::env::set_current_dir("/inner"));

    let back = life.checkpoint();

    let text = std::fs::read_to_string("/inner/file").unwrap_or_default();
    check::same(
        "a file below the root",
        &"in the new root".to_string(),
        &text,
    );
    check::that(!Path::new("/proc").exists(), "the old root can be seen");
    let cwd = std::env::current_dir().unwrap_or_default();
    check::same(
        "the current directory",
        &Path::new("/inner").to_path_buf(),
        &cwd,
    );
    check::that(Path::new("file").exists(), "a file by a relative path");
    check::detail(format!("{back:?}"));
    check::verdict()
}
