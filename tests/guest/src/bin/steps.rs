// SPDX-License-Identifier: GPL-2.0

//! A program that steps through itself: the trap flag is set during the call, and a
//! handler is called behind each instruction that follows.

use std::process::ExitCode;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

use ckpt_guest::check;
use ckpt_guest::life::Life;
use ckpt_guest::sys;

/// More than the instructions that are stepped through.
const MOST: usize = 32;

static STEPS: AtomicUsize = AtomicUsize::new(0);
static AT: [AtomicUsize; MOST] = [const { AtomicUsize::new(0) }; MOST];

extern "C" fn trapped(_: i32, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
    // SAFETY: the kernel hands over the siginfo of a trap, which has an address.
    let at = unsafe { (*info).si_addr() };
    if let Some(place) = AT.get(STEPS.fetch_add(1, Relaxed)) {
        place.store(at as usize, Relaxed);
    }
}

/// Makes a system call with the trap flag set. Returns what the call returned, and where
/// the traps were.
#[inline(never)]
fn step(nr: usize, args: [usize; 4]) -> (isize, Vec<usize>) {
    STEPS.store(0, Relaxed);
    let ret: isize;
    // SAFETY: a system call that takes numbers; the flags are as before behind it.
    unsafe {
        std::arch::asm!(
            "pushfq",
            "or qword ptr [rsp], 0x100",
            "popfq",
            "syscall",
            "nop",
            "nop",
            "nop",
            "pushfq",
            "and qword ptr [rsp], ~0x100",
            "popfq",
            inlateout("rax") nr as isize => ret,
            in("rdi") args[0],
            in("rsi") args[1],
            in("rdx") args[2],
            in("r10") args[3],
            out("rcx") _,
            out("r11") _,
        );
    }
    let steps = STEPS.load(Relaxed).min(MOST);
    let at = AT.iter().take(steps).map(|at| at.load(Relaxed));
    (ret, at.collect())
}

fn main() -> ExitCode {
    let life = Life::start();
    // SAFETY: zeros are a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = trapped as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO;
    // SAFETY: the handler uses atomics only.
    let set = unsafe { libc::sigaction(libc::SIGTRAP, &action, std::ptr::null_mut()) };
    check::need("sigaction", sys::libc_result(set));

    let (_, wanted) = step(libc::SYS_getppid as usize, [0; 4]);
    check::that(wanted.len() >= 4, "no step is made behind a call");
    let args = [0, life.image() as usize, life.flags(), 2];
    let (ret, made) = step(life.call_number(), args);
    let back = life.returned(sys::result(ret));
    check::same("steps", &wanted, &made);
    let (_, again) = step(libc::SYS_getppid as usize, [0; 4]);
    check::same("steps of another call", &wanted, &again);
    check::detail(format!("{back:?}, {} steps", made.len()));
    check::verdict()
}
