// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! What is at a path before the image goes there, and whether somebody else has put it
//! there: as fs.protected_symlinks and fs.protected_fifos of the kernel.

use std::ffi::OsStr;
use std::fs;
use std::fs::File;
use std::fs::Metadata;
use std::fs::OpenOptions;
use std::io;
use std::io::ErrorKind;
use std::os::fd::AsFd;
use std::os::fd::AsRawFd;
use std::os::fd::RawFd;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use nix::errno::Errno;
use nix::fcntl::fcntl;
use nix::fcntl::FcntlArg;
use nix::fcntl::OFlag;
use nix::unistd::geteuid;

/// Something that is there: it is looked at once, and is this one from then on.
#[derive(Debug)]
pub struct Found {
    at: File,
    /// What it is.
    pub meta: Metadata,
}

impl Found {
    /// What a path leads to, behind symbolic links.
    ///
    /// # Errors
    ///
    /// Those of open(2) with O_PATH.
    pub fn at(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH.bits();
        let at = OpenOptions::new()
            .read(true)
            .custom_flags(flags)
            .open(path)?;
        let meta = at.metadata()?;
        Ok(Self { at, meta })
    }

    fn link(&self) -> PathBuf {
        Path::new("/proc/self/fd").join(self.at.as_raw_fd().to_string())
    }

    /// Its name, without symbolic links.
    ///
    /// # Errors
    ///
    /// When procfs does not tell.
    pub fn name(&self) -> io::Result<PathBuf> {
        fs::read_link(self.link())
    }

    /// Can another file take the place of this one, which has that name? To be asked before
    /// there is an image which may be all that is left of a process.
    ///
    /// # Errors
    ///
    /// When rename(2) would refuse that: EBUSY where something is mounted, EPERM for a file of
    /// somebody else in a directory with the sticky bit.
    pub fn is_replaceable(&self, name: &Path) -> io::Result<()> {
        let dir = Self::at(directory(name))?;
        if self.mount()? != dir.mount()? {
            return Err(io::Error::other(
                "a mount point cannot be replaced: name another file, or write to it as it is, \
                 with -o - >FILE",
            ));
        }
        let own = [self.meta.uid(), dir.meta.uid()].contains(&geteuid().as_raw());
        if dir.meta.mode() & 0o1000 != 0 && !own && !is_everybodys_owner()? {
            return Err(io::Error::other(
                "this file of somebody else is in a directory with the sticky bit, and cannot be \
                 replaced there",
            ));
        }
        Ok(())
    }

    /// The mount that it was found in.
    fn mount(&self) -> io::Result<Option<String>> {
        let info = Path::new("/proc/self/fdinfo").join(self.at.as_raw_fd().to_string());
        let info = fs::read_to_string(info)?;
        let line = info.lines().find(|line| line.starts_with("mnt_id:"));
        Ok(line.map(str::to_string))
    }

    /// Opens it for writing; of a FIFO this waits for a reader, until `deadline`.
    ///
    /// # Errors
    ///
    /// Those of open(2); TimedOut; a FIFO that somebody else has put where all may.
    pub fn open(&self, deadline: Option<Instant>) -> io::Result<File> {
        let fifo = self.meta.file_type().is_fifo();
        // A pipe has no name, as behind /dev/stdout: it is in no directory.
        let name = self.name()?;
        if fifo && name.is_absolute() && is_strange(&self.meta, directory(&name))? {
            return Err(io::Error::other(
                "this FIFO of somebody else is in a directory for all: whoever reads it would \
                 get the memory of the process",
            ));
        }
        if !fifo {
            return OpenOptions::new().write(true).open(self.link());
        }
        loop {
            let flags = OFlag::O_NONBLOCK.bits();
            let opened = OpenOptions::new()
                .write(true)
                .custom_flags(flags)
                .open(self.link());
            match opened {
                Err(e) if e.raw_os_error() == Some(Errno::ENXIO as i32) => {}
                Ok(file) => {
                    let status = fcntl(file.as_fd(), FcntlArg::F_GETFL)?;
                    let status = OFlag::from_bits_retain(status).difference(OFlag::O_NONBLOCK);
                    fcntl(file.as_fd(), FcntlArg::F_SETFL(status))?;
                    return Ok(file);
                }
                Err(e) => return Err(e),
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                let why = "nobody has opened this FIFO for reading in time";
                return Err(io::Error::new(ErrorKind::TimedOut, why));
            }
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Has this program CAP_FOWNER, as root has?
fn is_everybodys_owner() -> io::Result<bool> {
    const CAP_FOWNER: u64 = 1 << 3;
    let status = fs::read_to_string("/proc/self/status")?;
    let caps = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let caps = caps.and_then(|caps| u64::from_str_radix(caps.trim(), 16).ok());
    Ok(caps.is_some_and(|caps| caps & CAP_FOWNER != 0))
}

/// Is what was found in this directory somebody else's, where all may put something?
fn is_strange(found: &Metadata, directory: &Path) -> io::Result<bool> {
    let directory = fs::metadata(directory)?;
    let for_all = directory.mode() & 0o1002 == 0o1002;
    Ok(for_all && found.uid() != geteuid().as_raw() && found.uid() != directory.uid())
}

/// Symbolic links behind each other, as many as the kernel follows.
const LINKS_MAX: usize = 40;

/// The descriptor of this program that a path is another name of, as /dev/stdout and
/// /dev/fd/3 are.
pub fn descriptor(path: &Path) -> Option<RawFd> {
    let own = fs::canonicalize("/proc/self/fd").ok()?;
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        if fs::canonicalize(directory(&path)).is_ok_and(|dir| dir == own) {
            return path.file_name()?.to_str()?.parse().ok();
        }
        let to = fs::read_link(&path).ok()?;
        path = directory(&path).join(to);
    }
    None
}

/// The path that a symbolic link leads to where nothing is yet.
///
/// # Errors
///
/// Too many links; one that somebody else has put where all may.
pub fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..LINKS_MAX {
        match fs::read_link(&path) {
            Ok(to) => {
                if is_strange(&fs::symlink_metadata(&path)?, directory(&path))? {
                    return Err(io::Error::other(
                        "a symbolic link of somebody else in a directory for all is not followed",
                    ));
                }
                // An absolute one takes the place of the directory.
                path = directory(&path).join(to);
            }
            Err(e) if matches!(e.kind(), ErrorKind::InvalidInput | ErrorKind::NotFound) => {
                return Ok(path)
            }
            Err(e) => return Err(e),
        }
    }
    Err(io::Error::other("too many symbolic links"))
}

/// The directory that a path is in.
pub fn directory(path: &Path) -> &Path {
    path.parent()
        .filter(|dir| *dir != OsStr::new(""))
        .unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use nix::unistd::chown;
    use nix::unistd::mkfifo;
    use nix::unistd::Uid;
    use std::os::unix::fs::symlink;
    use std::os::unix::fs::PermissionsExt;

    /// A directory like /tmp.
    fn for_all() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        dir
    }

