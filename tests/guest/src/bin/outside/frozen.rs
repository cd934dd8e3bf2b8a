// SPDX-License-Identifier: GPL-2.0

//! Victims in a control group that is frozen: they are saved as they stand, and stay
//! frozen. A restarted one is in the group of its caller, and runs.

use std::fs;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::life::c_path;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::kills::Body;
use crate::refused::Play;

/// A control group, and where its hierarchy is mounted.
struct Group {
    top: PathBuf,
    dir: PathBuf,
}

impl Group {
    fn new(name: &str) -> Result<Self, String> {
        let top = std::env::temp_dir().join("groups-of-outside");
        let _ = fs::create_dir(&top);
        let (path, kind) = (c_path(&top), c"cgroup2".as_ptr());
        // SAFETY: strings that end with NUL, and no data.
        let done = unsafe { libc::mount(kind, path.as_ptr(), kind, 0, std::ptr::null()) };
        sys::libc_result(done).map_err(|e| format!("mount: {e}"))?;
        let dir = top.join(name);
        let made = fs::create_dir(&dir);
        let group = Self { top, dir };
        made.map_err(|e| format!("{}: {e}", group.dir.display()))?;
        Ok(group)
    }

    fn set(&self, file: &str, value: &str) -> Result<(), String> {
        fs::write(self.dir.join(file), value).map_err(|e| format!("{file}: {e}"))
    }

    /// Freezes the group or lets it go on, and waits until all of it has.
    fn freeze(&self, on: bool) -> Result<(), String> {
        self.set("cgroup.freeze", if on { "1" } else { "0" })?;
        self.until(on)
    }

    fn until(&self, frozen: bool) -> Result<(), String> {
        let events = || fs::read_to_string(self.dir.join("cgroup.events")).unwrap_or_default();
        let want = format!("frozen {}", i32::from(frozen));
        soon(|| events().lines().any(|line| line == want))
            .map_err(|()| format!("not {want}: {}", events()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = self.set("cgroup.freeze", "0");
        let _ = fs::remove_dir(&self.dir);
        let top = c_path(&self.top);
        // SAFETY: a string that ends with NUL.
        unsafe { libc::umount2(top.as_ptr(), libc::MNT_DETACH) };
    }
}

/// Waits until it is so; not for ever.
fn soon(is_so: impl Fn() -> bool) -> Result<(), ()> {
    let start = Instant::now();
    while !is_so() {
        if start.elapsed() > Duration::from_secs(5 * pace::factor()) {
            return Err(());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

const OWN_GROUP: &str = "/proc/self/cgroup";

/// Leaves a mark at each turn until the end, and then tells what group it is in.
fn turns(scene: &Scene, turn: impl Fn()) -> Result<(), String> {
    let text = |e: std::io::Error| e.to_string();
    let marks = scene.dir.join("turns");
    let mut marks = OpenOptions::new()
        .create(true)
        .append(true)
        .open(marks)
        .map_err(text)?;
    scene.announce();
    while !scene.finished() {
        marks.write_all(b".").map_err(text)?;
        turn();
    }
    let group = fs::read_to_string(OWN_GROUP).map_err(text)?;
    fs::write(scene.dir.join("group"), group).map_err(text)
}

/// Asleep in a call most of the time.
fn asleep(scene: &Scene) -> Result<(), String> {
    turns(scene, || scene.pause(5))
}

/// In user mode most of the time.
fn busy(scene: &Scene) -> Result<(), String> {
    turns(scene, || {
        std::hint::black_box((0..1_000_000).fold(0u64, |sum, i| std::hint::black_box(sum ^ i)));
    })
}

/// How far it has come.
fn count(scene: &Scene) -> u64 {
    fs::metadata(scene.dir.join("turns")).map_or(0, |marks| marks.len())
}

/// What group it was in at its end.
fn group_of(scene: &Scene) -> Result<String, String> {
    let path = scene.dir.join("group");
    let told = fs::read_to_string(&path).map_err(|e| format!("its group: {e}"));
    let _ = fs::remove_file(path);
    told
}

fn frozen(name: &'static str, play: Play) -> Case {
    const IMAGES: usize = 3;
    let scene = Scene::new(name);
    let group = Group::new(name)?;
    let victim = scene.start(play)?;
    scene.until_there()?;
    group.set("cgroup.procs", &victim.pid.to_string())?;
    group.freeze(true)?;
    let before = count(&scene);
    let mut images = Vec::new();
    for i in 0..IMAGES {
        images.push(victim.checkpoint(&format!("image.{i}"), 0)?);
        victim.unnoticed()?;
        group.until(true)?;
        scene.pause(50);
        group.until(true)?;
        let now = count(&scene);
        if now != before {
            return Err(format!("frozen, it went from {before} to {now}"));
        }
    }
    group.freeze(false)?;
    soon(|| count(&scene) > before).map_err(|()| "it does not go on".to_string())?;
    victim.ends_well(0)?;
    let told = group_of(&scene)?;
    if !told.contains(name) {
        return Err(format!("it was in another group: {told}"));
    }
    let own = fs::read_to_string(OWN_GROUP).map_err(|e| e.to_string())?;
    for image in &images {
        scene.restart(image, 0)?;
        let told = group_of(&scene)?;
        if told != own {
            return Err(format!("restarted, it was in group {told}, not {own}"));
        }
    }
    pass_with(format!("{IMAGES} images, in turn {before}"))
}

/// A signal that stops, and is not acted on while the group stands.
fn refused_pending_stop() -> Case {
    let name = "refused-pending-stop";
    let scene = Scene::new(name);
    let group = Group::new(name)?;
    let victim = scene.start(asleep)?;
    scene.until_there()?;
    group.set("cgroup.procs", &victim.pid.to_string())?;
    group.freeze(true)?;
    victim.signal(libc::SIGSTOP);
    let said = victim.refuses(libc::EBUSY, "a signal that cannot be blocked is pending")?;
    group.freeze(false)?;
    let before = count(&scene);
    victim.signal(libc::SIGCONT);
    soon(|| count(&scene) > before).map_err(|()| "it does not go on".to_string())?;
    victim.ends_well(0)?;
    pass_with(said.trim())
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("frozen-asleep", || frozen("frozen-asleep", asleep)),
    ("frozen-busy", || frozen("frozen-busy", busy)),
    ("refused-pending-stop", refused_pending_stop),
];
