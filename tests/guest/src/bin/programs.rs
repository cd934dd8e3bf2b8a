// SPDX-License-Identifier: GPL-2.0

//! Programs that nobody here wrote, stopped at moments chosen by chance.
//!
//! Each runs once undisturbed. Then it runs again and is checkpointed twenty times
//! on its way; its output must be the same. Some of the images are restarted, and
//! one once more after a reboot of the guest: each must end with the same output,
//! whose end was spoilt before. Files outlive the reboot, so that they are in the
//! test's directory.

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

/// Checkpoints of one run, and which images are restarted.
const MOMENTS: usize = 20;
const EVERY: usize = 5;
/// The least number of them.
const FEWEST: usize = 5;
/// Most seconds of one run.
const SECONDS: u64 = 60;

/// A program: name, file, arguments. INPUT stands for a file of text.
type Program = (&'static str, &'static str, &'static [&'static str]);

const INPUT: &str = "INPUT";

const PROGRAMS: &[Program] = &[
    (
        "awk",
        "/usr/bin/awk",
        &[
            "BEGIN { for (i = 1; i <= 400000; i++) { s = (s * 31 + i) % 1000003; \
           if (i % 1000 == 0) print i, s } }",
        ],
    ),
    (
        "perl",
        "/usr/bin/perl",
        &[
            "-e",
            "my (%h, $s); for my $i (1..120000) { $h{$i % 977} .= chr(65 + $i % 26); \
             $s = ($s * 31 + $i) % 1000003; print \"$i $s\\n\" unless $i % 500 } \
             print length($h{$_}), $h{$_} =~ tr/A//, \"\\n\" for sort keys %h",
        ],
    ),
    (
        "python3",
        "/usr/bin/python3",
        &[
            "-c",
            "import hashlib\nh = hashlib.sha256()\nd = {}\nfor i in range(60000):\n    \
             d[i % 997] = d.get(i % 997, 0) * 31 + i & 0xffffffff\n    \
             h.update(str(d[i % 997]).encode())\n    \
             if i % 1000 == 0: print(i, h.hexdigest())\nprint(sum(d.values()))",
        ],
    ),
    (
        "bash",
        "/bin/bash",
        &[
            "-c",
            "trap 's=$((s + 1))' USR1; for ((i = 0; i < 12000; i++)); do \
             ((s = (s * 31 + i) % 1000003)); ((i % 200)) || echo $i $s; done; echo $s",
        ],
    ),
    ("sha256sum", "/usr/bin/sha256sum", &[INPUT, INPUT, INPUT]),
    ("gzip", "/bin/gzip", &["-9", "-c", INPUT]),
    (
        "sort",
        "/usr/bin/sort",
        &["--parallel=1", "-S", "64M", INPUT],
    ),
    ("bc", "/usr/bin/bc", &["-l", "BC"]),
    // Several processes: a pipeline, jobs that share a file, workers and their queues.
    (
        "pipeline",
        "/bin/bash",
        &[
            "-c",
            "cat \"$0\" \"$0\" \"$0\" | gzip -6 | gzip -d | tr a-f A-F | sha256sum",
            INPUT,
        ],
    ),
    (
        "jobs",
        "/bin/bash",
        &[
            "-c",
            "for n in 1 2 3; do (for ((i = 0; i < 2500; i++)); do \
             ((s = (s * 31 + i + n) % 1000003)); done; echo $n $s) & done > \"$0.jobs\"; \
             wait; sort \"$0.jobs\"",
            INPUT,
        ],
    ),
    (
        "multiprocessing",
        "/usr/bin/python3",
        &[
            "-c",
            "import multiprocessing\ndef f(n):\n    h = 0\n    for i in range(20000):\n        \
             h = (h * 31 + i * n) % 1000003\n    return h\n\
             with multiprocessing.Pool(3) as pool:\n    \
             print(sum(pool.map(f, range(24), 1)))",
        ],
    ),
    (
        "sqlite3",
        "/usr/bin/sqlite3",
        &[
            ":memory:",
            "create table t (a integer primary key, b text); \
             with recursive n(i) as (select 1 union all select i + 1 from n where i < 30000) \
             insert into t select i, hex(i * 7919 % 65536) from n; \
             select count(*), sum(a), max(b) from t; \
             select substr(b, 1, 2), count(*) from t group by 1 order by 1;",
        ],
    ),
];

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
        }
        let bc = self.dir.join("bc");
        let _ = std::fs::write(bc, "scale=700\na(1)*4\ne(1)\nsqrt(2)\nquit\n");
        Ok(path)
    }

    fn start(&self, out: &Path) -> Result<i32, String> {
        let input = self.input()?;
        let bc = self.dir.join("bc");
        let file = File::create(out).map_err(|e| format!("{}: {e}", out.display()))?;
        let child = Command::new(self.program.1)
            .args(self.program.2.iter().map(|arg| match *arg {
                INPUT => input.as_os_str(),
                "BC" => bc.as_os_str(),
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

    fn checkpoint(&self, pid: i32, image: &Path) -> Result<(), (Errno, String)> {
        let log = self.file("log");
        let create = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let open = |path: &Path| sys::open(&life::c_path(path), create, 0o600);
        let (fd, logfd) = match (open(image), open(&log)) {
            (Ok(fd), Ok(logfd)) => (fd, logfd),
            other => return Err((Errno(0), format!("{other:?}"))),
        };
        let ret = sys::checkpoint(pid, fd, sys::LOG, logfd);
        let _ = (sys::close(fd), sys::close(logfd));
        ret.map(|_| ())
            .map_err(|errno| (errno, std::fs::read_to_string(&log).unwrap_or_default()))
    }

    fn restart(&self, image: &Path, what: &str) -> Result<(), String> {
        let log = self.file("log");
        self.spoil()?;
        let ended = sys::in_child(SECONDS, || {
            let create = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
            let image = sys::open(&life::c_path(image), libc::O_RDONLY, 0);
            if let (Ok(image), Ok(log)) = (image, sys::open(&life::c_path(&log), create, 0o600)) {
                sys::restart(0, image, sys::LOG, log);
            }
            99
        });
        if ended != Ended::Exit(0) {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            return Err(format!("{what}: {ended:?}: {log}"));
        }
        self.same(what)
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
            match self.checkpoint(pid, &image) {
                Ok(()) => images.push(image),
                Err((errno, _)) if errno.0 == libc::ESRCH => break,
                // A name service is asked through a socket while a program starts.
                Err((errno, said))
                    if errno.0 == libc::EOPNOTSUPP && said.contains("sockets") && refused < 200 =>
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

    /// The kept image, after a reboot of the guest.
    fn reboot(&self) -> Case {
        let image = self.file("img");
        if !image.exists() {
            return Err("there is no image".to_string());
        }
        self.restart(&image, "restarted after a reboot")?;
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
    for program in PROGRAMS {
        let stage = Stage {
            dir: PathBuf::from(life::variable(life::DIR)),
            program: *program,
        };
        cases.run(program.0, || {
            if !Path::new(program.1).exists() {
                return skip(format!("there is no {}", program.1));
            }
            if first {
                stage.first(seed)
            } else {
                stage.reboot()
            }
        });
    }
    cases.verdict()
}
