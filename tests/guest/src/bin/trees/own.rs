// SPDX-License-Identifier: GPL-2.0

//! What each thread and each process has for itself, and not only the first one.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

use ckpt_guest::act::Act;
use ckpt_guest::pace;
use ckpt_guest::regs;
use ckpt_guest::regs::spin;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;
use ckpt_guest::sys::prctl;
use ckpt_guest::timer::gettid;
use ckpt_guest::victim::Scene;

use crate::family::adopted_ends_well;
use crate::family::child;
use crate::family::ends_well;
use crate::family::parent;

/// How long the victims work, in milliseconds.
const TIME: u64 = 400;

fn had(what: &str, ret: sys::Ret) -> Result<usize, String> {
    ret.map_err(|e| format!("{what}: {e}"))
}

/// Tasks whose registers are being compared, and those that are done.
static SPINS: AtomicUsize = AtomicUsize::new(0);
static DONE: AtomicUsize = AtomicUsize::new(0);

/// Loops with registers, and rights of protection keys, of its own.
fn spins(nr: u64) -> Result<(), String> {
    let rights = 0x5555_5550 | (nr as u32 & 3) << 2;
    if regs::has_pkeys() {
        regs::set_pkru(rights);
    }
    SPINS.fetch_add(1, SeqCst);
    let done = spin::spin(&regs::components(), &mut Rng::new(nr));
    DONE.fetch_add(1, SeqCst);
    done.map_err(|why| format!("task {nr}: {why}"))?;
    if regs::has_pkeys() && regs::pkru() != rights {
        return Err(format!("task {nr}: rights {:#x}", regs::pkru()));
    }
    Ok(())
}

/// Two tasks of a process loop with all their registers loaded, until a third one ends that.
fn two_spin(scene: &Scene, nr: u64, announces: bool) -> Result<(), String> {
    SPINS.store(0, SeqCst);
    DONE.store(0, SeqCst);
    had("sigaction", spin::handle_end().map(|()| 0))?;
    thread::scope(|scope| {
        let other = thread::Builder::new();
        let (tell, told) = std::sync::mpsc::channel();
        let other = other.spawn_scoped(scope, move || {
            let _ = tell.send(gettid());
            spins(nr + 1)
        });
        let other = other.map_err(|e| format!("a thread: {e}"))?;
        let second = told.recv().map_err(|e| e.to_string())?;
        scope.spawn(move || {
            while SPINS.load(SeqCst) < 2 {
                scene.pause(1);
            }
            scene.pause(20);
            if announces {
                scene.announce();
            }
            scene.wait();
            // One that has not begun yet is told again. A restart may have another id.
            while DONE.load(SeqCst) < 2 {
                let process = sys::getpid();
                for tid in [process, second] {
                    let args = [process as usize, tid as usize, spin::SIGNAL as usize];
                    let _ = plain(libc::SYS_tgkill, &args);
                }
                scene.pause(5);
            }
        });
        let done = spins(nr);
        other.join().map_err(|_| "it panicked")??;
        done
    })
}

/// All registers of tasks that are stopped in user code: of the first one, a thread, a child
/// and a thread of the child.
fn registers(scene: &Scene) -> Result<(), String> {
    if !regs::has_xsave() {
        scene.announce();
        scene.wait();
        return Ok(());
    }
    let pid = child(|| two_spin(scene, 10, false))?;
    let done = two_spin(scene, 20, true);
    ends_well(pid)?;
    done
}

fn file(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/proc/thread-self/{name}")).unwrap_or_default();
    text.trim().to_string()
}

/// What a task can set on itself.
fn values() -> BTreeMap<&'static str, String> {
    let number = |ret: sys::Ret| format!("{ret:?}");
    let mut signal = 0u32;
    let to = (&raw mut signal) as usize;
    let got = prctl(libc::PR_GET_PDEATHSIG, &[to]);
    let signal = got.map(|_| std::hint::black_box(signal) as usize);
    BTreeMap::from([
        ("name", file("comm")),
        ("slack", number(prctl(libc::PR_GET_TIMERSLACK, &[0; 4]))),
        ("nice", number(plain(libc::SYS_getpriority, &[0, 0]))),
        ("I/O priority", number(plain(libc::SYS_ioprio_get, &[1, 0]))),
        (
            "personality",
            number(plain(libc::SYS_personality, &[0xffff_ffff])),
        ),
        (
            "memory failure policy",
            number(prctl(libc::PR_MCE_KILL_GET, &[0; 4])),
        ),
        (
            "no_new_privs",
            number(prctl(libc::PR_GET_NO_NEW_PRIVS, &[0; 4])),
        ),
        ("parent-death signal", number(signal)),
        ("limits", file("limits")),
        ("oom_score_adj", file("oom_score_adj")),
        ("coredump filter", file("coredump_filter")),
    ])
}

