// SPDX-License-Identifier: GPL-2.0
#![forbid(unsafe_code)]

//! Where the image goes.
//!
//! A regular file is written under another name in the same directory, and gets its
//! own name when the image is complete and on the disk: whoever finds a file under
//! that name has a whole image, and an older one is there until then. Anything else,
//! a pipe or a device, is written to as it is.

use std::fs::File;
use std::io;
use std::io::ErrorKind;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::path::PathBuf;
use std::time::Instant;

use ckpttool::escape;
use nix::sys::stat::makedev;
use tempfile::NamedTempFile;

use crate::place::behind_links;
use crate::place::descriptor;
use crate::place::directory;
use crate::place::Found;
use crate::sys;
use crate::trailer;

/// What was asked for, looked at but not yet touched.
#[derive(Debug)]
pub enum Goal {
    /// This file is to have the image.
    File(PathBuf),
    /// This is to be written to, and is called so.
    Stream(File, String),
}

/// Open for the image.
#[derive(Debug)]
pub enum Output {
    /// A file that does not have its name yet.
    File(NamedTempFile, PathBuf),
    /// Something that is written to as it is.
    Stream(File),
}

/// The null device: a descriptor that was closed has it.
const NULL: (u64, u64) = (1, 3);

/// What somebody else has opened gets the image, if it keeps it.
fn stream(file: File, name: String) -> io::Result<Goal> {
    let meta = file.metadata()?;
    if meta.file_type().is_char_device() && meta.rdev() == makedev(NULL.0, NULL.1) {
        return Err(io::Error::other(format!(
            "{name} is closed or /dev/null, which keeps nothing: name a file with -o FILE, or \
             write to a pipe"
        )));
    }
    no_terminal(file, name)
}

fn no_terminal(file: File, name: String) -> io::Result<Goal> {
    if file.is_terminal() {
        return Err(io::Error::other(format!(
            "{name} is a terminal, and an image is not text: name a file with -o FILE, \
             or write to a pipe"
        )));
    }
    Ok(Goal::Stream(file, name))
}

impl Goal {
    /// Looks at the argument of `--output`; whether the process will be killed. For the
    /// reader of a FIFO it waits until `deadline`.
    ///
    /// # Errors
    ///
    /// When the image cannot go there; TimedOut. One of a process that will be killed does not go
    /// to the standard output unless that was asked for: a job of cron(8) or systemd(1)
    /// has one as well, and nobody there keeps an image.
    pub fn new(output: Option<&Path>, kill: bool, deadline: Option<Instant>) -> io::Result<Self> {
        if output.is_none() && kill {
            return Err(io::Error::other(
                "with --kill say where the image goes: -o FILE, or -o - for standard output",
            ));
        }
        let of_path = |e: io::Error, path| io::Error::new(e.kind(), format!("{}: {e}", name(path)));
        let Some(path) = output.filter(|path| *path != "-") else {
            let stdout = io::stdout().as_fd().try_clone_to_owned()?;
            return stream(stdout.into(), "standard output".into());
        };
        let found = Found::at(path);
        if let (Ok(_), Some(fd)) = (&found, descriptor(path)) {
            let file = sys::of_caller(fd).map_err(|errno| of_path(errno.into(), path))?;
            return stream(file.into(), name(path));
        }
        match found {
            Ok(found) if found.meta.is_dir() => {
                Err(of_path(io::Error::from(ErrorKind::IsADirectory), path))
            }
            // Behind symbolic links, which stay.
            Ok(found) if found.meta.is_file() => {
                let file = found.name().and_then(|file| {
                    found.is_replaceable(&file)?;
                    Ok(file)
                });
                file.map(Self::File).map_err(|e| of_path(e, path))
            }
            Ok(found) => {
                let file = found.open(deadline);
                no_terminal(file.map_err(|e| of_path(e, path))?, name(path))
            }
            // Also behind links that lead nowhere yet.
            Err(e) if e.kind() == ErrorKind::NotFound => {
                let file = behind_links(path).and_then(|file| match names_a_file(&file) {
                    true => Ok(file),
                    false => Err(e),
                });
                file.map(Self::File).map_err(|e| of_path(e, path))
            }
            Err(e) => Err(of_path(e, path)),
        }
    }

