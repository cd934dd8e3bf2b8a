// SPDX-License-Identifier: GPL-2.0

//! Callers of restart(2) that are killed at any moment leave nothing behind.

use std::path::Path;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::life;
use ckpt_guest::mem::page_of;
use ckpt_guest::mem::Map;
use ckpt_guest::mem::Spec;
use ckpt_guest::mem::PAGE;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::victim::Scene;

use crate::census::described;
use crate::census::newcomers;
use crate::census::processes;
use crate::census::tasks_of_all;
use crate::census::Allowed;
use crate::census::Census;
use crate::stress::complete;
use crate::stress::small;

/// Memory of its own.
const PRIVATE: usize = 512;
/// Shared memory, and a file in memory: 64 KiB each.
const SHARED: usize = 16;
/// Bytes in the pipe, which is full.
const PIPE: usize = 64 * PAGE;
const MESSAGE: &[u8] = b"not received yet";

fn map(pages: usize, flags: i32, fd: i32, seed: u64) -> Result<Map, String> {
    let spec = Spec {
        len: pages * PAGE,
        flags,
        fd,
        ..Spec::default()
    };
    let map = Map::new(spec).map_err(|e| format!("mmap: {e}"))?;
    (0..pages).for_each(|nr| map.fill_page(nr, seed + nr as u64));
    Ok(map)
}

fn is_whole(what: &str, map: &Map, seed: u64) -> Result<(), String> {
    match (0..map.pages()).find(|nr| !map.page_is(*nr, seed + *nr as u64)) {
        None => Ok(()),
        Some(nr) => Err(format!("{what}: page {nr} has changed")),
    }
}

fn full_pipe() -> Result<[i32; 2], String> {
    let ends = sys::pipe(libc::O_NONBLOCK).map_err(|e| format!("pipe: {e}"))?;
    let sized = sys::fcntl(ends[1], libc::F_SETPIPE_SZ, PIPE);
    sized.map_err(|e| format!("F_SETPIPE_SZ: {e}"))?;
    for nr in 0..(PIPE / PAGE) as u64 {
        let wrote = sys::write(ends[1], &page_of(nr));
        if wrote != Ok(PAGE) {
            return Err(format!("write {nr} to the pipe: {wrote:?}"));
        }
    }
    Ok(ends)
}

fn pair() -> Result<[i32; 2], String> {
    let mut ends = [0; 2];
    // SAFETY: writes two ints of ours.
    let made = unsafe { libc::socketpair(libc::AF_UNIX, libc::SOCK_DGRAM, 0, ends.as_mut_ptr()) };
    sys::libc_result(made).map_err(|e| format!("socketpair: {e}"))?;
    for end in ends {
        if sys::write(end, MESSAGE) != Ok(MESSAGE.len()) {
            return Err("no message was sent".to_string());
        }
    }
    Ok(ends)
}

fn memfd() -> Result<i32, String> {
    // SAFETY: the name is a C string.
    let fd = unsafe { libc::memfd_create(c"killed".as_ptr(), 0) };
    let fd = sys::libc_result(fd).map_err(|e| format!("memfd: {e}"))?;
    let args = [fd as usize, SHARED * PAGE];
    sys::plain(libc::SYS_ftruncate, &args).map_err(|e| format!("ftruncate: {e}"))?;
    Ok(fd)
}

/// A small tree that holds some of everything that could be left behind: all of its
/// processes have these descriptors and this memory.
fn laden(scene: &Scene) -> Result<(), String> {
    let own = map(PRIVATE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 1000)?;
    let common = map(SHARED, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1, 2000)?;
    let file = map(SHARED, libc::MAP_SHARED, memfd()?, 3000)?;
    let (pipe, sockets) = (full_pipe()?, pair()?);
    small(scene)?;
    is_whole("own memory", &own, 1000)?;
    is_whole("shared memory", &common, 2000)?;
    is_whole("memfd", &file, 3000)?;
    for nr in 0..(PIPE / PAGE) as u64 {
        let mut page = [0; PAGE];
        if sys::read(pipe[0], &mut page) != Ok(PAGE) || page != page_of(nr) {
            return Err(format!("page {nr} of the pipe has changed"));
        }
    }
    for end in sockets {
        let mut message = [0; 64];
        match sys::read(end, &mut message) {
            Ok(len) if &message[..len] == MESSAGE => {}
            other => return Err(format!("message: {other:?}")),
        }
    }
    Ok(())
}

/// Reaps all children that have ended.
pub fn reap() {
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    while unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG) } > 0 {}
}

/// The name of a caller, until it is another process.
const CALLER: &str = "caller";

fn restart(image: &Path) -> ! {
    let _ = sys::prctl(libc::PR_SET_NAME, &[c"caller".as_ptr() as usize]);
    let fd = sys::open(&life::c_path(image), libc::O_RDONLY, 0).unwrap_or(-1);
    let errno = sys::restart(0, fd, 0, 0);
    sys::exit(errno.0)
}

/// Open files that may have come in between: those that callers leave are none, and what
/// else runs on the machine opens fewer. A pipe of each caller is more on any kernel.
const FILES: u64 = 8;

