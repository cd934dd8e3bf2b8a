// SPDX-License-Identifier: GPL-2.0

//! The command `ckptinfo`, on images that a kernel has just written.

use std::collections::BTreeSet;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;

use crate::options::with_inotify;
use crate::scene::ended;
use crate::scene::until_stopped;
use crate::scene::Scene;

/// Address ranges at the beginnings of lines, but for those that nobody names alike.
fn ranges(text: &str) -> BTreeSet<String> {
    let kernel = ["[vvar", "[vdso]", "[vsyscall]"];
    text.lines()
        .filter(|line| !kernel.iter().any(|name| line.contains(name)))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|word| {
            word.split('-')
                .all(|end| u64::from_str_radix(end, 16).is_ok())
        })
        .filter(|word| word.contains('-'))
        .map(str::to_string)
        .collect()
}

fn output(scene: &Scene, line: &str) -> Result<String, String> {
    let output = scene.shell(line)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{line}: {}: {said}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|e| format!("{line}: {e}"))
}

/// What it prints is what the process has, from a file as from a pipe.
pub fn shows() -> Case {
    let scene = Scene::new("info");
    let child = scene.start()?;
    let pid = child.id();
    scene.succeeds(&format!("checkpoint {pid} -o image --stop"), 0)?;
    until_stopped(pid)?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).map_err(|e| e.to_string())?;
    let (there, shown) = (
        ranges(&maps),
        ranges(&output(&scene, "ckptinfo --maps image")?),
    );
    if there.len() < 10 || there != shown {
        return Err(format!("--maps: {shown:?}, not {there:?}"));
    }
    let fds = output(&scene, "ckptinfo --fds image")?;
    let out = scene.dir.join("out").display().to_string();
    if !fds.contains(&out) {
        return Err(format!("--fds does not name {out}: {fds}"));
    }
    let tree = output(&scene, "ckptinfo --tree image")?;
    if tree.trim() != format!("{pid} bash") {
        return Err(format!("--tree: {tree}"));
    }
    // It stands still now, and did not in the first.
    for image in ["second", "third"] {
        let line = format!("checkpoint {pid} -o {image} --leave-running");
        scene.succeeds(&line, 0)?;
    }
    scene.succeeds("ckptinfo --diff second third", 0)?;
    scene.succeeds("ckptinfo --diff image second", 1)?;
    let python = "import json, sys; image = json.load(sys.stdin); \
                  print(image['complete'], [task['pid'] for task in image['tree']])";
    let json = output(
        &scene,
        &format!("ckptinfo --json image | python3 -c \"{python}\""),
    )?;
    if json.trim() != format!("True [{pid}]") {
        return Err(format!("--json: {json}"));
    }
    let whole = output(&scene, "ckptinfo < image")?;
    if whole != output(&scene, "cat image | ckptinfo -")? || !whole.contains("bash") {
        return Err(format!("from a pipe it is another one: {whole}"));
    }
    for (line, status) in [
        ("ckptinfo --verify image", 0),
        ("cat image | ckptinfo --verify", 0),
        ("head -c -1 image | ckptinfo --verify", 1),
        ("ckptinfo --error image", 1),
    ] {
        scene.succeeds(line, status)?;
    }
    scene.finish();
    scene.succeeds(&format!("kill -CONT {pid}"), 0)?;
    let how = ended(child)?;
    if how != "exit status: 7" {
        return Err(how);
    }
    pass_with(format!("{} mappings", there.len()))
}

/// A stream that ends with the reason why it is no image.
pub fn explains() -> Case {
    let scene = Scene::new("info-error");
    let child = with_inotify()?;
    let pid = child.id();
    let said = scene.succeeds(&format!("checkpoint {pid} -o - > stream"), 1);
    scene.succeeds(&format!("kill -9 -{pid}"), 0)?;
    let _ = ended(child)?;
    let said = said?;
    let why = output(&scene, "ckptinfo --error stream")?;
    let first = said.lines().next().unwrap_or_default();
    if !why.contains("inotify") || !first.contains("inotify") {
        return Err(format!("{why}, where checkpoint has said: {said}"));
    }
    scene.succeeds("ckptinfo --verify stream", 1)?;
    pass_with(why.lines().next().unwrap_or_default())
}