    #[test]
    fn a_fifo_waits_for_its_reader_and_no_longer() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("fifo");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let found = Found::at(&path).unwrap();
        let soon = Instant::now() + Duration::from_millis(50);
        let e = found.open(Some(soon)).unwrap_err();
        assert_eq!(e.kind(), ErrorKind::TimedOut);
        let reader = thread::spawn(move || File::open(path));
        let file = found.open(None).unwrap();
        let status = fcntl(file.as_fd(), FcntlArg::F_GETFL).unwrap();
        assert!(!OFlag::from_bits_retain(status).contains(OFlag::O_NONBLOCK));
        reader.join().unwrap().unwrap();
    }

    #[test]
    fn a_pipe_is_nobody_s() {
        let (_reader, writer) = io::pipe().unwrap();
        let path = format!("/proc/self/fd/{}", writer.as_raw_fd());
        let found = Found::at(Path::new(&path)).unwrap();
        assert!(!found.name().unwrap().is_absolute());
        assert!(found
            .open(None)
            .unwrap()
            .metadata()
            .unwrap()
            .file_type()
            .is_fifo());
    }

    #[test]
    fn names_of_descriptors() {
        for (path, fd) in [
            ("/dev/stdout", Some(1)),
            ("/dev/fd/63", Some(63)),
            ("/dev/fd/../fd/7", Some(7)),
            ("/proc/self/fd/0", Some(0)),
            ("/proc/1/fd/0", None),
            ("/dev/fd/x", None),
            ("/dev/null", None),
            ("1", None),
            ("", None),
        ] {
            assert_eq!(descriptor(Path::new(path)), fd, "{path}");
        }
    }

    #[test]
    fn what_cannot_be_replaced() {
        let dir = for_all();
        let path = dir.path().join("file");
        fs::write(&path, "").unwrap();
        let refused = || Found::at(&path).unwrap().is_replaceable(&path);
        refused().unwrap();
        // What is in another mount than the directory.
        let other = Found::at(Path::new("/proc/version")).unwrap();
        let e = other.is_replaceable(&path).unwrap_err();
        assert!(e.to_string().contains("mount point"), "{e}");
    }

    #[test]
    fn what_others_put_into_a_directory_for_all() {
        if !geteuid().is_root() {
            return;
        }
        let dir = for_all();
        let (fifo, link) = (dir.path().join("fifo"), dir.path().join("link"));
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        symlink("nothing", &link).unwrap();
        assert_eq!(behind_links(&link).unwrap(), dir.path().join("nothing"));
        chown(&fifo, Some(Uid::from_raw(1)), None).unwrap();
        std::os::unix::fs::lchown(&link, Some(1), None).unwrap();
        let e = Found::at(&fifo).unwrap().open(None).unwrap_err();
        assert!(e.to_string().contains("somebody else"), "{e}");
        let e = behind_links(&link).unwrap_err();
        assert!(e.to_string().contains("somebody else"), "{e}");
    }
}