    /// How messages call it.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => name(path),
            Self::Stream(_, name) => name.clone(),
        }
    }

    /// Makes it ready to be written to.
    ///
    /// # Errors
    ///
    /// Those of creating a file.
    pub fn begin(self) -> io::Result<Output> {
        match self {
            Self::Stream(file, _) => Ok(Output::Stream(file)),
            Self::File(path) => tempfile::Builder::new()
                .prefix(".checkpoint-")
                .suffix(".part")
                .tempfile_in(directory(&path))
                .map(|temp| Output::File(temp, path)),
        }
    }
}

impl Output {
    /// The descriptor for the kernel.
    pub fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::File(temp, _) => temp.as_file().as_fd(),
            Self::Stream(file) => file.as_fd(),
        }
    }

    /// How many bytes there are by now, where one can tell.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::File(temp, _) => temp.as_file().metadata().ok().map(|found| found.len()),
            Self::Stream(_) => None,
        }
    }

    /// Does the image end as a complete one does? A stream does not say.
    pub fn is_complete(&self) -> bool {
        match self {
            Self::File(temp, _) => trailer::is_there(temp.as_file()).unwrap_or(false),
            Self::Stream(_) => false,
        }
    }

    /// The image is complete: gives the file its name. Dropped without this it is
    /// removed. Returns why the name may not be on the disk yet, if that is so.
    ///
    /// # Errors
    ///
    /// When the data does not get to the disk, or the name not to the file. With
    /// `keep` the file stays under the name that it has, which the error names.
    pub fn commit(self, keep: bool) -> io::Result<Option<io::Error>> {
        let (temp, path) = match self {
            Self::File(temp, path) => (temp, path),
            Self::Stream(file) if has_disk(&file)? => return file.sync_all().map(|()| None),
            Self::Stream(_) => return Ok(None),
        };
        let (e, temp, left) = match temp.as_file().sync_all() {
            // What is read from it now need not be on the disk.
            Err(e) => (e, temp, "an image that is not all on the disk"),
            Ok(()) => match temp.persist(&path) {
                // The name as well is to be on the disk. Without that the image is
                // still there, and found: no failure.
                Ok(_) => {
                    let named = File::open(directory(&path)).and_then(|dir| dir.sync_all());
                    return Ok(named.err());
                }
                Err(e) => (e.error, e.file, "the image"),
            },
        };
        let kept = keep.then(|| temp.keep().ok()).flatten();
        Err(match kept {
            Some((_, at)) => io::Error::other(format!("{e}; {left} stays in {}", name(&at))),
            None => e,
        })
    }
}

/// Is what is written to it on a disk sooner or later? Pipes and the like cannot be synced.
fn has_disk(file: &File) -> io::Result<bool> {
    let kind = file.metadata()?.file_type();
    Ok(kind.is_file() || kind.is_block_device())
}

/// A path for messages: what is in it must not drive the terminal.
pub fn name(path: &Path) -> String {
    escape(path.as_os_str().as_bytes())
}

