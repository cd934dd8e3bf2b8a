// SPDX-License-Identifier: GPL-2.0

//! A victim, and where it plays.

use std::fs::OpenOptions;
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;
use std::time::Instant;

use crate::life;
use crate::pace;
use crate::sys;
use crate::sys::Ended;
use crate::sys::Errno;

/// The directory of a case.
pub struct Scene {
    /// Where the victim may have files.
    pub dir: PathBuf,
}

/// A running victim.
pub struct Victim<'a> {
    /// Its process id.
    pub pid: i32,
    scene: &'a Scene,
}

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Images are large, and there is not much memory.
impl Drop for Scene {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

impl Scene {
    /// A fresh directory.
    pub fn new(name: &str) -> Self {
        // In memory: what is saved here need not outlive a reboot.
        let dir = std::env::temp_dir().join("outside").join(name);
        let _ = std::fs::remove_dir_all(&dir);
        let _ = std::fs::create_dir_all(&dir);
        // Any user may announce something.
        let there = dir.join("there");
        let _ = std::fs::write(&there, "");
        let _ = std::fs::set_permissions(there, Permissions::from_mode(0o666));
        Self { dir }
    }

    /// Waits.
    pub fn pause(&self, millis: u64) {
        std::thread::sleep(ms(millis));
    }

    /// Tells victims that wait for it to end, those restarted later as well.
    pub fn finish(&self) {
        let _ = std::fs::write(self.dir.join("finish"), "");
    }

    /// Whether the victim shall end: also when the test is over that has failed.
    pub fn finished(&self) -> bool {
        self.dir.join("finish").exists() || !self.dir.exists()
    }

    /// For a victim that does nothing but wait for its end.
    pub fn wait(&self) {
        while !self.finished() {
            self.pause(2);
        }
    }

    /// What the victim has printed.
    pub fn said(&self) -> String {
        std::fs::read_to_string(self.dir.join("victim.out")).unwrap_or_default()
    }

    /// Starts a victim, and waits until it has begun.
    pub fn start(&self, play: fn(&Scene) -> Result<(), String>) -> Result<Victim<'_>, String> {
        let ready = self.dir.join("ready");
        // The victim inherits what the test has freed, all of which would be in its image:
        // a test that reads images would make larger and larger ones.
        // SAFETY: gives free memory back, and touches nothing else.
        unsafe { libc::malloc_trim(0) };
        let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if pid == 0 {
            // What is said is found by the test, also after a restart.
            let out = self.dir.join("victim.out");
            let flags = libc::O_WRONLY | libc::O_CREAT | libc::O_APPEND;
            let fd = sys::open(&life::c_path(&out), flags, 0o644).unwrap_or(1);
            for to in [1, 2] {
                let _ = sys::dup_to(fd, to, 0);
            }
            for extra in 3..64 {
                let _ = sys::close(extra);
            }
            let _ = std::fs::write(&ready, "");
            let done = play(self);
            if let Err(why) = &done {
                println!("{why}");
            }
            sys::exit(i32::from(done.is_err()));
        }
        let start = Instant::now();
        while !ready.exists() {
            if start.elapsed() > ms(10_000 * pace::factor()) {
                return Err("the victim does not begin".to_string());
            }
            self.pause(1);
        }
        Ok(Victim { pid, scene: self })
    }

    /// The victim is where the test wants it.
    pub fn announce(&self) {
        let mark = OpenOptions::new().append(true).open(self.dir.join("there"));
        let _ = mark.and_then(|mut mark| mark.write_all(b"."));
    }

    /// Waits until the victim is there.
    pub fn until_there(&self) -> Result<(), String> {
        self.until_all_there(1)
    }

    /// The same, where `count` of its tasks announce that.
    pub fn until_all_there(&self, count: u64) -> Result<(), String> {
        let start = Instant::now();
        let there = || std::fs::metadata(self.dir.join("there")).map_or(0, |mark| mark.len());
        while there() < count {
            if start.elapsed() > ms(10_000 * pace::factor()) {
                return Err(format!("the victim does not get there; {}", self.said()));
            }
            self.pause(1);
        }
        Ok(())
    }

    /// Restarts an image in a new process, which must end well.
    pub fn restart(&self, image: &Path, waits: u64) -> Result<(), String> {
        let log = image.with_extension("log");
        let seconds = 20 + waits / 1000;
        let ended = sys::in_child(seconds, || {
            let open = |path: &Path, flags: i32| sys::open(&life::c_path(path), flags, 0o644);
            let create = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
            match (open(image, libc::O_RDONLY), open(&log, create)) {
                (Ok(image), Ok(log)) => {
                    sys::restart(0, image, sys::LOG, log);
                    99
                }
                _ => 98,
            }
        });
        if ended == Ended::Exit(0) {
            return Ok(());
        }
        let log = std::fs::read_to_string(&log).unwrap_or_default();
        Err(format!("restarted: {ended:?}; {}; {log}", self.said()))
    }
}

