// SPDX-License-Identifier: GPL-2.0

//! Clocks that go on from where they were, in a time namespace.

use std::process::Command;
use std::process::Stdio;
use std::time::Duration;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::pace;

use crate::scene::ended;
use crate::scene::until;
use crate::scene::Scene;

/// Looks at the clock again and again, by the vDSO and by the kernel, and has a thread that
/// sleeps up to a point of it. Prints in milliseconds the longest gap that it saw, how far
/// both clocks were apart, and how late the thread was.
const SCRIPT: &str = "import ctypes, os, struct, sys, threading, time
kernel = ctypes.CDLL(None).syscall
def shown():
    buf = ctypes.create_string_buffer(16)
    kernel(228, 1, buf)
    s, ns = struct.unpack('qq', buf.raw)
    return s + ns / 1e9
span, late = float(sys.argv[1]), []
def sleeps(until):
    time.sleep(until - time.monotonic())
    late.append(time.monotonic() - until)
last = time.monotonic()
thread = threading.Thread(target=sleeps, args=(last + span,))
thread.start()
gap = apart = 0
open('begun', 'w').close()
while not os.path.exists('finish'):
    now = time.monotonic()
    apart = max(apart, abs(shown() - now))
    gap, last = max(gap, now - last), now
    if not os.path.exists('alive'): os.mkdir('alive')
    time.sleep(0.005)
thread.join()
print(*(int(x * 1000) for x in (gap, apart, late[0])), flush=True)
os._exit(7)
";

/// Killed, and a while later restarted, twice: the program sees no gap in its clock.
pub fn go_on() -> Case {
    let scene = Scene::new("clocks");
    let away = 6000 * pace::factor();
    let out = std::fs::File::create(scene.dir.join("out")).map_err(|e| e.to_string())?;
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SCRIPT, &format!("{}", 2 * pace::factor())]);
    let child = scene.start_command(command, Stdio::null(), out)?;
    scene.until_begun("begun")?;
    // It has closed the file by then.
    std::thread::sleep(Duration::from_millis(100 * pace::factor()));
    let pid = child.id();
    scene.succeeds(&format!("checkpoint {pid} -o image --kill"), 0)?;
    let how = ended(child)?;
    if !how.contains("signal: 9") {
        return Err(format!("it has ended with {how}"));
    }
    std::thread::sleep(Duration::from_millis(away));
    let goes_on = || {
        // A directory: it is not open for a moment, as a file would be.
        let _ = std::fs::remove_dir(scene.dir.join("alive"));
        scene.succeeds("restart -i image --timens", 0)?;
        until(|| scene.dir.join("alive").exists(), "it does not go on")
    };
    goes_on()?;
    // From outside of its namespace it cannot be saved again, from inside it can.
    let said = scene.succeeds(&format!("checkpoint {pid} -o again"), 1)?;
    if !said.contains("time namespace") || !said.contains("nsenter") {
        return Err(said);
    }
    let inside = format!("nsenter --target {pid} --time checkpoint {pid} -o image --kill");
    scene.succeeds(&inside, 0)?;
    crate::trees::orphans();
    std::thread::sleep(Duration::from_millis(away));
    goes_on()?;
    scene.finish();
    let printed = || std::fs::read_to_string(scene.dir.join("out")).unwrap_or_default();
    until(|| printed().ends_with('\n'), "it prints nothing")?;
    crate::trees::orphans();
    let text = printed();
    let numbers: Vec<u64> = text
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    match numbers[..] {
        [gap, apart, late] if gap < away / 2 && apart < away / 2 && late < away / 2 => {
            pass_with(format!(
                "{away} ms away, twice: a gap of {gap} ms, the vDSO {apart} ms apart, {late} ms late"
            ))
        }
        _ => Err(format!("{away} ms away, twice: {text}")),
    }
}
