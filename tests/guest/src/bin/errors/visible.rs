// SPDX-License-Identifier: GPL-2.0

//! Both calls as others see them: the tracepoints of system calls, and strace.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::desk::Desk;
use ckpt_guest::life;
use ckpt_guest::sys;
use ckpt_guest::tracing;
use ckpt_guest::tracing::DIR as TRACEFS;

/// The argument with which strace gets this program: it makes the calls.
pub const CALLS: &str = "calls";

/// What restart(2) is called with: a number that it does not look at, and flags that it
/// does not know.
const CRID: i32 = 7;
const UNKNOWN: usize = 4;

const EVENTS: [&str; 4] = [
    "sys_enter_checkpoint",
    "sys_exit_checkpoint",
    "sys_enter_restart",
    "sys_exit_restart",
];

/// A call, as it was seen: its name, its arguments, what it returned.
#[derive(Clone, Debug, PartialEq)]
struct Seen {
    name: &'static str,
    args: Vec<i64>,
    ret: i64,
}

/// A buffer of its own among those of the tracer: it is gone afterwards, with all that
/// was switched on in it.
struct Trace(String);

impl Trace {
    fn start() -> Result<Self, String> {
        let dir = format!("{TRACEFS}/instances/ckpt-errors");
        fs::create_dir(&dir).map_err(|e| format!("{dir}: {e}"))?;
        let trace = Self(dir);
        for event in EVENTS {
            trace.put(&format!("events/syscalls/{event}/enable"), "1")?;
        }
        trace.put("tracing_on", "1")?;
        Ok(trace)
    }

    fn put(&self, file: &str, text: &str) -> Result<(), String> {
        let path = format!("{}/{file}", self.0);
        fs::write(&path, text).map_err(|e| format!("{path}: {e}"))
    }

    /// The lines of this process, behind its name, processor and time.
    fn lines(&self) -> Result<Vec<String>, String> {
        let path = format!("{}/trace", self.0);
        let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        let own = format!("-{} ", sys::getpid());
        let lines = text.lines().filter(|line| line.contains(&own));
        let lines = lines.filter_map(|line| Some(line.split_once(": ")?.1.to_string()));
        Ok(lines.collect())
    }

    /// Whether the buffer and its events are gone.
    fn end(self) -> Result<(), String> {
        let dir = self.0.clone();
        drop(self);
        for event in EVENTS {
            let path = format!("{TRACEFS}/events/syscalls/{event}/enable");
            let state = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
            if state.trim() != "0" {
                return Err(format!("{path} is {state:?}"));
            }
        }
        if Path::new(&dir).exists() {
            return Err(format!("{dir} is still there"));
        }
        Ok(())
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        for event in EVENTS {
            let _ = self.put(&format!("events/syscalls/{event}/enable"), "0");
        }
        let _ = fs::remove_dir(&self.0);
    }
}

/// A number as tracers write it.
fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok().map(|n| n as i64),
        None => text.parse().ok(),
    }
}

/// The numbers between commas, with their names before them or without.
fn arguments(text: &str) -> Option<Vec<i64>> {
    let value = |arg: &str| number(arg.rsplit(": ").next()?);
    text.split(", ").map(value).collect()
}

/// `sys_NAME(pid: 0, fd: 3, flags: 1, logfd: 4)`, and on a later line `sys_NAME -> 0x17`.
fn traced(lines: &[String], name: &'static str) -> Option<Seen> {
    let (enter, exit) = (format!("sys_{name}("), format!("sys_{name} -> "));
    let args = lines.iter().find_map(|l| l.strip_prefix(&enter))?;
    let ret = lines.iter().find_map(|l| l.strip_prefix(&exit))?;
    Some(Seen {
        name,
        args: arguments(args.strip_suffix(')')?)?,
        ret: number(ret)?,
    })
}

/// `syscall_0x1d9(0, 0x3, 0x1, 0x4, 0, 0) = 23`, or with the name where strace knows it.
fn straced(text: &str, name: &'static str, nr: usize) -> Option<Seen> {
    let names = [format!("syscall_{nr:#x}("), format!("{name}(")];
    let (args, ret) = text.lines().find_map(|line| {
        let rest = names.iter().find_map(|name| line.strip_prefix(name))?;
        rest.split_once(')')
    })?;
    let mut words = ret.trim_start().strip_prefix("= ")?.split(' ');
    let ret = match (number(words.next()?)?, words.next()) {
        // As the C library tells of it.
        (-1, Some("EINVAL")) => -i64::from(libc::EINVAL),
        (ret, _) => ret,
    };
    // It has all six registers where it does not know how many are used.
    let args = arguments(args)?.into_iter().take(4).collect();
    Some(Seen { name, args, ret })
}