impl<'a> Victim<'a> {
    /// A task that is none of the test's.
    pub fn other(pid: i32, scene: &'a Scene) -> Self {
        Self { pid, scene }
    }

    /// One more descriptor of what the victim has open.
    pub fn descriptor(&self, number: i32) -> Result<i32, String> {
        let pidfd = sys::plain(libc::SYS_pidfd_open, &[self.pid as usize, 0]);
        let pidfd = pidfd.map_err(|e| format!("pidfd_open: {e}"))?;
        let fd = sys::plain(libc::SYS_pidfd_getfd, &[pidfd, number as usize, 0]);
        let _ = sys::close(pidfd as i32);
        fd.map(|fd| fd as i32)
            .map_err(|e| format!("pidfd_getfd: {e}"))
    }

    /// Checkpoints the victim into a file of this name.
    pub fn try_checkpoint(&self, name: &str, flags: usize) -> Result<PathBuf, (Errno, String)> {
        let image = self.scene.dir.join(format!("{name}.img"));
        let log = image.with_extension("cpl");
        let create = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let open = |path: &Path| sys::open(&life::c_path(path), create, 0o644);
        let (Ok(fd), Ok(logfd)) = (open(&image), open(&log)) else {
            return Err((Errno(0), "no files".to_string()));
        };
        let ret = sys::checkpoint(self.pid, fd, sys::LOG | flags, logfd);
        let _ = (sys::close(fd), sys::close(logfd));
        match ret {
            Ok(id) if id > 0 => Ok(image),
            Ok(id) => Err((Errno(0), format!("returned {id}"))),
            Err(errno) => Err((errno, std::fs::read_to_string(&log).unwrap_or_default())),
        }
    }

    /// As above, where a failure is one of the test.
    pub fn checkpoint(&self, name: &str, flags: usize) -> Result<PathBuf, String> {
        self.try_checkpoint(name, flags)
            .map_err(|(errno, said)| format!("checkpoint: {errno}: {said}; {}", self.scene.said()))
    }

    /// The checkpoint is refused with this errno, and the log says why.
    pub fn refuses(&self, errno: i32, word: &str) -> Result<String, String> {
        match self.try_checkpoint("refused", 0) {
            Ok(_) => Err("was not refused".to_string()),
            Err((got, said)) if got.0 != errno => Err(format!("{got}: {said}")),
            Err((_, said)) if !said.contains(word) => Err(format!("does not say {word}: {said}")),
            Err((_, said)) => Ok(said),
        }
    }

    /// What its parent would see of a stop. It may have come to its end.
    pub fn unnoticed(&self) -> Result<(), String> {
        match self.look(libc::WNOHANG | libc::WSTOPPED | libc::WCONTINUED) {
            None => Ok(()),
            Some(code) => Err(format!(
                "its parent has seen code {code}; {}",
                self.scene.said()
            )),
        }
    }

    /// Whether it has come to its end by itself; it is not reaped.
    pub fn has_ended(&self) -> bool {
        self.look(libc::WNOHANG | libc::WEXITED).is_some()
    }

    /// Waits for its end by itself; it is not reaped.
    pub fn until_ended(&self) {
        self.look(libc::WEXITED);
    }

    /// What waitid(2) tells of it, and would tell again.
    fn look(&self, flags: i32) -> Option<i32> {
        // SAFETY: an all-zero structure is a valid one, and the kernel fills it.
        unsafe {
            let mut info: libc::siginfo_t = std::mem::zeroed();
            let pid = self.pid as libc::id_t;
            libc::waitid(libc::P_PID, pid, &mut info, flags | libc::WNOWAIT);
            (info.si_pid() != 0).then_some(info.si_code)
        }
    }

    /// The victim ends, and has found everything as it should be.
    pub fn ends_well(&self, waits: u64) -> Result<(), String> {
        self.scene.finish();
        match sys::wait_for(self.pid, 20 + waits / 1000) {
            Ended::Exit(0) => Ok(()),
            other => Err(format!("went on: {other:?}; {}", self.scene.said())),
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        let _ = sys::plain(libc::SYS_kill, &[self.pid as usize, signal as usize]);
    }

    /// Ends the victim, whatever it does, and reaps it.
    pub fn end(&self) -> Ended {
        self.signal(libc::SIGKILL);
        sys::wait_for(self.pid, 10)
    }
}
