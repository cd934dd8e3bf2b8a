// SPDX-License-Identifier: GPL-2.0

//! The examples of programs that save themselves: saved, killed, restarted.

use std::fs;
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::life;
use ckpt_guest::pace;

/// Each example, and the language that it is written in.
const EXAMPLES: [(&str, &str); 2] = [("counter-rs", "rust"), ("counter-c", "c")];

/// What is printed up to the last image.
const SAVED: &str = "1\n2\n3\n4\n5\n";

/// How often a program is started to be killed in time.
const TRIES: usize = 20;

struct Scene {
    program: PathBuf,
    dir: PathBuf,
}

/// A program in the background, killed in the end.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn text<T>(what: &str, result: std::io::Result<T>) -> Result<T, String> {
    result.map_err(|e| format!("{what}: {e}"))
}

impl Scene {
    fn new(program: &str, case: &str) -> Result<Self, String> {
        let name = format!("{program}-{case}");
        let dir = PathBuf::from(life::variable(life::DIR)).join(name);
        let _ = fs::remove_dir_all(&dir);
        text("mkdir", fs::create_dir_all(&dir))?;
        let program = PathBuf::from(life::variable("CKPT_BIN")).join(program);
        Ok(Self { program, dir })
    }

    fn start(&self, args: &[&str], stdin: &str, out: &str) -> Result<Running, String> {
        let child = Command::new(&self.program)
            .args(args)
            .current_dir(&self.dir)
            .stdin(text(stdin, File::open(stdin))?)
            .stdout(text(out, File::create(self.dir.join(out)))?)
            .stderr(text("err", File::create(self.dir.join("err")))?)
            .spawn();
        text("spawn", child).map(Running)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.dir.join(name)).unwrap_or_default()
    }

    /// Waits until `text` has been printed.
    fn printed(&self, program: &mut Running, text: &str) -> Result<(), String> {
        let start = Instant::now();
        while !self.read("out").contains(text) {
            if let Ok(Some(status)) = program.0.try_wait() {
                return Err(format!("{status}: {}", self.read("err")));
            }
            if start.elapsed() > Duration::from_secs(10 * pace::factor()) {
                return Err(format!("it has printed {:?}", self.read("out")));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// What a program says that must fail.
    fn fails(&self, mut program: Running) -> Result<String, String> {
        let status = text("wait", program.0.wait())?;
        if status.code() != Some(1) {
            return Err(format!("{status}: {}", self.read("err")));
        }
        Ok(self.read("err").trim().to_string())
    }
}

/// A program that has gone on behind its first image, and then was killed; nothing when
/// that took so long that it may have begun its third image, which is in the same file.
fn killed_behind_its_image(name: &str) -> Result<Option<Scene>, String> {
    let scene = Scene::new(name, "restart")?;
    let mut program = scene.start(&["image"], "/dev/null", "out")?;
    scene.printed(&mut program, "saved\n6\n7\n")?;
    drop(program);
    let in_time = !scene.read("out").contains("15\n");
    Ok(in_time.then_some(scene))
}

/// The count goes on behind the image, however far it had come without it.
fn saved_and_restarted(name: &str) -> Case {
    let scene = (0..TRIES).find_map(|_| killed_behind_its_image(name).transpose());
    let scene = scene.ok_or("it always was at its third image already")??;
    let about = text("image", fs::metadata(scene.dir.join("image")))?;
    if about.permissions().mode() & 0o077 != 0 {
        return Err("others may read the image".into());
    }
    if !scene.read("out").starts_with(SAVED) {
        return Err(format!("it has printed {:?}", scene.read("out")));
    }
    // What comes behind is to be of the restarted program alone.
    let out = text(
        "out",
        File::options().write(true).open(scene.dir.join("out")),
    )?;
    text("truncate", out.set_len(SAVED.len() as u64))?;
    let mut program = scene.start(&["--restart", "image"], "/dev/null", "none")?;
    scene.printed(&mut program, "restarted\n6\n7\n8\n9\n10\nsaved\n11\n")?;
    drop(program);
    if !scene
        .read("out")
        .starts_with(&format!("{SAVED}restarted\n6\n"))
    {
        return Err(format!("it has printed {:?}", scene.read("out")));
    }
    if !scene.read("none").is_empty() {
        return Err(format!(
            "the restarter has printed {:?}",
            scene.read("none")
        ));
    }
    // The one that it came from was not touched.
    if !scene.dir.join("image.2").exists() {
        return Err("the second image is not in a file of its own".into());
    }
    pass_with("5, restarted, 6")
}

/// Saved by another program, killed by that, and restarted.
fn saved_by_another(name: &str) -> Case {
    let scene = Scene::new(name, "other")?;
    let mut program = scene.start(&["image"], "/dev/null", "out")?;
    scene.printed(&mut program, "6\n7\n8\n")?;
    let pid = program.0.id().to_string();
    let mut saver = scene.start(&["--save", &pid, "other"], "/dev/null", "saver")?;
    let status = text("wait", saver.0.wait())?;
    if !status.success() || !scene.read("saver").starts_with("saved as image ") {
        return Err(format!("{status}: {}", scene.read("err")));
    }
    let status = text("wait", program.0.wait())?;
    if status.signal() != Some(libc::SIGKILL) {
        return Err(format!("it has ended with {status}"));
    }
    let before = scene.read("out");
    let mut program = scene.start(&["--restart", "other"], "/dev/null", "none")?;
    scene.printed(&mut program, "16\n17\n")?;
    drop(program);
    // It never comes back from an image of its own.
    let wanted: String = (1..=17)
        .map(|n| format!("{n}\n{}", if n % 5 == 0 { "saved\n" } else { "" }))
        .collect();
    if !scene.read("out").starts_with(&wanted) {
        return Err(format!("it has printed {:?}", scene.read("out")));
    }
    pass_with(format!("{} lines, then to 17", before.lines().count()))
}

/// Another program that cannot be saved: the line of the log is said.
fn another_refused(name: &str) -> Case {
    let scene = Scene::new(name, "kernel")?;
    let said = scene.fails(scene.start(&["--save", "2", "image"], "/dev/null", "out")?)?;
    if !said.starts_with("counter: checkpoint: pid 2: ") {
        return Err(format!("it says {said:?}"));
    }
    pass_with(said)
}

/// A descriptor that cannot be saved: its number and the reason are said.
fn refused(name: &str) -> Case {
    let scene = Scene::new(name, "refused")?;
    let program = scene.start(&["image"], "/dev/kmsg", "out")?;
    let said = scene.fails(program)?;
    if !said.starts_with("counter: fd 0: ") || !said.contains("(errno ") {
        return Err(format!("it says {said:?}"));
    }
    pass_with(said)
}

/// Something else than an image: the line of the log is said.
fn not_an_image(name: &str) -> Case {
    let scene = Scene::new(name, "no-image")?;
    text("image", fs::write(scene.dir.join("image"), [b'x'; 8192]))?;
    let program = scene.start(&["--restart", "image"], "/dev/null", "out")?;
    let said = scene.fails(program)?;
    if !said.starts_with("counter: restart: pid ") || !said.contains(": image offset ") {
        return Err(format!("it says {said:?}"));
    }
    pass_with(said)
}

fn main() -> ExitCode {
    let mut cases = Cases::new();
    for (program, language) in EXAMPLES {
        cases.run(&format!("{language}-restarted"), || {
            saved_and_restarted(program)
        });
        cases.run(&format!("{language}-other"), || saved_by_another(program));
        cases.run(&format!("{language}-other-refused"), || {
            another_refused(program)
        });
        cases.run(&format!("{language}-refused"), || refused(program));
        cases.run(&format!("{language}-no-image"), || not_an_image(program));
    }
    cases.verdict()
}
