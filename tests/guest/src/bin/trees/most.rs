// SPDX-License-Identifier: GPL-2.0

//! What was used is as much as can be, or passes a timer.

use std::io::Write;
use std::path::Path;

use ckpt_guest::act::slowness;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::desk::RESTARTED;
use ckpt_guest::desk::RESUMED;
use ckpt_guest::format;
use ckpt_guest::format::task::USED_MAX;
use ckpt_guest::image::Image;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::timer;
use ckpt_guest::varies;

/// Restarts of one process, each by the program that the one before has brought back.
const LIVES: u64 = 6;

/// Numbers of a TASK record that are counted on.
const USED: [&str; 20] = [
    "utime",
    "stime",
    "sum_exec_runtime",
    "prev_utime",
    "prev_stime",
    "nvcsw",
    "rchar",
    "read_bytes",
    "group_utime",
    "group_stime",
    "group_runtime",
    "group_prev_utime",
    "group_prev_stime",
    "group_nvcsw",
    "group_rchar",
    "group_inblock",
    "group_maxrss",
    "children_utime",
    "children_stime",
    "children_maxrss",
];

fn claim(desk: &Desk) -> Result<(), String> {
    let bytes = std::fs::read(&desk.path).map_err(|e| e.to_string())?;
    let mut image = Image::parse(&bytes)?;
    for name in USED {
        let field = varies::field(format::TASK, name).ok_or_else(|| format!("no {name}"))?;
        for record in image.records.iter_mut().filter(|r| r.kind == format::TASK) {
            record.set(field.at.clone(), USED_MAX);
        }
    }
    std::fs::write(&desk.path, image.to_bytes()).map_err(|e| e.to_string())
}

/// All that divides these numbers or adds them up gives an answer, and no less than claimed.
fn answers() -> bool {
    let clock = |id| {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: a structure of ours.
        unsafe { libc::clock_gettime(id, &mut time) };
        time.tv_sec as u64
    };
    let clocks = [
        libc::CLOCK_PROCESS_CPUTIME_ID,
        libc::CLOCK_THREAD_CPUTIME_ID,
    ];
    let usages = [
        libc::RUSAGE_SELF,
        libc::RUSAGE_THREAD,
        libc::RUSAGE_CHILDREN,
    ];
    let mut seconds: Vec<u64> = clocks.map(clock).into();
    for who in usages {
        // SAFETY: an all-zero structure is a valid one, and the kernel fills it.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &mut usage);
            usage
        };
        seconds.push(usage.ru_utime.tv_sec as u64);
        seconds.push(usage.ru_stime.tv_sec as u64);
    }
    let files = ["/proc/self/stat", "/proc/self/io", "/proc/self/status"];
    seconds.iter().all(|s| *s >= USED_MAX / 1_000_000_000)
        && files.iter().all(|file| std::fs::read(file).is_ok())
}

pub fn again() -> Case {
    let desk = Desk::open("trees-used-most");
    // Whose memory is replaced keeps count elsewhere.
    let count = desk.dir.join("trees-used-most.count");
    std::fs::write(&count, []).map_err(|e| e.to_string())?;
    let lives = || std::fs::metadata(&count).map_or(0, |file| file.len());
    desk.make_with(
        || (),
        || {
            let open = std::fs::OpenOptions::new().append(true).open(&count);
            if !answers() || open.and_then(|mut file| file.write_all(&[1])).is_err() {
                return false;
            }
            if lives() < LIVES {
                desk.restart();
            }
            // More than an image may claim is no obstacle to the next one.
            let next = Desk::open("trees-used-most-next");
            let saved = next.checkpoint();
            if saved.is_err() {
                println!("{saved:?}: {}", next.said());
            }
            lives() == LIVES && saved.is_ok()
        },
    )?;
    claim(&desk)?;
    desk.restarts()?;
    if lives() != LIVES {
        return Err(format!("{} lives", lives()));
    }
    pass_with(format!("{LIVES} lives"))
}

/// A timer that expires while the task saves itself is to expire after a restart, when the
/// clock says so that has not run for that.
pub fn due_meanwhile() -> Case {
    // As much memory as it takes until it has expired.
    for mib in [48, 192, 768] {
        let desk = Desk::open_in(Path::new("/tmp"), "trees-due-meanwhile");
        let done = due_with(&desk, mib << 20);
        // It is large.
        let _ = std::fs::remove_file(&desk.path);
        if done? {
            return pass_with(format!("{mib} MiB, it has time left"));
        }
    }
    Err("it does not expire meanwhile".to_string())
}

/// False if it has not expired while so much memory was saved.
fn due_with(desk: &Desk, bytes: usize) -> Result<bool, String> {
    const NOT_DUE: i32 = 30;
    let most = 60 * timer::MILLI * slowness();
    let signals = timer::Signals {
        notify: timer::SIGEV_SIGNAL,
        signo: libc::SIGUSR1,
        value: 0,
        tid: 0,
    };
    let ended = sys::in_child(30, || {
        let memory = vec![1u8; bytes];
        let _ = timer::block(timer::bit(signals.signo));
        let new = timer::create(libc::CLOCK_PROCESS_CPUTIME_ID, signals, 0);
        let id = new.unwrap_or(usize::MAX);
        let _ = timer::set(id, 0, most, 0);
        let back = desk.checkpoint();
        let left = timer::get(id);
        std::hint::black_box(memory);
        match (back, left) {
            // That which would have expired meanwhile has some nanoseconds at most.
            (Ok(0), Ok([left, _])) if (most / 20..=most).contains(&left) => RESTARTED,
            (Ok(nr), Ok([left, _])) if nr > 0 && left < most / 20 => RESUMED,
            (Ok(nr), Ok(_)) if nr > 0 => NOT_DUE,
            other => {
                println!("{other:?}");
                1
            }
        }
    });
    match ended {
        Ended::Exit(RESUMED) => desk.restarts().map(|()| true),
        Ended::Exit(NOT_DUE) => Ok(false),
        other => Err(format!("{other:?}; {}", desk.said())),
    }
}
