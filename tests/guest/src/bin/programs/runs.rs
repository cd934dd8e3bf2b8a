// SPDX-License-Identifier: GPL-2.0

//! What is done to a program on its way, and behind a reboot.

use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::Case;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;

use crate::list::TIMED;
use crate::Stage;
use crate::SECONDS;

/// Images of one run that are kept, and which of them are restarted at once.
pub const MOMENTS: usize = 20;
const EVERY: usize = 5;
/// Most checkpoints of one run on any kernel: it is left alone then.
pub const MOST: usize = 3 * MOMENTS;
/// The least number of them.
const FEWEST: usize = 5;
/// How often a run may be over too soon although its steps are the shortest: how long it
/// takes varies with what else the host does.
const TRIES: usize = 5;
/// How often a program is checkpointed in one run, and killed and restarted in another one, if
/// it is as fast as undisturbed. A slow kernel takes many times as long for each image.
fn times() -> u64 {
    if pace::thinning() == 1 {
        MOMENTS as u64
    } else {
        FEWEST as u64
    }
}

impl Stage {
    /// The image of a moment, which outlives a reboot.
    pub fn image(&self, moment: usize) -> PathBuf {
        self.file(&format!("{moment}.img"))
    }

    /// Checkpoints a run at its moments, until it has ended; returns how often.
    fn moments(&self, pid: i32, step: u64, rng: &mut Rng) -> Result<usize, String> {
        let whole = std::fs::metadata(self.file("want")).map_or(0, |meta| meta.len());
        let most = 3 * times() as usize;
        for moment in 0..most {
            std::thread::sleep(Duration::from_micros(rng.below(step)));
            let image = self.image(moment);
            match self.checkpoint(pid, &image, 0) {
                Ok(()) => {}
                Err((errno, _)) if errno.0 == libc::ESRCH => {
                    let _ = std::fs::remove_file(&image);
                    return Ok(moment);
                }
                Err((errno, said)) => return Err(format!("moment {moment}: {errno}: {said}")),
            }
            // It may have got so far since.
            if std::fs::metadata(self.file("out")).is_ok_and(|meta| meta.len() >= whole) {
                std::fs::write(self.written(moment), "").map_err(|e| e.to_string())?;
            }
        }
        Ok(most)
    }

    /// Makes what the output is compared with; tells how long that takes.
    fn undisturbed(&self) -> Result<Duration, String> {
        let mut time = Duration::ZERO;
        // The first run reads the program's files from the host.
        for _ in 0..2 {
            let start = Instant::now();
            let pid = self.start(&self.file("want"))?;
            self.ends(pid)?;
            time = start.elapsed();
        }
        Ok(time)
    }

    /// A run that is checkpointed from its start to its end, at [`MOMENTS`] moments or more,
    /// and comes to the right output; how many there were. On a slow kernel, fewer must do.
    fn goes_on(&self, time: Duration, rng: &mut Rng) -> Result<usize, String> {
        let want = times();
        let mut step = (time.as_micros() as u64 / want).max(1);
        let mut tries = TRIES;
        loop {
            // Those of a run before are of another process.
            self.forget_kept()?;
            let pid = self.start(&self.file("out"))?;
            let count = self.moments(pid, step, rng)?;
            self.ends(pid)?;
            self.same("went on")?;
            // Shorter steps if it was over before.
            if count as u64 >= want || step < 50 && count >= FEWEST {
                self.write_pid(pid)?;
                return Ok(count);
            }
            if step >= 50 {
                step /= 4;
                continue;
            }
            tries -= 1;
            if tries == 0 {
                return Err(format!("it is over after {count} checkpoints"));
            }
        }
    }

    /// Undisturbed, then stopped again and again, then restarted.
    pub fn first(&self, seed: u64) -> Case {
        let time = self.undisturbed()?;
        let mut rng = Rng::new(seed);
        let count = self.goes_on(time, &mut rng)?;
        // All of these are restarted once more after the reboot.
        let kept = self.thin(count)?;
        let mut restarts = 0;
        for moment in (0..kept).skip(EVERY / 2).step_by(EVERY) {
            restarts += 1;
            self.restart(moment, &format!("restart {restarts}"))?;
        }
        let bytes: u64 = (0..kept)
            .filter_map(|moment| std::fs::metadata(self.image(moment)).ok())
            .map(|meta| meta.len())
            .sum();
        let kills = self.killed(time, &mut rng)?;
        pass_with(format!(
            "{} ms, {count} checkpoints, {restarts} restarts, {kills} times killed and \
             restarted, images of {} KiB",
            time.as_millis(),
            bytes / 1024
        ))
    }

    /// Stopped again and again; then killed with the last byte of its image and restarted
    /// at once, again and again. These images, and the files of their moments, are for after
    /// the reboot.
    pub fn changing(&self, seed: u64) -> Case {
        let time = self.undisturbed()?;
        let mut rng = Rng::new(seed);
        let count = self.goes_on(time, &mut rng)?;
        self.forget_kept()?;
        let kills = self.killed(time, &mut rng)?;
        pass_with(format!(
            "{} ms, {count} checkpoints, {kills} times killed and restarted",
            time.as_millis(),
        ))
    }

