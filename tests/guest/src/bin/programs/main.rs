// SPDX-License-Identifier: GPL-2.0

//! Programs that nobody here wrote, stopped at moments chosen by chance.
//!
//! Each runs once undisturbed. Then it runs again and is checkpointed twenty times
//! on its way; its output must be the same. Some of the images are restarted, and
//! one once more after a reboot of the guest: each must end with the same output,
//! whose end was spoilt before. Files outlive the reboot, so that they are in the
//! test's directory.

mod list;

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use ckpt_guest::cases::pass_with;
use ckpt_guest::cases::skip;
use ckpt_guest::cases::Case;
use ckpt_guest::cases::Cases;
use ckpt_guest::life;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;

use list::Program;
use list::BC;
use list::CHANGING;
use list::INPUT;
use list::PROGRAMS;

/// Checkpoints of one run, and which images are restarted.
const MOMENTS: usize = 20;
const EVERY: usize = 5;
/// The least number of them.
const FEWEST: usize = 5;
/// Most seconds of one run.
const SECONDS: u64 = 90;
/// CHECKPOINT_KILL: all are killed when the image is complete.
const KILL: usize = 2;
/// How often a program with changing files is killed and restarted.
const KILLS: u64 = 5;

struct Stage {
    dir: PathBuf,
    program: Program,
}