/// Sets what threads have for themselves; `nr` makes it unlike that of all others.
fn set_values(nr: usize) -> Result<(), String> {
    let mut name = *b"the number 00\0";
    name[11] += (nr / 10) as u8;
    name[12] += (nr % 10) as u8;
    let name = name.as_ptr() as usize;
    had("name", prctl(libc::PR_SET_NAME, &[name, 0, 0, 0]))?;
    let slack = 100_000 + nr;
    had("slack", prctl(libc::PR_SET_TIMERSLACK, &[slack, 0, 0, 0]))?;
    had("nice", plain(libc::SYS_setpriority, &[0, 0, nr % 16]))?;
    let priority = 2 << 13 | (nr % 8);
    had("ioprio", plain(libc::SYS_ioprio_set, &[1, 0, priority]))?;
    // ADDR_NO_RANDOMIZE or ADDR_COMPAT_LAYOUT
    let personality = [0x004_0000, 0x020_0000][nr % 2];
    had("personality", plain(libc::SYS_personality, &[personality]))?;
    let policy = [libc::PR_MCE_KILL_SET as usize, nr % 2, 0, 0];
    had("mce", prctl(libc::PR_MCE_KILL, &policy))?;
    let signal = [libc::SIGWINCH, libc::SIGURG][nr % 2];
    had(
        "pdeathsig",
        prctl(libc::PR_SET_PDEATHSIG, &[signal as usize, 0, 0, 0]),
    )?;
    Ok(())
}

/// Sets what processes have for themselves.
fn set_process(nr: u64) -> Result<(), String> {
    let limit = [1000 + nr, 2000 + nr];
    let args = [0, libc::RLIMIT_NPROC as usize, limit.as_ptr() as usize, 0];
    had("prlimit", plain(libc::SYS_prlimit64, &args))?;
    for (name, value) in [
        ("oom_score_adj", format!("{}", 100 + nr)),
        ("coredump_filter", format!("{:#x}", 0x10 + nr)),
    ] {
        std::fs::write(format!("/proc/self/{name}"), value).map_err(|e| format!("{name}: {e}"))?;
    }
    Ok(())
}

/// Has them until the end.
fn keeps(scene: &Scene, who: &str) -> Result<(), String> {
    let before = values();
    // Not before: whoever reads procfs has a file that is in no image.
    scene.announce();
    scene.wait();
    for (name, now) in values() {
        if before.get(name) != Some(&now) {
            let before = &before[name];
            return Err(format!("{who}: {name}: {before} became {now}"));
        }
    }
    Ok(())
}

/// Values of a thread, of a child and of a thread of the child; the name of a zombie.
fn own_values(scene: &Scene) -> Result<(), String> {
    let zombie = child(|| {
        had(
            "name",
            prctl(libc::PR_SET_NAME, &[c"has ended".as_ptr() as usize]),
        )?;
        Ok(())
    })?;
    let pid = child(|| {
        set_process(7)?;
        had("privs", prctl(libc::PR_SET_NO_NEW_PRIVS, &[1, 0, 0, 0]))?;
        set_values(3)?;
        with_a_thread(scene, 4)
    })?;
    set_process(5)?;
    set_values(1)?;
    with_a_thread(scene, 2)?;
    let name = std::fs::read_to_string(format!("/proc/{zombie}/comm"));
    if !name.as_ref().is_ok_and(|name| name.trim() == "has ended") {
        return Err(format!("the zombie is called {name:?}"));
    }
    ends_well(zombie)?;
    ends_well(pid)
}

fn with_a_thread(scene: &Scene, nr: usize) -> Result<(), String> {
    thread::scope(|scope| {
        let other = scope.spawn(move || {
            set_values(nr)?;
            keeps(scene, &format!("thread {nr}"))
        });
        let done = keeps(scene, "the first thread");
        other.join().map_err(|_| "it panicked")??;
        done
    })
}

