// SPDX-License-Identifier: GPL-2.0

//! Programs that are refused for one of their processes: it is named, and all go on.

use std::path::Path;
use std::thread;

use ckpt_guest::cases::pass;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;
use ckpt_guest::victim::Victim;

use crate::kills::Body;

type Play = fn(&Scene) -> Result<(), String>;

/// A child, which is made with these flags of clone(2), and whose id the test learns.
fn child(
    scene: &Scene,
    flags: i32,
    body: impl FnOnce() -> Result<(), String>,
) -> Result<i32, String> {
    let args = [(flags | libc::SIGCHLD) as usize, 0, 0, 0, 0];
    let pid = sys::plain(libc::SYS_clone, &args).map_err(|e| format!("clone: {e}"))?;
    if pid == 0 {
        let done = body();
        if let Err(why) = &done {
            println!("{why}");
        }
        sys::exit(i32::from(done.is_err()));
    }
    let told = std::fs::write(scene.dir.join("child"), pid.to_string());
    told.map_err(|e| e.to_string())?;
    Ok(pid as i32)
}

/// The child of a victim.
fn child_of(scene: &Scene) -> Result<i32, String> {
    let text = std::fs::read_to_string(scene.dir.join("child"));
    let pid = text.map_err(|e| e.to_string())?.parse();
    pid.map_err(|e| format!("child: {e}"))
}

fn ends_well(pid: i32) -> Result<(), String> {
    match sys::wait_for(pid, 20) {
        Ended::Exit(0) => Ok(()),
        other => Err(format!("child {pid} ended with {other:?}")),
    }
}

/// A victim is refused, for a reason that names its child.
fn refused_for_child(victim: &Victim<'_>, child: i32, errno: i32, word: &str) -> Case {
    let said = victim.refuses(errno, word)?;
    if !said.contains(&format!("pid {child}: ")) {
        return Err(format!("is not about child {child}: {said}"));
    }
    pass_with(said.trim())
}

/// A process whose child is made in a namespace of its own.
fn with_child_in<const FLAG: i32>(scene: &Scene) -> Result<(), String> {
    let pid = child(scene, FLAG, || {
        scene.wait();
        Ok(())
    })?;
    scene.announce();
    scene.wait();
    ends_well(pid)
}

/// A process whose children are made in a time namespace, which it does not enter itself.
fn with_child_in_time(scene: &Scene) -> Result<(), String> {
    let done = sys::plain(libc::SYS_unshare, &[libc::CLONE_NEWTIME as usize]);
    done.map_err(|e| format!("unshare: {e}"))?;
    with_child_in::<0>(scene)
}

/// Kinds of namespaces, by their files in /proc/self/ns and by what the log calls them.
#[rustfmt::skip]
const NAMESPACES: &[(&str, &str, Play)] = &[
    ("mnt", "mount namespace", with_child_in::<{ libc::CLONE_NEWNS }>),
    ("net", "network namespace", with_child_in::<{ libc::CLONE_NEWNET }>),
    ("ipc", "IPC namespace", with_child_in::<{ libc::CLONE_NEWIPC }>),
    ("uts", "UTS namespace", with_child_in::<{ libc::CLONE_NEWUTS }>),
    ("time", "time namespace", with_child_in_time),
    ("cgroup", "cgroup namespace", with_child_in::<{ libc::CLONE_NEWCGROUP }>),
    ("pid", "PID namespace", with_child_in::<{ libc::CLONE_NEWPID }>),
    ("user", "user namespace", with_child_in::<{ libc::CLONE_NEWUSER }>),
];