/// What `late` callers that were killed when they had tasks may leave behind, all
/// together: less than one thing of each.
///
/// Of open files some few are allowed, however many callers there are. A page of
/// shared memory is 4 KiB, and 2 KiB are allowed. What is in the pipe is 256 KiB, the
/// memory of the first process 2 MiB, the stacks of all tasks in the kernel some
/// 128 KiB; 64 KiB are allowed. So 100 such callers must leave more than 8 files,
/// 200 KiB of shared memory or 6.4 MiB of other memory.
///
/// A kernel with checkers keeps what is freed for a while, and has fewer rounds: there
/// the memory of processes alone is seen, 2 MiB of which 1 MiB is allowed, and kmemleak
/// sees what is smaller.
fn allowed(late: u64) -> Allowed {
    Allowed {
        files: FILES,
        shared: 2 * late,
        used: if pace::factor() > 1 {
            (1024 * late).max(16 << 10)
        } else {
            64 * late
        },
    }
}

struct Stage<'a> {
    scene: &'a Scene,
    image: &'a Path,
    /// Longest life of a caller, in microseconds.
    most: u64,
}

/// A caller when it was killed.
struct Killed {
    /// It had made tasks.
    late: bool,
    /// And had not committed.
    building: bool,
}

impl Stage<'_> {
    /// One caller that is killed, and what it has made meanwhile.
    fn kill_one(&self, rng: &mut Rng) -> Result<Killed, String> {
        let (before, count) = (processes(), tasks_of_all());
        let caller = sys::fork().map_err(|e| e.to_string())?;
        if caller == 0 {
            restart(self.image);
        }
        std::thread::sleep(Duration::from_micros(rng.below(self.most)));
        // Itself, and a worker of the kernel perhaps.
        let late = tasks_of_all() > count + 2;
        let name = std::fs::read_to_string(format!("/proc/{caller}/comm"));
        let building = late && name.is_ok_and(|name| name.trim() == CALLER);
        let _ = sys::plain(libc::SYS_kill, &[caller as usize, libc::SIGKILL as usize]);
        let ended = sys::wait_for(caller, 20);
        if ended != Ended::Signal(libc::SIGKILL) {
            return Err(format!("the caller ended with {ended:?}"));
        }
        // Those that had gone on are killed by the end of their parent.
        let start = Instant::now();
        loop {
            reap();
            let left = newcomers(&before);
            if left.is_empty() {
                return Ok(Killed { late, building });
            }
            if start.elapsed() > Duration::from_secs(5 * pace::factor()) {
                return Err(format!("still there: {}", described(&left)));
            }
            self.scene.pause(1);
        }
    }

    /// How many of them had tasks, and how many of these had not yet become the process of
    /// the image.
    fn kill_many(&self, rng: &mut Rng, rounds: u64) -> Result<(u64, u64), String> {
        let (mut late, mut building) = (0, 0);
        for round in 0..rounds {
            let one = self.kill_one(rng);
            let one = one.map_err(|why| format!("round {round}: {why}"))?;
            late += u64::from(one.late);
            building += u64::from(one.building);
        }
        Ok((late, building))
    }
}

/// The caller of restart(2) is killed at a random moment: nothing stays behind, neither
/// tasks nor open files nor memory. Process ids are free again, or a later restart
/// would not get them.
pub fn restart_killed() -> Case {
    let scene = Scene::new("tree-restart-killed");
    let victim = complete(&scene, laden)?;
    let image = victim.checkpoint("image", 0)?;
    victim.ends_well(900)?;
    // How long a whole restart takes: some are killed at any part of it, and some
    // when it is over. The host may have stopped the guest in one of these.
    let measured = || {
        scene.finish();
        let mut whole = Duration::MAX;
        for _ in 0..3 {
            let start = Instant::now();
            scene.restart(&image, 900)?;
            whole = whole.min(start.elapsed());
        }
        let _ = std::fs::remove_file(scene.dir.join("finish"));
        Ok::<_, String>(whole.as_micros() as u64 * 2)
    };
    // Those that lose their parent come to us, and are reaped here: in the guest
    // nobody else does it.
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]).map_err(|e| format!("prctl: {e}"))?;
    let mut stage = Stage {
        scene: &scene,
        image: &image,
        most: measured()?,
    };
    let mut rng = Rng::new(22);
    let rounds = 200 / pace::thinning();
    // What the kernel keeps for the next time is there after some rounds.
    stage.kill_many(&mut rng, rounds / 10)?;
    let before = Census::take();
    let (mut late, mut building) = stage.kill_many(&mut rng, rounds)?;
    let mut all = rounds;
    // As a rule it is one in three; the host may have become slower since the measurement.
    let enough = (rounds / 20).max(1);
    for _ in 0..2 {
        if building < enough {
            stage.most = measured()?;
            let more = stage.kill_many(&mut rng, rounds)?;
            (late, building) = (late + more.0, more.1);
            all += rounds;
        }
    }
    if building < enough {
        return Err(format!("only {building} of {rounds} callers were building"));
    }
    before.again(allowed(late))?;
    let growth = before.growth();
    let _ = sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[0]);
    // And the image is still good.
    scene.finish();
    scene.restart(&image, 900)?;
    pass_with(format!(
        "{all} callers, {late} of them with tasks, {building} before the commit; {growth}"
    ))
}
