// SPDX-License-Identifier: GPL-2.0

//! Victims with children, in groups and sessions, alive and dead.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use ckpt_guest::act::Act;
use ckpt_guest::pace;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;
use ckpt_guest::victim::Scene;

/// How long the victims work, in milliseconds.
const TIME: u64 = 400;

fn id(nr: libc::c_long, of: i32) -> i32 {
    sys::plain(nr, &[of as usize]).map_or(-1, |id| id as i32)
}

pub fn parent() -> i32 {
    id(libc::SYS_getppid, 0)
}

fn group() -> i32 {
    id(libc::SYS_getpgid, 0)
}

fn session() -> i32 {
    id(libc::SYS_getsid, 0)
}

/// Forks a child that does `body` and ends with 0, or says why not and ends with 1.
pub fn child(body: impl FnOnce() -> Result<(), String>) -> Result<i32, String> {
    let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if pid == 0 {
        let done = body();
        if let Err(why) = &done {
            println!("{why}");
        }
        sys::exit(i32::from(done.is_err()));
    }
    Ok(pid)
}

pub fn ends_well(pid: i32) -> Result<(), String> {
    match sys::wait_for(pid, 60) {
        Ended::Exit(0) => Ok(()),
        other => Err(format!("child {pid} ended with {other:?}")),
    }
}

/// The only child that is left, an orphan that came to the caller.
pub fn adopted_ends_well() -> Result<(), String> {
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    let adopted = unsafe { libc::waitpid(-1, &mut status, 0) };
    if adopted <= 0 || status != 0 {
        return Err(format!("the adopted child: {adopted}, {status:#x}"));
    }
    Ok(())
}

fn same(what: &str, now: i32, before: i32) -> Result<(), String> {
    if now == before {
        return Ok(());
    }
    Err(format!("{what} {before} became {now}"))
}

/// Children that compute, and whose parent knows what.
fn children(scene: &Scene) -> Result<(), String> {
    let pids = (1..4u64).map(|nr| {
        child(|| {
            let me = sys::getpid();
            let (mut x, mut rounds) = (nr, 0u64);
            while rounds == 0 || !scene.finished() {
                (0..1000).for_each(|_| x = x.wrapping_mul(6364136223846793005).wrapping_add(nr));
                rounds += 1;
            }
            let mut again = nr;
            (0..1000 * rounds)
                .for_each(|_| again = again.wrapping_mul(6364136223846793005).wrapping_add(nr));
            same("process id", sys::getpid(), me)?;
            if x != again {
                return Err(format!("child {nr}: {x:#x}, not {again:#x}"));
            }
            Ok(())
        })
    });
    for pid in pids.collect::<Result<Vec<_>, _>>()? {
        ends_well(pid)?;
    }
    Ok(())
}

/// Generations: each waits for the next, and knows who its parent is.
fn generations(scene: &Scene) -> Result<(), String> {
    fn generation(scene: &Scene, left: u32) -> Result<(), String> {
        let (me, mother) = (sys::getpid(), parent());
        let next = match left {
            0 => None,
            _ => Some(child(|| generation(scene, left - 1))?),
        };
        scene.announce();
        scene.wait();
        same("process id", sys::getpid(), me)?;
        // The first one was restarted under another id.
        if left < 4 {
            same("parent", parent(), mother)?;
        }
        next.map_or(Ok(()), ends_well)
    }
    let first = child(|| generation(scene, 4))?;
    scene.wait();
    ends_well(first)
}

/// A child of a thread that is not the first one, and one of the first.
fn children_of_threads(scene: &Scene) -> Result<(), String> {
    let waits = |pid: i32, options: i32| {
        let mut status = 0;
        // SAFETY: `status` is an int of ours.
        let got = unsafe { libc::waitpid(pid, &mut status, options) };
        (got, status)
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let pid = child(|| {
                scene.announce();
                scene.wait();
                Ok(())
            })?;
            scene.wait();
            // __WNOTHREAD: only children of this very thread.
            match waits(pid, libc::__WNOTHREAD) {
                (got, 0) if got == pid => Ok(()),
                other => Err(format!("wait of a thread for its own child: {other:?}")),
            }
        });
        let pid = child(|| {
            scene.announce();
            scene.wait();
            Ok(())
        })?;
        scene.wait();
        ends_well(pid)?;
        other.join().map_err(|_| "it panicked")?
    })
}

