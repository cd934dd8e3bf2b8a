// SPDX-License-Identifier: GPL-2.0

//! Tasks that have to do with others by ptrace(2) and seccomp(2): they are refused before they
//! are stopped, so that neither side is disturbed.

use std::sync::atomic::AtomicI32;
use std::sync::atomic::Ordering;

use ckpt_guest::bpf;
use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::sys;
use ckpt_guest::victim::Scene;

use crate::kills::Body;

/// Whom the victim traces.
static TRACEE: AtomicI32 = AtomicI32::new(0);

fn ptrace(request: libc::c_uint, pid: i32) -> Result<usize, String> {
    let args = [request as usize, pid as usize, 0, 0];
    sys::plain(libc::SYS_ptrace, &args).map_err(|e| format!("ptrace: {e}"))
}

/// Traces another process, and is its tracer until the end.
fn traces(scene: &Scene) -> Result<(), String> {
    let tracee = TRACEE.load(Ordering::Relaxed);
    ptrace(libc::PTRACE_SEIZE, tracee)?;
    scene.announce();
    scene.wait();
    ptrace(libc::PTRACE_INTERRUPT, tracee)?;
    let mut status = 0;
    // SAFETY: `status` is an int of ours.
    let told = unsafe { libc::waitpid(tracee, &mut status, libc::__WALL) };
    if told != tracee || !libc::WIFSTOPPED(status) {
        return Err(format!("waitpid: {told}, {status:#x}"));
    }
    ptrace(libc::PTRACE_DETACH, tracee).map(|_| ())
}

fn tracer() -> Case {
    let scene = Scene::new("refused-tracer");
    let tracee = sys::fork().map_err(|e| format!("fork: {e}"))?;
    if tracee == 0 {
        loop {
            scene.pause(1000);
        }
    }
    TRACEE.store(tracee, Ordering::Relaxed);
    let done = refused_tracer(&scene);
    let _ = sys::plain(libc::SYS_kill, &[tracee as usize, libc::SIGKILL as usize]);
    match sys::wait_for(tracee, 10) {
        sys::Ended::Signal(libc::SIGKILL) => pass_with(done?.trim()),
        other => Err(format!("who is traced ended with {other:?}")),
    }
}

fn refused_tracer(scene: &Scene) -> Result<String, String> {
    let victim = scene.start(traces)?;
    scene.until_there()?;
    let said = victim.refuses(libc::EOPNOTSUPP, "a task that traces another one is not")?;
    victim.unnoticed()?;
    victim.ends_well(0)?;
    Ok(said)
}

/// Where the victim has the descriptor by which its supervisor listens.
const LISTENER: i32 = 40;
/// What the supervisor answers.
const ANSWER: usize = 77;
/// Operations on the descriptor: receive a question, answer it, is it still asked?
const RECEIVE: usize = 0xc050_2100;
const SEND: usize = 0xc018_2101;
const IS_ASKED: usize = 0x4008_2102;

/// Makes a call that its supervisor answers.
fn asks(scene: &Scene) -> Result<(), String> {
    let filter = bpf::asking(libc::SYS_getppid);
    let listener = bpf::install(&filter, libc::SECCOMP_FILTER_FLAG_NEW_LISTENER as usize);
    let listener = listener.map_err(|e| format!("seccomp: {e}"))? as i32;
    let moved = sys::dup_to(listener, LISTENER, 0).and_then(|_| sys::close(listener));
    moved.map_err(|e| format!("dup: {e}"))?;
    scene.announce();
    while !scene.dir.join("taken").exists() {
        scene.pause(1);
    }
    sys::close(LISTENER).map_err(|e| format!("close: {e}"))?;
    match sys::plain(libc::SYS_getppid, &[]) {
        Ok(ANSWER) => Ok(()),
        other => Err(format!("the answer is {other:?}")),
    }
}

fn supervised() -> Case {
    let scene = Scene::new("refused-supervised");
    let victim = scene.start(asks)?;
    scene.until_there()?;
    let listener = victim.descriptor(LISTENER)?;
    std::fs::write(scene.dir.join("taken"), "").map_err(|e| format!("taken: {e}"))?;
    let operation = |what: usize, argument: &mut [u64]| {
        let args = [listener as usize, what, argument.as_mut_ptr() as usize];
        sys::plain(libc::SYS_ioctl, &args)
    };
    // Its first word names the question.
    let mut question = [0u64; 10];
    operation(RECEIVE, &mut question).map_err(|e| format!("no question: {e}"))?;
    let said = victim.refuses(libc::EOPNOTSUPP, "a listener of a seccomp filter");
    let asked = operation(IS_ASKED, &mut question.clone());
    let again = sys::poll(listener, libc::POLLIN);
    let mut answer = [question[0], ANSWER as u64, 0];
    let sent = operation(SEND, &mut answer);
    let _ = sys::close(listener);
    let said = said?;
    if asked != Ok(0) || again != 0 || sent != Ok(0) {
        victim.end();
        return Err(format!(
            "asked: {asked:?}, again: {again}, answered: {sent:?}"
        ));
    }
    victim.ends_well(0)?;
    pass_with(said.trim())
}

/// Cases.
pub const CASES: &[(&str, Body)] = &[
    ("refused-tracer", tracer),
    ("refused-supervised", supervised),
];