/// What was seen of both calls must be what was done.
fn compare(done: &[Seen; 2], seen: [Option<Seen>; 2], text: &str) -> Case {
    for (done, seen) in done.iter().zip(&seen) {
        if seen.as_ref() != Some(done) {
            return Err(format!("{done:?} is seen as {seen:?} in: {text}"));
        }
    }
    pass_with(format!("{:?}", done.each_ref().map(|done| done.ret)))
}

/// Both calls into the files of a desk: a checkpoint of a process, and a restart that is
/// refused.
fn call(desk: &Desk, pid: i32) -> Result<[Seen; 2], String> {
    let args = |first: i32, flags: usize| {
        let (fd, log) = (desk.image.into(), desk.log.into());
        vec![first.into(), fd, flags as i64, log]
    };
    let crid = sys::checkpoint(pid, desk.image, sys::LOG, desk.log)
        .map_err(|e| format!("checkpoint: {e}; {}", desk.said()))?;
    let errno = sys::restart(CRID, desk.image, UNKNOWN, desk.log);
    if errno.0 != libc::EINVAL {
        return Err(format!("restart with unknown flags: {errno}"));
    }
    Ok([
        Seen {
            name: "checkpoint",
            args: args(pid, sys::LOG),
            ret: crid as i64,
        },
        Seen {
            name: "restart",
            args: args(CRID, UNKNOWN),
            ret: -i64::from(errno.0),
        },
    ])
}

/// The tracer of system calls sees both, with their arguments and what they return.
pub fn tracepoints() -> Case {
    if !tracing::has("events/syscalls") {
        return skip("the kernel does not trace system calls");
    }
    for name in ["checkpoint", "restart"] {
        let file = format!("{TRACEFS}/events/syscalls/sys_enter_{name}/format");
        let text = fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?;
        if !text.contains("logfd") {
            return Err(format!("{file} does not name the arguments"));
        }
    }
    let desk = Desk::open("traced");
    let trace = Trace::start()?;
    let done = call(&desk, 0)?;
    let lines = trace.lines()?;
    trace.end()?;
    let seen = ["checkpoint", "restart"].map(|name| traced(&lines, name));
    compare(&done, seen, &lines.join(" | "))
}

/// strace shows both, by their numbers if it does not know their names yet.
pub fn strace() -> Case {
    const STRACE: &str = "/usr/bin/strace";
    if !Path::new(STRACE).exists() {
        return skip(format!("there is no {STRACE}"));
    }
    let dir = Path::new(&life::variable(life::DIR)).to_path_buf();
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    // No pipe: the child that is saved has it, too.
    let out = fs::File::create(dir.join("calls")).map_err(|e| e.to_string())?;
    let status = Command::new(STRACE)
        .arg("-o")
        .arg(dir.join("strace"))
        .arg(own)
        .arg(CALLS)
        .stdin(Stdio::null())
        .stdout(out)
        .status()
        .map_err(|e| format!("{STRACE}: {e}"))?;
    let said = fs::read_to_string(dir.join("calls")).map_err(|e| e.to_string())?;
    // What was done, as the program itself tells it.
    let told = |name| {
        let line = said.lines().find_map(|l| l.strip_prefix(name))?;
        let mut numbers = arguments(line.strip_prefix(": ")?)?;
        let ret = numbers.pop()?;
        let args = numbers;
        Some(Seen { name, args, ret })
    };
    let (Some(checkpoint), Some(restart)) = (told("checkpoint"), told("restart")) else {
        return Err(format!("{status}: {said}"));
    };
    let text = fs::read_to_string(dir.join("strace")).map_err(|e| e.to_string())?;
    let seen = [
        straced(&text, "checkpoint", sys::NR_CHECKPOINT),
        straced(&text, "restart", sys::NR_RESTART),
    ];
    let last: Vec<&str> = text.lines().rev().take(20).collect();
    compare(&[checkpoint, restart], seen, &last.join(" | "))
}

/// Makes both calls and tells of them. It saves a child, which strace does not see: who
/// is traced is not saved.
pub fn calls() -> ExitCode {
    let desk = Desk::open("straced");
    let child = match sys::fork() {
        Ok(0) => loop {
            let _ = sys::plain(libc::SYS_pause, &[]);
        },
        Ok(child) => child,
        Err(errno) => {
            println!("fork: {errno}");
            return ExitCode::FAILURE;
        }
    };
    let done = call(&desk, child);
    let _ = sys::plain(libc::SYS_kill, &[child as usize, libc::SIGKILL as usize]);
    let _ = sys::wait_for(child, 10);
    match done {
        Ok(done) => {
            for Seen { name, args, ret } in done {
                let args: Vec<String> = args.iter().map(i64::to_string).collect();
                println!("{name}: {}, {ret}", args.join(", "));
            }
            ExitCode::SUCCESS
        }
        Err(why) => {
            println!("{why}");
            ExitCode::FAILURE
        }
    }
}