/// Waits until they have ended, and leaves them to be waited for.
fn until_zombies(pids: &[i32]) -> Result<(), String> {
    for pid in pids {
        let options = libc::WEXITED | libc::WNOWAIT;
        // SAFETY: no status is asked for.
        let done = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                libc::P_PID,
                *pid,
                std::ptr::null_mut::<libc::siginfo_t>(),
                options,
                std::ptr::null_mut::<libc::rusage>(),
            )
        };
        if done != 0 {
            return Err(format!("waitid: {}", std::io::Error::last_os_error()));
        }
    }
    Ok(())
}

/// Children that have ended: nobody has asked for their exit codes yet.
fn zombies(scene: &Scene) -> Result<(), String> {
    let exits = child(|| sys::exit(7))?;
    let killed = child(|| {
        let _ = sys::signal_self(libc::SIGKILL);
        Ok(())
    })?;
    let leader = child(|| {
        let _ = sys::plain(libc::SYS_setsid, &[]);
        sys::exit(9)
    })?;
    until_zombies(&[exits, killed, leader])?;
    scene.announce();
    scene.wait();
    for (pid, want) in [
        (exits, Ended::Exit(7)),
        (killed, Ended::Signal(libc::SIGKILL)),
        (leader, Ended::Exit(9)),
    ] {
        let got = sys::wait_for(pid, 20);
        if got != want {
            return Err(format!("child {pid}: {got:?}, not {want:?}"));
        }
    }
    Ok(())
}

/// Process groups and sessions, with and without their leaders.
fn groups(scene: &Scene) -> Result<(), String> {
    let setpgid = |pid: i32, group: i32| {
        sys::plain(libc::SYS_setpgid, &[pid as usize, group as usize])
            .map_err(|e| format!("setpgid: {e}"))
    };
    let stays = |what: &str, body: &dyn Fn() -> Result<(), String>| {
        child(|| {
            body()?;
            let (g, s) = (group(), session());
            scene.announce();
            scene.wait();
            same(&format!("{what}: group"), group(), g)?;
            same(&format!("{what}: session"), session(), s)
        })
    };
    // A group whose leader lives, and one whose leader is gone.
    let leader = stays("leader", &|| setpgid(0, 0).map(|_| ()))?;
    let gone = child(|| {
        scene.pause(30);
        Ok(())
    })?;
    setpgid(gone, gone)?;
    let orphan = stays("member of a group without leader", &|| {
        setpgid(0, gone).map(|_| ())
    })?;
    let member = stays("member", &|| {
        while id(libc::SYS_getpgid, leader) != leader {
            scene.pause(1);
        }
        setpgid(0, leader).map(|_| ())
    })?;
    // A session whose leader lives, and one whose leader is gone.
    let session_leader = stays("session leader", &|| {
        let _ = sys::plain(libc::SYS_setsid, &[]);
        same("session", session(), sys::getpid())
    })?;
    let without = child(|| {
        let _ = sys::plain(libc::SYS_setsid, &[]);
        // Its child stays in the session, and loses its leader.
        stays("member of a session without leader", &|| Ok(())).map(|_| ())
    })?;
    // It is adopted by us, not by init.
    ends_well(without)?;
    scene.pause(60);
    ends_well(gone)?;
    scene.announce();
    scene.wait();
    // Nobody stands in for those that are gone.
    for pid in [gone, without] {
        match sys::plain(libc::SYS_kill, &[pid as usize, 0]) {
            Err(Errno(libc::ESRCH)) => {}
            other => return Err(format!("process {pid}, which is gone: {other:?}")),
        }
    }
    // The member before the leader, whose group it may still have to join.
    for pid in [member, leader, orphan, session_leader] {
        ends_well(pid)?;
    }
    // The one that was adopted.
    adopted_ends_well()
}

fn groups_below_a_subreaper(scene: &Scene) -> Result<(), String> {
    sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]).map_err(|e| format!("prctl: {e}"))?;
    groups(scene)
}

static ENDED: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_child(_: i32) {
    ENDED.fetch_add(1, Ordering::Relaxed);
}