    /// A run that is killed with the last byte of its image and restarted at once, again
    /// and again, to the right output; how often. A short one is over before it was killed as
    /// often as others.
    fn killed(&self, time: Duration, rng: &mut Rng) -> Result<u64, String> {
        let most = times();
        let mut step = (time.as_micros() as u64 / most).max(1);
        let mut tries = TRIES;
        // Shorter steps if it was over before: the machine is not always as fast.
        loop {
            let kills = self.kills(2 * most, step, rng)?;
            if 4 * kills >= 3 * most || step < 2000 && kills >= FEWEST as u64 {
                return Ok(kills);
            }
            if step >= 400 {
                step /= 2;
                continue;
            }
            tries -= 1;
            if tries == 0 {
                return Err(format!("it is over after it was killed {kills} times"));
            }
        }
    }

    /// One run that is killed and restarted so many times, unless it is over before; how
    /// often. Its output is right in both cases. The images of one with files that come and
    /// go are kept with them.
    fn kills(&self, most: u64, step: u64, rng: &mut Rng) -> Result<u64, String> {
        let log = || std::fs::read_to_string(self.file("restart")).unwrap_or_default();
        let keeps = self.keeps();
        if keeps {
            self.forget_kept()?;
        }
        let first = self.start(&self.file("out"))?;
        if keeps {
            self.write_pid(first)?;
        }
        let mut pid = first;
        let mut kills = 0;
        // In memory: one after the other, and none outlives a reboot.
        let in_memory = std::env::temp_dir().join(format!("{}.img", self.program.0));
        while kills < most {
            let image = if keeps {
                self.image(kills as usize)
            } else {
                in_memory.clone()
            };
            let killed = self
                .kill_at(pid, &image, step, rng)
                .map_err(|why| format!("kill {}: {why}; {}", kills + 1, log()))?;
            if !killed {
                // It is no image.
                let _ = std::fs::remove_file(&image);
                break;
            }
            if keeps {
                self.keep(kills as usize)?;
            }
            kills += 1;
            // Programs remember who they are.
            pid = sys::fork_as_soon(first).map_err(|e| format!("process id {first}: {e}"))?;
            if pid == 0 {
                sys::exit(self.take_on(&image));
            }
            // It is still reading the image as long as it is this program.
            let name = |of: &str| std::fs::read(format!("/proc/{of}/comm"));
            while name(&pid.to_string()).ok() == name("self").ok() && !sys::has_ended(pid) {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.ends(pid)
            .map_err(|why| format!("restarted {kills} times: {why}: {}", log()))?;
        let _ = std::fs::remove_file(&in_memory);
        self.same("killed and restarted")?;
        if keeps {
            self.thin(kills as usize)?;
        }
        Ok(kills)
    }

    /// Kills a run with the last byte of its image, half a step to one and a half from
    /// now; false if it was over before.
    fn kill_at(&self, pid: i32, image: &Path, step: u64, rng: &mut Rng) -> Result<bool, String> {
        std::thread::sleep(Duration::from_micros(step / 2 + rng.below(step)));
        match self.checkpoint(pid, image, sys::KILL) {
            Ok(()) => {}
            Err((errno, _)) if errno.0 == libc::ESRCH => return Ok(false),
            Err((errno, said)) => return Err(format!("{errno}: {said}")),
        }
        match sys::wait_for(pid, SECONDS) {
            Ended::Signal(libc::SIGKILL) => {}
            other => return Err(format!("{other:?}, and not killed")),
        }
        reap(0);
        Ok(true)
    }

    /// The images of all moments, after a reboot of the guest.
    pub fn reboot(&self) -> Case {
        let keeps = self.keeps();
        // On a slow kernel, fewer must do.
        let every = if pace::thinning() == 1 { 1 } else { EVERY };
        let mut count = 0;
        let there = (0..MOMENTS).filter(|moment| self.image(*moment).exists());
        for moment in there.skip(every / 2).step_by(every) {
            count += 1;
            let what = format!("restart {count} after a reboot");
            if keeps {
                self.bring_back(moment)?;
                self.restart_with_output(&self.image(moment), &what)?;
            } else if TIMED.contains(&self.program) {
                self.restart_in_time(moment, &what)?;
            } else {
                self.restart(moment, &what)?;
            }
        }
        if count == 0 {
            return Err("there are no images".into());
        }
        self.forget_kept()?;
        pass_with(format!("{count} times the same output"))
    }
}

/// Waits for those that came to us when their parents ended, with the options of
/// waitpid(2): they keep their ids, and those of their groups, until they are asked for.
pub fn reap(options: i32) {
    // SAFETY: waits for children of ours, and stores nothing.
    while unsafe { libc::waitpid(-1, std::ptr::null_mut(), options) } > 0 {}
}
