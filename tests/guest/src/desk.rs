// SPDX-License-Identifier: GPL-2.0

//! Where plain tests make their calls: an image file, a log file, what was said.

use std::path::Path;
use std::path::PathBuf;

use crate::check;
use crate::life;
use crate::pace;
use crate::sys;
use crate::sys::Ended;
use crate::sys::Errno;
use crate::unharmed::Unharmed;

/// Exit status of a child that goes on after its checkpoint.
pub const RESUMED: i32 = 10;
/// Exit status of a child that was restarted.
pub const RESTARTED: i32 = 20;

/// An image file and a log file, both open.
pub struct Desk {
    /// Directory of both.
    pub dir: PathBuf,
    /// Path of the image.
    pub path: PathBuf,
    /// Descriptor of the image, for reading and writing.
    pub image: i32,
    /// Descriptor of the log.
    pub log: i32,
}

impl Desk {
    /// Opens both files, of this name, in the test's directory.
    pub fn open(name: &str) -> Self {
        Self::open_in(Path::new(&life::variable(life::DIR)), name)
    }

    /// Opens both files in another directory.
    pub fn open_in(dir: &Path, name: &str) -> Self {
        let (path, log_path) = (
            dir.join(format!("{name}.img")),
            dir.join(format!("{name}.log")),
        );
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_TRUNC;
        let open = |path: &Path| check::need("open", sys::open(&life::c_path(path), flags, 0o666));
        Self {
            image: open(&path),
            log: open(&log_path),
            dir: dir.to_path_buf(),
            path,
        }
    }

    /// checkpoint(2) of the caller into the image.
    pub fn checkpoint(&self) -> sys::Ret {
        sys::checkpoint(0, self.image, sys::LOG, self.log)
    }

    /// restart(2) from the start of the image.
    pub fn restart(&self) -> Errno {
        let _ = sys::lseek(self.image, 0, libc::SEEK_SET);
        sys::restart(0, self.image, sys::LOG, self.log)
    }

    /// What the kernel wrote to the log. Read through the descriptor, since the
    /// caller may have become somebody who cannot open the file.
    pub fn said(&self) -> String {
        let mut bytes = vec![0; 1 << 16];
        let got = sys::pread(self.log, &mut bytes, 0).unwrap_or(0);
        String::from_utf8_lossy(&bytes[..got]).trim().to_string()
    }

    /// Makes an image of a child that has run `arrange`.
    pub fn make(&self, arrange: impl FnOnce()) -> Result<(), String> {
        self.make_with(arrange, || true)
    }

    /// The same; `verify` tells the restarted child whether all is as it should be.
    pub fn make_with(
        &self,
        arrange: impl FnOnce(),
        verify: impl FnOnce() -> bool,
    ) -> Result<(), String> {
        let ended = sys::in_child(30, || {
            arrange();
            match self.checkpoint() {
                Ok(0) if verify() => RESTARTED,
                Ok(0) => 2,
                Ok(_) => RESUMED,
                Err(_) => 1,
            }
        });
        if ended == Ended::Exit(RESUMED) {
            return Ok(());
        }
        Err(format!("no image: {ended:?}; {}", self.said()))
    }

    /// Whether the image restarts.
    pub fn restarts(&self) -> Result<(), String> {
        let ended = sys::in_child(30, || {
            self.restart();
            1
        });
        if ended == Ended::Exit(RESTARTED) {
            return Ok(());
        }
        Err(format!("no restart: {ended:?}; {}", self.said()))
    }

    /// Restarts the image in a child that gets `first` bytes of it through a pipe, and
    /// the others once `meanwhile` has run, which gets the child's process id.
    pub fn restart_in_two(
        &self,
        first: usize,
        meanwhile: impl FnOnce(i32) -> Result<(), String>,
    ) -> Result<Ended, String> {
        let image = std::fs::read(&self.path).map_err(|e| e.to_string())?;
        let [reader, writer] = sys::pipe(0).map_err(|e| format!("pipe: {e}"))?;
        let pid = sys::fork().map_err(|e| format!("fork: {e}"))?;
        if pid == 0 {
            let _ = sys::close(writer);
            sys::restart(0, reader, sys::LOG, self.log);
            sys::exit(1)
        }
        let _ = sys::close(reader);
        let (now, later) = image.split_at(first);
        let done = Self::feed(writer, now)
            .and_then(|()| meanwhile(pid))
            .and_then(|()| Self::feed(writer, later));
        let _ = sys::close(writer);
        let ended = sys::wait_for(pid, 30);
        done.map_err(|e| format!("{e}; {ended:?}; {}", self.said()))?;
        Ok(ended)
    }

    /// Writes to a pipe, and waits until all has been taken and is waited for more. Who
    /// reads may have had enough before.
    fn feed(pipe: i32, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            match sys::write(pipe, bytes) {
                Ok(done) => bytes = &bytes[done..],
                Err(Errno(libc::EPIPE)) => return Ok(()),
                Err(errno) => return Err(format!("write: {errno}")),
            }
        }
        let ms = std::time::Duration::from_millis;
        while sys::unread(pipe) != Ok(0) {
            std::thread::sleep(ms(2));
        }
        std::thread::sleep(ms(50 * pace::factor()));
        Ok(())
    }

    /// Restarts the image in the calling process, which must fail and do no harm.
    pub fn refuses(&self) -> Result<(Errno, String), String> {
        let mut caller = Unharmed::take([self.image, self.log]);
        let errno = self.restart();
        caller.check()?;
        let said = self.said();
        if said.is_empty() {
            return Err(format!("{errno} without a line in the log"));
        }
        Ok((errno, said))
    }
}