/// Can a file be created under this path? Not if its end says that it is a directory.
fn names_a_file(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    path.file_name().is_some() && !bytes.ends_with(b"/") && !bytes.ends_with(b"/.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::fcntl::fcntl;
    use nix::fcntl::FcntlArg;
    use nix::fcntl::FdFlag;
    use std::fs;
    use std::io::Write;
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::symlink;
    use std::os::unix::fs::PermissionsExt;

    fn begin(path: &Path) -> Output {
        Goal::new(Some(path), false, None).unwrap().begin().unwrap()
    }

    fn names(dir: &Path) -> Vec<String> {
        fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    fn put(output: &Output, bytes: &[u8]) {
        let mut file = File::from(output.fd().try_clone_to_owned().unwrap());
        file.write_all(bytes).unwrap();
    }

    #[test]
    fn a_file_gets_its_name_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        fs::write(&path, "old").unwrap();
        let output = begin(&path);
        put(&output, b"new");
        assert_eq!(output.len(), Some(3));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(dir.path()).len(), 2);
        output.commit(false).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(dir.path()), ["a.ckpt"]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
    }

    #[test]
    fn a_failure_leaves_what_was_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        drop(begin(&path));
        assert!(names(dir.path()).is_empty());
        fs::write(&path, "old").unwrap();
        drop(begin(&path));
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }

    #[test]
    fn an_image_of_a_killed_process_is_never_lost() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.ckpt");
        for (keep, left) in [(false, 1), (true, 2)] {
            let output = begin(&path);
            put(&output, b"image");
            // In the way of the name.
            let _ = fs::create_dir(&path);
            let message = output.commit(keep).unwrap_err().to_string();
            assert_eq!(message.contains("the image stays in "), keep, "{message}");
            assert_eq!(names(dir.path()).len(), left);
            if keep {
                let at = message.rsplit(' ').next().unwrap();
                assert_eq!(fs::read(at).unwrap(), b"image");
            }
            fs::remove_dir(&path).unwrap();
        }
    }

    #[test]
    fn symbolic_links_stay() {
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        symlink("file", &link).unwrap();
        let output = begin(&link);
        put(&output, b"new");
        output.commit(false).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read(&file).unwrap(), b"new");
    }

    #[test]
    fn links_that_lead_nowhere_yet_stay() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name| dir.path().join(name);
        fs::create_dir(at("sub")).unwrap();
        for (link, to) in [
            ("first", "sub/second".into()),
            ("sub/second", "../third".into()),
            ("third", at("sub/file")),
        ] {
            symlink(to, at(link)).unwrap();
        }
        let output = begin(&at("first"));
        put(&output, b"image");
        assert_eq!(names(&at("sub")).len(), 2);
        output.commit(false).unwrap();
        for link in ["first", "sub/second", "third"] {
            assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink());
        }
        assert_eq!(fs::read(at("sub/file")).unwrap(), b"image");
        assert_eq!(fs::read(at("first")).unwrap(), b"image");
    }

    #[test]
    fn links_that_lead_to_no_file_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        for (to, why) in [
            ("link", "symbolic links"),
            ("none/file", "No such file"),
            ("none/", "No such file"),
        ] {
            symlink(to, &link).unwrap();
            let result = Goal::new(Some(&link), false, None).and_then(Goal::begin);
            let e = result.unwrap_err().to_string();
            assert!(e.contains(why), "{to}: {e}");
            fs::remove_file(&link).unwrap();
        }
        assert!(names(dir.path()).is_empty());
    }

    #[test]
    fn devices_are_written_to_and_stay_devices() {
        let goal = Goal::new(Some(Path::new("/dev/null")), true, None).unwrap();
        assert_eq!(goal.name(), "/dev/null");
        let output = goal.begin().unwrap();
        assert_eq!(output.len(), None);
        assert!(!output.is_complete());
        output.commit(true).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn a_descriptor_is_written_to_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all");
        fs::write(&path, "before ").unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        // As one that was inherited.
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
        let link = dir.path().join("link");
        symlink(format!("/dev/fd/{}", file.as_raw_fd()), &link).unwrap();
        let output = begin(&link);
        put(&output, b"image");
        output.commit(true).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before image");
        assert_eq!(names(dir.path()).len(), 2);
        // One that this program has opened itself.
        fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
        let e = Goal::new(Some(&link), false, None).unwrap_err();
        assert!(e.to_string().contains("Bad file descriptor"), "{e}");
    }

    #[test]
    fn what_gets_to_a_disk_is_waited_for() {
        assert!(has_disk(&tempfile::tempfile().unwrap()).unwrap());
        assert!(!has_disk(&File::create("/dev/null").unwrap()).unwrap());
        let (_reader, writer) = io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(writer));
        assert!(!has_disk(&pipe).unwrap());
        // Cannot be synced.
        assert!(Output::Stream(pipe).commit(true).unwrap().is_none());
    }

    #[test]
    fn what_cannot_be_written_to() {
        let goal = Goal::new(Some(Path::new("/tmp/\x1b[2J")), false, None).unwrap();
        assert_eq!(goal.name(), "/tmp/\\u{1b}[2J");
        let text = |path: &str| match Goal::new(Some(Path::new(path)), false, None).map(Goal::begin)
        {
            Ok(Ok(output)) => panic!("{output:?}"),
            Ok(Err(e)) | Err(e) => e.to_string(),
        };
        assert!(text("/tmp").starts_with("/tmp: "));
        assert!(text("").contains("No such file"));
        for directory in ["/tmp/no-such-directory/", "/tmp/no-such-directory/."] {
            assert!(text(directory).contains("No such file"), "{directory}");
        }
        assert!(text("/no/such/directory/a.ckpt").contains("No such file"));
    }
}