/// Children that come and go all the time, and whose parent is told.
fn forks(scene: &Scene) -> Result<(), String> {
    // SAFETY: the handler touches an atomic only.
    unsafe { libc::signal(libc::SIGCHLD, on_child as *const () as usize) };
    ENDED.store(0, Ordering::Relaxed);
    let mut rounds = 0;
    while rounds == 0 || !scene.finished() {
        let pids = (0..4).map(|nr| child(|| sys::exit(nr)));
        for (nr, pid) in (0..).zip(pids.collect::<Result<Vec<_>, _>>()?) {
            match sys::wait_for(pid, 30) {
                Ended::Exit(code) if code == nr => {}
                other => return Err(format!("round {rounds}, child {nr}: {other:?}")),
            }
        }
        rounds += 1;
        let told = ENDED.load(Ordering::Relaxed);
        if told < rounds {
            return Err(format!("round {rounds}, but only told {told} times"));
        }
    }
    Ok(())
}

/// Programs that are started with vfork and exec.
fn spawns(scene: &Scene) -> Result<(), String> {
    let mut rounds = 0;
    while rounds == 0 || !scene.finished() {
        let status = std::process::Command::new("/bin/true")
            .status()
            .map_err(|e| format!("round {rounds}: {e}"))?;
        if !status.success() {
            return Err(format!("round {rounds}: {status}"));
        }
        rounds += 1;
    }
    Ok(())
}

/// Signals between parent and child, each of which waits for the other.
pub fn ping_pong(scene: &Scene) -> Result<(), String> {
    let mask = 1u64 << (libc::SIGUSR1 - 1) | 1u64 << (libc::SIGUSR2 - 1);
    let args = [libc::SIG_BLOCK as usize, (&raw const mask) as usize, 0, 8];
    sys::plain(libc::SYS_rt_sigprocmask, &args).map_err(|e| format!("mask: {e}"))?;
    let receive = |signal: i32| {
        let one = 1u64 << (signal - 1);
        let args = [(&raw const one) as usize, 0, 0, 8];
        match sys::plain(libc::SYS_rt_sigtimedwait, &args) {
            Ok(_) => Ok(()),
            Err(e) => Err(format!("rt_sigtimedwait: {e}")),
        }
    };
    let send = |pid: i32, signal: i32| {
        sys::plain(libc::SYS_kill, &[pid as usize, signal as usize])
            .map_err(|e| format!("kill: {e}"))
    };
    // It answers until it is killed: whoever ends first would leave the other waiting.
    let other = child(|| loop {
        receive(libc::SIGUSR1)?;
        // The parent has another id after a restart, which may fall between these two.
        let (mut to, mut sent) = (0, Ok(0));
        while to != parent() {
            to = parent();
            sent = send(to, libc::SIGUSR2);
        }
        sent?;
    })?;
    let mut rounds = 0u64;
    while rounds == 0 || !scene.finished() {
        send(other, libc::SIGUSR1)?;
        receive(libc::SIGUSR2)?;
        rounds += 1;
    }
    send(other, libc::SIGKILL)?;
    match sys::wait_for(other, 20) {
        Ended::Signal(libc::SIGKILL) => Ok(()),
        ended => Err(format!("the other one ended with {ended:?}")),
    }
}

/// A hundred children that wait for the end.
fn many(scene: &Scene) -> Result<(), String> {
    crowd(scene, 100)
}

/// A thousand.
pub fn thousand(scene: &Scene) -> Result<(), String> {
    crowd(scene, 1000)
}

fn crowd(scene: &Scene, size: usize) -> Result<(), String> {
    let pids = (0..size).map(|_| {
        child(|| {
            scene.announce();
            while !scene.finished() {
                scene.pause(size as u64 / 5 * pace::factor());
            }
            Ok(())
        })
    });
    let pids = pids.collect::<Result<Vec<_>, _>>()?;
    scene.wait();
    pids.into_iter().try_for_each(ends_well)
}

pub const fn act(name: &'static str, play: fn(&Scene) -> Result<(), String>) -> Act {
    Act {
        name,
        play,
        waits: TIME,
        there: 0,
    }
}

/// Victims with children.
pub const ACTS: &[Act] = &[
    act("children", children),
    act("generations", generations).all_there(5),
    act("children-of-threads", children_of_threads).all_there(2),
    act("zombies", zombies).there(),
    act("groups-and-sessions", groups_below_a_subreaper).all_there(6),
    act("forks", forks),
    act("spawns", spawns),
    act("ping-pong", ping_pong),
    act("children-many", many).all_there(100),
];
