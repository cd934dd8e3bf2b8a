// SPDX-License-Identifier: GPL-2.0

//! State of a task that is not supported: timers, filters, registers, ...

use ckpt_guest::desk::Desk;
use ckpt_guest::odd;
use ckpt_guest::sys;
use ckpt_guest::sys::plain;
use ckpt_guest::timer;

use crate::arrange::had;
use crate::arrange::thing;
use crate::arrange::with_data;
use crate::arrange::Place;
use crate::arrange::Thing;

const NOWHERE: Result<Place, String> = Ok(Place::Nowhere);

/// A timer of the time that the parent spends on a processor.
fn foreign_clock(_: &Desk) -> Result<Place, String> {
    let parent = had("getppid", plain(libc::SYS_getppid, &[]))?;
    let mut id = 0i32;
    let args = [!parent << 3 | 2, 0, 0, 0, 0, 0];
    had(
        "timer_create",
        with_data(libc::SYS_timer_create, args, 2, &mut id),
    )?;
    NOWHERE
}

/// A timer that a thread has made, which has ended.
fn timer_of_a_thread(clock: i32, notify: i32) -> Result<Place, String> {
    let made = std::thread::spawn(move || {
        let signals = timer::Signals {
            notify,
            signo: libc::SIGALRM,
            value: 0,
            tid: timer::gettid(),
        };
        timer::create(clock, signals, 0).map(|_| ())
    });
    had("timer_create", made.join().map_err(|_| "it panicked")?)?;
    NOWHERE
}

fn ended_thread(_: &Desk) -> Result<Place, String> {
    timer_of_a_thread(libc::CLOCK_MONOTONIC, timer::SIGEV_THREAD_ID)
}

fn ended_clock(_: &Desk) -> Result<Place, String> {
    timer_of_a_thread(libc::CLOCK_THREAD_CPUTIME_ID, timer::SIGEV_SIGNAL)
}

/// A timer that wakes a sleeping machine.
fn alarm_clock(_: &Desk) -> Result<Place, String> {
    let signals = timer::Signals {
        notify: timer::SIGEV_SIGNAL,
        signo: libc::SIGALRM,
        value: 0,
        tid: 0,
    };
    had(
        "timer_create",
        timer::create(libc::CLOCK_BOOTTIME_ALARM, signals, 0),
    )?;
    NOWHERE
}

/// One more timer than an image can have.
fn many_timers(_: &Desk) -> Result<Place, String> {
    let none = libc::rlimit {
        rlim_cur: libc::RLIM_INFINITY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: reads a structure of ours.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &none) };
    had("setrlimit", sys::libc_result(set))?;
    let signals = timer::Signals {
        notify: timer::SIGEV_NONE,
        signo: 0,
        value: 0,
        tid: 0,
    };
    for _ in 0..=1 << 16 {
        had(
            "timer_create",
            timer::create(libc::CLOCK_MONOTONIC, signals, 0),
        )?;
    }
    NOWHERE
}

/// A filter that asks somebody, who listens.
fn seccomp_listener(_: &Desk) -> Result<Place, String> {
    // ret ALLOW
    let filter = [0x7fff_0000_0000_0006u64];
    let mut program = [1u64, filter.as_ptr() as u64];
    let listener = libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as usize;
    let args = [1, listener, 0, 0, 0, 0];
    had(
        "seccomp",
        with_data(libc::SYS_seccomp, args, 2, &mut program),
    )?;
    NOWHERE
}

/// A tracer sets a breakpoint and goes away; it stays in the debug registers.
fn debug_register(_: &Desk) -> Result<Place, String> {
    let traced = sys::getpid();
    let tracer = had("fork", sys::fork())?;
    if tracer == 0 {
        sys::exit(i32::from(set_breakpoint(traced).is_err()));
    }
    match sys::wait_for(tracer, 10) {
        sys::Ended::Exit(0) => NOWHERE,
        other => Err(format!("no breakpoint: {other:?}")),
    }
}

fn set_breakpoint(pid: i32) -> Result<(), String> {
    static WATCHED: u64 = 0;
    let registers = std::mem::offset_of!(libc::user, u_debugreg);
    let call = |request: libc::c_uint, addr: usize, data: usize| {
        had(
            "ptrace",
            plain(
                libc::SYS_ptrace,
                &[request as usize, pid as usize, addr, data],
            ),
        )
    };
    call(libc::PTRACE_ATTACH, 0, 0)?;
    // SAFETY: no status is asked for.
    let _ = unsafe { libc::waitpid(pid, std::ptr::null_mut(), libc::__WALL) };
    call(
        libc::PTRACE_POKEUSER,
        registers,
        (&raw const WATCHED) as usize,
    )?;
    // Enabled locally, on writing, four bytes.
    call(libc::PTRACE_POKEUSER, registers + 7 * 8, 0xd_0001)?;
    call(libc::PTRACE_DETACH, 0, 0).map(|_| ())
}

