// SPDX-License-Identifier: GPL-2.0

//! How a program is started, checkpointed and restarted, and what it has written.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;
use std::process::Stdio;

use ckpt_guest::life;
use ckpt_guest::pace;
use ckpt_guest::rng::Rng;
use ckpt_guest::sys;
use ckpt_guest::sys::Ended;
use ckpt_guest::sys::Errno;

use crate::list::BC;
use crate::list::INPUT;
use crate::runs::reap;
use crate::Stage;
use crate::SECONDS;

impl Stage {
    pub fn file(&self, extension: &str) -> PathBuf {
        self.dir.join(format!("{}.{extension}", self.program.0))
    }

    /// A text of 2 MiB that is the same in every run.
    pub fn input(&self) -> Result<PathBuf, String> {
        let path = self.dir.join("input");
        if !path.exists() {
            let mut rng = Rng::new(4);
            let mut text = String::new();
            while text.len() < 2 << 20 {
                text.push_str(&format!("{:016x} line {}\n", rng.next_u64(), text.len()));
            }
            let bc = "scale=700\na(1)*4\ne(1)\nsqrt(2)\nquit\n";
            std::fs::write(self.dir.join("bc"), bc).map_err(|e| format!("input: {e}"))?;
            std::fs::write(&path, text).map_err(|e| format!("input: {e}"))?;
            self.trees(&path).map_err(|e| format!("input: {e}"))?;
        }
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
        // Long enough to be checkpointed, too, once it is built.
        let main = format!(
            "#include <stdio.h>\n{sum}int main(void) {{ long x = 1;\n\
             for (int n = 0; n < 60; n++) {{\n{calls}}} }}\n"
        );
        std::fs::write(c.join("main.c"), main)?;
        // A file that is mapped must keep its time. The file system that outlives a reboot,
        // 9p, cannot give its copy the fractions of a second.
        let make = "O = $(patsubst %.c,out/%.o,$(wildcard *.c))\n\
             out/prog: $O\n\tcc -o $@ $^\n\ttouch -d @1 $@\n\
             out/%.o: %.c\n\tcc -O1 -c -o $@ $<\n";
        std::fs::write(c.join("Makefile"), make)
    }

    /// The program's file.
    pub fn program(&self) -> PathBuf {
        let own = std::env::current_exe().unwrap_or_default();
        // As it is when it has a path.
        own.with_file_name(self.program.1)
    }

    pub fn start(&self, out: &Path) -> Result<i32, String> {
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

    /// Notes the process that the images are of, for whoever restarts them.
    pub fn write_pid(&self, pid: i32) -> Result<(), String> {
        std::fs::write(self.file("pid"), pid.to_string()).map_err(|e| e.to_string())
    }

    pub fn ends(&self, pid: i32) -> Result<(), String> {
        match sys::wait_for(pid, SECONDS) {
            Ended::Exit(0) => Ok(()),
            other => {
                // Whatever it has started would be ours, and be waited for by those who follow.
                let group = -(pid as isize);
                let _ = sys::plain(libc::SYS_kill, &[group as usize, libc::SIGKILL as usize]);
                Err(format!("{other:?}"))
            }
        }
    }

    /// The output is that of the undisturbed run.
    pub fn same(&self, what: &str) -> Result<(), String> {
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

    pub fn checkpoint(&self, pid: i32, image: &Path, then: usize) -> Result<(), (Errno, String)> {
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

    /// Restarts the image of a moment of a program that has come to its end; the last byte of
    /// its output is another one before, unless all was written.
    pub fn restart(&self, moment: usize, what: &str) -> Result<(), String> {
        self.spoil(moment)?;
        self.restart_with_output(&self.image(moment), what)
    }

    /// Restarts an image with the output that is there.
    pub fn restart_with_output(&self, image: &Path, what: &str) -> Result<(), String> {
        let log = self.file("restart");
        // Programs remember who they are: asyncio finds no loop in another process.
        let pid = std::fs::read_to_string(self.file("pid")).unwrap_or_default();
        let pid: i32 = pid.parse().map_err(|_| "it has left no process id")?;
        // The run before may have left one of its group, which ends by itself.
        for _ in 0..200 {
            reap(libc::WNOHANG);
            if sys::group_is_gone(pid) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(50 * pace::factor()));
        }
        let child = match sys::fork_as_soon(pid) {
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

    /// Restarts by the command, with the clocks as they were at the checkpoint: after a reboot
    /// those of the machine begin anew.
    pub fn restart_in_time(&self, moment: usize, what: &str) -> Result<(), String> {
        self.spoil(moment)?;
        let command = Path::new(&life::variable("CKPT_BIN")).join("restart");
        let output = Command::new("/usr/bin/timeout")
            .args(["-k", "5", &(SECONDS * pace::factor()).to_string()])
            .arg(command)
            .args(["--timens", "--pidns", "--wait", "--input"])
            .arg(self.image(moment))
            .stdin(Stdio::null())
            .output()
            .map_err(|e| format!("{what}: {e}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{what}: {}: {said}", output.status));
        }
        self.same(what)
    }

    /// Becomes an image; comes back with an exit status when that fails.
    pub fn take_on(&self, image: &Path) -> i32 {
        let create = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let image = sys::open(&life::c_path(image), libc::O_RDONLY, 0);
        let log = sys::open(&life::c_path(&self.file("restart")), create, 0o600);
        if let (Ok(image), Ok(log)) = (image, log) {
            sys::restart(0, image, sys::LOG, log);
        }
        99
    }

    /// Spoils the end of the output, which the restarted program has still to write.
    fn spoil(&self, moment: usize) -> Result<(), String> {
        if self.written(moment).exists() {
            return Ok(());
        }
        let path = self.file("out");
        let mut bytes = std::fs::read(&path).map_err(|e| e.to_string())?;
        let last = bytes.last_mut().ok_or("the output is empty")?;
        *last = !*last;
        // In place: the image has the file, and not its length.
        std::fs::write(&path, bytes).map_err(|e| e.to_string())
    }
}
