// SPDX-License-Identifier: GPL-2.0

//! The tree: idempotent, repairable, never half patched.

use super::*;

const PATCH: &str = "--- a/Kbuild\n+++ b/Kbuild\n@@ -1,2 +1,3 @@\n one\n+patched\n two\n";

struct World {
    dir: tempfile::TempDir,
}

impl World {
    fn new() -> Self {
        let world = World {
            dir: tempfile::tempdir().unwrap(),
        };
        world.put("src/linux/Kbuild", "one\ntwo\n");
        world.put("src/linux/README", "kernel\n");
        world.put("top/kernel-patches/series", "0001.patch\n");
        world.put("top/kernel-patches/0001.patch", PATCH);
        world.put("top/checkpoint/a.rs", "a");
        world.put("top/include/linux/b.h", "b");
        world
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn read(&self, path: &str) -> Option<String> {
        std::fs::read_to_string(self.dir.path().join("src/linux").join(path)).ok()
    }

    fn drop_file(&self, path: &str) {
        std::fs::remove_file(self.dir.path().join(path)).unwrap();
    }

    fn compose(&self) -> Result<Composed> {
        Tree::at(self.dir.path().join("src/linux")).compose(&self.dir.path().join("top"))
    }
}

#[test]
fn twice_in_a_row_writes_nothing() {
    let world = World::new();
    let first = world.compose().unwrap();
    assert_eq!((first.written, first.patches, first.overlay), (3, 1, 2));
    assert_eq!(world.read("Kbuild").as_deref(), Some("one\npatched\ntwo\n"));
    assert_eq!(world.read("checkpoint/a.rs").as_deref(), Some("a"));
    assert_eq!(world.compose().unwrap().written, 0);
}

#[test]
fn a_branch_switch_restores_and_removes() {
    let world = World::new();
    world.compose().unwrap();
    world.put("top/kernel-patches/series", "");
    world.drop_file("top/checkpoint/a.rs");
    world.put("top/checkpoint/new.rs", "n");
    let done = world.compose().unwrap();
    assert_eq!((done.written, done.removed), (2, 1));
    assert_eq!(world.read("Kbuild").as_deref(), Some("one\ntwo\n"));
    assert_eq!(world.read("checkpoint/a.rs"), None);
    world.put("top/kernel-patches/series", "0001.patch\n");
    world.compose().unwrap();
    assert_eq!(world.read("Kbuild").as_deref(), Some("one\npatched\ntwo\n"));
}

#[test]
fn a_failing_patch_changes_nothing_and_is_named() {
    let world = World::new();
    world.compose().unwrap();
    world.put("top/kernel-patches/series", "0001.patch\n0002-bad.patch\n");
    world.put(
        "top/kernel-patches/0002-bad.patch",
        "--- a/README\n+++ b/README\n@@ -1,1 +1,2 @@\n nothing\n+x\n",
    );
    world.put("top/checkpoint/a.rs", "changed");
    let error = format!("{:#}", world.compose().unwrap_err());
    assert!(error.contains("0002-bad.patch"), "{error}");
    assert_eq!(world.read("checkpoint/a.rs").as_deref(), Some("a"));
    assert_eq!(world.read("README").as_deref(), Some("kernel\n"));
}

#[test]
fn the_overlay_may_not_hide_kernel_files() {
    let world = World::new();
    world.put("src/linux/include/linux/b.h", "kernel's");
    assert!(format!("{:#}", world.compose().unwrap_err()).contains("include/linux/b.h"));
    assert_eq!(world.read("include/linux/b.h").as_deref(), Some("kernel's"));
}

#[test]
fn own_files_are_known() {
    let world = World::new();
    world.compose().unwrap();
    let own = Tree::at(world.dir.path().join("src/linux"))
        .own_files()
        .unwrap();
    let names: Vec<_> = own.iter().map(|p| p.display().to_string()).collect();
    assert_eq!(names, ["Kbuild", "checkpoint/a.rs", "include/linux/b.h"]);
}
