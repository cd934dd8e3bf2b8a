// SPDX-License-Identifier: GPL-2.0

//! Fault injection: a child in which one allocation fails.

use ckpt_guest::cases::FAILING;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

const DEBUG: &str = "/sys/kernel/debug";

/// Lets allocations that may wait fail too, without a line in the log for each.
pub fn prepare() -> Result<(), String> {
    if !std::path::Path::new("/proc/thread-self/fail-nth").exists() {
        return Err("the kernel has no fault injection".to_string());
    }
    // SAFETY: four strings that end with NUL, and no data.
    unsafe {
        libc::mount(
            c"debugfs".as_ptr(),
            c"/sys/kernel/debug".as_ptr(),
            c"debugfs".as_ptr(),
            0,
            std::ptr::null(),
        );
    }
    tell(FAILING)?;
    set("failslab/ignore-gfp-wait", "N")?;
    set("fail_page_alloc/ignore-gfp-wait", "N")?;
    set("fail_page_alloc/ignore-gfp-highmem", "N")?;
    set("fail_page_alloc/min-order", "0")?;
    for kind in KINDS {
        set(&format!("{kind}/verbose"), "0")?;
        set(&format!("{kind}/task-filter"), "Y")?;
        set(&format!("{kind}/times"), "0")?;
        set(&format!("{kind}/probability"), "100")?;
    }
    Ok(())
}

/// Tells the kernel's log.
pub fn tell(line: &str) -> Result<(), String> {
    std::fs::write("/dev/kmsg", line).map_err(|e| format!("/dev/kmsg: {e}"))
}

/// Where allocations can fail.
pub const KINDS: [&str; 2] = ["failslab", "fail_page_alloc"];

fn set(file: &str, value: &str) -> Result<(), String> {
    std::fs::write(format!("{DEBUG}/{file}"), value).map_err(|e| format!("{file}: {e}"))
}

fn counter(pid: i32) -> String {
    format!("/proc/{pid}/fail-nth")
}

/// Runs `prepare` and then `body` in a child; in `body` the `nth` allocation
/// fails. Returns how the child ended, and whether an allocation has failed.
///
/// The child cannot hold its counter open: an image has no such descriptor. It
/// stops itself, and this process arms it.
pub fn attempt<T>(
    nth: usize,
    prepare: impl FnOnce() -> T,
    body: impl FnOnce(T) -> i32,
) -> Result<(Ended, bool), String> {
    let arm = |pid| std::fs::write(counter(pid), nth.to_string()).map_err(|e| e.to_string());
    let has_failed = |pid| {
        let left = std::fs::read_to_string(counter(pid)).map_err(|e| e.to_string())?;
        Ok(left.trim() == "0")
    };
    attempt_with(arm, has_failed, prepare, body)
}

/// As [`attempt`], for the first and all below it: one in `nth` allocations of this kind
/// fails.
pub fn attempt_in_tree<T>(
    kind: &str,
    nth: usize,
    prepare: impl FnOnce() -> T,
    body: impl FnOnce(T) -> i32,
) -> Result<(Ended, bool), String> {
    let arm = |_| {
        set(&format!("{kind}/interval"), &nth.to_string())?;
        set(&format!("{kind}/times"), "1")
    };
    let has_failed = |_| {
        let left = std::fs::read_to_string(format!("{DEBUG}/{kind}/times"));
        set(&format!("{kind}/times"), "0")?;
        Ok(left.map_err(|e| e.to_string())?.trim() == "0")
    };
    let prepare = || {
        // Those below inherit it.
        let marked = std::fs::write("/proc/self/make-it-fail", "1");
        (marked.is_ok(), prepare())
    };
    let body = |(marked, prepared)| if marked { body(prepared) } else { 2 };
    let done = attempt_with(arm, has_failed, prepare, body);
    // Those below, if there are any left, have come to us.
    // SAFETY: waits for children of ours, and stores nothing.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
    done
}

fn attempt_with<T>(
    arm: impl FnOnce(i32) -> Result<(), String>,
    has_failed: impl FnOnce(i32) -> Result<bool, String>,
    prepare: impl FnOnce() -> T,
    body: impl FnOnce(T) -> i32,
) -> Result<(Ended, bool), String> {
    let pid = match sys::fork() {
        Ok(0) => {
            let prepared = prepare();
            let _ = sys::signal_self(libc::SIGSTOP);
            sys::exit(body(prepared))
        }
        Ok(pid) => pid,
        Err(errno) => return Err(format!("fork: {errno}")),
    };
    let mut status = 0;
    // SAFETY: the kernel writes one int, then into a zeroed structure.
    let failed = unsafe {
        libc::waitpid(pid, &mut status, libc::WUNTRACED);
        let armed = arm(pid);
        libc::kill(pid, libc::SIGCONT);
        let mut info = std::mem::zeroed();
        let how = libc::WEXITED | libc::WNOWAIT;
        libc::waitid(libc::P_PID, pid as libc::id_t, &mut info, how);
        armed.and_then(|()| has_failed(pid))
    };
    let ended = sys::wait_for(pid, 30);
    Ok((ended, failed?))
}
