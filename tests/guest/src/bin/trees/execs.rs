// SPDX-License-Identifier: GPL-2.0

//! Programs that are replaced, again and again: by their threads, of which the one that
//! calls execve(2) ends all others and takes the place of the first one, and by those of
//! children.

use std::os::unix::process::CommandExt;
use std::process::Command;
use std::process::ExitCode;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::timer::gettid;
use ckpt_guest::victim::Scene;

/// The argument that makes the test its own victim.
const AGAIN: &str = "--again";
/// Threads beside the first one; it takes a while until they have ended.
const THREADS: usize = 24;
/// Images that are kept.
const IMAGES: usize = 4;
/// Images of one victim.
const MOST: usize = 50;

/// Programs, one after the other.
fn programs() -> u32 {
    if pace::thinning() > 1 {
        10
    } else {
        40
    }
}

/// The program with this number, started by a thread that is not the first one.
fn replace(number: u32) -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(why) => return why,
    };
    Command::new(program)
        .args([AGAIN, &number.to_string()])
        .exec()
}

/// One of the programs; `None` where this is the test itself.
pub fn again() -> Option<ExitCode> {
    let mut args = std::env::args().skip_while(|arg| arg != AGAIN).skip(1);
    let number = args.next()?.parse::<u32>().ok()?;
    let threads = std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count);
    if gettid() != std::process::id() as i32 || threads != 1 {
        println!("program {number}: not the first of {threads} threads");
        return Some(ExitCode::FAILURE);
    }
    if number == programs() {
        return Some(ExitCode::SUCCESS);
    }
    for _ in 0..THREADS {
        std::thread::spawn(|| loop {
            std::thread::park();
        });
    }
    let thread = std::thread::spawn(move || replace(number + 1));
    // Not before it has failed.
    if let Ok(why) = thread.join() {
        println!("program {number}: {why}");
    }
    Some(ExitCode::FAILURE)
}

/// Processes that are started by fork and execve(2), as a shell or a library does it: a
/// pipe whose other end the new program has no more tells that it runs.
fn spawner(_: &Scene) -> Result<(), String> {
    for nr in 0..programs() {
        let [read, write] = sys::pipe(libc::O_CLOEXEC).map_err(|e| format!("pipe: {e}"))?;
        let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if pid == 0 {
            let why = Command::new("/bin/true").exec();
            println!("program {nr}: {why}");
            sys::exit(1);
        }
        let _ = sys::close(write);
        let told = sys::read(read, &mut [0]);
        let _ = sys::close(read);
        match (told, sys::wait_for(pid, 60)) {
            (Ok(0), Ended::Exit(0)) => {}
            other => return Err(format!("program {nr}: {other:?}")),
        }
    }
    Ok(())
}

/// Whatever it is just doing, it can be saved. A restart goes on with the next program.
fn caught(name: &str, play: fn(&Scene) -> Result<(), String>) -> Case {
    let scene = Scene::new(name);
    let victim = scene.start(play)?;
    let mut rng = Rng::new(29);
    let mut images = Vec::new();
    let mut count = 0;
    while count < MOST {
        scene.pause(rng.below(40));
        match victim.checkpoint(&format!("execs.{}", count % IMAGES), 0) {
            Ok(image) => {
                images.retain(|other| *other != image);
                images.push(image);
            }
            Err(_) if victim.has_ended() => break,
            Err(why) => return Err(format!("image {count}: {why}")),
        }
        count += 1;
    }
    victim.ends_well(60_000)?;
    // A call that failed has emptied the oldest one.
    for image in images.iter().rev().take(IMAGES - 1) {
        scene.restart(image, 60_000)?;
    }
    if count < 6 {
        return Err(format!("only {count} images of {} programs", programs()));
    }
    pass_with(format!("{count} images of {} programs", programs()))
}

/// It is one process all the time: neither ended nor without its first thread.
pub fn by_threads() -> Case {
    caught("tree-execs", |_| Err(replace(0).to_string()))
}

/// Nobody outside has the other end of a pipe, however far a new program has come.
pub fn by_children() -> Case {
    caught("tree-spawns", spawner)
}