const TIMERS: [usize; 3] = [0, 1, 2];
/// Seconds; none of them expires.
const LONG: usize = 5000;
/// Microseconds from when they are set to the end.
const LATEST: usize = 60_000_000;

/// Value and interval of an interval timer, in microseconds.
fn interval_timer(which: usize) -> Result<[usize; 2], String> {
    let mut value = [0usize; 4];
    let to = value.as_mut_ptr() as usize;
    had("getitimer", plain(libc::SYS_getitimer, &[which, to]))?;
    let value = std::hint::black_box(value);
    Ok([
        value[2] * 1_000_000 + value[3],
        value[0] * 1_000_000 + value[1],
    ])
}

/// Interval timers of a child, and its own short one, which has signalled by the end.
fn interval_timers(scene: &Scene) -> Result<(), String> {
    let pid = child(|| {
        for which in TIMERS {
            let set = [LONG + which, 0, LONG - which, 0];
            let args = [which, set.as_ptr() as usize, 0];
            had("setitimer", plain(libc::SYS_setitimer, &args))?;
        }
        scene.announce();
        scene.wait();
        for which in TIMERS {
            let [value, interval] = interval_timer(which)?;
            let most = (LONG - which) * 1_000_000;
            if interval != (LONG + which) * 1_000_000
                || value > most + 10_000
                || value < most - LATEST * pace::factor() as usize
            {
                return Err(format!("timer {which}: {value}, {interval}"));
            }
        }
        Ok(())
    })?;
    scene.wait();
    // It has none.
    for which in TIMERS {
        if interval_timer(which)? != [0, 0] {
            return Err(format!("timer {which} of the parent runs"));
        }
    }
    ends_well(pid)
}

/// Whether the area of restartable sequences is registered, and has the processor.
fn has_sequences(who: &str) -> Result<(), String> {
    let area = regs::rseq_area();
    if area.is_empty() {
        return Ok(());
    }
    let again = plain(libc::SYS_rseq, &[area.start, 32, 0, 0x5305_3053]);
    // SAFETY: the area is in the thread block; its second word is the processor.
    let cpu = unsafe { ((area.start + 4) as *const u32).read_volatile() };
    if again.is_ok() || cpu > 4096 {
        return Err(format!("{who}: rseq {again:?}, processor {cpu:#x}"));
    }
    Ok(())
}

/// Restartable sequences, and the word that is cleared at the end, of a thread and of a child.
fn sequences(scene: &Scene) -> Result<(), String> {
    let both = |who: &'static str| {
        thread::scope(|scope| {
            let other = scope.spawn(move || {
                has_sequences("before")?;
                scene.announce();
                scene.wait();
                has_sequences(who)
            });
            has_sequences("before")?;
            scene.announce();
            scene.wait();
            has_sequences(who)?;
            other.join().map_err(|_| "it panicked")?
        })
    };
    let pid = child(|| both("in the child"))?;
    both("in the first process")?;
    ends_well(pid)
}

/// A child that orphans go to, and none of them to the first process.
fn reaper_below(scene: &Scene) -> Result<(), String> {
    let reaper = child(|| {
        had(
            "subreaper",
            prctl(libc::PR_SET_CHILD_SUBREAPER, &[1, 0, 0, 0]),
        )?;
        let me = sys::getpid();
        let middle = child(|| {
            let mother = sys::getpid();
            child(|| {
                scene.announce();
                // Its mother ends at the end of the victim.
                while parent() == mother {
                    scene.pause(1);
                }
                match parent() {
                    now if now == me => Ok(()),
                    now => Err(format!("an orphan went to {now}, not to {me}")),
                }
            })?;
            scene.wait();
            Ok(())
        })?;
        ends_well(middle)?;
        adopted_ends_well()
    })?;
    ends_well(reaper)
}

const fn act(name: &'static str, play: fn(&Scene) -> Result<(), String>) -> Act {
    Act {
        name,
        play,
        waits: TIME,
        there: 0,
    }
}

/// Victims whose tasks have something for themselves.
pub const ACTS: &[Act] = &[
    act("own-registers", registers).there(),
    act("own-values", own_values).all_there(4),
    act("own-interval-timers", interval_timers).there(),
    act("own-sequences", sequences).all_there(4),
    act("reaper-below", reaper_below).there(),
];