/// Neither a process in another namespace nor its parent outside can be saved.
fn namespaces() -> Case {
    let has = |file: &str| Path::new("/proc/self/ns").join(file).exists();
    let (here, lacking): (Vec<_>, Vec<_>) = NAMESPACES.iter().partition(|kind| has(kind.0));
    for (_, name, play) in &here {
        let scene = Scene::new("refused-namespaces");
        let victim = scene.start(*play)?;
        scene
            .until_there()
            .map_err(|why| format!("{name}: {why}"))?;
        let pid = child_of(&scene)?;
        let word = format!("the task is in another namespace: {name}");
        for who in [&victim, &Victim::other(pid, &scene)] {
            refused_for_child(who, pid, libc::EOPNOTSUPP, &word)
                .map_err(|why| format!("{name}: {why}"))?;
        }
        victim.unnoticed()?;
        victim.ends_well(0)?;
    }
    let count = here.len();
    match lacking.iter().map(|kind| kind.0).collect::<Vec<_>>() {
        none if none.is_empty() => pass_with(format!("{count} kinds")),
        names => pass_with(format!("{count} kinds; not in this kernel: {names:?}")),
    }
}

/// Where a task tells and changes its label, of the module that the debug kernel has.
const LABEL: &str = "/proc/thread-self/attr/smack/current";

/// A process whose child has another label than it has.
fn with_labelled_child(scene: &Scene) -> Result<(), String> {
    let there = scene.dir.join("labelled");
    let pid = child(scene, 0, || {
        std::fs::write(LABEL, "other").map_err(|e| format!("{LABEL}: {e}"))?;
        std::fs::write(&there, "").map_err(|e| e.to_string())?;
        scene.wait();
        Ok(())
    })?;
    while !there.exists() {
        if sys::plain(libc::SYS_kill, &[pid as usize, 0]).is_err() {
            return Err("the child has ended".to_string());
        }
        thread::sleep(std::time::Duration::from_millis(1));
    }
    scene.announce();
    scene.wait();
    ends_well(pid)
}

/// A process with another label than its parent's cannot be saved with it; alone it can.
fn labels() -> Case {
    if !Path::new(LABEL).exists() {
        return skip("no module with labels in this kernel");
    }
    let scene = Scene::new("refused-label");
    let victim = scene.start(with_labelled_child)?;
    scene.until_there()?;
    let pid = child_of(&scene)?;
    let word = "another security label than that of the first process is not supported";
    refused_for_child(&victim, pid, libc::EOPNOTSUPP, word)?;
    let alone = Victim::other(pid, &scene).checkpoint("alone", 0);
    victim.unnoticed()?;
    victim.ends_well(0)?;
    alone?;
    pass()
}

/// Threads beside the first one of the namespace.
const BESIDE: usize = 3;

/// The first process of a PID namespace, with threads, saves itself. It comes here again
/// when it is restarted in another one.
fn save_namespace(scene: &Scene, image: i32, log: i32) -> Result<(), String> {
    for fd in (3..64).filter(|fd| ![image, log].contains(fd)) {
        let _ = sys::close(fd);
    }
    thread::scope(|scope| {
        for _ in 0..BESIDE {
            scope.spawn(|| scene.wait());
        }
        let done = sys::checkpoint(0, image, sys::LOG, log);
        let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
        let _ = std::fs::write(scene.dir.join("finish"), "");
        let id = done.map_err(|e| format!("checkpoint: {e}"))?;
        if (sys::getpid(), threads) != (1, BESIDE + 1) {
            return Err(format!("process {}, {threads} threads", sys::getpid()));
        }
        let back = if id > 0 { "resumed" } else { "restarted" };
        std::fs::write(scene.dir.join(back), "").map_err(|e| e.to_string())
    })
}

/// The parent of such a process is in no namespace that it knows, nor is the one of its
/// threads.
fn first_of_namespace() -> Case {
    let scene = Scene::new("first-of-namespace");
    let open = |name: &str, flags: i32| {
        let path = ckpt_guest::life::c_path(&scene.dir.join(name));
        sys::open(&path, flags, 0o644).map_err(|e| format!("{name}: {e}"))
    };
    let create = libc::O_RDWR | libc::O_CREAT;
    let (image, log) = (open("image", create)?, open("log", create)?);
    let said = || std::fs::read_to_string(scene.dir.join("log")).unwrap_or_default();
    let came = |back: &str| scene.dir.join(back).exists();
    let first = child(&scene, libc::CLONE_NEWPID, || {
        save_namespace(&scene, image, log)
    })?;
    ends_well(first).map_err(|why| format!("{why}; {}", said()))?;
    let _ = std::fs::remove_file(scene.dir.join("finish"));
    let again = child(&scene, libc::CLONE_NEWPID, || {
        let fd = open("image", libc::O_RDONLY)?;
        let errno = sys::restart(0, fd, sys::LOG, log);
        Err(format!("restart: {errno}"))
    })?;
    ends_well(again).map_err(|why| format!("{why}; {}", said()))?;
    if !came("resumed") || !came("restarted") {
        return Err("did not come back".to_string());
    }
    pass_with(format!("{} threads", BESIDE + 1))
}