impl Stage {
    fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.program.0))
    }

    /// A text of 2 MiB that is the same in every run.
    fn input(&self) -> Result<PathBuf, String> {
        let path = self.dir.join("input");
        if !path.exists() {
            let mut rng = Rng::new(4);
            let mut text = String::new();
            while text.len() < 2 << 20 {
                text.push_str(&format!("{:016x} line {}\n", rng.next_u64(), text.len()));
            }
            std::fs::write(&path, text).map_err(|e| format!("input: {e}"))?;
            self.trees(&path).map_err(|e| format!("input: {e}"))?;
        }
        let bc = self.dir.join("bc");
        let _ = std::fs::write(bc, "scale=700\na(1)*4\ne(1)\nsqrt(2)\nquit\n");
        Ok(path)
    }

    /// Many names of the text, and a project in C.
    fn trees(&self, input: &Path) -> std::io::Result<()> {
        let (tree, c) = (self.dir.join("tree"), self.dir.join("c"));
        std::fs::create_dir_all(&tree)?;
        std::fs::create_dir_all(&c)?;
        for nr in 0..25 {
            std::os::unix::fs::symlink(input, tree.join(format!("{nr:02}")))?;
        }
        let (mut sum, mut calls) = (String::new(), String::new());
        for nr in 0..6u32 {
            let text = format!(
                "#include <stdio.h>\n#include <string.h>\n#include <stdlib.h>\n\
                 long f{nr}(long x) {{ char b[64]; for (int i = 0; i < {}; i++) {{ \
                 snprintf(b, sizeof b, \"%ld.%d\", x, i); x = x * 31 + (long)strlen(b) + \
                 strtol(b + 1, 0, 10) % 7; x %= 1000003; }} return x; }}\n",
                nr * 100 + 1000
            );
            std::fs::write(c.join(format!("f{nr}.c")), text)?;
            sum.push_str(&format!("long f{nr}(long);\n"));
            calls.push_str(&format!("x = f{nr}(x); printf(\"%ld\\n\", x);\n"));
        }
        let main = format!("#include <stdio.h>\n{sum}int main(void) {{ long x = 1;\n{calls}}}\n");
        std::fs::write(c.join("main.c"), main)?;
        let make = "O = $(patsubst %.c,out/%.o,$(wildcard *.c))\n\
             out/prog: $O\n\tcc -o $@ $^\n\
             out/%.o: %.c\n\tcc -O1 -c -o $@ $<\n";
        std::fs::write(c.join("Makefile"), make)
    }

    /// The program's file.
    fn program(&self) -> PathBuf {
        let own = std::env::current_exe().unwrap_or_default();
        // As it is when it has a path.
        own.with_file_name(self.program.1)
    }

    fn start(&self, out: &Path) -> Result<i32, String> {
        let input = self.input()?;
        let bc = self.dir.join("bc");
        let file = File::create(out).map_err(|e| format!("{}: {e}", out.display()))?;
        let child = Command::new(self.program())
            .args(self.program.2.iter().map(|arg| match *arg {
                INPUT => input.as_os_str(),
                BC => bc.as_os_str(),
                other => other.as_ref(),
            }))
            .env_clear()
            .env("LC_ALL", "C")
            .env("PATH", "/usr/bin:/bin")
            .current_dir(&self.dir)
            .stdin(Stdio::null())
            .stderr(file.try_clone().map_err(|e| e.to_string())?)
            .stdout(file)
            .process_group(0)
            .spawn()
            .map_err(|e| format!("{}: {e}", self.program.1))?;
        Ok(child.id() as i32)
    }

    fn ends(&self, pid: i32) -> Result<(), String> {
        match sys::wait_for(pid, SECONDS) {
            Ended::Exit(0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    }

    /// The output is that of the undisturbed run.
    fn same(&self, what: &str) -> Result<(), String> {
        let read =
            |path: PathBuf| std::fs::read(&path).map_err(|e| format!("{}: {e}", path.display()));
        let (want, got) = (read(self.file("want"))?, read(self.file("out"))?);
        if want == got {
            return Ok(());
        }
        let at = want.iter().zip(&got).take_while(|(a, b)| a == b).count();
        Err(format!(
            "{what}: {} bytes, not {}; the first other one is {at}: {}",
            got.len(),
            want.len(),
            String::from_utf8_lossy(&got[at..(at + 80).min(got.len())])
        ))
    }

    fn checkpoint(&self, pid: i32, image: &Path, then: usize) -> Result<(), (Errno, String)> {
        let log = self.file("log");
        let create = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let open = |path: &Path| sys::open(&life::c_path(path), create, 0o600);
        let (fd, logfd) = match (open(image), open(&log)) {
            (Ok(fd), Ok(logfd)) => (fd, logfd),
            other => return Err((Errno(0), format!("{other:?}"))),
        };
        let ret = sys::checkpoint(pid, fd, sys::LOG | then, logfd);
        let _ = (sys::close(fd), sys::close(logfd));
        ret.map(|_| ())
            .map_err(|errno| (errno, std::fs::read_to_string(&log).unwrap_or_default()))
    }

    fn restart(&self, image: &Path, what: &str) -> Result<(), String> {
        let log = self.file("restart");
        self.spoil()?;
        // Programs remember who they are: asyncio finds no loop in another process.
        let pid = std::fs::read_to_string(self.file("pid")).unwrap_or_default();
        let pid: i32 = pid.parse().map_err(|_| "it has left no process id")?;
        let child = match sys::fork_as(pid) {
            // After a reboot another one may have it, also of the kernel.
            Err(Errno(libc::EEXIST)) => sys::fork(),
            made => made,
        };
        let child = child.map_err(|e| format!("{what}: process id {pid}: {e}"))?;
        if child == 0 {
            sys::exit(self.take_on(image));
        }
        let ended = sys::wait_for(child, SECONDS);
        if ended != Ended::Exit(0) {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("{what}: {ended:?}: {log}"));
        }
        self.same(what)
    }

    /// Becomes an image; comes back with an exit status when that fails.
    fn take_on(&self, image: &Path) -> i32 {
        let create = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let image = sys::open(&life::c_path(image), libc::O_RDONLY, 0);
        let log = sys::open(&life::c_path(&self.file("restart")), create, 0o600);
        if let (Ok(image), Ok(log)) = (image, log) {
            sys::restart(0, image, sys::LOG, log);
        }
        99
    }

    /// Spoils the end of the output, which the restarted program has still to write.
    fn spoil(&self) -> Result<(), String> {
        let path = self.file("out");
        let mut bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
        let last = bytes.last_mut().ok_or("the output is empty")?;
        *last = !*last;
        // In place: the image has the file, and not its length.
        std::fs::write(&path, bytes).map_err(|e| e.to_string())
    }

    /// Checkpoints a run at its moments, until it has ended; returns the images.
    fn moments(&self, pid: i32, step: u64, rng: &mut Rng) -> Result<Vec<PathBuf>, String> {
        let mut images = Vec::new();
        let mut refused = 0;
        while images.len() < MOMENTS {
            std::thread::sleep(Duration::from_micros(rng.below(step)));
            let name = format!("{}.{}.img", self.program.0, images.len());
            let image = std::env::temp_dir().join(name);
            match self.checkpoint(pid, &image, 0) {
                Ok(()) => images.push(image),
                Err((errno, _)) if errno.0 == libc::ESRCH => break,
                Err((errno, said))
                    if errno.0 == libc::EOPNOTSUPP && passes(&said) && refused < 200 =>
                {
                    refused += 1;
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err((errno, said)) => {
                    return Err(format!("moment {}: {errno}: {said}", images.len()))
                }
            }
        }
        Ok(images)
    }

    /// Undisturbed, then stopped again and again, then restarted.
    fn first(&self, seed: u64) -> Case {
        // The first run reads the program's files from the host.
        let mut time = Duration::ZERO;
        for _ in 0..2 {
            let start = Instant::now();
            let pid = self.start(&self.file("want"))?;
            self.ends(pid)?;
            time = start.elapsed();
        }
        let mut step = (time.as_micros() as u64 / MOMENTS as u64).max(1);
        let mut rng = Rng::new(seed);
        let (pid, images) = loop {
            let pid = self.start(&self.file("out"))?;
            let images = self.moments(pid, step, &mut rng)?;
            // Shorter steps if it was over before; on a slow kernel some must do.
            if images.len() == MOMENTS || step < 50 && images.len() >= FEWEST {
                break (pid, images);
            }
            self.ends(pid)?;
            if step < 50 {
                return Err(format!("it is over after {} checkpoints", images.len()));
            }
            step /= 4;
        };
        self.ends(pid)?;
        std::fs::write(self.file("pid"), pid.to_string()).map_err(|e| e.to_string())?;
        self.same("went on")?;
        // One from the middle is for after the reboot. The last one may be from
        // behind the last write: it is not restarted.
        let middle = images.get(images.len() / 2).ok_or("no image")?;
        let bytes = std::fs::copy(middle, self.file("img")).map_err(|e| e.to_string())?;
        let before_last = images.iter().take(images.len() - 1);
        let chosen = before_last.skip(EVERY / 2).step_by(EVERY);
        let mut restarts = 0;
        for image in chosen {
            restarts += 1;
            self.restart(image, &format!("restart {restarts}"))?;
        }
        let count = images.len();
        for image in images {
            let _ = std::fs::remove_file(image);
        }
        pass_with(format!(
            "{} ms, {count} checkpoints, {restarts} restarts, {} KiB",
            time.as_millis(),
            bytes / 1024
        ))
    }

    /// Killed with the last byte of its image and restarted at once, again and again;
    /// the last image is for after the reboot.
    fn changing(&self, seed: u64) -> Case {
        let mut time = Duration::ZERO;
        for _ in 0..2 {
            let start = Instant::now();
            let pid = self.start(&self.file("want"))?;
            self.ends(pid)?;
            time = start.elapsed();
        }
        let mut rng = Rng::new(seed);
        let image = self.file("img");
        let moment = |rng: &mut Rng, pid: i32| {
            let step = (time.as_micros() as u64 / (KILLS + 2)).max(1);
            std::thread::sleep(Duration::from_micros(step / 2 + rng.below(step)));
            let mut refused = 0;
            while let Err((errno, said)) = self.checkpoint(pid, &image, KILL) {
                if errno.0 != libc::EOPNOTSUPP || !passes(&said) || refused == 200 {
                    return Err(format!("{errno}: {said}"));
                }
                refused += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            match sys::wait_for(pid, SECONDS) {
                Ended::Signal(libc::SIGKILL) => {}
                other => return Err(format!("{other:?}, and not killed")),
            }
            // Those below it come to us, and keep their ids until they are asked for.
            // SAFETY: waits for children of ours, and stores nothing.
            while unsafe { libc::waitpid(-1, std::ptr::null_mut(), 0) } > 0 {}
            Ok(())
        };
        sys::prctl(libc::PR_SET_CHILD_SUBREAPER, &[1]).map_err(|e| format!("prctl: {e}"))?;
        let mut pid = self.start(&self.file("out"))?;
        for kill in 1..=KILLS {
            moment(&mut rng, pid).map_err(|why| {
                let log = std::fs::read_to_string(self.file("restart")).unwrap_or_default();
                format!("kill {kill}: {why}; {log}")
            })?;
            pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
            if pid == 0 {
                sys::exit(self.take_on(&image));
            }
            // It is still reading the image as long as it is this program.
            let name = |of: &str| std::fs::read(format!("/proc/{of}/comm"));
            while name(&pid.to_string()).ok() == name("self").ok() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        self.ends(pid).map_err(|why| {
            let log = std::fs::read_to_string(self.file("restart")).unwrap_or_default();
            format!("restarted {KILLS} times: {why}: {log}")
        })?;
        self.same("killed and restarted")?;
        let pid = self.start(&self.file("out"))?;
        moment(&mut rng, pid).map_err(|why| format!("the last one: {why}"))?;
        pass_with(format!(
            "{} ms, {KILLS} times killed and restarted",
            time.as_millis()
        ))
    }

    /// The kept image, after a reboot of the guest.
    fn reboot(&self) -> Case {
        let image = self.file("img");
        if !image.exists() {
            return Err("there is no image".to_string());
        }
        if CHANGING.contains(&self.program) {
            let log = || std::fs::read_to_string(self.file("restart")).unwrap_or_default();
            match sys::in_child(SECONDS, || self.take_on(&image)) {
                Ended::Exit(0) => self.same("restarted after a reboot")?,
                other => return Err(format!("{other:?}: {}", log())),
            }
        } else {
            self.restart(&image, "restarted after a reboot")?;
        }
        pass_with("the same output")
    }
}

fn main() -> ExitCode {
    let seed = std::env::var("CKPT_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_081_118);
    println!("seed {seed}");
    let first = life::variable(life::PHASE) == "first";
    let mut cases = Cases::new();
    // One of them only, for whoever looks into it.
    let only = std::env::var("CKPT_ONLY").ok();
    let wanted = |program: &&Program| only.as_ref().is_none_or(|name| name == program.0);
    for program in PROGRAMS.iter().chain(CHANGING).filter(wanted) {
        let stage = Stage {
            dir: PathBuf::from(life::variable(life::DIR)),
            program: *program,
        };
        cases.run(program.0, || {
            if !stage.program().exists() {
                return skip(format!("there is no {}", program.1));
            }
            if CHANGING.contains(program) && !Path::new("/usr/bin/cc").exists() {
                return skip("there is no C compiler");
            }
            if first && CHANGING.contains(program) {
                stage.changing(seed)
            } else if first {
                stage.first(seed)
            } else {
                stage.reboot()
            }
        });
    }
    cases.verdict()
}

/// Is it a refusal that a program's start explains? A name service is asked through a
/// socket with a name.
fn passes(said: &str) -> bool {
    said.contains("a local socket")
}