fn io_ports(_: &Desk) -> Result<Place, String> {
    had("ioperm", odd::io_port())?;
    NOWHERE
}

/// A sandbox in which no directory can be made.
fn landlock(_: &Desk) -> Result<Place, String> {
    const MAKE_DIR: u64 = 1 << 7;
    let rights = [MAKE_DIR];
    let args = [rights.as_ptr() as usize, 8, 0];
    let rules = had("rules", plain(libc::SYS_landlock_create_ruleset, &args))?;
    had("no_new_privs", sys::prctl(libc::PR_SET_NO_NEW_PRIVS, &[1]))?;
    had(
        "domain",
        plain(libc::SYS_landlock_restrict_self, &[rules, 0]),
    )?;
    had("close", plain(libc::SYS_close, &[rules]))?;
    NOWHERE
}

fn io_privilege(_: &Desk) -> Result<Place, String> {
    had("iopl", odd::io_privilege())?;
    NOWHERE
}

fn semaphore_undo(_: &Desk) -> Result<Place, String> {
    let id = had("semget", plain(libc::SYS_semget, &[0, 1, 0o1600]))?;
    // Number 0, add 1, SEM_UNDO.
    let mut operation = [0i16, 1, 0x1000];
    let ret = with_data(libc::SYS_semop, [id, 0, 1, 0, 0, 0], 1, &mut operation);
    // The undo list outlives the set.
    had("semop", ret)?;
    NOWHERE
}

fn syscall_dispatch(_: &Desk) -> Result<Place, String> {
    had("dispatch", odd::syscall_dispatch())?;
    NOWHERE
}

fn memory_policy(_: &Desk) -> Result<Place, String> {
    const MPOL_PREFERRED: usize = 1;
    let mut nodes = [1u64];
    let args = [MPOL_PREFERRED, 0, 64, 0, 0, 0];
    had(
        "set_mempolicy",
        with_data(libc::SYS_set_mempolicy, args, 1, &mut nodes),
    )?;
    NOWHERE
}

fn clamps(_: &Desk) -> Result<Place, String> {
    // struct sched_attr of 56 bytes: keep policy and parameters, clamp both ends.
    let mut attr = [0u32; 14];
    attr[0] = 56;
    attr[2] = 0x08 | 0x10 | 0x20 | 0x40;
    attr[12] = 100;
    attr[13] = 900;
    had(
        "sched_setattr",
        with_data(libc::SYS_sched_setattr, [0; 6], 1, &mut attr),
    )?;
    NOWHERE
}

/// Half of each tenth of a second is the task's, before anybody else.
fn deadline(_: &Desk) -> Result<Place, String> {
    const SCHED_DEADLINE: u64 = 6;
    const MS: u64 = 1_000_000;
    // struct sched_attr of 56 bytes: policy, runtime, deadline, period.
    let mut attr = [
        56 | SCHED_DEADLINE << 32,
        0,
        0,
        50 * MS,
        100 * MS,
        100 * MS,
        0,
    ];
    had(
        "sched_setattr",
        with_data(libc::SYS_sched_setattr, [0; 6], 1, &mut attr),
    )?;
    NOWHERE
}

/// State of the task.
pub const THINGS: &[Thing] = &[
    thing(
        "task-timer-of-another",
        foreign_clock,
        &["timer", "another task"],
    ),
    thing(
        "task-timer-of-the-dead",
        ended_thread,
        &["timer", "thread that has ended"],
    ),
    thing(
        "task-timer-of-a-dead-clock",
        ended_clock,
        &["timer", "another task's clock"],
    ),
    thing("task-timer-alarm", alarm_clock, &["timer", "this clock"]),
    thing("task-timers", many_timers, &["too many POSIX timers"]),
    thing("task-seccomp-listener", seccomp_listener, &["listener"]),
    thing(
        "task-debug-register",
        debug_register,
        &["debug", "breakpoint"],
    ),
    thing("task-io-ports", io_ports, &["i/o", "port"]),
    thing("task-landlock", landlock, &["landlock"]),
    thing("task-io-privilege", io_privilege, &["i/o", "port"]),
    thing(
        "task-semaphore-undo",
        semaphore_undo,
        &["semaphore", "undo"],
    ),
    thing("task-memory-policy", memory_policy, &["memory policy"]),
    thing("task-clamps", clamps, &["clamps"]),
    thing("task-deadline", deadline, &["scheduling policy is unknown"]),
    thing("task-syscall-dispatch", syscall_dispatch, &["dispatch"]),
];