/// The first process of a PID namespace saves itself, and is killed, or stopped until it is
/// killed: what another one sends it from inside it does not even get.
fn ends_first_of_namespace() -> Case {
    let scene = Scene::new("ends-first-of-namespace");
    for (flag, stops) in [(sys::KILL, false), (sys::STOP, true)] {
        let first = child(&scene, libc::CLONE_NEWPID, || {
            // What the test has open, others have as well.
            for fd in 3..64 {
                let _ = sys::close(fd);
            }
            let open = |name: &str| {
                let path = ckpt_guest::life::c_path(&scene.dir.join(name));
                let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
                sys::open(&path, flags, 0o600).map_err(|e| format!("{name}: {e}"))
            };
            let (image, log) = (open("image")?, open("log")?);
            let done = sys::checkpoint(0, image, sys::LOG | flag, log);
            Err(format!("checkpoint with {flag}: {done:?}"))
        })?;
        if stops {
            let mut status = 0;
            // SAFETY: `status` is an int of ours.
            let told = unsafe { libc::waitpid(first, &mut status, libc::WUNTRACED) };
            let args = [first as usize, libc::SIGKILL as usize];
            let _ = sys::plain(libc::SYS_kill, &args);
            if told != first || !libc::WIFSTOPPED(status) {
                return Err(format!("not stopped: {told}, {status:#x}"));
            }
        }
        match sys::wait_for(first, 30) {
            Ended::Signal(libc::SIGKILL) => {}
            other => {
                let said = std::fs::read_to_string(scene.dir.join("log"));
                return Err(format!("ended: {other:?}; {said:?}"));
            }
        }
    }
    pass()
}

/// A letter that tells what the first thread of a process does.
fn state(pid: i32) -> Option<char> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(") ").next()?.chars().next()
}

/// Its first thread ends, and another one goes on.
fn without_first_thread(scene: &Scene) -> Result<(), String> {
    let me = sys::getpid();
    thread::scope(|scope| {
        scope.spawn(|| {
            while state(me) != Some('Z') {
                scene.pause(1);
            }
            scene.announce();
            scene.wait();
            sys::exit(0)
        });
        // This thread only.
        let gone = sys::plain(libc::SYS_exit, &[0]);
        Err(format!("the first thread goes on: {gone:?}"))
    })
}

fn first_thread() -> Case {
    const WORD: &str = "the first thread has ended before others of its process";
    let scene = Scene::new("refused-without-first-thread");
    let victim = scene.start(without_first_thread)?;
    scene.until_there()?;
    let said = victim.refuses(libc::EOPNOTSUPP, WORD)?;
    victim.unnoticed()?;
    victim.ends_well(0)?;

    // The same of a child.
    let scene = Scene::new("refused-child-without-first-thread");
    let victim = scene.start(|scene| {
        let pid = child(scene, 0, || without_first_thread(scene))?;
        scene.announce();
        scene.wait();
        ends_well(pid)
    })?;
    scene.until_all_there(2)?;
    refused_for_child(&victim, child_of(&scene)?, libc::EOPNOTSUPP, WORD)?;
    victim.unnoticed()?;
    victim.ends_well(0)?;
    pass_with(said.trim())
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("first-of-namespace", first_of_namespace),
    ("ends-first-of-namespace", ends_first_of_namespace),
    ("refused-namespaces", namespaces),
    ("refused-label", labels),
    ("refused-without-first-thread", first_thread),
];
